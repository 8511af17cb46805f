"""Files of a stranger: one clear error with a hint and exit code 2, or they are read; no traceback, no hang, no bomb."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel

from tests.cli.comparing import attack_report, write_run
from tests.cli.running import MODEL, unlearn
from tests.hostile import strategies as hostile
from tests.models.saved import TOKENIZER, llama, save
from unlearn_cli.attack_report import read_attack, write_attack
from unlearn_cli.config import ForgetConfig, ModelOptions, resolve
from unlearn_cli.contract import METRICS
from unlearn_cli.data import written
from unlearn_cli.data.chat_template import render, resolve_template
from unlearn_cli.data.example import Example
from unlearn_cli.data.load import load_split
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.store import load_measured, save_measured
from unlearn_cli.expressions.parser import parse
from unlearn_cli.jsonfile import read_kept
from unlearn_cli.limits import bounded
from unlearn_cli.lineage import Step
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import load_config, load_model, load_tokenizer
from unlearn_cli.models.source import ModelSource, resolve_source
from unlearn_cli.recipes.attacking.cached_baseline import baselines
from unlearn_cli.recipes.forgetting import about, resume
from unlearn_cli.recipes.forgetting.alternatives import StoredAlternatives
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.recipes.sweeping.manifest import Manifest

SECONDS, GIB = 10.0, 2**30
ALONE: Any = {"deadline": None, "database": None}  # of Hypothesis: nothing is kept between runs
QUICK, LONG = 30, 850  # inputs of each kind: in the ordinary run, and with -m slow
# Suffixes of the inputs.
MADE = {".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".yaml", ".jinja", ".safetensors", ".md", ".html", ""}
ATTACKS = ["relearn", "sample"]  # one whose probability counts, and one whose answers do
tried: dict[str, int] = {}


@pytest.fixture(autouse=True)
def less_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates that never end are stopped sooner than in earnest, so that more of them are tried."""
    monkeypatch.setattr("unlearn_cli.data.chat_template.bounded", partial(bounded, seconds=0.5))


class Kind(NamedTuple):
    """A kind of file: what is generated, what reads it after it was put into a folder, and one with nothing wrong in it."""

    inputs: st.SearchStrategy[Any]
    read: Callable[[Path, Any], None]
    whole: Any
    cost: int = 1  # so many times slower than the others: so many times fewer inputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, an adapter on it, a run without a model, and measurements."""
    place = tmp_path_factory.mktemp("hostile")
    save(llama(), place / "model")
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], base_model_name_or_path=str(place / "model"))
    PeftModel(llama(), config).save_pretrained(place / "adapter")
    (place / "run" / "lineage").mkdir(parents=True)
    write_run(place / "run", {"forget.probability": [0.1, 0.2], "retain.probability": [0.9, 0.8]})
    whole = json.loads((place / "run" / "report.json").read_text())
    whole["target"] = {
        "level": 0.1, "row_level": 0.3, "source": "given", "keep": 0.95, "forget_reached": True, "retain_reached": True,
        "retain_share": 0.97, "rows_above": 0, "rows": 2, "worst": {},
    }  # fmt: skip
    whole["attacks"] = {"relearn": {"verdict": "relearn: 30%", "recovery": 0.3, "upper_bound": False}}
    (place / "run" / "report.json").write_text(json.dumps(whole))
    for name in ATTACKS:
        write_attack(attack_report(name), place / "run" / "attacks" / name)
    measured = Measured(
        split="forget", ids=("0",), prompts=("Who?",), references=("Mira",), generations=("Mira",),
        token_logps=np.zeros(2, np.float32), is_argmax=np.ones(2, bool), mu=np.zeros(2, np.float32),
        sigma=np.ones(2, np.float32), offsets=np.array([0, 2]), ends=np.array([True]), rows_in_split=1,
    )  # fmt: skip
    save_measured(measured, place / "run" / "measured", "after-forget", "key")
    return place


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def read_data(folder: Path, given: tuple[str, bytes]) -> None:
    load_split("forget", str(write(folder / f"rows{given[0]}", given[1])))


def read_config(folder: Path, data: bytes) -> None:
    resolve(ForgetConfig, {}, write(folder / "config.yaml", data))


def read_expression(folder: Path, text: str) -> None:
    parse(text, metrics=METRICS.names())


