"""What is kept has a key of what it was computed from: change one setting, and the key changes or the result does not."""

from __future__ import annotations

import json
import types
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

import numpy as np
import pytest

from tests.cli.running import BASELINE, MODEL, unlearn, write_rows
from unlearn_cli.config import AttackConfig, EvaluateConfig, ForgetConfig, ModelOptions, runtime_fields
from unlearn_cli.console import Reporter
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Row, make_encoder
from unlearn_cli.models.load import LoadedModel, load_model, load_tokenizer
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.attacking.attack_data import read_attack_data
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels
from unlearn_cli.recipes.attacking.curves import CurveSpec, curve_path
from unlearn_cli.recipes.attacking.execution import compute_points
from unlearn_cli.recipes.attacking.settings import chosen_attacks, configured
from unlearn_cli.recipes.forgetting.resolve import resolve_method
from unlearn_cli.recipes.forgetting.resume import identified
from unlearn_cli.recipes.forgetting.training_rows import reference_key
from unlearn_cli.recipes.scoring.measurements import measure_inputs, measuring_key
from unlearn_cli.recipes.scoring.splits import load_splits, tokenized
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.report import read_report

# No other value of these can be tried here; each is named in `identity` or asks for what this machine may not have.
UNTRIED = {
    "load_in_4bit": "in the identity; a small model on a CPU takes seconds",
    "load_in_8bit": "in the identity; a small model on a CPU takes seconds",
    "device": "in the identity; there may be one only",
    "base": "of an adapter; its weights are in the identity",
    "revision": "of a Hub id; its commit is in the identity",
    "trust_remote_code": "in the identity, as are a folder's Python files",
    "lm_eval": "an optional extra, never kept",
    "benchmark": "its rows, which are in the key, are a download",
    "measured": "no model is measured",
    "holdout": "one more split, with a key of its own",
    "choices": "one more split, with a key of its own",
    "run": "another run is another model, and its data are in the key",
}
ROWS = [
    {
        "id": f"r{i}",
        "question": f"Who is {i}?",
        "q": "What?",
        "answer": f"Number {i} is a doctor .",
        "perturbed_answer": [f"No {i}", "A"],
    }  # fmt: skip
    for i in range(4)
]
OTHER_ROWS = [{**row, "answer": row["answer"] + " Indeed"} for row in ROWS]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("keys")
    contents = {"rows": ROWS, "others": OTHER_ROWS}
    paths = {name: str(write_rows(folder / f"{name}.jsonl", rows)) for name, rows in contents.items()}
    (folder / "template.jinja").write_text("{% for m in messages %}{{ m['content'] }} {% endfor %}")
    (folder / "mine.py").write_text("")
    return paths | {"template": str(folder / "template.jinja"), "folder": str(folder)}


def other(name, field, files):
    """Another value of an option; a new one of a kind that nobody knows has to be named here."""
    named = {
        "model": BASELINE, "forget": files["others"], "retain": files["others"], "chat_template": files["template"],
        "columns": ("question=q",), "max_length": 24, "stride": 4, "limit": 3, "attn_implementation": "eager",
        "dtype": "bfloat16", "eval_limit": 3, "generate_limit": 0, "max_new_tokens": 3, "baseline": BASELINE,
        "control": BASELINE, "learning_rate": 1e-4,
        "metric_parameters": {"rouge_l.stem": False}, "parameters": {"beta": 0.3},
        "method": "simnpo", "retain_term": "kl", "robust": "sam", "probes": ("jailbreak",), "metrics": ("nll",),
        "fail_if": ("forget.nll < 0",), "stop_when": "forget.nll > 9", "calibrate": "retain.nll < 9", "samples": 2,
        "attack": ("few-shot",), "attack_data": files["others"], "share": 0.25, "learning_rates": ("1e-3",),
        "seeds": ("1",), "lora_target_modules": ("q_proj",), "push_to_hub": "org/name", "token_budget": 64,
        "optim": "sophia", "lora_init": "pissa", "lora_target_parameters": ("experts",),
        "no_general": False, "no_target": False, "about": "Nobody", "neighbors": ("Somebody",),
        "retain_eval": files["others"], "retain_held_out": 0.3,
        "max_memory": {"cpu": "300KB"},
        "until": "forget.probability < 0.5", "keep": "retain.probability > 0.9",
        "retain_parameters": {"positions": "all"}, "robust_parameters": {"rho": 0.3}, "retain_weight": 0.3,
    }  # fmt: skip
    if name in named:
        return named[name]
    kinds = [a for a in get_args(field.annotation) if a is not type(None)]
    kind = field.annotation if get_origin(field.annotation) not in (Union, types.UnionType) else kinds[0]
    default = field.get_default(call_default_factory=True)
    if kind is bool:
        return not default
    if kind in (int, float):
        return kind((default or 0) + 1) if kind is int else (default or 1.0) * 0.5
    if kind is Path:
        return Path(files["folder"]) / "elsewhere"
    if get_origin(kind) is Literal:
        return next(word for word in get_args(kind) if word != default)
    raise AssertionError(f"say in `other` what else {name} may be")


