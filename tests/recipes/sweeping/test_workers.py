"""Which devices the jobs of a sweep get."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.sweeping import workers


def test_each_job_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with two: 0 takes both; one job takes what was chosen; three are refused, and several on a named one."""
    assert (workers.devices("cpu", 0), workers.devices("cpu", 1)) == (["cpu"], ["cpu"])
    with pytest.raises(UnlearnError, match=r"--jobs 2, and there is 1 device \(cpu\)"):
        workers.devices("cpu", 2)
    monkeypatch.setattr(workers, "resolve_device", lambda choice: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [workers.devices("auto", jobs) for jobs in (0, 1, 2)] == [["cuda:0", "cuda:1"], ["auto"], ["cuda:0", "cuda:1"]]
    with pytest.raises(UnlearnError, match=r"--jobs 3, and there are 2 devices \(cuda\)"):
        workers.devices("auto", 3)
    with pytest.raises(UnlearnError, match="--device cuda:1 is one device"):
        workers.devices("cuda:1", 2)
