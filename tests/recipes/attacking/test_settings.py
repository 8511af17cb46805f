"""The rates and seeds of attacks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.running import MODEL
from unlearn_cli import attacks
from unlearn_cli.config import AttackConfig
from unlearn_cli.config.relearn_attack import BY_NAME, SUITES
from unlearn_cli.contract import ATTACKS
from unlearn_cli.recipes.attacking.claims import ALL_ATTACKS
from unlearn_cli.recipes.attacking.settings import configured
from unlearn_cli.training.optimizer import scaling_rule


@pytest.mark.parametrize("suite", [None, "full"])
def test_every_weight_is_relearned_at_a_tenth_of_the_rates_of_an_adapter(suite: str | None) -> None:
    def rates(full: str) -> list[float]:
        config = AttackConfig(run="r", base=str(MODEL), suite=suite, parameters={"full": full})
        run = SimpleNamespace(config={})
        return [one["learning_rate"] for one in configured(ATTACKS.get("relearn"), config, run).settings][
            :: 3 if suite else 1
        ]

    shares = [0.1, 0.4, 1.0] if suite else [0.4]
    adapter, whole = scaling_rule("llama", 64), scaling_rule("llama", 64, full=True)
    assert rates("false") == pytest.approx([share * adapter for share in shares], rel=0.05)
    assert rates("true") == pytest.approx([share * whole for share in shares], rel=0.05)


def test_every_attack_is_in_the_full_suite_or_only_by_name() -> None:
    """An attack in neither would be missing from `not_tried` as well. Those by name are the ones that the help excepts."""
    shipped = {path.stem.replace("_", "-") for path in Path(attacks.__file__).parent.glob("[!_]*.py")}
    assert sorted(ALL_ATTACKS) == sorted(shipped)
    assert {*SUITES["quick"], *SUITES["standard"]} <= set(SUITES["full"])
    description = str(AttackConfig.model_fields["suite"].description)
    assert all(name in description for name in BY_NAME)