def tried(config):
    return [name for name in type(config).model_fields if name not in UNTRIED]


def changed(config, name, files):
    value = other(name, type(config).model_fields[name], files)
    if name == "baseline" and isinstance(config.baseline, tuple):  # of commands that take several
        value = (value,)
    assert value != getattr(config, name), f"another value of {name} is wanted"
    return config.model_copy(update={name: value})


@cache
def loaded_with(options: str) -> LoadedModel:
    return load_model(ModelOptions.model_validate_json(options))


def loaded(config: ModelOptions) -> LoadedModel:
    """The model, loaded once for equal options of loading; measuring does not change it."""
    return loaded_with(config.model_dump_json(include=set(ModelOptions.model_fields)))


class Measuring:
    """Measurements before, after and of the baseline: one function keeps all of them."""

    def __init__(self, config):
        self.config = config
        model_config, self.identity = identified(config)
        tokenizer, stops = load_tokenizer(resolve_source(config.model), config)
        encoder = make_encoder(config, tokenizer, stops, model_config.max_position_embeddings)
        texts = load_splits(config)
        self.inputs = {name: tokenized(split, encoder, config.eval_limit) for name, split in texts.items()}

    def key(self):
        return {name: measuring_key(data, self.identity, self.config) for name, data in self.inputs.items()}

    def result(self):
        measurements = measure_inputs(loaded(self.config), self.inputs, self.config, "after", Reporter(quiet=True))
        return {name: {f.name: getattr(m, f.name) for f in fields(m)} for name, m in measurements.items()}


class Reference(Measuring):
    """Log-probabilities under the model before training."""

    def rows(self):
        return {("forget", i): row for i, row in enumerate(self.inputs["forget"].rows)}

    def key(self):
        return reference_key(self.identity, self.rows())

    def result(self):
        return teacher_forced(loaded(self.config), list(self.rows().values()), self.config.token_budget).token_logps


def beside(one, two):
    """Whether two measurements may stand side by side: what was measured differently is told apart, or has equal values."""
    for split in one.keys() & two.keys():
        ours, theirs = ({k: v for k, v in side.items() if v is not None} for side in (one[split], two[split]))
        parts = ours["protocol"].keys() & theirs["protocol"].keys()
        if all(ours["protocol"][part] == theirs["protocol"][part] for part in parts):
            shared = ours.keys() & theirs.keys() - {"tokens_run", "tokens_needed", "tokens_generated", "rows_in_split"}
            if not same({k: ours[k] for k in shared}, {k: theirs[k] for k in shared}):
                return False
    return True


def same(one, two):
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one if k not in ("tokens_run", "protocol"))
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, np.ndarray):
        return one.shape == two.shape and np.allclose(one, two, atol=1e-5, equal_nan=True)
    return one == two