def through_the_command_line(*arguments: object) -> None:
    """A command's own answer: an error of ours is exit code 1, and asks for a report."""
    done = unlearn(*arguments)
    if done.exit_code == 2:
        raise UnlearnError(done.stderr, "see there" if "hint: " in done.stderr or "no model" in done.stderr else None)
    assert done.exit_code in (0, 3), done.stderr
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in done.stdout), repr(done.stdout)


def read_report(folder: Path, data: bytes) -> None:
    write(folder / "run" / "report.json", data)
    through_the_command_line("report", "show", folder / "run")
    through_the_command_line("compare", folder / "run")


def read_attack_report(folder: Path, given: tuple[str, bytes]) -> None:
    """Everything that reads it: the table, the comparison with its pictures, the record, the next attack on the run."""
    run = folder / "run"
    path = run / "attacks" / given[0] / "report.json"
    whole = path.read_bytes()
    write(path, given[1])
    try:
        through_the_command_line("report", "show", path)
        through_the_command_line("compare", run, "--html", folder / "page.html", "--fail-if", "relearn.recovery > 0.2")
        through_the_command_line("report", "record", run, "--html", folder / "record.html")
        baselines(read_attack(path))
    finally:
        write(path, whole)


def read_steps(folder: Path, data: bytes) -> None:
    looked = {"step": 1, "probe": {"forget": 0.5, "retain": 0.9, "worst": 0.7}, "decision": "lower the rate"}
    steps = [{"step": step, "loss": 1.0, "forget_loss": step, "learning_rate": 1 / step} for step in (1, 2)]
    whole = b"".join(hostile.as_json(line) + b"\n" for line in (*steps, looked))
    write(folder / "run" / "metrics.jsonl", whole + data)
    through_the_command_line("compare", folder / "run", "--html", folder / "page.html")


def read_rows(folder: Path, data: bytes) -> None:
    write(folder / "run" / "rows.jsonl", data)
    through_the_command_line("compare", folder / "run")


def read_measured(folder: Path, given: tuple[str, bytes]) -> None:
    write(folder / "run" / "measured" / f"after-forget.{given[0]}", given[1])
    load_measured(folder / "run" / "measured", "after-forget")


def read_adapter(folder: Path, data: bytes) -> None:
    write(folder / "adapter" / "adapter_config.json", data)
    load_model(ModelOptions(model=str(folder / "adapter"), device="cpu"))


def read_model_config(folder: Path, data: bytes) -> None:
    write(folder / "model" / "config.json", data)
    load_model(ModelOptions(model=str(folder / "model"), device="cpu"))


def read_weights(folder: Path, data: bytes) -> None:
    write(folder / "model" / "model.safetensors", data)
    load_model(ModelOptions(model=str(folder / "model"), device="cpu"))


SPEC = RunSpec({"method": "npo", "parameters": {"base": "x"}, "model": "m"}, "key", {"forget": "0" * 64}, {"base": "1" * 64})


def read_adapter_weights(folder: Path, data: bytes) -> None:
    write(folder / "adapter" / "adapter_model.safetensors", data)
    load_model(ModelOptions(model=str(folder / "adapter"), device="cpu"))


def read_lineage(folder: Path, data: bytes) -> None:
    write(folder / "run" / "lineage" / "0001-forget.json", data)
    through_the_command_line("verify", folder / "run")


def read_run_spec(folder: Path, data: bytes) -> None:
    """Of a run that was started: whether it is this one, as --resume asks."""
    run = folder / "started"
    run.mkdir(exist_ok=True)
    write(run / "plan.json", data)
    resume._check_same(RunFolder(run), SPEC)
    RunFolder(run).check(resume=True, overwrite=False)


def read_manifest(folder: Path, data: bytes) -> None:
    (folder / "sweep" / "a").mkdir(parents=True, exist_ok=True)
    write(folder / "sweep" / "a" / "report.json", b"{}")
    write(folder / "sweep" / "sweep.json", data)
    manifest = Manifest(folder / "sweep")
    manifest.trials()
    manifest.state("a", SPEC, overwrite=False)


ABOUT = {"key": "key", "splits": ["forget", "retain"]}
ANSWERS = {"key": "key", "answers": {"0" * 64: ["Sol", "Ann"], "1" * 64: []}}
WRITTEN = written.dumps("key", {name: [Example("like-0", (("user", "Who?"),), "Mira", "qa"),
                                       Example("like-1", (), "Mira wrote it.", "text")]
                                for name in ("retain", "retain_trained")})  # fmt: skip


