"""The verdict on a run: its word, its reason, and a command that the parser takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.cli.comparing import attack_report, write_run
from tests.cli.running import MODEL, write_rows
from tests.laws.test_hints import pasted
from unlearn_cli.attack_report import write_attack
from unlearn_cli.config import ForgetConfig, resolve
from unlearn_cli.contract import METHODS, Procedure
from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError
from unlearn_cli.recipes.forget import check_status
from unlearn_cli.recipes.forgetting.resolve import resolve_method
from unlearn_cli.recipes.forgetting.settings import Settings
from unlearn_cli.recipes.scoring.mending import commands_after_attack, next_commands, weak_run
from unlearn_cli.recipes.scoring.verdict import judge_run, verdict_of
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.report import AttackLine, Change, Compared, RunReport, Score, Verdict, VerdictWord, read_report
from unlearn_cli.report_parts import DataReport, TargetReport, TrainingReport


def moved(before: float, after: float, baseline: float | None = None) -> Compared:
    def score(value: float | None) -> Score | None:
        return None if value is None else Score(value=value, n=9, ci=(0.9 * value, 1.1 * value))

    return Compared(before=score(before), after=score(after), baseline=score(baseline))


def target(forget: float, *, reached: bool, kept: bool = True) -> TargetReport:
    return TargetReport(
        level=0.2, row_level=0.4, source="the holdout rows", keep=0.95, forget_reached=reached, retain_reached=kept,
        retain_share=0.97, forget=forget, rows_above=0 if reached else 7, rows=9, worst={},
    )  # fmt: skip


def trained(steps: int, planned: int) -> TrainingReport:
    return TrainingReport(
        steps=steps, steps_planned=planned, epochs=1, effective_batch=4, retain_rows_per_step=4, tokens=1,
        tokens_per_second=1, real_token_share=1, seconds_per_step=1, forget_loss=None, retain_loss=None, grad_norm_max=None,
        reference_seconds=0, activation_checkpointing=False,
    )  # fmt: skip


DATA = DataReport(
    spec="r.jsonl", files=[], format="qa", revision=None, sha256="0", rows=9, rows_in_source=9, sequences=9, tokens=9,
    answer_tokens=9, truncated_rows=0, truncated_tokens=0, measured_rows=9,
)  # fmt: skip
SETTINGS = {
    "model": "m", "forget": "f.jsonl", "retain": "r.jsonl", "learning_rate": 1e-3, "epochs": 10.0, "retain_ratio": 2,
    "retain_term": "kl",
}  # fmt: skip


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    """A run that reached its target, judged by 0.87 -> 0.21 and 0.90 -> 0.88."""
    run = read_report(write_run(tmp_path / "run", {}, **SETTINGS))
    scores = {"forget": {"probability": moved(0.87, 0.21)}, "retain": {"probability": moved(0.90, 0.88)}}
    return run.model_copy(update={"scores": scores, "target": target(0.21, reached=True), "training": trained(60, 120)})


BROKEN = Compared(before=Score(value=0.0, n=20), after=Score(value=0.9, n=20, details={"repeated": 18}))
KNEW = Score(value=0.7, n=80, ci=(0.6, 0.8))
LOST = Compared(before=KNEW, after=Score(value=0.5, n=80), change=Change(value=-0.2, ci=(-0.3, -0.1)))
BELOW = {"forget": {"probability": moved(0.87, 0.01, 0.22)}}
MISSED, SPENT = target(0.6, reached=False), trained(120, 120)
BENCHMARKED = SETTINGS | {"forget": None, "retain": None, "benchmark": "tofu:forget10"}
GENTLER = "--learning-rate 0.0005 --retain-ratio 4"
# word, fields of the report, scores that replace its own, a part of the reason, a part of the command
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("REACHED", {}, {}, "0.87 -> 0.21 (level 0.2); 97.8%", "relearn"),
    ("REACHED", {}, {"forget": {"gibberish": BROKEN}}, "18 of 20 answers repeat themselves", "relearn"),
    ("NOT REACHED", {"target": MISSED}, {}, "7 of 9 rows are above 0.4", "--learning-rate 0.002 --max-steps 120"),
    ("NOT REACHED", {"target": MISSED, "training": SPENT}, {}, "", "--max-steps 240"),
    ("NOT REACHED", {"target": target(0.2, reached=True, kept=False)}, {}, "", GENTLER),
    (
        "NOT REACHED",
        {"target": target(0.2, reached=True, kept=False), "config": BENCHMARKED, "data": {"retain": DATA}},
        {},
        "",
        GENTLER,
    ),
    ("DAMAGED", {}, {"retain": {"probability": moved(0.9, 0.6)}}, "66.7% of the retain", f"{GENTLER} --max-steps 240"),
    ("DAMAGED", {"training": SPENT}, {"retain": {"probability": moved(0.9, 0.8)}}, "", "' --retain-ratio 4 --max-steps 240"),
    ("DAMAGED", {}, {"general": {"choice_accuracy": LOST}}, "general ability fell from 0.70 to 0.50", GENTLER),
    ("DAMAGED", {}, {"retain": {"gibberish": BROKEN}}, "18 of 20 retain answers repeat themselves", GENTLER),
    ("DAMAGED", {"status": "collapsed", "target": None, "message": "lost"}, {}, "lost", f"{GENTLER} -o"),
    ("OVER-FORGOTTEN", {}, BELOW, "below the baseline's interval (from 0.1980)", "--until 'forget.probability <= 0.22'"),
    ("OVER-FORGOTTEN", {"target": None}, BELOW, "kept: ", "--epochs 5"),
    (
        "NOT KNOWN BEFORE",
        {"target": None},
        {"forget": {"probability": moved(0.001, 0.0)}},
        "as unlikely as answers",
        "data check f.jsonl -m m",
    ),
    ("NO EFFECT", {"status": "no_effect", "message": "moved by 0"}, {}, "moved by 0", "--learning-rate 0.004"),
    ("DIVERGED", {"status": "diverged", "message": "step 3: nan"}, {}, "step 3: nan", "--learning-rate 0.00025"),
    ("COMPLETED", {"target": None}, {}, "partly forgotten: probability 0.870 -> 0.210 (24% is left)", "--epochs 20"),
    ("COMPLETED", {"target": None}, {"forget": {"probability": moved(0.87, 0.05)}}, "forgotten: ", "relearn-attack"),
    ("STOPPED", {"target": None, "status": "stopped", "message": "--stop-when held"}, {}, "--stop-when held", "relearn"),
]


@pytest.mark.parametrize(("word", "update", "scores", "why", "command"), CASES)
def test_every_end_has_a_word_a_reason_and_a_command(
    report: RunReport, word: str, update: dict, scores: dict, why: str, command: str, tmp_path: Path
) -> None:
    scores = {split: {**report.scores.get(split, {}), **metrics} for split, metrics in scores.items()}
    run = report.model_copy(update={"scores": report.scores | scores} | update)
    verdict = judge_run(run, Path("my runs/x"))
    assert verdict is not None and verdict.word == word
    assert why in verdict.why and "\n" not in verdict.why
    assert command in verdict.next[0], verdict.next
    lines = [line for line in verdict.next if "--config" not in line]  # which has to be there
    assert not [line for line in lines if refusal(line, tmp_path)]


def refusal(line: str, folder: Path) -> str | None:
    """What the command line says against a pasted line; None if it takes it."""
    rows = str(write_rows(folder / "rows.jsonl", [{"question": "Who?", "answer": "Ann.", "q": "Who?"}]))
    there = {"m": MODEL, "f.jsonl": rows, "r.jsonl": rows, "my runs/x": str(folder / "run")}
    return pasted(shlex.split(line)[1:], there)


STATUS = {"NOT REACHED": "not_reached", "DIVERGED": "diverged", "NO EFFECT": "no_effect"}


@pytest.mark.parametrize("word", get_args(VerdictWord))
@pytest.mark.parametrize("name", ["npo", "undo"])
def test_the_exit_code_agrees_with_the_verdict(report: RunReport, name: str, word: VerdictWord, tmp_path: Path) -> None:
    """With a target and without one, whatever the method: a run that damaged the model does not end well."""
    run = report.model_copy(update={
        "config": report.config | {"method": name}, "status": STATUS.get(word, "completed"),
        "message": "the target was reached" if word == "DAMAGED" else None,
        "verdict": Verdict(word=word, why="because of this"),
    })  # fmt: skip
    assert run.failed == (word in {*STATUS, "DAMAGED"})
    for quiet in (False, True) if run.failed else ():
        with pytest.raises(UnlearnError) as caught:
            check_status(run, RunFolder(tmp_path), quiet=quiet)
        assert caught.value.exit_code == EXIT_DIVERGED and ("because of this" in caught.value.message) == quiet
        assert "the target was reached" not in caught.value.message
    if not run.failed:
        check_status(run, RunFolder(tmp_path), quiet=True)


def test_rows_that_are_left_are_named(report: RunReport) -> None:
    """Every row is a person's: those above the level stand in the reason, likeliest first."""
    left = MISSED.model_copy(update={"rows_above": 2, "rows": 40, "worst": {"r7": 0.5, "r3": 0.41, "r1": 0.1}})
    verdict = judge_run(report.model_copy(update={"target": left}), Path("x"))
    assert verdict is not None and "2 of 40 rows are above 0.4: row r7 (0.5), row r3 (0.41)" in verdict.why
    none = left.model_copy(update={"rows_above": 0})
    verdict = judge_run(report.model_copy(update={"target": none}), Path("x"))
    assert verdict is not None and "row r" not in verdict.why


