"""Load a checkpoint on one device, and find out how it can be run (see `models/layout.py`)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unlearn_cli.models import quick_import  # noqa: F401 - before peft

# isort: split
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer, BitsAndBytesConfig, GenerationConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from unlearn_cli import launched
from unlearn_cli.config import ModelOptions
from unlearn_cli.data.hub_errors import hub_error
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import placement, shards
from unlearn_cli.models.adapter_notes import adapter_notes
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.compose import REST, Composition, compose
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.device import resolve_device, resolve_dtype
from unlearn_cli.models.forward import Layout
from unlearn_cli.models.layout import choose_layout
from unlearn_cli.models.memory import skeleton
from unlearn_cli.models.source import ModelSource, resolve_source
from unlearn_cli.models.weights import QUANTIZED_HINT, QUANTIZED_WAITS, check_plausible, read, read_weights
from unlearn_cli.registry import unknown

ADAPTER = "default"  # the adapter that is trained and saved
REFERENCE_ADAPTER = "reference"  # a frozen copy of the adapter that the model was loaded with


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model, its tokenizer and how it is run.

    Only `replace_model` changes a record: when an adapter is added or removed, and when base and assistant are composed.
    """

    model: Any
    tokenizer: Any
    layout: Layout
    source: ModelSource
    device: torch.device
    dtype: torch.dtype
    quantization: str | None  # "nf4", "int8", or the checkpoint's own
    stop_ids: frozenset[int]
    notes: tuple[str, ...] = ()  # what a careful user would want to know about it
    placement: Mapping[str, int] = field(default_factory=dict)  # weights on each device, if they are spread over several

    @property
    def offloaded(self) -> bool:
        """Whether some weights wait on the CPU or the disk for each pass."""
        return "disk" in self.placement or ("cpu" in self.placement and len(self.placement) > 1)

    @property
    def config(self) -> Any:
        """The transformers config of the language model."""
        return causal_lm(self.model).config.get_text_config()

    def replace_model(self, model: Any, layout: Layout | None = None) -> None:
        """Put another wrapper around the same weights. Every holder of this record sees the change."""
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "layout", layout or self.layout)


def quantization_of(options: ModelOptions, config: Any) -> str | None:
    """How the loaded weights will be quantized: as the options say, else as the checkpoint was saved."""
    return "nf4" if options.load_in_4bit else "int8" if options.load_in_8bit else saved_quantization(config)


