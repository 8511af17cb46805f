"""The evaluation harness (lm-eval, an optional extra) on a model that is loaded already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.load import LoadedModel


def check_installed() -> None:
    """Refuse before time is spent.

    Raises:
        UnlearnError: the harness is not installed.
    """
    try:
        import lm_eval  # noqa: F401, PLC0415 - an optional extra
    except ImportError:
        raise UnlearnError("--lm-eval needs the evaluation harness", "pip install 'unlearn-cli[lm-eval]'") from None


def run_harness(
    loaded: LoadedModel, tasks: Sequence[str], limit: int | None, batch_size: int
) -> dict[str, dict[str, float]]:
    """Results by task and metric, as the harness names them (`acc,none`).

    Args:
        loaded: the model, with its adapter on or off as the caller left it.
        tasks: names of tasks or groups, or paths of YAML files that define them.
        limit: documents of each task; None: all.
        batch_size: rows of one pass.

    Raises:
        UnlearnError: not installed, an unknown task, or data that cannot be read.
    """
    check_installed()
    if loaded.offloaded:
        raise UnlearnError("--lm-eval needs all weights on the devices that compute", "leave --lm-eval out")
    from lm_eval import simple_evaluate  # noqa: PLC0415 - an optional extra
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_size)
    try:
        results = simple_evaluate(model=model, tasks=list(tasks), limit=limit, bootstrap_iters=0, log_samples=False)
    except Exception as error:
        raise UnlearnError(
            f"--lm-eval {','.join(tasks)}: {type(error).__name__}: {error}", "`lm-eval ls tasks` lists their names"
        ) from error
    finally:
        log.setLevel(level)
    return {task: _numbers(values) for task, values in results["results"].items()}


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(v) for name, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