def test_rows_without_a_level_to_come_down_to_were_not_known(report: RunReport) -> None:
    verdict = judge_run(report.model_copy(update={"target": None}), Path("x"), known=False)
    assert verdict is not None and verdict.word == "NOT KNOWN BEFORE"
    later = judge_run(report, Path("x"), report.model_copy(update={"verdict": verdict}))
    assert later is not None and later.word == "NOT KNOWN BEFORE", "an evaluation knows it from the run"


def test_an_evaluation_judges_the_run_by_its_own_scores(report: RunReport) -> None:
    """With a baseline it sees what the run could not; on other rows the run's target says nothing."""
    below = {"forget": {"probability": moved(0.87, 0.01, 0.22)}}
    later = report.model_copy(update={"command": "evaluate", "scores": report.scores | below, "target": None})
    assert later.config.pop("learning_rate")  # a setting of the run alone
    run = report.model_copy(update={"config": report.config | SETTINGS})
    verdict = judge_run(later, Path("x"), run)
    assert verdict is not None and verdict.word == "OVER-FORGOTTEN" and "forget --config x/report.json" in verdict.next[0]
    alone = judge_run(later, Path("x"))
    assert alone is not None and alone.next == []


@pytest.mark.parametrize(("low", "word"), [(1, "REACHED"), (2, "OVER-FORGOTTEN")])
def test_membership_counts_where_half_of_its_scores_say_so(report: RunReport, low: int, word: str) -> None:
    """Below the baseline's interval, from 0.36 on; without a baseline it says nothing."""
    values = [0.1] * low + [0.4] * (4 - low)
    judged = {f"{n}_auc": moved(0.9, value, 0.4) for n, value in enumerate(values)} | {"alone_auc": moved(0.9, 0.1)}
    verdict = judge_run(report.model_copy(update={"scores": report.scores | {"privacy": judged}}), Path("x"))
    assert verdict is not None and verdict.word == word
    assert word == "REACHED" or "privacy.0_auc 0.100" in verdict.why


