"""No retain term: retain rows are measured, never trained on.

L = 0
"""

from __future__ import annotations

from unlearn_cli.contract import retain_term


@retain_term()
def none() -> None:
    return None
