"""Make a language model forget chosen rows, and prove what that did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from unlearn_cli.attack_report import AttackReport
    from unlearn_cli.report import RunReport

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "evaluate", "forget", "load", "relearn_attack"]


def load(run_or_model: str, **options: Any) -> Any:
    """A model ready for use: a run folder of `unlearn forget` on its base, an adapter on its base, or a plain model.

    The result has transformers' usual `forward` and `generate`, also where it is composed of two passes (uld, offset, whp),
    and its tokenizer as `.tokenizer`.

    Args:
        run_or_model: a run folder, a model folder, or a Hub id.
        options: settings of how it is loaded: device, dtype, load_in_4bit, ... as on the command line.

    Raises:
        UnlearnError: it cannot be loaded; the hint says what to do.
    """
    from unlearn_cli.recipes.load import load as load_now  # noqa: PLC0415 - the package itself imports nothing heavy

    return load_now(run_or_model, **options)


def forget(*, quiet: bool = True, **settings: Any) -> RunReport:
    """Forget rows and write a run folder, as `unlearn forget` does.

    Args:
        quiet: show nothing but errors.
        settings: the options of the command by name: model, forget, retain, method, output_dir, parameters={"beta": 0.1}

    Returns:
        the report, which is in the run folder as well.

    Raises:
        UnlearnError: anything that the command would have said; for a run that diverged, collapsed or changed nothing the
            report is written all the same.
    """
    from unlearn_cli.recipes.api import forget as now  # noqa: PLC0415 - the package itself imports nothing heavy

    return now(quiet=quiet, **settings)


def evaluate(run: str | Path | None = None, *, quiet: bool = True, **settings: Any) -> RunReport:
    """Measure a run, or any `model=`, as `unlearn evaluate` does. Failed gates are in the report.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli.recipes.api import evaluate as now  # noqa: PLC0415

    return now(run, quiet=quiet, **settings)


def relearn_attack(run: str | Path, *, quiet: bool = True, **settings: Any) -> dict[str, AttackReport]:
    """Attack a run, as `unlearn relearn-attack` does; a report for each attack, by name.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli.recipes.api import relearn_attack as now  # noqa: PLC0415

    return now(run, quiet=quiet, **settings)


def compare(*runs: str | Path, quiet: bool = True, **settings: Any) -> dict[str, Any]:
    """Compare runs, as `unlearn compare --json` does.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli.recipes.compare import from_python  # noqa: PLC0415

    return from_python(runs, quiet=quiet, **settings)