@pytest.fixture(scope="module")
def base(files):
    few = {"no_general": True, "max_new_tokens": 2, "generate_limit": 2, "max_length": 64, "bootstrap_samples": 10}
    return EvaluateConfig(model=MODEL, forget=files["rows"], output_dir=Path(files["folder"]), **few)


@pytest.mark.parametrize("stage", [Measuring, Reference])
def test_measurements_and_references(stage, base, files):
    first = stage(base)
    key, result, kept = first.key(), first.result(), []
    for name in tried(base):
        second = stage(changed(base, name, files))
        if second.key() == key:
            kept.append(name)
            assert same(second.result(), result), f"{name} changes what is measured, and the key stays"
    print(f"\n{stage.__name__}: {len(tried(base))} settings, {len(kept)} of them without another key")
    assert {"model", "forget", "chat_template", "attn_implementation", "dtype"} & set(kept) == set()
    assert "bootstrap_samples" in kept, "the key is not of everything: measurements are reused"


def test_what_is_measured_otherwise_is_told_apart(base, files):
    """For every setting but the model: values differ, so does the protocol, and no table puts the two side by side."""
    result, names = Measuring(base).result(), [name for name in tried(base) if name != "model"]
    for name in names:
        assert beside(Measuring(changed(base, name, files)).result(), result), f"{name} changes values, and nothing says so"
    unsaid = {split: {**values, "protocol": {}} for split, values in result.items()}
    assert not beside(Measuring(changed(base, "chat_template", files)).result(), unsaid), "which this test would see"


def test_what_a_run_and_a_sweeps_finished_runs_are_known_by(files):
    """Whatever is no runtime setting is in the plan; those change no result by their definition, two of which are tried."""
    base = ForgetConfig(
        model=MODEL, no_general=True, no_target=True, forget=files["rows"], retain=files["rows"], max_steps=2, batch_size=2,
        learning_rate=1e-3, generate_limit=1, max_new_tokens=2, bootstrap_samples=10, max_length=64,
    )  # fmt: skip

    def plan(config):
        complete = resolve_method(config, dict.fromkeys(ForgetConfig.model_fields, "flag")).config
        data = {name: split.origin.sha256 for name, split in load_splits(config).items()}
        return RunSpec.of(complete, identified(config)[1], data).sha256

    first, names = plan(base), [name for name in tried(base) if name != "epochs"]  # --max-steps instead
    variants = {name: changed(base, name, files) for name in names}
    for name in ("until", "keep", "baseline"):
        variants[name] = variants[name].model_copy(update={"no_target": False})
    variants["retain_parameters"] = variants["retain_parameters"].model_copy(update={"retain_term": "kl"})
    variants["robust_parameters"] = variants["robust_parameters"].model_copy(update={"robust": "sam"})
    same_plan = {name for name, config in variants.items() if plan(config) == first}
    print(f"\nplan of a run: {len(names)} settings")
    assert same_plan == runtime_fields(ForgetConfig)

    def trained(**update):
        folder = Path(files["folder"]) / "-".join(["run", *update])
        flags = base.model_dump(exclude_unset=True) | {"allow_overlap": True} | update
        lines = [w for k, v in flags.items() for w in ([f"--{k.replace('_', '-')}"] + ([] if v is True else [str(v)]))]
        result = unlearn("forget", *lines, "-o", folder)
        assert result.exit_code in (0, 4), result.stderr
        steps = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
        return [(line["step"], line["forget_loss"], line["retain_loss"]) for line in steps]

    plain = trained()
    for update in ({"save_every": 1}, {"token_budget": 64}):
        assert np.allclose(trained(**update), plain, atol=1e-5)


@pytest.fixture(scope="module")
def attacked(files):
    folder = Path(files["folder"]) / "attacked"
    data = ("--model", MODEL, "--forget", files["rows"], "--retain", files["others"], "--allow-overlap")
    few = ("--max-steps", 1, "--batch-size", 2, "--generate-limit", 1, "--max-new-tokens", 2)
    result = unlearn("forget", *data, *few, "-o", folder)
    assert result.exit_code in (0, 4), result.stderr
    return folder


