"""The number of threads: by a trial, unless the user set it."""

import pytest
import torch

from tests.cli.running import MODEL
from unlearn_cli.config import ForgetConfig
from unlearn_cli.models.load import load_model
from unlearn_cli.models.process import undisturbed
from unlearn_cli.models.threads import Threads, choose_threads, fastest


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        ({1: 1.0, 4: 0.5, 8: 0.3}, 8),
        ({1: 1.0, 4: 0.5, 8: 0.48}, 4),  # twice the threads for nothing
        ({1: 1.0, 4: 0.95, 8: 2.0}, 1),
    ],
)
def test_more_threads_have_to_be_worth_it(seconds, count):
    assert fastest(8, seconds.__getitem__).count == count


def test_one_core_needs_no_trial():
    assert fastest(1, lambda count: pytest.fail("tried")).count == 1


@pytest.fixture(scope="module")
def loaded():
    return load_model(ForgetConfig(model=MODEL))


def test_the_users_number_is_taken(loaded, monkeypatch):
    before = torch.get_num_threads()
    with undisturbed():
        assert choose_threads(loaded, 2) == Threads(2, "--threads") and torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose_threads(loaded).origin == "OMP_NUM_THREADS"


def test_a_trial_on_a_small_model(loaded, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with undisturbed():
        torch.set_num_threads(2)
        chosen = choose_threads(loaded)
        assert chosen.count in (1, 2) and chosen.count == torch.get_num_threads()
    assert chosen.origin.startswith("a trial (1: ")
