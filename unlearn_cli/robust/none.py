"""No rule: the gradient of the weighted sum of forget and retain loss."""

from __future__ import annotations

from typing import Any

from unlearn_cli.contract import robust


@robust()
def none(gradients: Any) -> None:
    gradients.backward()
