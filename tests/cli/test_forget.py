"""`unlearn forget`, from the command line to the files it leaves."""

import json
import traceback
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.cli.fresh import server
from tests.cli.running import DEMO, MODEL, QUICK, data_arguments, losses, read_report, unlearn, write_rows
from unlearn_cli.contract import METHODS, RETAIN_TERMS, ROBUST, Procedure
from unlearn_cli.demo.facts import splits
from unlearn_cli.hashing import file_sha256
from unlearn_cli.report import RunReport


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_arguments(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder and what the command printed; the demo's model, of several layers."""
    folder = tmp_path_factory.mktemp("runs")
    return folder / "npo", unlearn("forget", *data_arguments(folder, DEMO), *QUICK, "-o", folder / "npo")


@pytest.fixture(scope="module")
def small(data, tmp_path_factory):
    """A run folder of the small model, and what the command printed."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return folder, unlearn("forget", *data, *QUICK, "--json", "-o", folder)


def test_stdout_is_the_path_of_the_report(finished):
    folder, result = finished
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{folder}/report.json\n"


def test_it_ends_with_what_became_of_it_and_what_to_do_next(finished):
    folder, result = finished
    text, _, verdict, command = result.stderr.strip().splitlines()[-4:]
    assert text.endswith(f"unlearn clean {folder}")
    assert verdict.startswith("COMPLETED: partly forgotten: probability 0.9") and "; kept: 0.9" in verdict
    assert command == f"next: unlearn forget --config {folder}/report.json --max-steps 8 -o {folder}-2"
    kept = RunReport.model_validate(read_report(folder)).verdict
    assert kept is not None and f"{kept.word}: {kept.why}" == verdict
    assert f"**{kept.word}**: {kept.why}" in (folder / "README.md").read_text()


def test_the_report_holds_the_evidence(finished):
    folder, _ = finished
    report = RunReport.model_validate(read_report(folder))
    for split in ("forget", "retain"):
        for metric in ("probability", "rouge_l", "nll"):
            both = report.scores[split][metric]
            assert both.before.value is not None and both.after.value is not None
            assert both.before.ci[0] <= both.before.value <= both.before.ci[1]
    assert report.artifact.lora_b_nonzero == "28/28"
    assert report.artifact.reload_max_diff < 1e-5
    assert report.artifact.files["adapter_model.safetensors"] == file_sha256(folder / "adapter_model.safetensors")
    assert report.training.real_token_share == 1.0
    assert report.training.forget_loss is not None and report.training.retain_loss is not None
    assert report.config["learning_rate"] == pytest.approx(5e-4 * (2000 / 128) ** 0.781)
    assert "scaling rule" in report.config_sources["learning_rate"]
    assert report.config_sources["retain_weight"] == "method npo"
    assert report.peak_memory["rss"] > 0 and report.seconds["train"] > 0
    assert len(losses(folder)) == 4


def test_no_forgotten_text_in_the_card_or_the_report(finished):
    folder, _ = finished
    for name in ("README.md", "report.json", "adapter_config.json", "unlearn.json"):
        text = (folder / name).read_text()
        assert not any(row["answer"] in text for row in splits()["forget"]), name


PLAIN = """
import sys
for name in [name for name in sys.modules if name.startswith("unlearn_cli")]:
    del sys.modules[name]
sys.modules["unlearn_cli"] = None  # its import fails
from transformers import AttentionInterface
for name in [name for name in AttentionInterface._global_mapping if name.startswith("unlearn")]:
    del AttentionInterface._global_mapping[name]
from peft import AutoPeftModelForCausalLM
import torch
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1]).eval()
ids = torch.tensor([[1, 5, 6, 7, 8]])
on = model(ids).logits
with model.disable_adapter():
    off = model(ids).logits
