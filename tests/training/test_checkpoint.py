"""Checkpoints: the same state again, and nothing of another run or of a damaged file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unlearn_cli.errors import UnlearnError
from unlearn_cli.training.checkpoint import Checkpoints


def checkpoints(folder: Path, value: float, key: str = "key", name: str = "weight") -> Checkpoints:
    """Of a run that trains one weight, after one step of its optimizer."""
    weight = torch.nn.Parameter(torch.full((2,), value))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    weight.grad = torch.ones(2)
    optimizer.step()
    return Checkpoints(folder, key, [(name, weight)], optimizer, {})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    """Weights, moments, the next random number, and values of a method, nested; of two checkpoints the newer is left."""
    one = checkpoints(tmp_path, 1.0)
    one.state.update(best=torch.tensor([3.0]), seen=[{"mean": torch.tensor(0.5)}], rounds=2)
    one.save(3)
    newest = one.save(4, ended=("target_reached", "step 4"))
    expected = torch.rand(3)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000004.pt"] and one.newest() == newest
    two = checkpoints(tmp_path, 5.0)
    two.state["of_before"] = 1
    assert two.load(newest) == (4, ("target_reached", "step 4"))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(two.parameters[0][1], one.parameters[0][1])
    assert torch.equal(*(c.optimizer.state_dict()["state"][0]["exp_avg"] for c in (one, two)))
    assert two.state == {"best": torch.tensor([3.0]), "seen": [{"mean": torch.tensor(0.5)}], "rounds": 2}


@pytest.mark.parametrize("other", [{"key": "of another config"}, {"name": "another weight"}])
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path: Path, other: dict[str, str]) -> None:
    path = checkpoints(tmp_path, 1.0).save(1)
    ours = checkpoints(tmp_path, 5.0, **other)
    before = ours.parameters[0][1].detach().clone()
    with pytest.raises(UnlearnError, match="belongs to another run"):
        ours.load(path)
    assert torch.equal(ours.parameters[0][1], before)


@pytest.mark.parametrize("contents", [[1, 2], {"step": 1, "weights": {}}])
def test_a_file_of_torch_that_is_no_checkpoint_is_refused(tmp_path: Path, contents: object) -> None:
    torch.save(contents, tmp_path / "step-0000001.pt")
    with pytest.raises(UnlearnError, match="is no checkpoint of a run"):
        checkpoints(tmp_path, 1.0).load(tmp_path / "step-0000001.pt")


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = checkpoints(tmp_path, 1.0).save(1)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnlearnError, match="cannot be read") as raised:
        checkpoints(tmp_path, 1.0).load(path)
    assert raised.value.hint == "start anew with --overwrite"
