"""Gates over several runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.comparing import attack_report
from tests.recipes.comparison.test_comparability import attacked
from unlearn_cli.config import CompareConfig
from unlearn_cli.recipes.comparison.fail_if import judge_gates


@pytest.mark.parametrize(
    ("gate", "failed"),
    [("relearn.recovery > 0.2", ["a", "b"]), ("relearn.recovery.max > 0.2", ["a", "b"]), ("relearn.recovery > 0.4", []),
     ("relearn.recovery.max > 0.4", []), ("relearn.recovery.start > 0.2", ["b"])],
)  # fmt: skip
def test_without_its_report_an_attack_has_its_largest_recovery(tmp_path: Path, gate: str, failed: list[str]) -> None:
    """The report of b's attack was deleted: where the recovery began is not known any more, and such a gate fails."""
    entries = [attacked(tmp_path / "a", attack_report()), attacked(tmp_path / "b", None)]
    (verdict,) = judge_gates(CompareConfig(fail_if=[gate]).fail_if, entries)
    assert (verdict.failed, verdict.reason or "") == (bool(failed), ", ".join(failed))
