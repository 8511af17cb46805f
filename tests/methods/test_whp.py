"""Who's Harry Potter reinforces; the composition is tested in tests/models/test_compose.py."""

from __future__ import annotations

from tests.fixture_f import fixture
from unlearn_cli.contract import METHODS

whp = METHODS.get("whp")


def test_it_trains_towards_the_forget_answers() -> None:
    policy = fixture("forget")
    assert whp(policy).tolist() == (-policy.mean_logps).tolist()


def test_what_it_declares() -> None:
    assert (whp.trains, whp.applied, whp.defaults.retain_term) == ("all", "reinforced_difference", "none")
