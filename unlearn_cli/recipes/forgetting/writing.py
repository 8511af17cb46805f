"""The model answers prompts before it is trained. Its answers become rows, for `--about` and for `--retain auto`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from unlearn_cli.console import Reporter
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.models.generate import Sampling, greedy, sample
from unlearn_cli.models.load import LoadedModel

FEWEST = 4  # rows that a run needs at least


def prompts(encoder: Encoder, examples: Sequence[Example]) -> list[np.ndarray]:
    """Token ids [L] of each prompt, as the model answers it."""
    return [encoder.encode_answer(example, "-").prompt_ids for example in examples]


@dataclass(frozen=True)
class Writer:
    """A model that answers prompts."""

    loaded: LoadedModel
    encoder: Encoder
    reporter: Reporter
    longest: int  # tokens of an answer, at most

    def answers(self, examples: Sequence[Example], sampling: Sampling | None = None) -> list[tuple[Example, str]]:
        """Pairs of prompt and answer: for each prompt the greedy answer, then the sampled ones."""
        ids, count = prompts(self.encoder, examples), 1 + (sampling.count if sampling else 0)
        with self.reporter.progress("writing rows", len(examples) * count) as bar:
            likeliest = greedy(self.loaded, ids, self.longest, bar.advance)
            drawn = sample(self.loaded, ids, self.longest, sampling, bar.advance) if sampling else repeat([])
        return [
            (example, self._text(tokens))
            for example, first, others in zip(examples, likeliest, drawn, strict=sampling is not None)
            for tokens in (first, *others)
        ]

    def _text(self, ids: Sequence[int]) -> str:
        """An answer as text. An answer that was cut off ends with its last complete sentence, if it has one."""
        text = self.encoder.tokenizer.decode(ids, skip_special_tokens=True).strip()
        end = max(text.rfind(mark) for mark in ".!?")
        return text[: end + 1] if len(ids) >= self.longest and end > 0 else text