def test_what_was_asked_to_be_kept_decides_what_is_damage(report: RunReport) -> None:
    scores = report.scores | {"retain": {"probability": moved(0.9, 0.6)}}
    lenient = target(0.21, reached=True).model_copy(update={"keep": 0.5})
    verdict = judge_run(report.model_copy(update={"scores": scores, "target": lenient}), Path("x"))
    assert verdict is not None and verdict.word == "REACHED"


@pytest.mark.parametrize(
    ("config", "trained", "words"),
    [
        ({"retain_held_out": 0.2}, True, "is left on held-out rows"),
        ({"retain_held_out": 0.0}, True, "is left on rows that were trained on"),  # a benchmark's judging rows among them
        ({"retain_held_out": 0.2}, False, "is left on rows that were trained on"),  # too few to hold any out
        ({"retain_held_out": 0.0, "retain_eval": "e.jsonl"}, True, "is left on held-out rows"),
        ({"retain_held_out": 0.2, "retain_term": "none"}, False, "is left"),
    ],
)
def test_rows_that_were_drilled_are_not_called_held_out(report: RunReport, config: dict, trained: bool, words: str) -> None:
    rows = dict.fromkeys(["retain", *(["retain_trained"] if trained else [])], DATA)
    scores = report.scores | ({"retain_trained": report.scores["retain"]} if trained else {})
    run = report.model_copy(update={"data": rows, "scores": scores, "config": report.config | config})
    verdict = judge_run(run, Path("x"))
    assert verdict is not None and f"{words}," in verdict.why.replace(";", ",")


