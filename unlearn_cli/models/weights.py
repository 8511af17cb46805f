"""Read a checkpoint, and refuse missing or non-finite weights; round a matrix as bitsandbytes does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from unlearn_cli.data.hub_errors import hub_error
from unlearn_cli.errors import EXIT_FAILED, UnlearnError
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.source import ModelSource

SHOWN = 4  # names of tensors in a message
WEIGHTS_A_BYTE = 16  # twice as many as a file with one bit for each weight holds
BLOCK = 64  # weights that share a scale in nf4 and fp4
QUANTIZED_WAITS = "{} is quantized and does not fit on the devices that compute; no part of it can wait elsewhere"
QUANTIZED_HINT = "more GPUs, or more --max-memory on each; without --load-in-4bit the rest waits on the disk"
POINTER = b"version https://git-lfs"
# Parts of a checkpoint for images and sound, which a text model of the same family leaves out.
_OTHER_SENSES = re.compile(r"(^|\.)(vision|visual|audio|image|multi_modal|mm_|embed_vision|embed_audio)")


def read(load: Callable[..., Any], source: ModelSource, **arguments: Any) -> Any:
    """Call one of transformers' loaders. Its exceptions become an error with the next step.

    Raises:
        UnlearnError: the files are missing or broken, or need a package that is not installed.
    """
    with boundary(source.location), hub_error(source.location, "model"):
        try:
            return load(source.location, revision=source.revision, **arguments)
        except (ValueError, KeyError, OSError) as error:
            text = str(error)
            if "trust_remote_code" in text:
                raise UnlearnError(
                    f"{source.location} brings its own code, which is not run unless you trust it", "--trust-remote-code"
                ) from None
            if "dispatched on the CPU or the disk" in text:
                raise UnlearnError(QUANTIZED_WAITS.format(source.location), QUANTIZED_HINT) from None
            if "safetensors" in text and source.local and any(Path(source.location).glob("*.bin")):
                raise UnlearnError(
                    f"{source.location}: {text.splitlines()[0]}",
                    "--allow-pickle loads .bin files: only if you trust where they come from",
                ) from None
            raise


def read_weights(source: ModelSource, **arguments: Any) -> Any:
    """The model of a checkpoint, with every weight from its files.

    Args:
        source: a checkpoint.
        arguments: of `from_pretrained`.

    Raises:
        UnlearnError: weights are missing, left over, of another shape or not finite, with their names; or they cannot
            be read, or do not fit the device.
    """

    def load(location: str, **arguments: Any) -> Any:
        one = arguments.get("device_map") != "auto"
        try:
            return AutoModelForCausalLM.from_pretrained(location, **arguments)
        except torch.OutOfMemoryError:
            raise UnlearnError(
                f"{location} does not fit on {arguments['device_map'][''] if one else 'the devices of --device-map auto'}",
                "--load-in-4bit needs a quarter of the memory" if one else "--max-memory leaves more room on each",
                EXIT_FAILED,
            ) from None

    _check_pointers(source)
    # Shapes that do not fit are refused below, by name.
    model, info = read(load, source, **arguments, output_loading_info=True, ignore_mismatched_sizes=True)
    _check_complete(source, model, info)
    _check_finite(source, model)
    return model


def check_plausible(source: ModelSource, config: Any) -> None:
    """Refuse sizes that need far more weights than the files can hold: missing ones are made, and a small config asks for
    more memory than there is.

    Raises:
        UnlearnError: names the sizes.
    """
    if not source.local:
        return
    files = [path for pattern in ("*.safetensors", "*.bin") for path in Path(source.location).glob(pattern)]
    stored = sum(path.stat().st_size for path in files)
    text = config.get_text_config()
    layers, hidden, inner, vocabulary = (
        size if isinstance(size := getattr(text, name, 0), int) and size > 0 else 0
        for name in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
    )
    needed = layers * hidden * (hidden + inner) + vocabulary * hidden  # fewer than any such model has
    if files and (needed > WEIGHTS_A_BYTE * stored + 2**20 or layers > stored):
        raise UnlearnError(
            f"{source.location}: config.json asks for {layers:,} layers, {hidden:,} numbers wide, {vocabulary:,} tokens, "
            f"and the weight files hold {stored:,} bytes",
            "config.json and weights of one model are expected: copy or download them again",
        )


def _check_pointers(source: ModelSource) -> None:
    """Refuse Git LFS pointers, which a clone without Git LFS leaves in place of the weights."""
    for path in sorted(Path(source.location).glob("*.safetensors")) if source.local else ():
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise UnlearnError(
                    f"{path} is a Git LFS pointer, not weights", f"git -C {source.location} lfs pull fetches the weights"
                )


def _check_complete(source: ModelSource, model: Any, info: dict[str, Any]) -> None:
    """Transformers fills weights that are missing with random numbers, and goes on."""
    left_over = set(info["unexpected_keys"])
    if model.config.get_text_config() is not model.config or hasattr(model.config, "vision_config"):
        left_over = {name for name in left_over if not _OTHER_SENSES.search(name)}
    shapes = {
        f"{name} ({list(saved)} in the file, {list(wanted)} in the model)" for name, saved, wanted in info["mismatched_keys"]
    }
    for names, why in (
        (info["missing_keys"], "weights of the model are not in its files"),
        (left_over, "weights in its files are not the model's"),
        (shapes, "weights have another shape than the model's"),
    ):
        if names:
            raise UnlearnError(
                f"{source.location}: {len(names)} {why}: {_listed(names)}",
                f"config.json says {type(model).__name__}: weights of that very model are expected",
            )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


@torch.no_grad()
def _check_finite(source: ModelSource, model: Any) -> None:
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and weight.dtype.itemsize > 1 and weight.numel() and weight.device.type != "meta":
            low, high = torch.aminmax(weight)
            if not (low.isfinite() and high.isfinite()):
                raise UnlearnError(
                    f"{source.location}: {name} holds numbers that are not finite (NaN or infinity)",
                    "save or download it again"
                    if weight.dtype != torch.float16
                    else "--dtype float32, if it was saved wider",
                )


def formats_known() -> bool:
    """Whether bitsandbytes is installed."""
    return find_spec("bitsandbytes") is not None


def read_back(weight: Tensor, kind: str) -> Tensor:
    """A matrix [out, in] as a model computes with it once it is stored: nf4 or fp4 in blocks of 64, or int8 by rows."""
    if kind == "int8":
        scale = weight.float().abs().amax(1, keepdim=True).clamp_min(1e-30) / 127
        return ((weight.float() / scale).round() * scale).to(weight.dtype)
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit  # noqa: PLC0415 - absent where it has no wheels

    packed, state = quantize_4bit(weight.contiguous(), blocksize=BLOCK, quant_type=kind)
    return dequantize_4bit(packed, state).to(weight.dtype)