def read_written(folder: Path, data: bytes) -> None:
    """Retain rows that the model wrote: by an evaluation, and by a run that goes on, which writes broken ones again."""
    path = write(folder / "run" / written.FILE, data)
    written.read_own(path, "key")
    for name, examples in written.read(path).items():
        written.as_split(name, examples)


def read_about_rows(folder: Path, data: bytes) -> None:
    """Rows that the model wrote of a name: the file is taken for the key and for the rows."""
    (folder / "rows").mkdir(exist_ok=True)
    path = folder / "rows" / about.KEY
    for name, content in (("forget", hostile.as_json(hostile.ROWS[0])), ("retain", data)):
        write(path.with_name(f"{name}.jsonl"), content)
    for key in (data, hostile.as_json(ABOUT)):
        about.stored_rows(write(path, key), "key", about.SPLITS)


def read_alternatives(folder: Path, data: bytes) -> None:
    read_kept(write(folder / "run" / "alternatives.json", data), StoredAlternatives)


def read_tokenizer(folder: Path, given: tuple[str, bytes]) -> None:
    write(folder / "model" / given[0], given[1])
    tokenizer, _ = load_tokenizer(ModelSource(str(folder / "model"), None), ModelOptions(model=str(folder / "model")))


def read_template(folder: Path, text: str) -> None:
    path = write(folder / "template.jinja", text.encode(errors="replace"))
    template = resolve_template(str(path), TOKENIZER)
    example = Example("0", (("user", "Who wrote it?"),), "Mira", "qa")
    for answer in (None, "Mira"):
        render(TOKENIZER, example, answer, "", chat_template=str(template), enable_thinking=False)


def read_about(folder: Path, data: bytes) -> None:
    """Of a composition: how base and assistant become one model."""
    run = folder / "run"
    if not (run / "assistant").exists():
        shutil.copytree(folder / "adapter", run / "assistant")
        (run / "report.json").unlink()
    write(run / "unlearn.json", data)
    load_model(ModelOptions(model=str(run), device="cpu"))


