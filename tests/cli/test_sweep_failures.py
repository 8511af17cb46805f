"""`unlearn sweep` where something goes wrong: in one run, between two, or in what was asked for."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.cli.fresh import COMMAND_LINE, MAIN, server
from tests.cli.running import QUICK, SLOWLY, data_arguments, read_report, started, unlearn
from tests.cli.test_sweep import SIDE_BY_SIDE, swept, wait_for
from unlearn_cli.recipes.sweeping import workers

FEW = ["--max-steps", 1, *QUICK[2:]]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return data_arguments(tmp_path_factory.mktemp("sweep-data"))


def said(result) -> str:
    return " ".join(result.stderr.split())


def stop(*arguments, **named):
    raise KeyboardInterrupt


def test_an_error_nobody_foresaw_ends_one_run(data, tmp_path, monkeypatch):
    """And does so again when the sweep is repeated: the others are made and compared."""
    honest = workers.forget.run

    def broken(config, *arguments, **more):
        if config.seed == 0:
            raise TypeError("a method of the user's own")
        return honest(config, *arguments, **more)

    monkeypatch.setattr(workers.forget, "run", broken)
    for _ in range(2):
        result = unlearn("sweep", *data, *FEW, "-o", tmp_path / "s", "--seeds", "0,1", "--json")
        assert [run["name"] for run in json.loads(result.stdout)["runs"]] == ["npo-seed=1"], result.stderr
        assert "npo-seed=0: TypeError: a method of the user's own (test_sweep_failures.py:" in said(result)


def test_a_calibration_that_cannot_hold_ends_one_run(data, tmp_path):
    never = ["--grid", "calibrate=retain.probability > 2,retain.probability > 0"]
    result = unlearn("sweep", *data, *FEW, "-o", tmp_path / "s", *never, "--json")
    assert len(json.loads(result.stdout)["runs"]) == 1, result.stderr
    assert "does not hold for the untouched model either" in said(result)


def test_interrupted_while_loading_after_overwrite(data, tmp_path, monkeypatch):
    """A folder is cleared before the manifest names the new setting for it, so the same command continues."""
    command = ["sweep", *data, *FEW, "-o", tmp_path / "s"]
    assert unlearn(*command).exit_code in (0, 4)
    other = [*command, "--retain-weight", 3]
    with monkeypatch.context() as patched:
        patched.setattr("unlearn_cli.recipes.forgetting.prepare.try_training", stop)
        assert unlearn(*other, "--overwrite").exit_code == 130
    again = unlearn(*other)
    assert again.exit_code in (0, 4), again.stderr
    assert read_report(tmp_path / "s" / "npo")["config"]["retain_weight"] == 3


def test_overwrite_refuses_a_foreign_folder_and_leaves_it(data, tmp_path):
    foreign = tmp_path / "s" / "npo" / "report.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text('{"tests": 3}')
    result = unlearn("sweep", *data, *FEW, "-o", tmp_path / "s", "--overwrite")
    assert result.exit_code == 2 and "holds files that no run has written" in said(result)
    assert foreign.read_text() == '{"tests": 3}' and not (tmp_path / "s" / "sweep.json").exists()


METHOD = """from unlearn_cli.contract import Defaults, method

@method(paper="2404.05868", defaults=Defaults())
def mine(policy):
    return {factor} * policy.mean_logps
"""


def test_an_edited_method_is_another_one(data, tmp_path):
    """Its path is the same, so the content counts: for a sweep's finished runs and for --resume."""
    file = tmp_path / "mine.py"
    file.write_text(METHOD.format(factor=1))
    sweep = ["sweep", *data, *FEW, "--methods", file, "-o", tmp_path / "s"]
    forget = ["forget", *data, *FEW, "--method", file, "-o", tmp_path / "run"]
    for command in (sweep, forget):
        assert unlearn(*command).exit_code in (0, 4)
    assert "finished before" in unlearn(*sweep).stderr
    assert "already finished" in unlearn(*forget, "--resume").stderr
    file.write_text(METHOD.format(factor=2))
    for command in (sweep, [*forget, "--resume"]):
        result = unlearn(*command)
        assert result.exit_code == 2 and "method file: " in said(result), result.stderr


