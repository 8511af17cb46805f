"""Make a language model forget chosen rows, and prove what that did."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def load(run_or_model: str, **options: Any) -> Any:
    """A model ready for use: a run folder of `unlearn forget` on its base, an adapter on its base, or a plain model.

    The result has transformers' usual `forward` and `generate`, also where it is composed of two passes (uld, offset, whp),
    and its tokenizer as `.tokenizer`.

    Args:
        run_or_model: a run folder, a model folder, or a Hub id.
        options: settings of how it is loaded: device, dtype, load_in_4bit, ... as on the command line.

    Raises:
        UnlearnError: it cannot be loaded; the hint says what to do.
    """
    from unlearn_cli.recipes.load import load as load_now  # noqa: PLC0415 - the package itself imports nothing heavy

    return load_now(run_or_model, **options)
