"""Read runs, check that they are comparable, group, rank and judge them, and show the result."""
