"""Every error a user can mend: its message, its hint, its exit code, and nothing written."""

import json

import pytest

from tests.cli.comparing import both, write_run
from tests.cli.fresh import COMMAND_LINE, MAIN, server
from tests.cli.running import MODEL, data_arguments, unlearn, write_rows
from unlearn_cli.cli import app
from unlearn_cli.demo.facts import splits


@pytest.fixture
def data(tmp_path):
    return data_arguments(tmp_path)


def refused(tmp_path, *arguments, message, hint="", code=2):
    """The run is refused in words, on stderr, and leaves nothing behind."""
    run = tmp_path / "run"
    result = unlearn("forget", *arguments, "-o", run)
    text = " ".join(result.stderr.split())
    assert result.exit_code == code, result.stderr
    assert message in text and "error:" in text
    assert hint in text and (not hint or "hint:" in text)
    assert "Traceback" not in text and result.stdout == "" and not run.exists()


def test_data_file_missing(tmp_path, data):
    refused(
        tmp_path,
        "-m",
        MODEL,
        "-f",
        tmp_path / "forgett.jsonl",
        *data[4:],
        message="forget data not found",
        hint="forget.jsonl",
    )


def test_empty_file(tmp_path, data):
    (tmp_path / "a.jsonl").write_text("")
    refused(tmp_path, "-m", MODEL, "-f", tmp_path / "a.jsonl", *data[4:], message="0 rows")


def test_broken_line(tmp_path, data):
    (tmp_path / "a.jsonl").write_text('{"question": "q", "answer": "a"}\n{"question": "q", answer: "a"}\n')
    refused(tmp_path, "-m", MODEL, "-f", tmp_path / "a.jsonl", *data[4:], message="a.jsonl:2:19")


def test_unknown_columns(tmp_path, data):
    write_rows(tmp_path / "a.jsonl", [{"q": "what", "a": "that"}])
    refused(tmp_path, "-m", MODEL, "-f", tmp_path / "a.jsonl", *data[4:], message="columns are q, a", hint="--columns")


def test_mapped_column_missing(tmp_path, data):
    refused(tmp_path, *data, "--columns", "question=q", message="no column 'q'; have:", hint="--columns")


def test_rows_without_an_answer(tmp_path, data):
    write_rows(tmp_path / "a.jsonl", [{"question": "q", "answer": "a"}, {"question": "q2", "answer": None}])
    refused(tmp_path, "-m", MODEL, "-f", tmp_path / "a.jsonl", *data[4:], message="a.jsonl:2: no 'answer'")


@pytest.mark.parametrize("name", ["./nope", "/nope/model", "a/b/c"])
def test_model_folder_missing(tmp_path, data, name):
    refused(tmp_path, "-m", name, *data[2:], message="is not a folder and not a Hub id")


def test_folder_without_a_model(tmp_path, data):
    (tmp_path / "empty").mkdir()
    refused(tmp_path, "-m", tmp_path / "empty", *data[2:], message="holds no model")


