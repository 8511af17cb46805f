"""Train the models of the tests: `python -m tests.assets.build`.

They know the demo's people as the demo's models do, with one layer instead of four: a run takes a third of the time.
"""

from __future__ import annotations

from pathlib import Path

from unlearn_cli.demo.build import build

if __name__ == "__main__":
    build(Path(__file__).parent, layers=1, width=64)
