"""Decoder blocks by relative depth: read or replace the residual stream after a block, or cut off the blocks behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.errors import UnlearnError

_OUTPUT_PROJECTIONS = ("down_proj", "c_proj", "fc2", "fc_out", "dense_4h_to_h", "w2", "wo", "linear_2")


def causal_lm(model: Any) -> Any:
    """The transformers model inside a PeftModel, with the adapter's layers in place."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _place(model: Any) -> tuple[torch.nn.Module, str]:
    """The module that contains the list of blocks, and the list's attribute name in that module."""
    backbone = causal_lm(model).base_model
    lists = [
        (len(child), parent, name)
        for parent in backbone.modules()
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.ModuleList)
    ]
    if not lists:
        raise UnlearnError(
            f"{type(causal_lm(model)).__name__} has no list of decoder blocks", "use a method that reads no hidden states"
        )
    # Lists of experts and of vision blocks may be longer than the list of decoder blocks.
    config = getattr(causal_lm(model), "config", None)
    count = config.get_text_config().num_hidden_layers if config is not None else None
    _, parent, name = max(lists, key=lambda item: (item[0] == count, item[0]))
    return parent, name


def blocks(model: Any) -> torch.nn.ModuleList:
    """The decoder blocks, first to last: the list as long as the config says, else the longest list in the backbone.

    Raises:
        UnlearnError: the backbone has no list of modules.
    """
    parent, name = _place(model)
    return getattr(parent, name)


def depth_index(depth: float, count: int) -> int:
    """The number of the block (1 is the first) at a relative depth in a model of `count` blocks.

    Raises:
        UnlearnError: `depth` is not between 0 and 1.
    """
    if not 0 <= depth <= 1:
        raise UnlearnError(
            f"a layer is given by its relative depth from 0 to 1, not {depth:g}", "0.25 is a quarter of the way"
        )
    return min(count, max(1, round(depth * count)))


def blocks_below(depth: float, count: int) -> int:
    """The number of blocks below a relative depth, of `count`; the last block is never among them."""
    return min(round(depth * count), count - 1)


def lower_blocks(model: Any, depth: float) -> str | None:
    """A pattern of the names of modules in the blocks below a relative depth; None if there is no such block."""
    if not depth:
        return None
    causal, members = causal_lm(model), blocks(model)
    numbers = map(str, range(blocks_below(depth, len(members))))
    prefix = next(name for name, module in causal.named_modules() if module is members)
    return rf"{re.escape(prefix)}\.(?:{choice})\..*" if (choice := "|".join(numbers)) else None


@contextmanager
def shallow(model: Any, count: int) -> Iterator[None]:
    """A context in which the model has only its first `count` blocks, followed by its final norm and head."""
    parent, name = _place(model)
    whole = getattr(parent, name)
    setattr(parent, name, torch.nn.ModuleList(list(whole)[:count]))
    try:
        yield
    finally:
        setattr(parent, name, whole)


@contextmanager
def tapped(model: Any, layers: Sequence[int], *, stop: bool, mlp: bool = False) -> Iterator[list[Tensor]]:
    """A context in which forward passes write the residual stream [B, L, H] after each of `layers` into the yielded list.

    Args:
        model: a causal language model, with or without an adapter.
        layers: numbers of blocks, 1 is the first. The yielded list has their order.
        stop: do not run the blocks behind the deepest of `layers`.
        mlp: write the outputs of the blocks' MLPs instead of the residual stream.
    """
    read: dict[int, Tensor] = {}
    states: list[Tensor] = []

    def reader(number: int) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            read[number] = _stream(output)
            if len(read) == len(set(layers)):
                states[:] = [read[n] for n in layers]

        return hook

    with ExitStack() as stack:
        if stop:
            stack.enter_context(shallow(model, max(layers)))
        members = blocks(model)
        for number in set(layers):
            module = _mlp(model, number) if mlp else members[number - 1]
            handle = module.register_forward_hook(reader(number))
            stack.callback(handle.remove)
        yield states


@contextmanager
def replaced(model: Any, layer: int, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """A context in which `function` is applied to the residual stream [B, L, H] after block `layer`."""

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        changed = function(_stream(output))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = blocks(model)[layer - 1].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _stream(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def down_projection(model: Any, layer: int) -> str:
    """Dotted name, within the causal language model, of the down projection (last layer) in the MLP of block `layer`.

    Raises:
        UnlearnError: the block has no linear layer with a known name.
    """
    causal = causal_lm(model)
    block = blocks(model)[layer - 1]
    prefix = next(name for name, module in causal.named_modules() if module is block)
    names = [name for name, _ in block.named_modules() if "attn" not in name and "attention" not in name]
    projections = [name for name in names if name.split(".")[-1] in _OUTPUT_PROJECTIONS]
    if not projections:
        raise UnlearnError(
            f"{type(causal).__name__} has no MLP output projection with a known name",
            f"known names: {', '.join(_OUTPUT_PROJECTIONS)}",
        )
    return f"{prefix}.{projections[-1]}"


def _mlp(model: Any, layer: int) -> torch.nn.Module:
    """The MLP of block `layer`: the child of the block that is or contains the down projection."""
    causal, block = causal_lm(model), blocks(model)[layer - 1]
    prefix = next(name for name, module in causal.named_modules() if module is block)
    inside = down_projection(model, layer).removeprefix(f"{prefix}.")
    return block.get_submodule(inside.partition(".")[0])


def linears(model: Any, count: int) -> list[str]:
    """Dotted names, within the causal language model, of the linear layers in its first `count` blocks."""
    causal = causal_lm(model)
    inside = {id(module) for block in list(blocks(model))[:count] for module in block.modules()}
    return [
        name
        for name, module in causal.named_modules()
        if id(module) in inside and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
    ]


def mlp_matrices(model: Any) -> dict[str, torch.nn.Parameter]:
    """The matrices of the blocks' MLPs by name, without what an adapter adds."""
    inside = {id(p) for block in blocks(model) for p in block.parameters()}
    return {
        name: p
        for name, p in causal_lm(model).named_parameters()
        if id(p) in inside and p.dim() == 2 and not any(part in name for part in ("attn", "attention", "lora_"))
    }


def cut(model: Any, count: int) -> None:
    """Leave the model only its first `count` blocks, followed by its final norm and head."""
    parent, name = _place(model)
    setattr(parent, name, getattr(parent, name)[:count])
