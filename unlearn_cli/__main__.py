"""`python -m unlearn_cli`."""

from unlearn_cli.cli import main

main()