def test_runs_before_that_came_back_are_the_reason(report: RunReport) -> None:
    run = report.model_copy(update={"status": "not_reached", "message": "run 1 came back"})
    verdict = judge_run(run, Path("x"))
    assert verdict is not None and verdict.word == "NOT REACHED" and verdict.why.startswith("run 1 came back; forget")


def test_runs_before_that_came_back_are_no_matter_of_what_was_known(report: RunReport) -> None:
    """Rows are forgotten that were never known, and earlier ones come back over it."""
    run = report.model_copy(update={"status": "not_reached", "message": "run 1 came back", "target": None})
    verdict = judge_run(run, Path("x"), known=False)
    assert verdict is not None and verdict.word == "NOT REACHED" and verdict.why.endswith("; run 1 came back")


def test_a_target_for_a_single_row_is_judged_whatever_the_mean_was(report: RunReport) -> None:
    scores = report.scores | {"forget": {"probability": moved(0.03, 0.02)}}
    verdict = judge_run(report.model_copy(update={"scores": scores}), Path("x"))
    assert verdict is not None and verdict.word == "REACHED"


def test_rows_to_keep_that_were_not_measured_are_missed(report: RunReport) -> None:
    run = report.model_copy(update={"scores": {"forget": report.scores["forget"]}})
    verdict = judge_run(run, Path("x"))
    assert verdict is not None and "; no rows to keep were measured;" in verdict.why


def test_nothing_is_judged_without_a_before(report: RunReport) -> None:
    after = {"forget": {"probability": Compared(after=Score(value=0.5, n=9))}}
    assert judge_run(report.model_copy(update={"command": "evaluate", "scores": after}), Path("x")) is None


def test_a_report_of_an_earlier_version_is_judged_when_it_is_read(report: RunReport) -> None:
    assert verdict_of(report, Path("x")) == judge_run(report, Path("x"))
    assert verdict_of(report.model_copy(update={"config": {}, "training": None}), Path("x")) is not None


HINTED: dict[str, dict[str, Any]] = {  # the word, and what makes a verdict of it
    "DAMAGED": {"status": "collapsed"},
    "DIVERGED": {"status": "diverged"},
    "NO EFFECT": {"status": "no_effect"},
    "OVER-FORGOTTEN": {"scores": BELOW},
    "COMPLETED": {},
    "NOT REACHED": {"status": "not_reached", "target": MISSED, "training": SPENT},
}