assert (on - off).abs().max() > 1e-3, "the adapter does nothing"
print("loaded")
"""


def test_the_adapter_loads_with_plain_peft_from_anywhere(finished, tmp_path):
    folder, _ = finished
    done = server().run(folder, code=PLAIN, folder=tmp_path)
    assert done.stdout.strip() == "loaded", done.stderr
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(base).is_absolute()


def test_json_prints_one_object_and_nothing_else(small):
    folder, result = small
    assert json.loads(result.stdout) == read_report(folder)


PROCEDURES = {
    "undo": ["-p", "epochs=0.2"],
    "layered": ["-p", "folds=2"],
    "repselect": ["-p", "rounds=2"],
    "cir": ["-p", "epochs=1"],
    "tar": ["-p", "rounds=1,inner=2"],
    "memit": ["-p", "inner=2"],
    "rehearsal": ["-p", "rounds=2"],
    "mode-connectivity": ["-p", "epochs=0.2"],
    "weight-distance": ["-p", "epochs=0.2"],
    "weight-distortion": ["-p", "epochs=0.2"],
}


# One of each kind of artifact and of step; that every method acts is a law of its own (tests/laws/test_acts.py).
KINDS = {"npo", "altpo", "pdu", "rmu", "task-vector", "uld", "undo", "layered"}


@pytest.mark.parametrize(
    "method", [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in METHODS.names()]
)
def test_every_method_runs(method, data, tmp_path):
    """Whatever a method writes reads back as the model that was measured."""
    steps, others = QUICK[:2], QUICK[2:]
    if isinstance(procedure := METHODS.get(method), Procedure):
        steps = [*(() if procedure.strength else ("--epochs", 0.2)), *PROCEDURES.get(method, ())]
    result = unlearn("forget", *data, *others, *steps, "--method", method, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    report = read_report(tmp_path / "run")
    assert report["config"]["method"] == method
    assert report["training"]["steps"] >= 2
    again = unlearn("evaluate", tmp_path / "run", "--generate-limit", 1, "--json")  # other settings: nothing is cached
    assert again.exit_code == 0, again.stderr
    scores = json.loads(again.stdout)["scores"]["forget"]["probability"]["after"]["value"]
    assert scores == pytest.approx(report["scores"]["forget"]["probability"]["after"]["value"], abs=1e-4)


@pytest.mark.parametrize("term", RETAIN_TERMS.names())
def test_every_retain_term_runs(term, data, tmp_path):
    result = unlearn("forget", *data, *QUICK, "--max-steps", 2, "--retain-term", term, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    report = read_report(tmp_path / "run")
    assert report["training"]["steps"] == 2
    assert (report["training"]["retain_loss"] is None) == (term == "none")


@pytest.mark.parametrize("rule", ROBUST.names())
def test_every_robust_rule_runs(rule, data, tmp_path):
    result = unlearn("forget", *data, *QUICK, "--max-steps", 2, "--robust", rule, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    assert read_report(tmp_path / "run")["config"]["robust"] == rule


@pytest.mark.parametrize("start", ["fila", "pissa"])
def test_an_adapter_that_starts_inside_the_weights_reads_back(start, data, tmp_path):
    """From the untouched base, in a fresh load: nothing doubles, nothing is lost."""
    run = tmp_path / "run"
    flags = ["--method", "ihl", "--lora-init", start, "--max-steps", 4]
    assert unlearn("forget", *data, *QUICK, *flags, "-o", run).exit_code in (0, 4)
    report = read_report(run)
    again = unlearn("evaluate", run, "--generate-limit", 1, "--json")
    value = json.loads(again.stdout)["scores"]["forget"]["probability"]["after"]["value"]
    assert value == pytest.approx(report["scores"]["forget"]["probability"]["after"]["value"], abs=1e-4)
    assert value != pytest.approx(report["scores"]["forget"]["probability"]["before"]["value"], abs=1e-4)
    assert json.loads((run / "adapter_config.json").read_text())["r"] == 2 * report["config"]["lora_r"]


def test_sophia_runs(data, tmp_path):
    result = unlearn("forget", *data, *QUICK, "--max-steps", 2, "--optim", "sophia", "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr


def test_a_method_of_ones_own(data, tmp_path):
    """A file with one decorated function is a method; the report names the file, so that it can be run again."""
    file = tmp_path / "halved.py"
    file.write_text(
        '"""Half an ascent.\n\n    L = M / 2\n"""\n'
        "from unlearn_cli.contract import Defaults, method\n"
        "@method(paper='2401.06121', defaults=Defaults(retain_term='none'))\n"
        "def halved(policy, *, share: float = 0.5):\n"
        "    return share * policy.mean_logps\n"
    )
    flags = ["--method", file, "-p", "share=0.25", "--max-steps", 2]
    result = unlearn("forget", *data, *QUICK, *flags, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    config = read_report(tmp_path / "run")["config"]
    assert (config["method"], config["parameters"]) == (str(file), {"share": 0.25})


@pytest.mark.parametrize(
    ("text", "message"),
    [("x = 1\n", "declares 0 functions"), ("raise RuntimeError('no')\n", "RuntimeError: no"), (None, "not found")],
)
def test_a_file_that_is_no_method(text, message, data, tmp_path):
    file = tmp_path / "mine.py"
    if text:
        file.write_text(text)
    result = unlearn("forget", *data, "--method", file)
    assert result.exit_code == 2
    assert message in result.stderr


def test_calibrate_keeps_its_constraint(data, tmp_path):
    constraint = "retain.probability >= 0.9*before"
    flags = ["--method", "grad-ascent", "--max-steps", 8, "--learning-rate", 0.01, "--calibrate", constraint]
    result = unlearn("forget", *data, *QUICK, *flags, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    report = read_report(tmp_path / "run")
    retain = report["scores"]["retain"]["probability"]
    assert retain["after"]["value"] >= 0.9 * retain["before"]["value"]
    tried = dict(map(tuple, report["calibration"]["tried"]))
    assert tried[1.0] is False
    assert tried[report["calibration"]["scale"]] is True


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method", "undo", "--stop-when", "forget.probability < 0.1"], "has several stages"),
        (["--method", "undo", "--max-steps", 3], "--max-steps"),
        (["--method", "cir", "--dtype", "bfloat16"], "--dtype float32"),
        (["--method", "uld", "--full"], "trains an adapter"),
        (["--method", "undo", "--load-in-4bit"], "whole matrices"),
        (["--full", "--lora-init", "fila"], "--full trains none"),
        (["--full", "--lora-r", 8], "--full trains no adapter, and --lora-r changes nothing"),
        (["--method", "memit", "--forget-weight", 2], "takes steps of its own, and --forget-weight changes nothing"),
        (["--method", "uld", "--lora-target-modules", "q_proj"], "names the modules of its adapter itself"),
        (["--method", "uld", "--lora-init", "pissa"], "whose artifact is an adapter"),
        (["--method", "undo", "--calibrate", "retain.probability > 0.5"], "scales an adapter"),
        (["--method", "undo", "-p", "base=cir"], "cannot be built on"),
        (["--method", "rmu", "-p", "layer=3"], "relative depth"),
        (["--method", "offset", "--retain-term", "hidden-mse"], "three passes"),
        (["--method", "offset", "--robust", "lat"], "three passes"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(flags, message, data, tmp_path):
    result = unlearn("forget", *data, *flags, "-o", tmp_path / "run")
    assert result.exit_code == 2, result.stderr
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("run/measured/*"))


def test_a_procedure_refuses_a_model_with_an_adapter(finished, data, tmp_path):
    """Dropping that adapter would bring back what it had made the model forget."""
    flags = ["--model", finished[0], *data[2:], "--method", "cir"]
    result = unlearn("forget", *flags, "-o", tmp_path / "run")
    assert result.exit_code == 2
    assert "without an adapter" in result.stderr


def test_a_report_is_a_recipe(small, tmp_path):
    folder, _ = small
    result = unlearn("forget", "--config", folder / "report.json", "-o", tmp_path / "again")
    assert result.exit_code == 0, result.stderr
    again = tmp_path / "again" / "adapter_model.safetensors"
    assert again.read_bytes() == (folder / "adapter_model.safetensors").read_bytes()


def test_full_writes_a_model(data, tmp_path):
    result = unlearn("forget", *data, *QUICK, "--full", "-o", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    report = read_report(tmp_path / "run")
    assert report["artifact"]["kind"] == "model" and report["artifact"]["reload_max_diff"] == 0.0
    again = unlearn("evaluate", tmp_path / "run")
    assert "cached" in again.stderr


def test_a_model_that_is_an_adapter_keeps_it_as_reference(small, data, tmp_path):
    folder, _ = small
    arguments = ["--model", folder, *data[2:]]
    result = unlearn("forget", *arguments, *QUICK, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    first, second = read_report(folder), read_report(tmp_path / "run")
    after = first["scores"]["forget"]["nll"]["after"]["value"]
    assert second["scores"]["forget"]["nll"]["before"]["value"] == pytest.approx(after, abs=1e-4)
    kl = unlearn("forget", *arguments, *QUICK, "--retain-term", "kl", "--max-steps", 1, "-o", tmp_path / "kl")
    assert kl.exit_code in (0, 4), kl.stderr
    assert losses(tmp_path / "kl")[0][2] == pytest.approx(0.0, abs=1e-6), "the reference is the adapter it arrived with"


def test_raw_documents(tmp_path):
    text = " ".join(row["answer"] for row in splits()["forget"])
    keep = " ".join(row["answer"] for row in splits()["retain"][:16])
    (tmp_path / "f.txt").write_text(text)
    (tmp_path / "r.txt").write_text(keep)
    arguments = ("-m", MODEL, "-f", tmp_path / "f.txt", "-r", tmp_path / "r.txt", "--max-length", 64, "--stride", 8)
    result = unlearn("forget", *arguments, *QUICK, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    report = read_report(tmp_path / "run")
    described = report["data"]["forget"]
    assert described["rows"] == 1 and described["sequences"] > 2 and described["truncated_tokens"] == 0


def test_stop_when(data, tmp_path):
    stop = ("--stop-when", "forget.probability < 0.9 * forget.probability.before", "--eval-every", 1)
    result = unlearn("forget", *data, *QUICK, "--max-steps", 30, *stop, "-o", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "stopped: --stop-when" in result.stderr
    report = read_report(tmp_path / "run")
    assert report["status"] == "stopped" and "--stop-when" in report["training"]["stopped_by"]
    assert report["training"]["steps"] == report["training"]["trajectory"][-1]["step"] < 30


def test_forget_loss_floor(data, tmp_path):
    arguments = ("--method", "grad-diff", "--forget-loss-floor", "-0.5", "--max-steps", 40)
    result = unlearn("forget", *data, *QUICK, *arguments, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4)
    assert "--forget-loss-floor" in read_report(tmp_path / "run")["training"]["stopped_by"]


def test_a_run_without_effect_exits_4(data, tmp_path):
    result = unlearn("forget", *data, *QUICK, "--learning-rate", "1e-12", "-o", tmp_path / "run")
    assert result.exit_code == 4
    assert "changed nothing" in result.stderr
    assert read_report(tmp_path / "run")["status"] == "no_effect"


def test_collapse_is_seen_named_and_exits_4(data, tmp_path):
    arguments = ("--method", "grad-ascent", "--max-steps", 30)
    result = unlearn("forget", *data, *QUICK, *arguments, "-o", tmp_path / "run")
    assert result.exit_code == 4
    assert "retain collapsed" in result.stderr
    assert read_report(tmp_path / "run")["status"] == "collapsed"


def test_divergence_stops_at_once_and_keeps_the_last_good_weights(data, tmp_path, monkeypatch):
    from unlearn_cli.training.objective import Objective

    healthy = Objective.forget_losses

    def third_is_nan(self, policy, reference, progress):
        return healthy(self, policy, reference, progress) * (float("nan") if progress == 0.5 else 1.0)

    monkeypatch.setattr(Objective, "forget_losses", third_is_nan)
    result = unlearn("forget", *data, *QUICK, "-o", tmp_path / "run")
    assert result.exit_code == 4
    assert "diverged at step 3" in result.stderr
    report = read_report(tmp_path / "run")
    assert report["status"] == "diverged" and report["training"]["steps"] == 2
    weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert weights and all(tensor.isfinite().all() for tensor in weights.values())
    assert any(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_B" in name)  # the two good steps
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_traceback_from_the_command_to_the_loss_is_short(data, tmp_path):
    """Nine functions of ours: `main`, which a test does not pass, and these eight."""
    own = tmp_path / "own.py"
    own.write_text("from unlearn_cli.contract import method\n\n@method()\ndef own(policy):\n    raise LookupError\n")
    with pytest.raises(LookupError) as raised:
        unlearn("forget", *data, *QUICK, "--method", own, "--debug", "-o", tmp_path / "run")
    ours = [frame for frame in traceback.extract_tb(raised.tb) if "/unlearn_cli/" in frame.filename]
    assert [f"{Path(frame.filename).stem}.{frame.name}" for frame in ours] == [
        "options.body", "forget.run", "forget.run", "forget.write_run", "train.train", "loop.train", "gradients.backward",
        "objective.forget_losses",
    ]  # fmt: skip


def test_dry_run_prints_the_plan_and_writes_nothing(data, tmp_path):
    result = unlearn("forget", *data, "--dry-run", "-o", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "fits" in result.stderr and "memory, estimated" in result.stderr and "<|assistant|>" in result.stderr
    assert result.stdout == "" and not (tmp_path / "run").exists()


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_dry_run_on_a_narrow_terminal_cuts_no_word(data, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    holdout = write_rows(tmp_path / "holdout.jsonl", splits()["holdout"])
    result = unlearn("forget", *data, "--holdout", holdout, "--eval-limit", 4, "--dry-run", "-o", tmp_path / "run")
    table = result.stderr.partition("\ndata")[2].partition("\nfirst forget row")[0]
    assert "…" not in result.stderr
    whole = {word.strip(",") for word in table.split()}
    assert {"question-answer", "answer", "tokens", "measured"} <= whole
    assert not {"sequences", "cut"} & whole, "each row is a sequence, and none is cut"
    lines = {line.split()[0]: line.split()[1] for line in table.splitlines() if line and not line.startswith(" ")}
    rows = {name: str(len(Path(data[at]).read_text().splitlines())) for name, at in (("forget", 3), ("retain", 5))}
    assert rows.items() <= lines.items() and lines["holdout"] == "16"


def test_dry_run_says_when_it_does_not_fit(data, tmp_path, monkeypatch):
    monkeypatch.setattr("unlearn_cli.models.memory.available", lambda device, **_: 10**6)
    result = unlearn("forget", *data, "--dry-run", "-o", tmp_path / "run")
    assert result.exit_code == 2 and "does not fit" in result.stderr and "--load-in-4bit" in result.stderr


def test_a_dry_run_as_json(data, tmp_path):
    result = unlearn("forget", *data, *QUICK, "--dry-run", "--json", "-o", tmp_path / "run")
    summary = json.loads(result.stdout)
    assert result.exit_code == 0 and summary["fits"] and summary["steps"] == 4 and summary["memory"]["total"] > 0
    assert summary["config"]["method"] == "npo" and summary["config_sources"]["max_steps"] == "flag"
    assert summary["data"]["forget"]["rows"] == 8 and isinstance(summary["config"]["learning_rate"], float)


def test_a_dry_run_lists_what_is_no_default(data, tmp_path):
    """A method's word for doing nothing special is none, nor is a flag that repeats the default, nor --json."""
    flags = ["--dry-run", "-o", tmp_path / "run"]

    def listed(*more: object) -> set[str]:
        table = unlearn("forget", *data, *flags, *more).stderr.partition("\ndata")[0]
        return {line.split()[0] for line in table.splitlines() if line.strip()}

    names = listed("--json", "--seed", 42, "--lora-r", 4)
    assert {"lora_r", "retain_term", "output_dir"} <= names
    assert not names & {"robust", "optim", "lora_init", "json_output", "dry_run", "seed"}
    assert "robust" in listed("--robust", "sam")