def test_a_retain_term_and_a_rule_of_ones_own_keep_their_paths(data, tmp_path):
    """Or the report could not be run again, and the rule not be found."""
    term, rule = tmp_path / "keep.py", tmp_path / "damp.py"
    term.write_text(
        "from unlearn_cli.contract import retain_term\n\n@retain_term()\ndef keep(policy):\n    return -policy.mean_logps\n"
    )
    rule.write_text("from unlearn_cli.contract import robust\n\n@robust()\ndef damp(gradients):\n    gradients.backward()\n")
    flags = ["--retain-term", term, "--robust", rule, "-o", tmp_path / "run"]
    result = unlearn("forget", *data, *FEW, *flags)
    assert result.exit_code in (0, 4), result.stderr
    config = read_report(tmp_path / "run")["config"]
    assert (config["retain_term"], config["robust"]) == (str(term), str(rule))


def test_a_wrecked_run_is_never_the_best(data, tmp_path):
    """Its score may be the highest: what counts first is whether it ended well."""
    flags = ["--grid", "learning_rate=1e-9,4e-3", "--score", "forget.probability"]
    summary = swept(data, tmp_path / "s", *flags)
    scores = [run["score"] for run in summary["runs"]]
    assert [run["name"] for run in summary["runs"]] == ["npo-learning_rate=4e-3", "npo-learning_rate=1e-9"]
    assert scores[0] < scores[1]


def test_halving_keeps_or_drops_the_seeds_of_a_setting_together(data, tmp_path):
    flags = ["--grid", "learning_rate=1e-4,4e-3", "--seeds", "0,1", "--halving"]
    result = unlearn("sweep", *data, *QUICK, "-o", tmp_path / "s", *flags, "--json")
    names = [run["name"] for run in json.loads(result.stdout)["runs"]]
    assert len(names) == 2 and len({name.partition("-seed=")[0] for name in names}) == 1, names
    assert "kept: npo-learning_rate=" in said(result) and "seed=" not in said(result).partition("kept: ")[2].split()[0]


def test_a_halving_that_ran_out_of_time_says_so(data, tmp_path):
    flags = ["--seeds", "0,1", "--halving", "--budget-minutes", "0.0001"]
    result = unlearn("sweep", *data, *QUICK, "-o", tmp_path / "s", *flags, "--json")
    assert "is spent: 1 run left out" in said(result) and said(result).count("is spent") == 1
    assert "no run was trained in full: npo-seed=0 is the best after 25% of the training" in said(result)
    assert json.loads(result.stdout)["sweep"]["share"] == 0.25