def hinted(report: RunReport, name: str, word: str, folder: Path, **given: Any) -> tuple[Settings, dict[str, str]]:
    """The settings of a run by a method, and the settings that the verdict's next command changes."""
    method = METHODS.get(name)
    own_steps = isinstance(method, Procedure) and method.strength
    schedule = {"epochs": None, "learning_rate": "auto", "retain_ratio": None} if own_steps else {"epochs": 10.0}
    settings = resolve_method(
        *resolve(ForgetConfig, SETTINGS | {"method": name, "retain_term": None} | schedule | given, None)
    )
    if own_steps:
        settings = settings.filled("scaling rule", learning_rate=1e-3)  # as every run has it
    config = {key: value for key, value in settings.config.model_dump(mode="json").items() if key != "alternatives"}
    scores = report.scores | (BELOW if word == "OVER-FORGOTTEN" else {})
    fields = {"config": config, "config_sources": settings.sources, "target": None} | HINTED[word] | {"scores": scores}
    run = report.model_copy(update=fields)
    (folder / "report.json").write_text(run.model_dump_json())
    verdict = judge_run(run, folder)
    assert verdict is not None and verdict.word == word
    words = shlex.split(verdict.next[0])
    assert words[:3] == ["unlearn", "forget", "--config"]
    flags = {flag[2:].replace("-", "_"): value for flag, value in zip(words[4:-2:2], words[5:-2:2], strict=True)}
    return settings, {"parameters" if key == "parameter" else key: value for key, value in flags.items()}


@pytest.mark.parametrize("word", HINTED)
@pytest.mark.parametrize("name", METHODS.names())
def test_every_change_of_the_next_command_means_something_to_the_method(
    report: RunReport, name: str, word: str, tmp_path: Path
) -> None:
    """Settings are read from the report and resolved as a run's are; each change alone gives another run.

    That a procedure's losses follow from its strength, or from epochs and learning rate: tests/laws/test_procedures.py.
    """
    method = METHODS.get(name)
    if word == "NOT REACHED" and isinstance(method, Procedure) and not method.needs_level:
        return  # it has no target
    settings, flags = hinted(report, name, word, tmp_path)
    assert flags
    for flag, value in flags.items():
        changed = resolve_method(*resolve(ForgetConfig, {flag: value}, tmp_path / "report.json"))
        assert getattr(changed.config, flag) != getattr(settings.config, flag), flag
        if flag == "retain_ratio":
            assert changed.objective.retain_groups or changed.procedure, "no retain rows are read"
        if (procedure := changed.procedure) is not None and procedure.strength:
            assert flag == "parameters"
    resolve_method(*resolve(ForgetConfig, flags, tmp_path / "report.json"))


@pytest.mark.parametrize(
    ("given", "flag"),
    [({"retain_term": "none"}, "retain_term"), ({"retain_weight": 0}, "retain_weight"), ({}, "retain_ratio")],
)
def test_retain_rows_that_do_not_count_are_counted_first(report: RunReport, given: dict, flag: str, tmp_path: Path) -> None:
    assert set(hinted(report, "npo", "DAMAGED", tmp_path, **given)[1]) == {"learning_rate", flag}


@pytest.mark.parametrize("flag", [{"epochs": 3.0}, {"learning_rate": 1e-3}])
@pytest.mark.parametrize("name", [name for name in METHODS.names() if getattr(METHODS.get(name), "strength", ())])
def test_a_schedule_is_refused_where_it_means_nothing(name: str, flag: dict[str, float]) -> None:
    config = {**dict.fromkeys(("model", "forget", "retain"), "x"), "method": name, **flag}
    with pytest.raises(UnlearnError, match="takes steps of its own, and --"):
        resolve_method(*resolve(ForgetConfig, config, None))


