"""Which attacks are alike, and which splits may be ranked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.comparing import attack_report, write_run
from unlearn_cli.attack_report import AttackReport, write_attack
from unlearn_cli.recipes.comparison.comparability import Comparability, _attack_protocol, check_comparability
from unlearn_cli.recipes.comparison.runs import Entry, read_entries


def attacked(folder: Path, attack: AttackReport | None) -> Entry:
    """A run whose report says that it was attacked, with the report of the attack unless it is None."""
    write_run(folder, {"forget.probability": [0.1, 0.2]})
    report = json.loads((folder / "report.json").read_text())
    report["attacks"] = {"relearn": {"verdict": "", "recovery": 0.3, "upper_bound": False}}
    (folder / "report.json").write_text(json.dumps(report))
    if attack:
        write_attack(attack, folder / "attacks" / "relearn")
    return read_entries([folder])[0]


@pytest.mark.parametrize(
    ("given", "upper_bound", "expected"),
    [(["x/never/"], False, "never"), ("y/never", False, "never"), (["a", "x/b"], False, "a + b"), ([], False, None),
     (["never"], True, None)],
)  # fmt: skip
def test_the_baseline_of_an_attack(given: object, upper_bound: bool, expected: str | None) -> None:
    """Its last name, whatever folder it lies in; a bound counts from no baseline."""
    assert _attack_protocol(attack_report(config={"baseline": given}, upper_bound=upper_bound))["baseline"] == expected


def test_settings_of_an_attack_are_those_on_the_unlearned_model() -> None:
    curves = [{"role": role, "parameters": {"steps": [0, steps]}, "points": []}
              for role, steps in (("unlearned", 5), ("unlearned", 2), ("baseline", 9))]  # fmt: skip
    protocol = _attack_protocol(attack_report(curves=curves, judged_rows=3))
    assert protocol["steps"] == ["[0, 2]", "[0, 5]"] and protocol["forget rows"] == ("f", 3, 2)


def test_attacks_that_differ_are_named(tmp_path: Path) -> None:
    one, same, other, more, lost = (
        attacked(tmp_path / name, attack)
        for name, attack in (
            ("a", attack_report()),
            ("b", attack_report()),
            ("c", attack_report(judged_rows=9)),
            ("f", attack_report(config={"baseline": ["b"], "share": 0.5})),
            ("d", None),
        )
    )
    (plain,) = read_entries([write_run(tmp_path / "e", {"forget.probability": [0.1, 0.2]})])

    def difference(*entries: Entry) -> str | None:
        return check_comparability(entries, None, allow=False).attack_difference

    assert difference(one, same, plain) is None and difference(lost, plain) is None
    assert difference(one, same, other) == "a and c were attacked differently: forget rows differ"
    assert difference(one, more) == "a and f were attacked differently: share differ"
    assert difference(one, lost) == "how d was attacked is not known (attacks/relearn/report.json is missing)"


def test_a_group_of_splits_may_be_ranked_if_all_of_them_may() -> None:
    some = Comparability(differing=frozenset({"holdout"}))
    splits = {"forget", "holdout"}
    assert [some.comparable(split, splits) for split in ("forget", "holdout", "privacy")] == [True, False, False]
    assert Comparability().comparable("privacy", splits)
