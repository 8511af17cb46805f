"""`--device-map auto` on the CPU: half of the base waits on the disk, and nothing comes out otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.running import QUICK, data_arguments, losses, read_report, unlearn
from unlearn_cli.config import LoraOptions, ModelOptions
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import placement
from unlearn_cli.models.adapter import attach, enable_checkpointing, set_training
from unlearn_cli.models.forward import forward
from unlearn_cli.models.layout import probe_batch
from unlearn_cli.models.load import load_model
from unlearn_cli.models.score import gradient_norms
from unlearn_cli.recipes.demo import ASSETS

MODEL = str(ASSETS / "model")
SPREAD = ("--device-map", "auto", "--max-memory", "cpu=2200KB")  # the model has 3.6 MB in float32
METHODS = {"npo": ("--retain-term", "kl"), "rmu": ()}


def run(folder: Path, name: str, *arguments: object) -> Path:
    """The run folder of two steps with these arguments."""
    data = [*data_arguments(folder), "--model", MODEL, "--dtype", "float32", *QUICK[2:]]
    result = unlearn("forget", *data, "--max-steps", "2", *arguments, "-o", folder / name)
    assert result.exit_code in (0, 4), result.stderr
    return folder / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Each method's run with the whole base in memory, and with a part of it on the disk."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        f"{method}{end}": run(folder, f"{method}{end}", "--method", method, *options, *more)
        for method, options in METHODS.items()
        for end, more in (("", ()), (" spread", SPREAD))
    }


def scores(folder: Path) -> dict[tuple[str, ...], float]:
    """All values of a report, by split, metric and moment."""
    return {
        (split, metric, moment): value["value"]
        for split, metrics in read_report(folder)["scores"].items()
        for metric, moments in metrics.items()
        for moment in ("before", "after")
        if (value := moments.get(moment)) and isinstance(value["value"], float)
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_run_on_a_spread_base_is_that_on_a_whole_one(runs, method):
    whole, spread = runs[method], runs[f"{method} spread"]
    assert losses(spread) == [pytest.approx(line, rel=1e-5) for line in losses(whole)]
    assert scores(spread) == {key: pytest.approx(value, rel=1e-4, abs=1e-6) for key, value in scores(whole).items()}
    placement = read_report(spread)["environment"]["placement"]
    assert placement["disk"] > placement["cpu"] > 0
    assert sum(placement.values()) == 902272
    assert "placement" not in read_report(whole)["environment"]
    assert read_report(spread)["training"]["activation_checkpointing"], "else weights stay in memory for the backward pass"


@pytest.mark.parametrize("arguments", [SPREAD, ()], ids=["spread", "whole"])
def test_a_spread_run_is_read_back(runs, tmp_path, arguments):
    spread = runs["npo spread"]
    result = unlearn("evaluate", spread, "-o", tmp_path / "evaluated", *arguments)
    assert result.exit_code == 0, result.stderr
    again = {key: value for key, value in scores(tmp_path / "evaluated").items() if key[2] == "after"}
    assert again == {key: pytest.approx(value, rel=1e-4, abs=1e-6) for key, value in scores(spread).items() if key in again}
    assert ("placement" in read_report(tmp_path / "evaluated")["environment"]) == bool(arguments)


def test_an_attack_on_a_spread_run_is_that_on_a_whole_one(runs):
    few = ("-p", "steps=0+2", "-p", "batch_size=2", "--eval-limit", "3", "--generate-limit", "-1")
    curves = []
    for arguments in ((), SPREAD):
        folder = runs["npo spread" if arguments else "npo"]
        result = unlearn("relearn-attack", folder, *few, *arguments)
        assert result.exit_code == 0, result.stderr
        report = read_report(folder / "attacks" / "relearn")
        curves.append([point["forget"]["probability"] for curve in report["curves"] for point in curve["points"]])
        assert ("placement" in report["environment"]) == bool(arguments)
    assert len(curves[0]) >= 4
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    result = unlearn("relearn-attack", runs["npo spread"], "--attack", "quantize", "--eval-limit", "3", *SPREAD)
    assert result.exit_code == 2
    assert "some of them wait on the CPU or the disk" in result.stderr


def test_weights_that_wait_do_not_stay_after_a_pass():
    """With activations recomputed: also the backward pass, which reads each weight again, leaves none behind."""
    options = ModelOptions(model=MODEL, dtype="float32", device_map="auto", max_memory={"cpu": "2200KB"})
    loaded = load_model(options, trainable=True)
    assert loaded.offloaded
    with pytest.raises(UnlearnError, match="--grad-norms needs all weights on the devices that compute"):
        gradient_norms(loaded, [])
    waiting = {name for name, weight in loaded.model.named_parameters() if weight.is_meta}
    assert len(waiting) > 20
    attach(loaded, LoraOptions(), seed=0)
    enable_checkpointing(loaded)
    set_training(loaded.model)
    forward(loaded.model, probe_batch(100, loaded.device), loaded.layout)["probe"].mean_logps.sum().backward()
    trained = dict(loaded.model.named_parameters())
    assert all(weight.grad is not None and not weight.is_meta for name, weight in trained.items() if ".lora_" in name)
    assert sum(weight.is_meta for weight in trained.values()) == len(waiting)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--max-memory", "cpu=1GB"), "--max-memory is for a base on several devices"),
        (("--device-map", "auto", "--max-memory", "7=1GB"), "--max-memory 7=1GB: no such device"),
        (("--device-map", "auto", "--max-memory", "cpu=lots"), "--max-memory cpu=lots: expected DEVICE=SIZE"),
        (("--device-map", "auto", "--device", "cpu:0"), "--device cpu:0 is one device"),
        (("--device-map", "auto", "--full"), "--full changes or copies weights of the base"),
        (("--device-map", "auto", "--lora-init", "pissa"), "--lora-init pissa changes or copies"),
        (("--device-map", "auto", "--method", "undo"), "undo changes or copies weights"),
        (("--device-map", "auto", "--robust", "sam"), "--robust sam needs all gradients on one device"),
    ],
)
def test_what_a_spread_base_cannot_do_is_refused(tmp_path, arguments, words):
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, *arguments, "-o", tmp_path / "run")
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_several_processes_do_not_spread_a_base(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnlearnError, match="a launcher started several processes"):
        placement.check(ModelOptions(model=MODEL, device_map="auto"), torch.device("cpu"))