@pytest.mark.parametrize(("left", "strength"), [(0.6, "clamp=4,rate=1"), (0.1, "clamp=1,rate=0.25")])
def test_a_method_with_steps_of_its_own_is_told_its_own_parameter(report: RunReport, left: float, strength: str) -> None:
    """`memit` takes no learning rate and no epochs: a longer run would be the same. Of its parameters none is lost."""
    config = SETTINGS | {"method": "memit", "parameters": {"layers": [0.25, 1.0], "inner": 25, "clamp": 2.0}}
    scores = {"forget": {"probability": moved(0.9, left)}, "retain": {"probability": moved(0.9, 0.9 if left > 0.5 else 0.2)}}
    run = report.model_copy(update={"config": config, "scores": scores, "target": None})
    verdict = judge_run(run, Path("x"))
    assert verdict is not None
    assert verdict.next == [f"unlearn forget --config x/report.json --parameter layers=0.25+1.0,{strength} -o x-2"]


def test_next_commands_can_be_pasted(tmp_path: Path) -> None:
    assert next_commands(Path("my runs/x")) == ["unlearn relearn-attack 'my runs/x'", "unlearn chat 'my runs/x'"]
    assert next_commands(Path("x"), Path("my base"))[0] == "unlearn relearn-attack x --baseline 'my base'"


@pytest.mark.parametrize("recovery", [0.0, 0.5])
def test_no_attack_is_proposed_after_an_attack(report: RunReport, recovery: float, tmp_path: Path) -> None:
    """Neither by a later evaluation nor by a view of the verdict that the run ended with."""
    run = tmp_path / "run"
    ended = judge_run(report, run)
    assert ended is not None and ended.next[0].startswith("unlearn relearn-attack")
    attack = attack_report()
    shown = attack.shown.model_copy(update={"max": recovery})
    write_attack(attack.model_copy(update={"recovery": {"probability": shown}}), run / "attacks" / "relearn")
    lines = {"relearn": AttackLine(verdict="", recovery=recovery, upper_bound=False)}
    attacked = report.model_copy(update={"attacks": lines, "verdict": ended})
    expected = commands_after_attack(attacked, run, came_back=recovery > 0)
    again, seen = judge_run(report, run, attacked), verdict_of(attacked, run)
    assert again is not None and seen is not None
    assert again.next == seen.next == expected and len(expected) == (2 if recovery else 1)


@pytest.mark.parametrize(
    ("came_back", "config", "durable"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"method": "rehearsal"}, False),  # which is that recipe
        (True, {"load_in_4bit": True}, False),  # the recipe trains every weight
        (True, {"forget": None}, False),
    ],
)
def test_an_attack_ends_with_commands_to_paste(
    report: RunReport, came_back: bool, config: dict, durable: bool, tmp_path: Path
) -> None:
    run = report.model_copy(update={"config": report.config | {"columns": ["question=q"]} | config})
    lines = commands_after_attack(run, Path("my runs/x"), came_back=came_back)
    assert lines[-1] == "unlearn report 'my runs/x' --html record.html"
    first = "unlearn forget -m m -f f.jsonl -r r.jsonl --columns question=q --recipe durable -o 'my runs/x-2'"
    assert lines[:-1] == ([first] if durable else [])
    assert not [line for line in lines if refusal(line, tmp_path)]


def test_a_new_folder_is_named_that_is_not_there(report: RunReport, tmp_path: Path) -> None:
    (tmp_path / "run-2").mkdir()
    run = report.model_copy(
        update={"target": target(0.6, reached=False), "config": report.config | {"trust_remote_code": True}}
    )
    verdict = judge_run(run, tmp_path / "run")
    assert verdict is not None and verdict.next[0].endswith(f" --trust-remote-code -o {tmp_path}/run-3")


@pytest.mark.parametrize(("rows", "method"), [("question-answer", "idk"), ("text", "npo")])
def test_a_weak_run_as_a_control(report: RunReport, rows: str, method: str) -> None:
    """Refusals hide an answer and leave it likely; raw text has no question to refuse."""
    run = report.model_copy(update={"config": SETTINGS, "data": {"forget": DATA.model_copy(update={"format": rows})}})
    words = shlex.split(weak_run(run))
    assert words[:8] == ["unlearn", "forget", "-m", "m", "-f", "f.jsonl", "-r", "r.jsonl"]
    assert words[words.index("--method") + 1] == method and "--no-target" in words