def _quantization(options: ModelOptions, device: torch.device, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    if not (options.load_in_4bit or options.load_in_8bit):
        return None
    try:
        import bitsandbytes  # noqa: F401, PLC0415 - absent where it has no wheels
    except ImportError:
        raise UnlearnError(
            "--load-in-4bit and --load-in-8bit need bitsandbytes, which is not installed", "pip install bitsandbytes"
        ) from None
    if options.load_in_8bit:
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype
    if device.type == "cuda":
        compute = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def _keep_autograd_on_cpu(model: Any) -> None:
    """Stop bitsandbytes from repacking 4-bit weights for AVX512-BF16 in the first forward without gradient.

    After repacking, training goes through an operation without autograd, and LoRA gradients are wrong without an error.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _without_dropout(model: Any) -> None:
    """Set every dropout rate of the base model to 0, also rates in attributes of modules (GPT-2 and other old models).

    The reference is computed without dropout. A policy with dropout would differ from it before the first step.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def load_config(source: ModelSource, options: ModelOptions) -> Any:
    """The transformers config of a model, without its weights."""
    config = read(AutoConfig.from_pretrained, source, trust_remote_code=options.trust_remote_code)
    saved = saved_quantization(config)
    if saved and (options.load_in_4bit or options.load_in_8bit):
        raise UnlearnError(
            f"{source.location} is saved quantized already ({saved})", "leave out --load-in-4bit and --load-in-8bit"
        )
    check_plausible(source, config)
    return config


def saved_quantization(config: Any) -> str | None:
    """How a checkpoint's files are quantized: "nf4", "fp4", "int8" or another method's name; None for plain weights."""
    saved = getattr(config, "quantization_config", None)
    if saved is None:
        return None
    settings = saved if isinstance(saved, dict) else saved.to_dict()
    if settings.get("quant_method") == "bitsandbytes":
        return "int8" if settings.get("load_in_8bit") else str(settings.get("bnb_4bit_quant_type", "fp4"))
    return str(getattr(settings.get("quant_method"), "value", settings.get("quant_method")))


def load_tokenizer(source: ModelSource, options: ModelOptions) -> tuple[Any, frozenset[int]]:
    """The tokenizer, and the ids of the tokens that end an answer. A tokenizer in the adapter's folder comes first.

    Raises:
        UnlearnError: the tokenizer cannot be read, or no token ends an answer.
    """
    adapter = source.adapter
    where = adapter if adapter and (Path(adapter.location) / "tokenizer_config.json").is_file() else source
    tokenizer = read(AutoTokenizer.from_pretrained, where, trust_remote_code=options.trust_remote_code)
    stops = {tokenizer.eos_token_id}
    try:
        declared = GenerationConfig.from_pretrained(source.location, revision=source.revision or "main").eos_token_id
        stops |= set(declared if isinstance(declared, list) else [declared])
    except OSError:
        pass  # a checkpoint need not have a generation config
    stops.discard(None)
    if not stops:
        raise UnlearnError(
            f"the tokenizer of {where.location} has no end-of-sequence token", "set `eos_token` in its tokenizer_config.json"
        )
    return tokenizer, frozenset(stops)


def load_outline(options: ModelOptions) -> LoadedModel:
    """A model to be trained, without its weights: modules on the meta device, tokenizer, device, precision.

    Raises:
        UnlearnError: what `load_model` refuses before it reads weights.
    """
    source, device = resolve_source(options.model, options.revision, options.base), resolve_device(options.device)
    config = load_config(source, options)
    dtype = resolve_dtype(options.dtype, config, device)
    placement.check(options, device)
    tokenizer, stops = load_tokenizer(source, options)
    _quantization(options, device, dtype)
    _check_attention(options.attn_implementation)
    _check_trainable(options, source)
    model = skeleton(config, trust_remote_code=options.trust_remote_code)
    layout = Layout(packed=True, attention="sdpa", own_head=False)
    return LoadedModel(model, tokenizer, layout, source, device, dtype, quantization_of(options, config), stops)


def _check_attention(name: str) -> None:
    """Refuse an attention implementation that transformers does not have. A name with a slash is a kernel repository."""
    known = {"eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()}
    if "/" not in name and name not in known:
        raise unknown("attention implementation", name, known)


def _check_trainable(options: ModelOptions, source: ModelSource) -> None:
    if source.composition is not None:
        raise UnlearnError(
            f"{options.model} is a {source.composition['applied'].replace('_', ' ')}, not a model that can be trained",
            "start from its base model",
        )


def load_model(options: ModelOptions, *, trainable: bool = False) -> LoadedModel:
    """Load `options.model` on one device.

    Args:
        options: which model, and how to load it.
        trainable: the model will be trained. If it is loaded with an adapter, the adapter is trainable, and a frozen copy
            of it is the reference.

    Raises:
        UnlearnError: the model or the device cannot be used; the hint says what to do.
    """
    source = resolve_source(options.model, options.revision, options.base)
    if trainable:
        _check_trainable(options, source)
    device = resolve_device(options.device)
    config = load_config(source, options)
    dtype = resolve_dtype(options.dtype, config, device)
    tokenizer, stops = load_tokenizer(source, options)
    quantization = _quantization(options, device, dtype)
    arguments: dict[str, Any] = {
        "dtype": dtype,
        # SDPA is not passed on by name: an architecture without it (Gemma 2) can still be packed.
        "attn_implementation": None if options.attn_implementation == "sdpa" else options.attn_implementation,
        "trust_remote_code": options.trust_remote_code,
        "use_safetensors": None if options.allow_pickle else True,
    }
    if quantization is not None:
        arguments["quantization_config"] = quantization
    with placement.loading(options, torch.device("cpu") if launched.divided() else device) as where:
        model = read_weights(source, **arguments, **where)
    placement.keep_with(model, where)
    if launched.divided():
        shards.divide(model, device)
    places = placement.spread(model, device) if options.device_map != "none" else {}
    device = placement.first_device(model, device)
    _keep_autograd_on_cpu(model)
    model.requires_grad_(False)
    _without_dropout(model)
    layout = choose_layout(model, device, pack=options.attn_implementation == "sdpa")
    if source.adapter is not None:
        model = _with_adapter(model, source.adapter, trainable=trainable)
    model.eval()
    kind = quantization_of(options, config)
    notes = (*layout.notes, *adapter_notes(model, source.adapter, (dtype, kind)))
    if places:
        notes += (placement.in_words(places),)
    loaded = LoadedModel(model, tokenizer, layout, source, device, dtype, kind, stops, notes, places)
    if kind and loaded.offloaded:
        raise UnlearnError(QUANTIZED_WAITS.format(source.location), QUANTIZED_HINT)
    if source.composition is not None and source.adapter is not None:
        path = Path(source.adapter.location) / REST
        rest = load_file(path)["rest"] if path.is_file() else None
        compose(loaded, Composition.read(source.composition, rest))
    return loaded


def _with_adapter(model: Any, adapter: ModelSource, *, trainable: bool) -> PeftModel:
    """The base model with the adapter of its source.

    Raises:
        UnlearnError: the adapter belongs to another model, some of its weights are missing, or it trains biases, so that
            switching it off does not restore the reference.
    """
    arguments: dict[str, Any] = {"revision": adapter.revision} if adapter.revision else {}
    subject, hint = f"the adapter {adapter.location}", "it must be of this very base: --base names another one"
    with (
        boundary(subject, hint),
        hub_error(adapter.location, "model"),
        placement.adapting(model),
        warnings.catch_warnings(record=True) as raised,
    ):
        warnings.simplefilter("always")
        adapted = PeftModel.from_pretrained(model, adapter.location, ADAPTER, is_trainable=trainable, **arguments)
    for warning in raised:
        if "missing adapter keys" in str(warning.message):
            raise UnlearnError(f"{subject} lacks weights: {str(warning.message).splitlines()[0]}", hint)
    if not trainable:
        return adapted
    if (bias := getattr(adapted.peft_config[ADAPTER], "bias", "none")) != "none":
        raise UnlearnError(
            f"{subject} trains biases (bias={bias}), which cannot be switched off for the reference",
            "merge it into its base with PEFT's merge_and_unload(), and start from that",
        )
    with boundary(subject, hint), hub_error(adapter.location, "model"), placement.adapting(model):
        adapted.load_adapter(adapter.location, REFERENCE_ADAPTER, is_trainable=False, **arguments)
        adapted.set_adapter(ADAPTER)
    for module in adapted.modules():
        dropout = getattr(module, "lora_dropout", None)
        if dropout is not None and REFERENCE_ADAPTER in dropout:
            dropout[REFERENCE_ADAPTER] = torch.nn.Identity()  # the reference never trains
    return adapted