def kinds(folder: Path) -> dict[str, Kind]:
    """By name; whole files are read from a folder that nothing has spoilt yet."""
    tensors = ("model/model.safetensors", "adapter/adapter_model.safetensors", "run/measured/after-forget.safetensors")
    content = {name: (folder / name).read_bytes() for name in tensors}
    parsed = {
        name: json.loads((folder / name).read_text())
        for name in ("run/report.json", "adapter/adapter_config.json", "model/config.json", "model/tokenizer_config.json")
    }
    tokenizer = {
        "tokenizer.json": json.loads((folder / "model" / "tokenizer.json").read_text()),
        "tokenizer_config.json": parsed["model/tokenizer_config.json"],
    }
    small = tokenizer["tokenizer.json"] | {"model": tokenizer["tokenizer.json"]["model"] | {"vocab": {}, "merges": []}}
    line = {"split": "forget", "id": "0", "probability": 0.5}
    row = {"id": "0", "prompt": "Who?", "gold": "Mira", "generation": "Mira"}
    attacks = {name: json.loads((folder / "run" / "attacks" / name / "report.json").read_text()) for name in ATTACKS}
    step = {"step": 3, "loss": 1.0, "forget_loss": 0.5, "retain_loss": 0.5, "retain_weight": 2.0, "decision": "hold",
            "probe": {"forget": 0.5, "retain": 0.9, "worst": 0.7}}  # fmt: skip
    about = {"kind": "logit_offset", "base_model": str(folder / "model"), "revision": None, "quantization": None,
             "composition": {"applied": "logit_offset", "parameters": {"weight": 1.0}, "blocks": None}}  # fmt: skip
    places, trial = {"run": "."}, {"number": 0, "parameters": {"npo.beta": 0.1}, "pruned": None}
    statement = Step("forget", ["forget"], "2026", {"run/report.json": "0" * 64}, {"base/x": "1" * 64}, places).statement(
        None
    )
    measured = content["run/measured/after-forget.safetensors"]

    def of(value: Any, read: Callable[[Path, Any], None], cost: int = 2) -> Kind:
        """A JSON file that began as `value`."""
        return Kind(hostile.json_file(value), read, hostile.as_json(value), cost)

    def of_tensors(data: bytes, read: Callable[[Path, Any], None]) -> Kind:
        return Kind(hostile.tensors(data), read, data, 4)

    return {
        "data": Kind(hostile.data_files, read_data, (".jsonl", hostile.as_json(hostile.ROWS[0]))),
        "config": Kind(hostile.configs(list(ForgetConfig.model_fields)), read_config, b"method: npo"),
        "expression": Kind(hostile.expressions, read_expression, "forget.probability > 0.5"),
        "report": of(parsed["run/report.json"], read_report),
        "report of an attack": Kind(
            st.sampled_from(ATTACKS).flatmap(lambda name: st.tuples(st.just(name), hostile.json_file(attacks[name]))),
            read_attack_report, (ATTACKS[0], hostile.as_json(attacks[ATTACKS[0]])), 2
        ),
        "steps of a run": of(step, read_steps),
        "rows of a run": of(line, read_rows),
        "measurements": Kind(
            st.tuples(st.just("safetensors"), hostile.tensors(measured))
            | st.tuples(st.just("jsonl"), hostile.json_file(row)), read_measured, ("safetensors", measured)
        ),
        "adapter": of(parsed["adapter/adapter_config.json"], read_adapter, 4),
        "composition": of(about, read_about, 4),
        "model's config": of(parsed["model/config.json"], read_model_config, 4),
        "weights": of_tensors(content["model/model.safetensors"], read_weights),
        "adapter's weights": of_tensors(content["adapter/adapter_model.safetensors"], read_adapter_weights),
        "lineage": of(statement, read_lineage),
        "run spec": of(SPEC.to_json(steps=6), read_run_spec, 1),
        "written rows": of(json.loads(WRITTEN), read_written, 1),
        "rows about a name": of(ABOUT, read_about_rows, 1),
        "alternatives": of(ANSWERS, read_alternatives, 1),
        "manifest": of({"a": {"asked": SPEC.flat(), "trial": trial}}, read_manifest, 1),
        "tokenizer": Kind(
            st.tuples(st.just("tokenizer.json"), hostile.json_file(small))
            | st.tuples(st.just("tokenizer_config.json"), hostile.json_file(tokenizer["tokenizer_config.json"])),
            read_tokenizer, ("tokenizer.json", hostile.as_json(tokenizer["tokenizer.json"])), 2
        ),
        "template": Kind(hostile.templates, read_template, "{% for m in messages %}{{ m.content }}{% endfor %}"),
    }  # fmt: skip


NAMES = [
    "data", "config", "expression", "report", "report of an attack", "steps of a run", "rows of a run", "measurements",
    "adapter", "composition", "model's config",
    "weights", "adapter's weights", "lineage", "run spec", "manifest",
    "written rows", "rows about a name", "alternatives",
    "tokenizer", "template",
]  # fmt: skip


