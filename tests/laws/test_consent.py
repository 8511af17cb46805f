"""Only this user's own flag lets code run or data leave the machine: no file, no report and no variable does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.cli.running import MODEL, QUICK, data_arguments, read_report, unlearn
from unlearn_cli import config
from unlearn_cli.config import ModelOptions, Options, consent, default_of, resolve, restored, without_consents
from unlearn_cli.config.option import CONSENTS
from unlearn_cli.errors import UnlearnError

COMMANDS = [kind for name in config.__all__ if isinstance(kind := getattr(config, name), type) and issubclass(kind, Options)]
VALUES = {  # by rule: one that asks and one that does not
    "set": {bool: (True, False), int: (3, 0), str: ("org/name", None)},
    "files": ("./mine.py", "npo"),
    "kernels": ("org/kernels", "eager"),
    "trackers": ("wandb", "tensorboard"),
    "launchers": ("submitit", "none"),
    "commands": ({"slurm_setup": "source /stranger"}, {"slurm_partition": "gpu-1", "timeout_min": 60}),
    "grid": ({"trust_remote_code": [True]}, {"lora_r": [4]}),
}
# Names that sound like a consent and are none, with what they are.
HARMLESS = {
    "allow_overlap": "rows in both splits",
    "allow_different": "a table of runs that were measured differently, marked",
    "samples": "how many answers are sampled",
    "sample_temperature": "of sampled answers",
    "sample_top_p": "of sampled answers",
    "bootstrap_samples": "resamples of rows",
    "retain_eval": "rows that judge what is kept",
    "share": "of rows that an attacker has",
}
SOUNDS_LIKE_ONE = re.compile(
    "trust|pickle|allow|public|push|hub|upload|sampl|share|report_to|remote|code|unsafe|run_|attn|tasks|eval$"
)


def declared():
    for model in COMMANDS:
        for name, field in model.model_fields.items():
            if rule := (field.json_schema_extra or {}).get("consent"):
                yield model, name, field, rule


def values_of(model, name, field, rule):
    asks, quiet = VALUES[rule] if rule != "set" else next(
        pair for kind, pair in VALUES["set"].items() if kind is field.annotation or kind is str
    )  # fmt: skip
    pairs = "dict" in str(field.annotation) and rule == "files"
    return ({"base": asks}, {"base": quiet}) if pairs else (asks, quiet)


CASES = [pytest.param(*one, id=f"{one[0].__name__}-{one[1]}") for one in declared()]


def test_every_rule_is_known_and_tried():
    assert {rule for _, _, _, rule in declared()} == {*CONSENTS, "grid"} == set(VALUES)


@pytest.mark.parametrize("model", COMMANDS, ids=lambda model: model.__name__)
def test_names_that_sound_like_a_consent_are_marked(model):
    for name, field in model.model_fields.items():
        if SOUNDS_LIKE_ONE.search(name) and name not in HARMLESS:
            assert "consent" in (field.json_schema_extra or {}), f"{name}: is it a consent, or does HARMLESS say what it is?"


@pytest.mark.parametrize(("model", "name", "field", "rule"), CASES)
@pytest.mark.parametrize("source", ["yaml", "report", "environment"])
def test_a_consent_is_taken_from_nothing_but_a_flag(model, name, field, rule, source, tmp_path, monkeypatch):
    asks, quiet = values_of(model, name, field, rule)
    assert not consent(model, name, default_of(field))
    runtime = bool((field.json_schema_extra or {}).get("runtime"))

    def resolved(value, **flags):
        file = None
        if source == "yaml":
            file = tmp_path / "config.yaml"
            file.write_text(yaml.safe_dump({name: value}))
        elif source == "report":
            file = tmp_path / "report.json"
            file.write_text(json.dumps({"schema_version": "1.0", "config": {name: value}}))
        elif value is None:
            monkeypatch.delenv(f"UNLEARN_{name.upper()}")
        else:
            text = value if not isinstance(value, dict) else ",".join(f"{key}={v}" for key, v in plain(value).items())
            monkeypatch.setenv(f"UNLEARN_{name.upper()}", str(text))
        return resolve(model, flags, file)[0]

    if source == "report" and runtime:
        assert not consent(model, name, getattr(resolved(asks), name)), "a report says what was done, not where it goes"
        return
    with pytest.raises(UnlearnError, match="lets code run or data leave") as refused:
        resolved(asks)
    assert "only a flag of your own" in refused.value.hint and "-" in refused.value.hint.split("add ")[1]
    assert consent(model, name, getattr(resolved(asks, **{name: asks}), name)), "the user's own flag"
    assert not consent(model, name, getattr(resolved(quiet), name))


def plain(value):
    return {key: v[0] if isinstance(v, list) else v for key, v in value.items()}


def test_what_is_read_from_a_report_grants_nothing():
    for model, name, field, rule in declared():
        asks, _ = values_of(model, name, field, rule)
        assert name not in without_consents(model, {name: asks})
    settings = {"model": "m", "trust_remote_code": True, "allow_pickle": True, "attn_implementation": "org/kernels"}
    assert restored(ModelOptions, settings) == ModelOptions(model="m")
    granted = config.ChatConfig(trust_remote_code=True)
    assert restored(ModelOptions, settings, granted=granted) == ModelOptions(model="m", trust_remote_code=True)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """A run whose report says that code was trusted, on a base that brings code along; and what that code would write."""
    folder = tmp_path_factory.mktemp("strangers")
    base, marker = folder / "base", folder / "code-ran"
    shutil.copytree(MODEL, base)
    _, _, *data = data_arguments(folder)
    result = unlearn("forget", "--model", base, *data, *QUICK, "--max-steps", 1, "-o", folder / "run")
    assert result.exit_code in (0, 4), result.stderr
    config_file = base / "config.json"
    settings = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(settings | {"auto_map": {"AutoConfig": "brought.BroughtConfig"}}))
    (base / "brought.py").write_text(
        f"from pathlib import Path\nfrom transformers import {settings['model_type'].capitalize()}Config as Known\n"
        f"Path({str(marker)!r}).write_text('')\nclass BroughtConfig(Known):\n    pass\n"
    )
    report = read_report(folder / "run")
    report["config"] |= {"trust_remote_code": True, "allow_pickle": True}
    (folder / "run" / "report.json").write_text(json.dumps(report))
    return folder / "run", marker


@pytest.mark.parametrize(
    "line",
    [
        ("evaluate", "RUN", "--generate-limit", 1, "--max-new-tokens", 2),
        ("chat", "RUN", "--prompt", "Who?", "--max-new-tokens", 2),
        ("merge", "RUN", "--rows", 1, "-o", "OUT"),
        ("relearn-attack", "RUN", "--eval-limit", 1, "--generate-limit", -1, "-p", "steps=0"),
    ],
    ids=lambda line: line[0],
)
def test_a_strangers_run_runs_no_code(strangers, line, tmp_path, monkeypatch):
    run, marker = strangers
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path / "cache"))
    words = [{"RUN": run, "OUT": tmp_path / "merged"}.get(word, word) for word in line]
    done = unlearn(*words)
    assert done.exit_code == 0 and not Path(marker).exists(), done.stderr


def test_with_the_users_flag_it_does(strangers, tmp_path, monkeypatch):
    """So the law above would see code that runs."""
    run, marker = strangers
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    done = unlearn("chat", run, "--prompt", "Who?", "--max-new-tokens", 2, "--trust-remote-code")
    assert Path(marker).exists(), done.stderr
