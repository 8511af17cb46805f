"""R2MU: RMU on answers and on the model's own reasoning."""

from __future__ import annotations

import json

import pytest
import torch

from tests.cli.running import DEMO, QUICK, data_arguments, unlearn
from tests.fixture_f import states
from unlearn_cli.contract import METHODS

r2mu, rmu = METHODS.get("r2mu"), METHODS.get("rmu")


def test_worked_example() -> None:
    """Two losses of rmu, the second one half: on sin and cos states, at c = 6.5, each with u of seed 0."""
    answer, trace = states()
    expected = rmu(answer) + 0.5 * rmu(trace)
    torch.testing.assert_close(r2mu(answer, trace, traces=0.5), expected)
    assert not torch.allclose(rmu(answer), rmu(trace))


def test_states_at_the_target_cost_nothing() -> None:
    """h = c u in both; the trace one unit off in one of 4 directions adds 1/4."""
    target = 3.0 * torch.nn.functional.normalize(torch.rand(4, generator=torch.Generator().manual_seed(7)), dim=0).double()
    answer, trace = states()
    for outputs, place in ((answer, target), (trace, target + torch.tensor([0.0, 1.0, 0.0, 0.0]))):
        object.__setattr__(outputs, "hidden", (place.expand(2, 5, 4),))
    assert r2mu(answer, trace, coefficient=3.0, seed=7).tolist() == pytest.approx([0.25, 0.25])


def test_without_traces_it_is_rmu() -> None:
    answer, trace = states()
    torch.testing.assert_close(r2mu(answer, trace, traces=0.0), rmu(answer))


@pytest.mark.parametrize(("opening", "silent"), [("Kesta Umberley", 0), ("Let us think.", 8)])
def test_the_model_writes_the_traces(tmp_path, opening: str, silent: int) -> None:
    """The demo's model goes on with a name that its answers begin with, and says nothing behind words it never learned."""
    ran = unlearn(
        "forget", *data_arguments(tmp_path, DEMO), *QUICK, "--method", "r2mu", "-p", f"opening={opening}",
        "--eval-limit", "2", "-o", tmp_path / "run",
    )  # fmt: skip
    assert ran.exit_code in (0, 4), ran.stderr
    answers = json.loads((tmp_path / "run" / "alternatives.json").read_text(encoding="utf-8"))["answers"]
    assert len(answers) == 8 and sum(not texts for texts in answers.values()) == silent
    assert (f"after '{opening}' the model writes nothing for {silent} of 8 rows" in " ".join(ran.stderr.split())) == bool(
        silent
    )
