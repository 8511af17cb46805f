"""`unlearn_cli.load`: a model ready for use, from Python."""

from __future__ import annotations

from typing import Any

from unlearn_cli.config import LoadOptions, resolve
from unlearn_cli.data.offline import offline
from unlearn_cli.models.load import load_model
from unlearn_cli.models.process import undisturbed


@undisturbed()
def load(run_or_model: str, **options: Any) -> Any:
    """See `unlearn_cli.load`."""
    settings, _ = resolve(LoadOptions, {"model": str(run_or_model), **options}, None, called="python")
    with offline(settings.offline):
        loaded = load_model(settings)
    loaded.model.tokenizer = loaded.tokenizer
    return loaded.model