def listing(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


def attack(folder: Path, name: str, count: int, number: int) -> int:
    """Read so many inputs of a kind. Returns how many were read without an error."""
    kind, work = kinds(folder)[name], folder.parent / f"work-{name}-{number}"
    accepted = 0
    new_files = set()

    @seed(number)
    @settings(max_examples=count, phases=[Phase.generate], suppress_health_check=list(HealthCheck), **ALONE)
    @given(kind.inputs)
    def tried_once(given: Any) -> None:
        nonlocal accepted, new_files
        if not work.exists():
            shutil.copytree(folder, work)
        began, memory = time.monotonic(), psutil.Process().memory_info().rss
        tried[name] = tried.get(name, 0) + 1
        try:
            kind.read(work, given)
            accepted += 1
        except UnlearnError as error:
            assert error.exit_code == 2 and error.message, error.message
            assert error.hint, error.message
        assert time.monotonic() - began < SECONDS + 2, "a hang"
        assert psutil.Process().memory_info().rss - memory < 2 * GIB, "a memory bomb"
        new_files |= listing(work) - listing(folder)

    tried_once()
    assert {Path(name).suffix for name in new_files} <= MADE
    shutil.rmtree(work)
    return accepted


@pytest.mark.parametrize("name", NAMES)
def test_hostile(folder: Path, name: str) -> None:
    attack(folder, name, QUICK // kinds(folder)[name].cost, 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_has_nothing_wrong_in_it_is_read(folder: Path, tmp_path: Path, name: str) -> None:
    """So that what is refused above is refused for what is wrong with it."""
    kind = kinds(folder)[name]
    shutil.copytree(folder, tmp_path / "work")
    kind.read(tmp_path / "work", kind.whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_hostile_at_length(folder: Path, name: str) -> None:
    """Ten thousand and more in all; UNLEARN_HOSTILE_SEED chooses others."""
    number = int(os.environ.get("UNLEARN_HOSTILE_SEED", "2"))
    kind = kinds(folder)[name]
    wanted = 2 * LONG // kind.cost
    accepted = attack(folder, name, wanted, number)
    print(f"{name}: {tried[name]} tried, {accepted} read, {tried[name] - accepted} refused")


def answers_of_a_hub(count: int, number: int) -> int:
    command = [sys.executable, "-m", "tests.hostile.hub", str(count), str(number)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])["tried"]


def test_answers_of_a_hub() -> None:
    assert answers_of_a_hub(20, 1) >= 15


@pytest.mark.slow
def test_answers_of_a_hub_at_length() -> None:
    print(f"hub: {answers_of_a_hub(LONG, 2)} tried")


def test_nothing_that_is_read_runs_as_code(folder: Path, tmp_path: Path) -> None:
    """The names that strangers try, in a template, in YAML and in an expression; a file would show that one ran."""
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w')"
    for template in (
        "{{ cycler.__init__.__globals__.__builtins__." + code + " }}",
        "{{ lipsum.__globals__['__builtins__']['open'](" + repr(str(mark)) + ", 'w') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append.__self__.__class__ }}",
    ):
        with pytest.raises(UnlearnError):
            read_template(tmp_path, template)
    for data in (f"method: !!python/object/apply:builtins.open [{str(mark)!r}, w]", "method: !!python/name:os.system"):
        with pytest.raises(UnlearnError):
            read_config(tmp_path, data.encode())
    with pytest.raises(UnlearnError):
        parse(f"{code} > 0", metrics=METRICS.names())
    assert not mark.exists()


BOMBS = {
    "{{ 'a' * 10**11 }}": "GiB of memory",
    "{% set n = namespace(x='aaaa') %}{% for i in range(50) %}{% set n.x = n.x ~ n.x %}{% endfor %}": "it takes more than",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": "seconds",
}


@pytest.mark.parametrize("template", BOMBS)
def test_a_template_that_is_a_bomb(tmp_path: Path, template: str) -> None:
    with pytest.raises(UnlearnError, match=BOMBS[template]):
        read_template(tmp_path, template)


def test_a_page_of_yaml_that_stands_for_a_billion_values(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(10))}]" for n in range(1, 12)]
    began = time.monotonic()
    with pytest.raises(UnlearnError):
        read_config(tmp_path, "\n".join(lines).encode())
    with pytest.raises(UnlearnError):
        read_config(tmp_path, ("\n".join(lines) + "\nforget: *a11\n").replace("\na", "\nx-a").encode())
    assert time.monotonic() - began < SECONDS


def test_a_small_parquet_file_that_is_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearn_cli.data.readers.GIB", 2**26)
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array(["x" * 1000]).dictionary_encode()
    indices = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000_000, np.int32)), column.dictionary)
    pq.write_table(pa.table({"question": indices, "answer": indices}), tmp_path / "rows.parquet", compression="zstd")
    assert (tmp_path / "rows.parquet").stat().st_size < 1_000_000
    with pytest.raises(UnlearnError, match="memory"):
        load_split("forget", str(tmp_path / "rows.parquet"))


def test_a_config_that_asks_for_more_weights_than_there_are(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "model", tmp_path / "model")
    for name, value in (
        ("num_hidden_layers", 10**9),
        ("vocab_size", 10**9),
        ("hidden_size", 2**20),
        ("intermediate_size", 2**40),
    ):
        config = json.loads((folder / "model" / "config.json").read_text()) | {name: value}
        (tmp_path / "model" / "config.json").write_text(json.dumps(config))
        with pytest.raises(UnlearnError, match=r"config\.json asks for|is missing or unknown|of type"):
            load_config(resolve_source(str(tmp_path / "model")), ModelOptions(model=str(tmp_path / "model")))


def test_the_demos_model_is_still_read() -> None:
    """So that what is refused above is refused for what is wrong with it."""
    assert load_model(ModelOptions(model=MODEL, device="cpu")).model is not None