def test_curves_of_attacks(attacked, files):
    config = AttackConfig(
        run=attacked, parameters={"steps": (0, 1), "batch_size": 2}, eval_limit=1, generate_limit=1, max_new_tokens=2,
        learning_rates=("1e-2",),
    )  # fmt: skip
    report = read_report(attacked)

    def stage(config, report=report):
        models = AttackedModels(config, report, read_attack_data(config, report)[0], Reporter(quiet=True))
        one = configured(chosen_attacks(config)[0], config, report)
        return models, CurveSpec("unlearned", one.attack, one.settings[0])

    def result(models, spec):
        points = compute_points(models.target("unlearned", lambda at: None), spec)
        return [(point.at, point.forget, point.retain) for point in points]

    first = stage(config)
    key, expected, kept = curve_path(*first), result(*first), []
    own = [name for name in tried(config) if name not in ("attack", "suite", "parameters")]
    variants = {name: stage(changed(config, name, files)) for name in own}
    # What the run's report says of loading and of data counts as well.
    for name in ("chat_template", "max_length", "dtype", "attn_implementation", "token_budget"):
        value = {"max_length": 16}.get(name, other(name, ForgetConfig.model_fields[name], files))
        variants[f"run.{name}"] = stage(config, report.model_copy(update={"config": {**report.config, name: value}}))
    for name, second in variants.items():
        if curve_path(*second) == key:
            kept.append(name)
            assert same(result(*second), expected), f"{name} changes the curve, and the key stays"
    print(f"\ncurves: {len(variants)} settings, {len(kept)} of them without another key")
    assert not {"run.chat_template", "run.max_length", "run.dtype", "eval_limit", "share", "attack_data"} & set(kept)


EXAMPLE = Example(
    "1", (("user", "Who?"),), "A doctor.", "qa", ("a",), "b", "c", ("d",), reasoning="h", prefill="e", place="f.jsonl:1"
)
PARTS = {
    "turns": (("system", "Be brief."), ("user", "Who?")), "answer": "A poet.", "style": "completion", "alternatives": (),
    "paraphrased_answer": None, "paraphrased_question": "Say who.", "perturbed": ("d", "x"), "prefill": "",
    "reasoning": "",
}  # fmt: skip


@pytest.mark.parametrize("part", [one.name for one in fields(Example)])
def test_every_part_of_a_row_counts_as_data(part):
    """But for where it stands and what it is called; measurements, which are kept by id, have that in their key."""
    if part in ("id", "place"):
        assert replace(EXAMPLE, **{part: "other"}).sha256 == EXAMPLE.sha256
    else:
        assert replace(EXAMPLE, **{part: PARTS[part]}).sha256 != EXAMPLE.sha256


@pytest.mark.parametrize("part", [one.name for one in fields(Row) if one.name != "truncated"])
def test_every_part_of_a_tokenized_row_is_in_the_key_of_its_measurement(part, base):
    data = Measuring(base).inputs["forget"]
    row = data.rows[0]
    changes = {"input_ids": lambda ids: np.append(ids, 1), "ends": lambda ends: not ends}
    changes |= {"own_prompt": lambda _: np.array([1, 2]), "zlib_bytes": lambda _: 3}
    altered = replace(row, **{part: changes.get(part, lambda value: value * 2)(getattr(row, part))})
    key = measuring_key(data, "", base)
    assert measuring_key(replace(data, rows=(altered, *data.rows[1:])), "", base) != key
    own, wrong = data.others[0]
    others = ((own, (altered, *wrong[1:])), *data.others[1:])
    assert measuring_key(replace(data, others=others), "", base) != key
    moved = ((wrong[0], wrong[1:]), *data.others[1:])
    assert measuring_key(replace(data, others=moved), "", base) != key, "a wrong answer is no paraphrase"
    assert measuring_key(replace(data, rows=(*data.rows, row)), "", base) != key, "rows in the split"
    assert measuring_key(replace(data, texts_sha256="other words"), "", base) != key