def test_a_dry_run_marks_what_is_scored_without_color(data, tmp_path, monkeypatch):
    answer = splits()["forget"][0]["answer"]
    plain = unlearn("forget", *data, "--dry-run", "-o", tmp_path / "run").stderr
    shown = " ".join(plain.split())
    assert "(>>> <<<: scored)" in shown and f">>>{answer}" in shown.replace(">>> ", ">>>"), plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    colored = unlearn("forget", *data, "--dry-run", "-o", tmp_path / "run").stderr
    assert ">>>" not in colored and "dim: seen but not scored" in colored


def test_a_dry_run_refuses_the_folders_that_a_run_would(data, tmp_path):
    run, foreign = tmp_path / "run", tmp_path / "foreign"
    assert unlearn("forget", *data, *QUICK, "-o", run).exit_code in (0, 4)
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    for flags in (["-o", run], ["-o", run, "--resume", "--seed", 7], ["-o", foreign], ["-o", foreign, "--overwrite"]):
        real, dry = (unlearn("forget", *data, *QUICK, *flags, *more) for more in ((), ("--dry-run",)))
        assert real.exit_code == dry.exit_code == 2 and real.stderr == dry.stderr, flags
    for flags in (["--overwrite"], ["--resume"]):
        dry = unlearn("forget", *data, *QUICK, *flags, "-o", run, "--dry-run")
        assert dry.exit_code == 0 and (run / "report.json").is_file() and "fits" in dry.stderr


def test_columns_and_flags_over_environment_over_file(tmp_path, monkeypatch):
    rows = [{"q": row["question"], "a": row["answer"]} for row in splits()["forget"][:8]]
    forget = write_rows(tmp_path / "f.jsonl", rows)
    retain = write_rows(tmp_path / "r.jsonl", [{"q": r["question"], "a": r["answer"]} for r in splits()["retain"][:8]])
    config = tmp_path / "run.yaml"
    config.write_text(f"model: {MODEL}\nlearning-rate: 5e-3\nseed: 1\nlora_r: 4\n")
    monkeypatch.setenv("UNLEARN_SEED", "2")
    monkeypatch.setenv("UNLEARN_LORA_R", "6")
    arguments = ("-c", config, "-f", forget, "-r", retain, "--columns", "question=q,answer=a", "--lora-r", 8)
    result = unlearn("forget", *arguments, *QUICK, "-o", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    report = read_report(tmp_path / "run")
    assert (report["config"]["learning_rate"], report["config"]["seed"], report["config"]["lora_r"]) == (5e-3, 2, 8)
    assert report["config_sources"]["seed"] == "environment" and report["config_sources"]["lora_r"] == "flag"
