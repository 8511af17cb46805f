"""What nobody can mean, through the real reader of the command line: exit 2, one message with a hint, nothing written.

Values are made from the options' own declarations, so that a new option is covered by being there; files are made wrong in
every way that a file can be, for each kind of file that a command reads.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.fresh import COMMAND_LINE, server
from tests.cli.running import BASELINE, MODEL, QUICK, data_arguments, unlearn
from tests.laws.test_values import BELOW_ZERO, COMMANDS, OPTIONS, command_of, meant
from unlearn_cli.config import AttackConfig, EvaluateConfig, MergeConfig, PushConfig
from unlearn_cli.contract import ATTACKS, METHODS, METRICS, RETAIN_TERMS, ROBUST
from unlearn_cli.values import is_path, kinds

Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Rows and a finished run, which no wrong input may change."""
    folder = tmp_path_factory.mktemp("wrong")
    data = data_arguments(folder)
    done = unlearn("forget", *data, *QUICK, "--max-steps", 1, "-o", folder / "run")
    assert done.exit_code in (0, 4), done.stderr
    return {"forget": folder / "forget.jsonl", "retain": folder / "retain.jsonl", "run": folder / "run"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which a wrong input leaves nothing."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path / "cache"))
    return folder


GROUPED = {"record": ("report",), "check": ("data", "check")}


def refused(*arguments: object, names: tuple[str, ...] = ()) -> str | None:
    """What is wrong with the answer to a wrong input, or None."""
    before = state(Path.cwd())
    command, *rest = arguments
    result = unlearn(*GROUPED.get(str(command), (command,)), *rest)
    words = " ".join(result.stderr.split())
    problems = [
        f"exit code {result.exit_code}" if result.exit_code != 2 else "",
        f"{words.count('error: ')} messages" if words.count("error: ") != 1 else "",
        "no hint" if "hint: " not in words else "",
        "a traceback" if "Traceback" in words or "this is a bug" in words else "",
        "data on stdout" if result.stdout else "",
        f"none of {names} is named" if names and not any(name in words for name in names) else "",
        "files left" if state(Path.cwd()) != before else "",
    ]
    said = ", ".join(filter(None, problems))
    return f"{' '.join(map(str, arguments))[:300]}: {said}: {words[:400]}" if said else None


def state(folder: Path) -> list[tuple[str, int]]:
    return [(str(path), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()]


# What no value is, as a text on the command line and as a value of a file, by the labels of tests/laws/test_values.py.
TEXTS = {"'nan'": "nan", "infinity": "inf", "-1": "-1", "1e30": "1e30", "'true'": "true"}
NAMES = {"''": "", "NUL": "a\0b", "long name": "a" * 300, "no home": "~nobody-is-called-that/x"}
VALUES = {"list": [["x"]], "mapping": {"x": {"y": 1}}, "infinity": float("inf"), "true": True}


def wrong_texts(model: type, name: str) -> Iterator[str]:
    field = model.model_fields[name]
    wanted, extra = kinds(field.annotation), field.json_schema_extra or {}
    by_name = wanted <= {str, Path, type(None)} and "names" not in extra or is_path(field)
    texts = NAMES if by_name else {"a value": "nan"} if bool in wanted else TEXTS
    for label, text in texts.items():
        if label in meant(model, name) or (label in ("long name", "no home") and not is_path(field)):
            continue
        yield text


def spelled(model: type, name: str, text: str) -> list[str]:
    """An option with a value, as a command line has it."""
    extra = model.model_fields[name].json_schema_extra or {}
    if extra.get("required") or (name == "run" and "flag" not in extra):
        return ["--", text, *(["org/name"] if model is PushConfig and name == "run" else [])]
    return [f"{extra.get('flag', '--' + name.replace('_', '-'))}={text}"]


def called(model: type, name: str) -> tuple[str, ...]:
    """What a message may call an option; unknown names and expressions are quoted instead."""
    extra = model.model_fields[name].json_schema_extra or {}
    if "names" in extra or extra.get("metavar") == "EXPR":
        return ()
    flag = extra.get("flag", "--" + name.replace("_", "-"))
    return tuple(filter(None, (flag, extra.get("short"), extra.get("metavar"), name)))


# Given by `usual`, or by `unlearn` in tests/cli/running.py: a file and a variable do not count.
ON_THE_LINE = {
    "no_general", "no_target", "retain_held_out", "model", "forget", "retain", "dry_run", "output_dir", "run", "runs",
    "repo", "prompt", "files",
}  # fmt: skip


def usual(model: type, files: Files) -> list[str]:
    """Arguments that a command needs, so that the wrong one is all that is wrong; a run that was started would be short."""
    data = [f"--{name}={files[name]}" for name in ("forget", "retain")]
    run = str(files["run"])
    return {
        "forget": [f"--model={MODEL}", *data, "--dry-run"],
        "sweep": [f"--model={MODEL}", *data, "-o", "sweep", "--dry-run"],
        "evaluate": [f"--model={MODEL}", *data, "-o", "out"],
        "compare": [run],
        "push": [run, "org/name", "--dry-run"],
        "merge": [run, "-o", "merged"],
        "chat": [run, "--prompt", "Who?"],
        "demo": [],
        "clean": [run],
        "relearn-attack": [run],
        "record": [run],
        "verify": [run],
        "reproduce": [run],
        "check": [f"--model={MODEL}", str(files["forget"])],
        "init": [],
    }[command_of(model)]


@pytest.mark.parametrize("model", COMMANDS, ids=command_of)
def test_a_value_of_a_flag(model: type, files: Files) -> None:
    problems, tried = [], 0
    for name in (name for owner, name in OPTIONS if owner is model):
        for text in wrong_texts(model, name):
            positional = spelled(model, name, text)[0] == "--"
            given = [] if positional else usual(model, files)
            problems.append(refused(command_of(model), *given, *spelled(model, name, text), names=called(model, name)))
            tried += 1
    faults = list(filter(None, problems))
    assert not faults, "\n".join(faults)
    assert tried >= len(model.model_fields), "fewer values than options"


@pytest.mark.parametrize("model", COMMANDS, ids=command_of)
def test_a_value_of_a_key_in_a_config_file(model: type, files: Files, tmp_path: Path) -> None:
    problems = []
    for name in (name for owner, name in OPTIONS if owner is model):
        if name in ON_THE_LINE:
            continue
        wrong = [value for label, value in VALUES.items() if label not in meant(model, name)]
        for value in wrong[:2]:
            (tmp_path / "c.yaml").write_text(yaml.safe_dump({name: value}))
            given = (*usual(model, files), "-c", tmp_path / "c.yaml")
            message = refused(command_of(model), *given, names=called(model, name))
            problems.append(message and f"{name}={value}: {message}")
    faults = list(filter(None, problems))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("model", COMMANDS, ids=command_of)
def test_a_value_of_a_variable(model: type, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = []
    for name in (name for owner, name in OPTIONS if owner is model):
        texts = [text for text in wrong_texts(model, name) if text and "\0" not in text]
        if not texts or name in ON_THE_LINE:
            continue
        with monkeypatch.context() as patch:
            patch.setenv(variable := f"UNLEARN_{name.upper()}", texts[0])
            problems.append(
                refused(command_of(model), *usual(model, files), names=(variable,) if called(model, name) else ())
            )
    faults = list(filter(None, problems))
    assert not faults, "\n".join(faults)


def parameters() -> Iterator[tuple[str, list[str]]]:
    """Every parameter of every method, retain term, robust rule, metric and attack: (its name, the start of a command)."""
    flags = {
        METHODS: ("forget", "--method={}", "-p", ""), RETAIN_TERMS: ("forget", "--retain-term={}", "--retain-parameter", ""),
        ROBUST: ("forget", "--robust={}", "--robust-parameter", ""),
        METRICS: ("evaluate", "--metrics={}", "--metric-parameter", "{}."),
        ATTACKS: ("relearn-attack", "--attack={}", "-p", ""),
    }  # fmt: skip
    texts = cycle(("nan", "true", "-1", "1e30", "[[x]]"))
    for registry, (command, choice, flag, prefix) in flags.items():
        for entry in registry.names():
            for name, parameter in registry.get(entry).parameters.items():
                for text in (next(texts), next(texts)):  # tests/laws/test_values.py tries all of them on each
                    wanted = kinds(parameter.type)
                    if (text == "true" and bool in wanted) or (text == "-1" and (entry, name) in BELOW_ZERO):
                        continue
                    if str not in wanted or text == "[[x]]":
                        yield command, [choice.format(entry), flag, f"{prefix.format(entry)}{name}={text}"]


def test_a_value_of_a_parameter(files: Files) -> None:
    starts = {command_of(model): usual(model, files) for model in COMMANDS}
    problems = [refused(command, *starts[command], *flags) for command, flags in parameters()]
    faults = list(filter(None, problems))
    assert len(problems) > 120 and not faults, "\n".join(faults)


DEEP = 100_000
# What a file may hold instead of what it should; None: a folder of its name.
CONTENTS: dict[str, bytes | None] = {
    "empty": b"", "a folder": None, "nothing but blanks": b" \n\n", "a list": b"[1, 2]", "a number": b"17",
    "deep lists": b"[" * DEEP + b"]" * DEEP, "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "cut short": b'{"question": "q", "answ', "UTF-16": '{"question": "q", "answer": "a"}'.encode("utf-16"),
    "Windows-1252": '{"question": "q", "answer": "caf\u00e9"}'.encode("cp1252"), "bytes": bytes(range(256)),
    "a key twice": b'{"question": "q", "question": "r", "answer": "a", "schema_version": "1", "schema_version": "1"}',
    "a huge number": b'{"question": "q", "answer": ' + b"9" * 5000 + b"}",
}  # fmt: skip
# Where each kind of file stands in a command line; FILE and RUN are filled in.
DATA = ["-m", MODEL, "--dry-run"]
READS: dict[str, list[str]] = {
    "rows.jsonl": ["forget", *DATA, "--forget", "FILE", "--retain", "RETAIN"],
    "rows.json": ["forget", *DATA, "--forget", "FILE", "--retain", "RETAIN"],
    "rows.parquet": ["forget", *DATA, "--forget", "FORGET", "--retain", "FILE"],
    "holdout.jsonl": ["evaluate", "-m", MODEL, "-f", "FORGET", "--holdout", "FILE", "-o", "out"],
    "c.yaml": ["forget", *DATA, "-f", "FORGET", "-r", "RETAIN", "-c", "FILE"],
    "c.json": ["forget", *DATA, "-f", "FORGET", "-r", "RETAIN", "-c", "FILE"],
    "sweep.yaml": ["sweep", *DATA, "-f", "FORGET", "-r", "RETAIN", "-o", "sweep", "-c", "FILE"],
    "log.json": ["evaluate", "--measured", "FILE", "-o", "out"],
    "retain90.json": ["evaluate", "--measured", "RUN", "--baseline", "FILE", "-o", "out"],
    "attack.jsonl": ["relearn-attack", "RUN", "--attack-data", "FILE", "-p", "data=given", "-p", "steps=0"],
    "method.py": ["forget", *DATA, "-f", "FORGET", "-r", "RETAIN", "--method", "FILE"],
    "choices.jsonl": ["evaluate", "-m", MODEL, "--choices", "FILE", "-o", "out"],
}
# Files that may hold some of these: a template is any text, a document too; a config file without settings has none.
FINE = {
    ("c.yaml", "empty"), ("c.yaml", "nothing but blanks"), ("sweep.yaml", "empty"), ("sweep.yaml", "nothing but blanks"),
}  # fmt: skip


def written(path: Path, content: bytes | None) -> Path:
    """A file, or a folder for None, in place of what is there."""
    if path.is_file():
        path.unlink()
    if content is None:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def wrong_files() -> list[Any]:
    pairs = [(name, kind) for name in READS for kind in CONTENTS if (name, kind) not in FINE]
    return [pytest.param(name, kind, id=f"{name}-{kind}") for name, kind in pairs]


@pytest.mark.parametrize(("name", "kind"), wrong_files())
def test_a_file_that_is_something_else(name: str, kind: str, files: Files, tmp_path: Path) -> None:
    path = written(tmp_path / name, CONTENTS[kind])
    places = {"FILE": path, "RUN": files["run"], "FORGET": files["forget"], "RETAIN": files["retain"]}
    assert refused(*(places.get(word, word) for word in READS[name])) is None


IN_A_RUN = {
    "report.json": [["evaluate"], ["compare"], ["merge", "-o", "merged"], ["chat", "--prompt", "Who?"], ["relearn-attack"],
                    ["clean"], ["report", "show"]],
    "adapter_config.json": [["merge", "-o", "merged"]],
    "adapter_model.safetensors": [["merge", "-o", "merged"]],
    "tokenizer.json": [["merge", "-o", "merged"]],
}  # fmt: skip
IN_A_MODEL = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
MAY_BE = {("tokenizer_config.json", kind) for kind in ("a folder", "a key twice", "a huge number")}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("name", IN_A_RUN)
def test_a_file_of_a_run(name: str, kind: str, files: Files, tmp_path: Path) -> None:
    run = shutil.copytree(files["run"], tmp_path / "run")
    written(run / name, CONTENTS[kind])
    problems = [refused(*command[:1], *command[1:], run) for command in IN_A_RUN[name]]
    assert not any(problems), "\n".join(filter(None, problems))


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("name", IN_A_MODEL)
def test_a_file_of_a_model(name: str, kind: str, files: Files, tmp_path: Path) -> None:
    if (name, kind) in MAY_BE:
        pytest.skip("keys that nobody reads")
    model = shutil.copytree(MODEL, tmp_path / "model")
    written(model / name, CONTENTS[kind])
    few = QUICK if name.endswith("safetensors") else ("--dry-run",)
    assert refused("forget", "-m", model, "-f", files["forget"], "-r", files["retain"], *few, "-o", "out") is None


def report_with(run: Path, **config: Any) -> None:
    path = run / "report.json"
    report = json.loads(path.read_text())
    path.write_text(json.dumps(report | {"config": report["config"] | config}))


@pytest.mark.parametrize("model", [EvaluateConfig, AttackConfig, MergeConfig], ids=command_of)
def test_a_value_in_a_report(model: type, files: Files, tmp_path: Path) -> None:
    """What a command takes from the run's report is looked at as closely as what it is told."""
    taken = {"max_length", "dtype", "columns", "chat_template"}
    run, problems = shutil.copytree(files["run"], tmp_path / "run"), []
    for name in sorted(taken & set(COMMANDS[0].model_fields)):
        for value in ([["x"]], True, {"x": {"y": 1}}):
            if name == "columns" and isinstance(value, dict):
                continue
            shutil.copy(files["run"] / "report.json", run / "report.json")
            report_with(run, **{name: value})
            problems.append(refused(command_of(model), run, *(["-o", "merged"] if command_of(model) == "merge" else [])))
    assert not any(problems), "\n".join(filter(None, problems))


LINES = """
forgett
forget --methd npo
forget extra
list methds
show nop
forget USUAL --lora-target-modules nobody
forget USUAL --lora-target-modules q_proj,nobody
forget USUAL --lora-target-modules '('
forget USUAL --lora-target-parameters experts.nobody
forget USUAL --device toaster
forget USUAL --device cuda:-1
forget USUAL --device nan
forget USUAL --attn-implementation nobody
forget USUAL --method npo,simnpo
forget USUAL --seed 18446744073709551616
forget USUAL --seed -1
forget USUAL --seed 1.5
forget USUAL --columns question
forget USUAL --columns question=a,question=b
forget USUAL --stop-when 'forget.probability < nan'
forget USUAL --stop-when '('
forget USUAL --calibrate '1 < 2'
forget USUAL --chat-template no-such-file.jinja
forget USUAL -o /dev/null/x
forget USUAL -p beta=0.1 -p beta=0.2 -p nobody=1
forget USUAL -p beta=2024-13-45
forget -f FORGET
forget USUAL -c FORGET
forget USUAL --push-to-hub no-slash
forget USUAL --max-steps 1 --epochs nan
forget USUAL --lora-r 0
forget USUAL --lora-from 1
forget USUAL --lora-from 0.5 --full
forget USUAL --lora-from 0.5 --method uld
evaluate RUN --fail-if 'forget.nobody > 1'
evaluate RUN --metrics nobody
evaluate RUN --junit /dev/null/x.xml
evaluate RUN --baseline RUN
evaluate RUN -m MODEL
evaluate RUN --base BASELINE
evaluate RUN --benchmark tofu:forget99
evaluate -m MODEL -o out
evaluate FORGET
evaluate -m FORGET -f FORGET -o out
compare
compare RUN FORGET
compare RUN nowhere
compare RUN --html /dev/null/x.html
compare RUN --sort forget.nobody
compare RUN --group-by nobody
compare RUN --csv /dev/null/x.csv
relearn-attack RUN --attack nobody
relearn-attack RUN -p steps=many
relearn-attack RUN -p steps=-1
relearn-attack RUN -p steps=0+0+
relearn-attack RUN --share 1
relearn-attack RUN --seeds -1
relearn-attack RUN --learning-rates nan
relearn-attack RUN --baseline RUN
relearn-attack FORGET
sweep USUAL -o s --grid nobody=1
sweep USUAL -o s --grid seed=-1
sweep USUAL -o s --grid seed
sweep USUAL -o s --grid learning_rate=nan
sweep USUAL -o s --seeds 0,0
sweep USUAL -o s --methods npo,NPO
sweep USUAL -o s --jobs 99
sweep USUAL -o FORGET
merge RUN -o RUN
merge RUN -o FORGET
merge RUN
merge nowhere -o m
chat RUN --prompt 'Who?' --max-new-tokens 0
chat nowhere
push RUN a/b/c
push RUN
push nowhere org/name
clean nowhere
clean FORGET
demo --keep FORGET
report show nowhere
report shw
env extra
"""
DEEP_LINES = [
    ["forget", "USUAL", "--stop-when", "(" * 5000 + "1" + ")" * 5000],
    ["forget", "USUAL", "-p", "beta=" + "[" * 5000],
    ["forget", "USUAL", "--columns", "question=" + "[" * DEEP],
]


@pytest.mark.parametrize(
    "line", [*map(shlex.split, LINES.split("\n")[1:-1]), *DEEP_LINES], ids=lambda line: " ".join(line)[:60]
)
def test_a_line(line: list[str], files: Files) -> None:
    places = {name.upper(): [str(path)] for name, path in files.items()} | {"MODEL": [MODEL], "BASELINE": [BASELINE]}
    places["USUAL"] = ["-m", MODEL, "-f", str(files["forget"]), "-r", str(files["retain"]), "--dry-run"]
    words = [word for part in line for word in places.get(part, [part])]
    before = state(files["run"].parent)
    assert refused(*words) is None
    assert state(files["run"].parent) == before


@pytest.mark.parametrize(
    "line",
    [["forget", "--seed", "nan"], ["compare", "nowhere"], ["evaluate", "-c", "nowhere.yaml"], ["report", "show", "x"]],
)
def test_the_process_ends_with_the_same_code(line: list[str]) -> None:
    done = server(COMMAND_LINE).run(*line)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
    assert "error: " in done.stderr and "hint: " in done.stderr
