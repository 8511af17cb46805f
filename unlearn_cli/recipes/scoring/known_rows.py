"""Rows whose answers a model does not know. It has nothing to forget in them."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_cli.config import CheckConfig, DataOptions
from unlearn_cli.console import Reporter
from unlearn_cli.data.example import Split
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.evaluation.baseline import UNKNOWN
from unlearn_cli.models.load import load_model
from unlearn_cli.models.process import undisturbed
from unlearn_cli.models.score import answer_probabilities

TOKENS = 2048  # in one forward pass


@undisturbed()
def not_known(config: CheckConfig, splits: Sequence[Split | None], reporter: Reporter) -> list[dict[str, float] | None]:
    """For each split: the place of each row whose answer has a probability below `UNKNOWN` -> that probability.

    Raises:
        UnlearnError: the model cannot be loaded.
    """
    reporter.say(f"loading {config.model}")
    loaded = load_model(config)
    limit = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    encoder = make_encoder(DataOptions(), loaded.tokenizer, loaded.stop_ids, limit)
    unknown: list[dict[str, float] | None] = []
    for split in splits:
        if split is None:
            unknown.append(None)
            continue
        rows = encoder.encode(split.examples)
        values = dict(zip((row.id for row in rows), answer_probabilities(loaded, rows, TOKENS), strict=True))
        where = {example.id: example.where for example in split.examples}
        unknown.append({where.get(row, row): float(value) for row, value in values.items() if value < UNKNOWN})
    return unknown