def test_a_report_is_the_start_of_a_sweep(data, tmp_path):
    """Its parameters are grids of one value each, also where that is a list."""
    assert unlearn("forget", *data, *FEW, "--method", "rmu", "-o", tmp_path / "run").exit_code in (0, 4)
    report = tmp_path / "run" / "report.json"
    flags = ["--config", report, "--seeds", "0,1", "-o", tmp_path / "s"]
    result = unlearn("sweep", *flags, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert len(summary["runs"]) == 2 and summary["runs"][0]["state"] == "new"
    assert summary["first"]["config"]["parameters"] == read_report(tmp_path / "run")["config"]["parameters"]


def test_a_config_file_of_forget_is_the_start_of_a_sweep(data, tmp_path):
    (tmp_path / "c.yaml").write_text("method: npo\nparameters:\n  beta: 0.05\n")
    result = unlearn("sweep", *data, *FEW, "-c", tmp_path / "c.yaml", "-o", tmp_path / "s", "--dry-run", "--json")
    assert [run["name"] for run in json.loads(result.stdout)["runs"]] == ["npo-beta=0.05"], result.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grid", "learning_rate=abc"], "--grid learning_rate=abc: "),
        (["--grid", "epochs=-1"], "--grid epochs=-1: "),
        (["--grid", "retain_parameters=1"], "--grid retain_parameters=1: '1' cannot be read"),
        (["--grid", "allow_overlap=true"], "same rows"),
        (["--grid", "stop_when=foo.bar < 1"], "unknown metric 'bar'"),
        (["--stop-when", "foo.bar<1"], "unknown metric 'bar'"),
        (["--score", "foo.bar"], "--score 'foo.bar': unknown metric 'bar'"),
        (["--score", "probability"], "--score 'probability': 'probability' has no split"),
        (["--methods", "npo,NPO"], "npo and NPO are the same setting"),
        (["--methods", "grad_diff,grad-diff"], "grad_diff and grad-diff are the same setting"),
        (["--grid", "learning_rate=1e-4,0.0001"], "are the same setting"),
        (["--retain", "FORGET"], "are in both forget and retain"),
        (["-o", "FILE"], "cannot be written: "),
        (["-o", "FILE/s"], "cannot be written: "),
        (["-o", "BROKEN"], "sweep.json is broken, or not of a sweep"),
        (["--report-to", "wandb"], "--report-to wandb needs the package wandb"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_mistakes_are_answered_before_any_work(data, tmp_path, monkeypatch, flags, message, more):
    monkeypatch.setattr("unlearn_cli.recipes.forgetting.tracking.find_spec", lambda name: None)
    monkeypatch.setattr(workers, "outcomes", lambda *arguments: pytest.fail("a run was begun"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sweep.json").write_text('{"half')
    places = {"FORGET": data[3], "FILE": str(tmp_path / "file"), "BROKEN": str(tmp_path / "broken")}
    for word, place in places.items():
        flags = [flag.replace(word, place) for flag in flags]
    result = unlearn("sweep", *data, *FEW, "-o", tmp_path / "s", *flags, *more)
    assert result.exit_code == 2 and message in said(result), result.stderr
    assert "bug" not in result.stderr and not (tmp_path / "s").exists()


def test_a_score_is_checked_before_torch_is_loaded():
    code = f"import atexit, sys\natexit.register(lambda: print('torch' in sys.modules))\n{MAIN}"
    for flags in (["--score", "foo.bar"], ["--stop-when", "foo.bar < 1"], ["--grid", "stop_when=foo.bar < 1"]):
        done = server(COMMAND_LINE).run("sweep", "-o", "s", *flags, code=code)
        assert "unknown metric" in done.stderr and done.stdout.strip() == "False", done.stderr


def test_a_config_file_may_hold_anything(data, tmp_path):
    for value in ("3", "[3]", "[[a=1]]"):
        (tmp_path / "c.yaml").write_text(f"parameters: {value}\n")
        for command in ("forget", "sweep"):
            result = unlearn(command, *data, "-c", tmp_path / "c.yaml", "-o", tmp_path / "s", "--dry-run")
            assert result.exit_code == 2 and "c.yaml: parameters" in said(result), result.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes")
def test_workers_end_with_a_parent_that_was_killed(data, tmp_path):
    """Both one that works, which keeps a checkpoint, and one that waits."""
    flags = [*QUICK, "--max-steps", 2000, "--jobs", 2, "-o", tmp_path / "s"]
    process = started("sweep", *data, *flags, code=SIDE_BY_SIDE + SLOWLY + MAIN)
    wait_for(tmp_path / "s" / "npo" / "metrics.jsonl")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(pid) for pid in children]
    assert len(workers) == 2
    process.kill()
    process.wait()
    until = time.monotonic() + 180  # a worker that still imports torch notices nothing yet
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < until, "workers go on"
        time.sleep(0.1)
    assert list((tmp_path / "s" / "npo" / "checkpoints").glob("step-*.pt"))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_manifest_from_before_an_option_was_there(data, tmp_path):
    """An option that is not used is as good as absent."""
    command = ["sweep", *data, *FEW, "-o", tmp_path / "s"]
    assert unlearn(*command).exit_code in (0, 4)
    path = tmp_path / "s" / "sweep.json"
    manifest = json.loads(path.read_text())
    del manifest["npo"]["asked"]["forget_loss_floor"]
    path.write_text(json.dumps(manifest))
    assert "finished before" in unlearn(*command).stderr


def test_a_later_round_that_cannot_be_made_is_refused_before_the_first(data, tmp_path):
    assert unlearn("sweep", *data, *FEW, "-o", tmp_path / "s", "--methods", "npo,simnpo").exit_code in (0, 4)
    other = ["--max-steps", 4, *FEW[2:], "--methods", "npo,simnpo", "--halving"]
    for more in ([], ["--dry-run"]):
        result = unlearn("sweep", *data, *other, "-o", tmp_path / "s", *more)
        assert result.exit_code == 2 and "was run with other settings (max_steps: 1 -> 4)" in said(result)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["npo", "simnpo", "sweep.json"]


def test_without_rows_to_keep_a_score_that_needs_them_is_refused(data, tmp_path):
    command = ["sweep", *data[:4], *FEW, "-o", tmp_path / "s", "--methods", "grad-ascent", "--retain-term", "none"]
    result = unlearn(*command, "--score=retain.probability - forget.probability")
    assert result.exit_code == 2 and "no retain rows are measured" in said(result) and "another --score" in said(result)
    for score in ((), ("--score=-forget.probability",)):
        assert unlearn(*command, *score, "--dry-run").exit_code == 0
