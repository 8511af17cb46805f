"""`--baseline` of `unlearn forget`: the probability of the forget rows under a model that was trained without them."""

from __future__ import annotations

from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.errors import UnlearnError
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import load_model, load_tokenizer
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.forgetting.resume import identified
from unlearn_cli.recipes.scoring.measurements import measure_inputs


def measure_baseline(run: ResolvedRun) -> Measured | None:
    """The forget rows under the model of `--baseline`, without generated answers; None without the option.

    It is measured before the run's own model is loaded, so that only one model is in memory.

    Raises:
        UnlearnError: the baseline is the model itself, or its tokenizer or chat template gives other tokens.
    """
    baseline = run.config.baseline
    if not baseline:
        return None
    dtype = str(run.outline.dtype).removeprefix("torch.")
    update = {"model": baseline, "revision": None, "base": None, "dtype": dtype, "generate_limit": -1, "samples": 0}
    config = run.config.model_copy(update=update)
    model_config, key = identified(config)
    if key == run.model_key:
        raise UnlearnError("--baseline is the model itself", "give a model that was trained without the forget rows")
    tokenizer, stops = load_tokenizer(resolve_source(baseline), config)
    limit = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    if make_encoder(config, tokenizer, stops, limit).sha256 != run.encoder.sha256:
        hint = "its tokenizer or chat template is another one: --chat-template none, or a file for both"
        raise UnlearnError("the baseline does not tokenize the forget rows as the model does", hint)
    inputs = {"forget": run.inputs["forget"]}
    with run.clock.phase("measure baseline"):
        run.reporter.say(f"loading {baseline}")
        return measure_inputs(load_model(config), inputs, config, "baseline", run.reporter)["forget"]
