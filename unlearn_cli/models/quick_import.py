"""Import bitsandbytes, which peft imports wherever it is installed, without torch's compiler.

At import bitsandbytes compiles a few int8 kernels of its own, and for that torch loads its compiler: a second in which
nothing is compiled yet. Here they are compiled when they are first called.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch


def _compiled_later(function: Callable | None = None, **options: Any) -> Callable:
    """`torch.compile`, at the first call of the function."""
    if function is None:
        return lambda function: _compiled_later(function, **options)
    compiled = cache(lambda: _compile(function, **options))
    return lambda *arguments, **named: compiled()(*arguments, **named)


_compile = torch.compile
torch.compile = _compiled_later  # type: ignore[assignment]
try:
    with suppress(ImportError):  # absent where it has no wheels
        import bitsandbytes  # noqa: F401
finally:
    torch.compile = _compile