def test_offline_and_not_cached(tmp_path, data, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(tmp_path, "-m", "org/none-such", *data[2:], message="offline", hint="hf download org/none-such")


def test_output_folder_not_empty(tmp_path, data):
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.txt").write_text("mine")
    for extra in ((), ("--overwrite",)):
        result = unlearn("forget", *data, *extra, "-o", run)
        assert result.exit_code == 2 and "choose another --output-dir" in " ".join(result.stderr.split())
        assert [path.name for path in run.iterdir()] == ["mine.txt"]


def test_unknown_method(tmp_path, data):
    refused(tmp_path, *data, "--method", "nop", message="unknown method 'nop'", hint="did you mean 'npo'")


def test_unknown_retain_term(tmp_path, data):
    refused(tmp_path, *data, "--retain-term", "nl", message="unknown retain term 'nl'", hint="nll")


def test_unknown_parameter(tmp_path, data):
    refused(tmp_path, *data, "-p", "bta=1", message="'bta'", hint="did you mean 'beta'")


@pytest.mark.parametrize("value", ["x", "-1", "0"])
def test_bad_parameter(tmp_path, data, value):
    refused(tmp_path, *data, "-p", f"beta={value}", message="parameter 'beta'")


def test_unknown_key_in_a_config_file(tmp_path, data):
    (tmp_path / "c.yaml").write_text("learning_rat: 1e-3\n")
    refused(tmp_path, *data, "-c", tmp_path / "c.yaml", message="'learning_rat'", hint="did you mean 'learning_rate'")


def test_config_file_missing(tmp_path, data):
    refused(tmp_path, *data, "-c", tmp_path / "c.yaml", message="config file not found")


def test_bad_value(tmp_path, data):
    refused(tmp_path, *data, "--learning-rate", "fast", message="--learning-rate 'fast'")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["-p", "beta"], "-p beta: expected NAME=VALUE", "repeatable: -p beta=0.1"),
        (["-p", "beta=1", "-p", "=2"], "-p =2: expected NAME=VALUE", "-p beta=0.1"),
        (["--retain-parameter", "x"], "--retain-parameter x: expected NAME=VALUE", "retain term"),
        (["--metric-parameter", "x"], "--metric-parameter x: expected METRIC.NAME=VALUE", "rouge_l.stem=false"),
        (["--max-steps", "0"], "--max-steps 0: ", "optimizer steps"),
    ],
)
def test_a_value_is_refused_by_the_flag_it_was_given_to(tmp_path, data, arguments, message, hint):
    refused(tmp_path, *data, *arguments, message=f"error: {message}", hint=hint)


def test_a_value_is_refused_by_where_it_stands(tmp_path, data, monkeypatch):
    (tmp_path / "c.yaml").write_text("seed: x\n")
    refused(tmp_path, *data, "-c", tmp_path / "c.yaml", message="c.yaml: seed 'x': ")
    result = unlearn("push", tmp_path, "no-slash")
    assert result.exit_code == 2 and "error: REPO 'no-slash': " in result.stderr
    monkeypatch.setenv("UNLEARN_SEED", "x")
    refused(tmp_path, *data, message="error: UNLEARN_SEED 'x': ")


