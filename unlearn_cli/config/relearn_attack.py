"""Settings of `unlearn relearn-attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.expressions import AttackConditions
from unlearn_cli.config.groups import BenchmarkOptions, OfflineOptions, PlacementOptions, RunOptions, TrustOptions
from unlearn_cli.config.option import Names, Pairs, Rates, Seeds, Texts, option
from unlearn_cli.values import MANY

SUITES: dict[str, tuple[str, ...]] = {
    "quick": ("relearn", "quantize", "prompts"),
    "standard": ("relearn", "quantize", "prompts", "paraphrase", "few-shot", "scale"),
    "full": (
        "relearn", "rtt", "quantize", "prune", "scale", "prompts", "paraphrase", "few-shot", "multiple-choice", "reverse",
        "sample", "logit-lens", "probe", "ablate",
    ),
}  # fmt: skip
BY_NAME = ("path", "patch", "ask")  # in no suite: two need the original, so they are no threats; one needs the user's rows


class AttackConfig(OfflineOptions, BenchmarkOptions, TrustOptions, PlacementOptions, RunOptions):
    """Settings of `unlearn relearn-attack`."""

    baseline: Texts = option(
        (), "a model trained without the forget rows, under the same attack; its gain is teaching, not recovery; "
        "repeatable, for recovery from their mean and from each", "Model", metavar="MODEL", path=True,
    )  # fmt: skip
    control: str | None = option(
        None, "a run by a weak method on the same rows, under the same attack: shows that the attack can succeed", "Model",
        metavar="RUN", path=True,
    )  # fmt: skip
    base: str | None = option(None, "the run's base model, if it has moved", "Model", metavar="MODEL")
    skip_original: bool = option(False, "leave out the attack on the model before unlearning", "Model")
    attack: Names = option(
        (), "see `unlearn list attacks`; default: those of the suite", "Method", metavar="NAMES", names="attacks"
    )
    suite: Literal["quick", "standard", "full"] | None = option(
        None,
        "quick: minutes; standard; full: all but path, patch and ask, with three rates and three seeds; default: only "
        "relearning",
        "Method",
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
        None, "your own rows to relearn on, with -p data=given", "Data", metavar="SPEC", path=True
    )
    share: float = option(0.5, "share of the forget rows that the attacker gets; the rest judges", "Data", gt=0, lt=1)
    learning_rates: Rates = option(
        (),
        "each makes its own curve, and the worst counts; default: by the scaling rule, with -p full=true a tenth",
        "Training",
        metavar="NUMBERS",
    )
    seeds: Seeds = option((), "curves are averaged over these seeds; default: 0", "Training", metavar="NUMBERS")
    eval_limit: int = option(
        100, "forget rows that judge, and retain rows, evenly spread; 0: all", "Measuring", ge=0, le=MANY
    )
    generate_limit: int = option(
        20, "rows among them that the model answers by greedy generation; 0: all; -1: none", "Measuring", ge=-1, le=MANY
    )
    max_new_tokens: int = option(64, "longest generated answer in tokens", "Measuring", ge=1, le=MANY)
    bootstrap_samples: int = option(1000, "resamples behind the confidence intervals", "Measuring", ge=1, le=MANY)
    fail_if: AttackConditions = option(
        (), "exit code 3 if this holds: 'relearn.recovery.max > 0.3'; repeatable", "Output", metavar="EXPR"
    )
    plot: Path | None = option(
        None, "the curves as PNG or SVG (pip install unlearn-cli[plot])", "Output", metavar="FILE", runtime=True
    )

    @property
    def attacks(self) -> tuple[str, ...]:
        """The names of the attacks, given by name or by suite."""
        return self.attack or (SUITES[self.suite] if self.suite else ("relearn",))
