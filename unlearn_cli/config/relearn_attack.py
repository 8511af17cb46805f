"""Settings of `unlearn relearn-attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.expressions import AttackConditions
from unlearn_cli.config.groups import OfflineOptions, RunOptions, TrustOptions
from unlearn_cli.config.option import Names, Pairs, Rates, Seeds, option
from unlearn_cli.values import MANY

SUITES: dict[str, tuple[str, ...]] = {
    "quick": ("relearn", "quantize", "prompts"),
    "standard": ("relearn", "quantize", "prompts", "paraphrase", "few-shot", "scale"),
    "full": (
        "relearn", "rtt", "quantize", "prune", "scale", "prompts", "paraphrase", "few-shot", "multiple-choice", "reverse",
        "sample", "logit-lens", "ablate",
    ),
}  # fmt: skip


class AttackConfig(OfflineOptions, TrustOptions, RunOptions):
    """Settings of `unlearn relearn-attack`."""

    baseline: str | None = option(
        None, "a model that never saw the forget rows, attacked alike: what it gains is teaching, not recovery", "Model",
        metavar="MODEL", path=True,
    )  # fmt: skip
    base: str | None = option(None, "the run's base model, if that is elsewhere now", "Model", metavar="MODEL")
    skip_original: bool = option(False, "do not attack the model before unlearning as well", "Model")
    attack: Names = option(
        (), "see `unlearn list attacks`; default: those of the suite", "Method", metavar="NAMES", names="attacks"
    )
    suite: Literal["quick", "standard", "full"] | None = option(
        None, "quick: minutes; standard; full: every attack, three rates, three seeds; default: relearning alone", "Method"
    )
    parameters: Pairs = option(
        {},
        "a parameter of the attack, repeatable: -p data=retain-only -p steps=0+15",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="NAME=VALUE",
        consent="files",
    )
    attack_data: str | None = option(
        None, "rows of your own to relearn on, with -p data=given", "Data", metavar="SPEC", path=True
    )
    share: float = option(0.5, "of the forget rows that the attacker has; the others judge", "Data", gt=0, lt=1)
    learning_rates: Rates = option(
        (),
        "each is a curve of its own, and the worst counts; default: by the LoRA scaling rule",
        "Training",
        metavar="NUMBERS",
    )
    seeds: Seeds = option((), "curves are averaged over them; default: 0", "Training", metavar="NUMBERS")
    eval_limit: int = option(100, "judged forget rows, and rows to keep, evenly spread; 0: all", "Measuring", ge=0, le=MANY)
    generate_limit: int = option(
        20, "of those, rows answered by greedy generation; 0: all; -1: none", "Measuring", ge=-1, le=MANY
    )
    max_new_tokens: int = option(64, "longest generated answer", "Measuring", ge=1, le=MANY)
    bootstrap_samples: int = option(1000, "resamples behind the confidence intervals", "Measuring", ge=1, le=MANY)
    fail_if: AttackConditions = option(
        (), "exit 3 if this holds: 'relearn.recovery.max > 0.3'; repeatable", "Output", metavar="EXPR"
    )
    plot: Path | None = option(
        None, "the curves as PNG or SVG (pip install unlearn-cli[plot])", "Output", metavar="FILE", runtime=True
    )

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks that are asked for, by name or by suite."""
        return self.attack or (SUITES[self.suite] if self.suite else ("relearn",))
