"""Make a language model forget chosen rows, and measure what that really did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unlearn_cli.quiet import quiet_libraries

if TYPE_CHECKING:
    from pathlib import Path

    from unlearn_cli.attack_report import AttackReport
    from unlearn_cli.config import AttackConfig, CompareConfig, EvaluateConfig, ForgetConfig, MergeConfig, SweepConfig
    from unlearn_cli.report import RunReport

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "evaluate", "forget", "load", "merge", "relearn_attack", "sweep"]


@quiet_libraries()
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
    from unlearn_cli.api import load as load_now  # noqa: PLC0415 - the package itself imports nothing heavy

    return load_now(run_or_model, **options)


@quiet_libraries()
def forget(settings: ForgetConfig | None = None, *, quiet: bool = True, **more: Any) -> RunReport:
    """Forget rows and write a run folder, as `unlearn forget` does.

    Args:
        settings: `unlearn_cli.config.ForgetConfig(...)`; or give its fields by name, which win over it.
        quiet: show nothing but errors.
        more: the options of the command by name: model, forget, retain, method, output_dir, parameters={"beta": 0.1}

    Returns:
        the report, which is in the run folder as well.

    Raises:
        UnlearnError: anything that the command would have said; for a run that diverged, collapsed or changed nothing the
            report is written all the same.
    """
    from unlearn_cli import api  # noqa: PLC0415 - the package itself imports nothing heavy

    return api.forget(settings, quiet=quiet, **more)


@quiet_libraries()
def evaluate(
    run: str | Path | None = None, settings: EvaluateConfig | None = None, *, quiet: bool = True, **more: Any
) -> RunReport:
    """Measure a run, or any `model=`, as `unlearn evaluate` does. Failed gates are in the report.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli import api  # noqa: PLC0415

    return api.evaluate(run, settings, quiet=quiet, **more)


@quiet_libraries()
def relearn_attack(
    run: str | Path, settings: AttackConfig | None = None, *, quiet: bool = True, **more: Any
) -> dict[str, AttackReport]:
    """Attack a run, as `unlearn relearn-attack` does; a report for each attack, by name.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli import api  # noqa: PLC0415

    return api.relearn_attack(run, settings, quiet=quiet, **more)


@quiet_libraries()
def compare(*runs: str | Path, settings: CompareConfig | None = None, quiet: bool = True, **more: Any) -> dict[str, Any]:
    """Compare runs, as `unlearn compare --json` does. Imports no torch.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli.recipes.compare import from_python  # noqa: PLC0415

    return from_python(runs, settings, quiet=quiet, **more)


@quiet_libraries()
def sweep(settings: SweepConfig | None = None, *, quiet: bool = True, **more: Any) -> dict[str, Any]:
    """Run many settings on one base and compare them, as `unlearn sweep --json` does.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli import api  # noqa: PLC0415

    return api.sweep(settings, quiet=quiet, **more)


@quiet_libraries()
def merge(run: str | Path, settings: MergeConfig | None = None, *, quiet: bool = True, **more: Any) -> Path:
    """Merge a run's adapter into its base, as `unlearn merge` does; the folder of the plain model.

    Raises:
        UnlearnError: anything that the command would have said.
    """
    from unlearn_cli import api  # noqa: PLC0415

    return api.merge(run, settings, quiet=quiet, **more)
