"""All that is known of a run: its report, a later evaluation, its attacks, its measurements, and the state of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.config import DERIVED, RecordConfig
from unlearn_cli.contract import ATTACKS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.extraction import leaks_of
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.lineage import RUN, statements
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.auditing.chain import is_weights
from unlearn_cli.recipes.auditing.signing import Signature, check
from unlearn_cli.recipes.auditing.verification import Verification, verification
from unlearn_cli.report import EVALUATION, FILE, Compared, RunReport, Score, Scores, read_report

TRAINING = ("relearn", "rtt")  # attacks that train the model on rows


@dataclass(frozen=True)
class Evidence:
    """The sources of a record."""

    folder: Path
    run: RunReport
    evaluation: RunReport | None  # the newest `unlearn evaluate RUN`
    attacks: dict[str, AttackReport]
    derived: dict[str, RunReport]  # place -> test of a model that was made from the run
    leak_at: float  # overlap from which on a sampled answer counts as revealing
    measured: Mapping[str, Measured]  # before, after, baseline: the forget rows
    files: Verification | None
    signature: Signature | None

    @property
    def scores(self) -> Scores:
        """Those of the later evaluation where there is one; it may have a baseline and sampled answers."""
        later = self.evaluation.scores if self.evaluation else {}
        return {split: {**self.run.scores.get(split, {}), **later.get(split, {})} for split in {**self.run.scores, **later}}

    def score(self, name: str, moment: str = "after") -> Score | None:
        """The score SPLIT.METRIC at a moment, if it has a value."""
        split, _, metric = name.partition(".")
        both = self.scores.get(split, {}).get(metric, Compared())
        score: Score | None = getattr(both, moment)
        return score if score is not None and score.value is not None else None

    def attacks_with(self, access: str) -> list[str]:
        """Names of the attacks that need this access: queries, weights, activations."""
        return [name for name in self.attacks if ATTACKS.has(name) and ATTACKS.get(name).access == access]

    def leaked(self, row: int, leaks: int) -> bool:
        """Whether more sampled answers reveal a row than those of a model that never had it, whose answers have its form."""
        return leaks > self._baseline_leaks.get(self.measured["after"].ids[row], 0)

    @cached_property
    def _baseline_leaks(self) -> dict[str, int]:
        baseline = self.measured.get("baseline")
        if baseline is None:
            return {}
        return {baseline.ids[row]: leaks for row, (leaks, _) in leaks_of(baseline, self.leak_at).items()}

    @property
    def models_of_it(self) -> list[str]:
        """Places of models that were made from the run."""
        links = self.files.links if self.files else []
        return sorted({name.split("/")[0] for link in links for name in link.written if is_weights(name)} - {RUN})


def gather(config: RecordConfig, advance: Callable[[int, str], None]) -> Evidence:
    """Read a run folder; every file of its lineage is read and compared.

    Raises:
        UnlearnError: the folder holds no finished run of `unlearn forget`, or what it holds is broken.
    """
    folder = config.run
    run = read_report(folder)
    if run.command != "forget":
        raise UnlearnError(f"{folder} is not a run of `unlearn forget`", "give the folder that `unlearn forget` wrote")
    later = folder / EVALUATION
    evaluation = read_report(later) if (later / FILE).is_file() else None
    if evaluation and "forget" in evaluation.data and evaluation.data["forget"].sha256 != run.data["forget"].sha256:
        raise UnlearnError(
            f"the newest evaluation of {folder} is about other rows than the run",
            f"`unlearn evaluate {folder}` measures its own",
        )
    files = verification(folder, config.place, advance) if statements(folder) else None
    moments = {moment: load_measured(folder / "measured", f"{moment}-forget") for moment in ("before", "after", "baseline")}
    return Evidence(
        folder=folder,
        run=run,
        evaluation=evaluation,
        attacks={path.parent.name: read_attack(path) for path in sorted((folder / "attacks").glob(f"*/{FILE}"))},
        derived={path.parent.name: read_report(path) for path in sorted((folder / DERIVED).glob(f"*/{FILE}"))},
        leak_at=config.leak_at,
        measured={moment: measured for moment, measured in moments.items() if measured is not None},
        files=files,
        signature=check(files.links, config.key) if files else None,
    )