# The command, and then which modules it had imported by its end.
TELLING = f"""import atexit, os, sys
atexit.register(lambda: open(os.environ["TELL"], "w").write(" ".join(sys.modules)))
{MAIN}"""
HEAVY = {"transformers", "peft", "bitsandbytes", "datasets"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forget", "DATA", "--method", "nop"], "unknown method 'nop'"),
        (["forget", "DATA", "-p", "bta=1"], "unknown parameter of npo: 'bta'"),
        (["forget", "DATA", "--method", "nop.py"], "method file not found"),
        (["forget", "DATA", "--retain-term", "nl"], "unknown retain term 'nl'"),
        (["forget", "DATA", "--stop-when", "forget.nl => 1"], "not an expression"),
        (["forget", "DATA", "--calibrate", "retian.nll < 1"], "unknown split 'retian'"),
        (["sweep", "DATA", "-o", "sweep", "--stop-when", "retian.nll < 1", "--dry-run"], "unknown split 'retian'"),
        (["sweep", "DATA", "-o", "sweep", "--grid", "calibrate=retian.nll < 1"], "unknown split 'retian'"),
        (["sweep", "DATA", "-o", "sweep", "--score", "retian.nll"], "unknown split 'retian'"),
        (["evaluate", "-m", "x", "-o", "y", "-f", "f.jsonl", "--fail-if", "forgte.nll < 1"], "unknown split 'forgte'"),
        (["forget", "DATA", "-m", "./nope"], "is not a folder and not a Hub id"),
        (["forget", "DATA", "-r", "nope.jsonl"], "retain data not found"),
        (["forget", "DATA", "-o", "FULL"], "is not empty"),
        (["forget"], "no rows to forget"),
        (["forget", "DATA", "--resume", "--overwrite"], "exclude each other"),
        (["evaluate", "RUN", "--fail-if", "relearn.recovery > 0"], "recovery is of attacks"),
        (["relearn-attack", "RUN", "--fail-if", "relearn > 0"], "relearn.recovery.max"),
        (["relearn-attack", "RUN", "--fail-if", "relearn.recovery.end > 0"], "nor of an attack's start, max"),
        (["evaluate"], "nothing to evaluate"),
        (["evaluate", "-m", "x"], "missing --output-dir"),
        (["evaluate", "FULL"], "is not a run folder"),
        (["relearn-attack", "FULL", "--attack", "relern"], "unknown attack 'relern'"),
        (["relearn-attack", "FULL", "--fail-if", "recovery > 1"], "'recovery' has no attack"),
        (["relearn-attack", "RUN", "--attack", "quantize", "--fail-if", "relearn.recovery > 0"], "relearn is not among the"),
        (["relearn-attack", "RUN", "--fail-if", "relearn.nll > 0"], "nll has no recovery"),
        (["relearn-attack", "FULL", "--plot", "x.gif"], "a file ending in .png, .svg or .pdf"),
        (["relearn-attack", "FULL", "--plot", "/dev/null/x.svg"], "cannot be written"),
        (["evaluate", "FULL", "--junit", "/dev/null/x.xml"], "cannot be written"),
        (["sweep", "DATA", "--methods", "npo,nop"], "unknown method 'nop'"),
        (["forget", "DATA", "--model", "org/nothing-here"], "neither a folder here nor in the cache"),
        (["chat", "FULL"], "is not a run folder"),
    ],
)
def test_a_mistake_is_answered_before_anything_heavy_is_imported(tmp_path, data, arguments, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    run = write_run(tmp_path / "run", both(0.1, 0.9))
    given = {"DATA": data, "FULL": [str(tmp_path / "full")], "RUN": [str(run)]}
    words = [word for argument in arguments for word in given.get(argument, [argument])]
    done = server(COMMAND_LINE).run(*words, code=TELLING, TELL=str(tmp_path / "modules"))
    assert done.returncode == 2 and message in done.stderr, done.stderr
    modules = set((tmp_path / "modules").read_text().split())
    assert "typer" in modules and not HEAVY & modules and ("split" not in message or "torch" not in modules)


def test_two_precisions(tmp_path, data):
    refused(tmp_path, *data, "--load-in-4bit", "--load-in-8bit", message="exclude each other")


def test_overlap(tmp_path, data):
    rows = splits()["forget"]
    write_rows(tmp_path / "r.jsonl", [*splits()["retain"][:4], rows[2]])
    arguments = ("-m", MODEL, "-f", tmp_path / "forget.jsonl", "-r", tmp_path / "r.jsonl")
    refused(tmp_path, *arguments, message="1 row is in both", hint="--allow-overlap")
    assert unlearn("forget", *arguments, "--allow-overlap", "--dry-run").exit_code == 0


def test_nothing_to_forget(tmp_path):
    refused(tmp_path, "-m", MODEL, message="no rows to forget", hint="--forget")


@pytest.mark.parametrize("text", ["forget.probability", "__import__('os').system('x')", "forget <"])
def test_bad_expression(tmp_path, data, text):
    refused(tmp_path, *data, "--stop-when", text, message=text.split("(")[0], hint="an expression looks like")


def test_unknown_metric_in_an_expression(tmp_path, data):
    hint = "did you mean 'probability'? `unlearn list metrics` shows them"
    refused(tmp_path, *data, "--stop-when", "forget.probabilty < 1", message="unknown metric 'probabilty'", hint=hint)


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (["--calibrate", "retian.probability >= 0.95*before"], "unknown split 'retian'", "did you mean 'retain'"),
        (["--stop-when", "forgte.probability < 0.1"], "unknown split 'forgte'", "did you mean 'forget'"),
        (["--stop-when", "holdout.probability < 0.1"], "no holdout rows are measured", "--holdout holdout.jsonl"),
        (["--stop-when", "privacy.loss_auc < 0.6"], "no holdout rows are measured", "--holdout holdout.jsonl"),
        (["--stop-when", "forget.loss_auc < 0.6"], "loss_auc belongs to 'privacy'", "write privacy.loss_auc"),
        (["--stop-when", "utility.model_utility < 0.6"], "no real_authors rows are measured", "--benchmark tofu:forget01"),
        (["--stop-when", "forget.probability < baseline"], "forget measures no baseline", "--baseline MODEL"),
        (["--calibrate", "forget.forget_quality > 0.05"], "forget measures no baseline", "--baseline MODEL"),
        (["--stop-when", "forget.rouge_l < 0.1"], "no answers are generated during training", "forget.probability"),
        (["--stop-when", "forget.probability.gain < 0.1"], "'gain' is of an attack's recovery", "before, after, baseline"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_name_in_an_expression_that_will_have_no_value(tmp_path, data, flags, message, hint, dry):
    """Refused before the work, not after it."""
    refused(tmp_path, *data, *flags, *dry, message=message, hint=hint)


def test_the_same_names_with_what_they_need(tmp_path, data):
    holdout = write_rows(tmp_path / "holdout.jsonl", splits()["holdout"][:4])
    flags = ("--stop-when", "privacy.loss_auc < 0.6 and holdout.nll > 0", "--calibrate", "retain.rouge_l >= 0.95*before")
    done = unlearn("forget", *data, "--holdout", holdout, *flags, "--dry-run", "-o", tmp_path / "run")
    assert done.exit_code == 0, done.stderr


def test_metrics_are_listed_as_expressions_want_them():
    assert "rouge_l_f1 " in unlearn("list", "metrics").stdout and "grad-diff " in unlearn("list", "methods").stdout


def test_no_room_for_an_answer(tmp_path, data):
    refused_run = unlearn("forget", *data, "--max-length", 8, "-o", tmp_path / "run")
    assert refused_run.exit_code == 2 and "no token of their answer" in " ".join(refused_run.stderr.split())


def test_no_such_device(tmp_path, data):
    result = unlearn("forget", *data, "--device", "cuda:9", "-o", tmp_path / "run")
    assert result.exit_code == 2 and "no device 'cuda:9'" in result.stderr
    assert unlearn("forget", *data, "--device", "toaster", "-o", tmp_path / "run2").exit_code == 2


def test_tied_embeddings_are_refused(tmp_path, data):
    result = unlearn("forget", *data, "--lora-target-modules", "q_proj,lm_head", "-o", tmp_path / "run")
    assert result.exit_code == 2 and "ties its embeddings" in " ".join(result.stderr.split())


def test_weights_only_as_pickle(tmp_path, data):
    import shutil

    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    shutil.copytree(MODEL, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    result = unlearn("forget", "-m", folder, *data[2:], "-o", tmp_path / "run")
    assert result.exit_code == 2 and "--allow-pickle" in result.stderr
    allowed = unlearn("forget", "-m", folder, *data[2:], "--allow-pickle", "--max-steps", 1, "-o", tmp_path / "run2")
    assert allowed.exit_code in (0, 4), allowed.stderr


def test_out_of_memory_names_the_cheapest_flags(tmp_path, data, monkeypatch):
    import torch

    def full(*_arguments, **_options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("unlearn_cli.training.passes.forward", full)
    result = unlearn("forget", *data, "--generate-limit", 1, "-o", tmp_path / "run")
    assert result.exit_code == 1 and "--batch-size 1 --gradient-accumulation-steps" in " ".join(result.stderr.split())


def test_no_chat_template_is_a_note(tmp_path, data):
    result = unlearn(
        "forget", *data, "--chat-template", "none", "--max-steps", 1, "--generate-limit", 1, "-o", tmp_path / "run"
    )
    assert result.exit_code in (0, 4), result.stderr
    assert "no chat template" in " ".join(result.stderr.split())
    assert any("chat template" in note for note in json.loads((tmp_path / "run" / "report.json").read_text())["notes"])


def test_a_key_before_the_command_runs_is_answered_in_a_line(monkeypatch, capsys):
    """Ctrl-C while the parser is built, which takes a moment on a busy machine."""

    def pressed(first: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "build", pressed)
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr().err
    assert stop.value.code == 130 and said.startswith("error: interrupted") and "hint: nothing was begun" in said
