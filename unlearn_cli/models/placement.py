"""A base that is spread over several devices, by Accelerate: its blocks run where they lie, and what does not fit waits on
the CPU or the disk and is copied to a device for each pass.

A model on one device passes through here unchanged.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from unlearn_cli import launched
from unlearn_cli.config import ModelOptions
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import main_memory
from unlearn_cli.models.depth import causal_lm

CPU_SHARE = 0.9  # of the CPU's free memory for weights, if the user does not say how much
WAITING = ("cpu", "disk")  # where weights wait that do not fit on the devices which compute


def check(options: ModelOptions, device: torch.device) -> None:
    """Refuse a placement that this machine or this run cannot have.

    Raises:
        UnlearnError: one device was asked for, several processes share the run, or a device of --max-memory is not here.
    """
    if launched.divided() and (options.load_in_4bit or options.load_in_8bit):
        raise UnlearnError(
            "FSDP does not divide quantized weights", "leave out --load-in-4bit; or --device-map auto without a launcher"
        )
    if options.device_map == "none":
        return
    if ":" in options.device:
        raise UnlearnError(f"--device {options.device} is one device, and --device-map auto uses several", "leave one out")
    if launched.count() > 1:
        raise UnlearnError(
            "--device-map auto spreads one process over the GPUs, and a launcher started several processes",
            "start it without torchrun or accelerate launch",
        )
    known = {"cpu", *map(str, range(torch.cuda.device_count() if device.type == "cuda" else 0))}
    known |= {"mps"} & {device.type}
    if unknown := sorted(set(options.max_memory) - known):
        raise UnlearnError(
            f"--max-memory {unknown[0]}={options.max_memory[unknown[0]]}: no such device",
            f"here: {', '.join(sorted(known))}",
        )


@contextmanager
def loading(options: ModelOptions, device: torch.device) -> Iterator[dict[str, Any]]:
    """A context for `from_pretrained`; yields its arguments that place the weights.

    Raises:
        UnlearnError: as `check`.
    """
    check(options, device)
    if options.device_map == "none":
        yield {"device_map": {"": device}}
        return
    limits: dict[int | str, int | str] = {int(n) if n.isdigit() else n: size for n, size in options.max_memory.items()}
    if not limits and device.type == "cpu":
        limits = {"cpu": int(CPU_SHARE * main_memory.free())}
    # Safetensors are read where they are; the folder gets only what transformers has to convert.
    folder = tempfile.mkdtemp(prefix="unlearn-")
    try:
        yield {"device_map": "auto", "max_memory": limits or None, "offload_folder": folder}
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def keep_with(model: Any, arguments: Mapping[str, Any]) -> None:
    """Delete the offload folder, if there is one, when the model is gone."""
    if folder := arguments.get("offload_folder"):
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)


def first_device(model: Any, otherwise: torch.device) -> torch.device:
    """The device that a spread model's inputs belong on; `otherwise` if it is not spread."""
    places = getattr(model, "hf_device_map", None)
    if not places:
        return otherwise
    computing = (place for place in places.values() if str(place) not in WAITING)
    return _device(next(computing, "cpu"))


def spread(model: Any, device: torch.device) -> dict[str, int]:
    """Number of weights on each device: "cuda:0", "cuda:1", "cpu", "disk"."""
    places, counts = getattr(model, "hf_device_map", None) or {"": device}, dict[str, int]()
    for name, parameter in model.named_parameters():
        place = next(places[part] for part in _prefixes(name) if part in places)
        key = place if place in WAITING else str(_device(place))
        counts[key] = counts.get(key, 0) + parameter.numel()
    return counts


def in_words(placement: Mapping[str, int]) -> str:
    """The placement in one line, for people."""
    total = sum(placement.values())
    return "the base lies on " + ", ".join(f"{place} ({count / total:.0%})" for place, count in placement.items())


def _prefixes(name: str) -> Iterator[str]:
    """The name, then the names of the modules around it, ending with the whole model's, ""."""
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""


def _device(place: Any) -> torch.device:
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)


@contextmanager
def adapting(model: Any) -> Iterator[None]:
    """A context in which PEFT adds adapters to a spread model, each on the device where its layer is computed.

    PEFT puts an adapter beside the layer's weight, which would be nowhere while the weight waits on the disk; a stand-in
    without memory says where. And it would place the whole model anew if it saw Accelerate's map.
    """
    causal = causal_lm(model)
    places = causal.__dict__.pop("hf_device_map", None)
    waiting = [
        (module, name, parameter)
        for module in causal.modules()
        for name, parameter in module._parameters.items()
        if parameter is not None and parameter.is_meta and hasattr(module, "_hf_hook")
    ]
    for module, name, parameter in waiting:
        empty = torch.empty((), dtype=parameter.dtype, device=module._hf_hook.execution_device).expand(parameter.shape)
        module._parameters[name] = torch.nn.Parameter(empty, requires_grad=False)
    try:
        yield
    finally:
        for module, name, parameter in waiting:
            module._parameters[name] = parameter
        if places is not None:
            causal.hf_device_map = places
