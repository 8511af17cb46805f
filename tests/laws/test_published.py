"""What every method owes its paper: the published setting is declared, true, said and can be run."""

from __future__ import annotations

import pytest

from tests.cli.running import data_arguments, unlearn
from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import METHODS
from unlearn_cli.recipes.catalogue.entries import describe
from unlearn_cli.recipes.catalogue.published import PROJECT_WIDE, differing, flags

ALL = [METHODS.get(name) for name in METHODS.names()]
SET = [entry for entry in ALL if entry.published]


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_a_method_declares_the_published_setting_or_says_why_there_is_none(entry) -> None:
    assert entry.paper
    assert entry.published is not None, f"{entry.name}: published={{...}} in its decorator; empty if the paper gives none"
    assert entry.published or entry.because


@pytest.mark.parametrize("entry", SET, ids=lambda entry: entry.name)
def test_its_names_are_parameters_and_settings_with_values_that_they_take(entry) -> None:
    settings = {name: value for name, value in entry.published.items() if name not in entry.parameters}
    assert settings.keys() <= ForgetConfig.model_fields.keys()
    ForgetConfig(**settings)
    entry.resolve({name: value for name, value in entry.published.items() if name in entry.parameters})


@pytest.mark.parametrize("entry", SET, ids=lambda entry: entry.name)
def test_a_default_that_differs_has_its_reason(entry) -> None:
    """And no reason is given where nothing differs."""
    assert bool(entry.because) == bool(differing(entry).keys() - PROJECT_WIDE.keys())


@pytest.mark.parametrize("entry", SET, ids=lambda entry: entry.name)
def test_show_says_both(entry) -> None:
    lines = describe(entry).splitlines()
    (published,) = [line for line in lines if line.startswith("published: ")]
    assert published.endswith(f"({' '.join(flags(entry))})")
    assert any(line.startswith("here: ") for line in lines)


@pytest.mark.parametrize("entry", SET, ids=lambda entry: entry.name)
def test_the_flags_are_read_as_the_published_values(entry) -> None:
    words, parameters, settings = iter(flags(entry)), {}, {}
    for word in words:
        if word == "--full":
            settings["full"] = True
        elif word == "-p":
            name, _, text = next(words).partition("=")
            parameters[name] = text
        elif word == "--retain-parameter":
            name, _, text = next(words).partition("=")
            settings.setdefault("retain_parameters", {})[name] = text
        else:
            settings[word.removeprefix("--").replace("-", "_")] = next(words)
    read = entry.resolve(parameters) | {name: getattr(ForgetConfig(**settings), name) for name in settings}
    given = {name: value for name, value in entry.published.items() if name in entry.parameters}
    run_settings = {name: value for name, value in entry.published.items() if name not in entry.parameters}
    assert read == entry.resolve(given) | run_settings


@pytest.mark.parametrize("entry", SET, ids=lambda entry: entry.name)
def test_the_published_setting_can_be_run(entry, tmp_path) -> None:
    """The words that `unlearn show` prints, given to the command."""
    run_settings = unlearn(
        "forget",
        *data_arguments(tmp_path),
        "--method",
        entry.name,
        *flags(entry),
        "--dry-run",
        "--output-dir",
        tmp_path / "r",
    )
    assert run_settings.exit_code == 0, run_settings.stderr
