"""The residual stream by layer, on every architecture, against transformers' own hidden states."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM

from tests.models.tiny import ARCHITECTURES, STOP, load, make, rows_of
from unlearn_cli.config import LoraOptions
from unlearn_cli.data.batch import pack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import attach, enable_checkpointing, reference_weights, trainable_parameters
from unlearn_cli.models.depth import (
    blocks,
    causal_lm,
    depth_index,
    down_projection,
    linears,
    replaced,
    shallow,
    tapped,
)
from unlearn_cli.models.forward import HiddenStates, Layout, forward
from unlearn_cli.models.generate import greedy
from unlearn_cli.models.load import LoadedModel

# Of each way that blocks are called, normed and attended to one; the others with -m slow.
FAMILIES = {"llama-gqa", "gemma3", "gpt2", "gpt-neox"}
NAMES = [name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
BLOCKS = 4
LENGTHS, STARTS = (13, 3, 9, 2), (6, 1, 4, 1)
IDS = torch.from_numpy(rows_of((11,))[0].input_ids)[None]


@pytest.fixture(autouse=True)
def four_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks would tell the order of layers and the place to stop too little."""
    for name, config in list(ARCHITECTURES.items()):
        count = {"n_layer" if name == "gpt2" else "num_hidden_layers": BLOCKS}
        monkeypatch.setitem(ARCHITECTURES, name, partial(config, **count))


def hidden_states(model: Any, ids: Tensor = IDS) -> tuple[Tensor, ...]:
    """The stream before the first block and after each; transformers puts the last one through the final norm."""
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states


def final_norm(model: Any) -> Any:
    """The backbone's module of that kind which stands beside the blocks."""
    members = blocks(model)
    parent = next(m for m in causal_lm(model).modules() if any(child is members for child in m.children()))
    return next(m for n, m in parent.named_children() if n in ("norm", "ln_f", "final_layer_norm", "final_layernorm"))


def adapted(name: str) -> LoadedModel:
    """A model with a LoRA adapter that does something."""
    loaded = load(name)
    attach(loaded, LoraOptions(lora_r=2), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, parameter in trainable_parameters(loaded.model):
            if "lora_B" in key:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return loaded


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """Numbers of the blocks that run, in the order in which they do."""
    run: list[int] = []
    handles = [
        block.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, block in enumerate(blocks(model), 1)
    ]
    yield run
    for handle in handles:
        handle.remove()


class Pair(torch.nn.Module):
    """A block of the kind that returns its state in a tuple."""

    def forward(self, hidden: Tensor) -> tuple[Tensor, str]:
        return hidden + 1, "weights"


class Backbone(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([Pair(), Pair(), Pair()])

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden, note = layer(hidden)
            assert note == "weights"
        return hidden


def of_tuples() -> Any:
    return SimpleNamespace(base_model=Backbone())


# Blocks and depths


@pytest.mark.parametrize("name", NAMES)
def test_blocks(name: str) -> None:
    """The same modules with an adapter around the model as without."""
    loaded = load(name)
    plain = blocks(loaded.model)
    assert len(plain) == loaded.config.num_hidden_layers == BLOCKS
    attach(loaded, LoraOptions(lora_r=2), seed=0)
    assert blocks(loaded.model) is plain


def test_a_model_without_blocks_is_named() -> None:
    with pytest.raises(UnlearnError, match="no list of decoder blocks") as caught:
        blocks(SimpleNamespace(base_model=torch.nn.Linear(2, 2)))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("depth", "count", "block"),
    [
        (0, 12, 1),
        (0.01, 12, 1),
        (0.25, 12, 3),
        (0.3, 12, 4),
        (0.5, 12, 6),
        (0.6, 12, 7),
        (1, 12, 12),
        (0.4, 1, 1),
        (1, 1, 1),
    ],
)
def test_depth_index(depth: float, count: int, block: int) -> None:
    """round(0.3 * 12 = 3.6) = 4, round(0.6 * 12 = 7.2) = 7; never the embedding."""
    assert depth_index(depth, count) == block


@pytest.mark.parametrize("depth", [-0.1, 1.01, 7, float("nan")])
def test_depth_out_of_range(depth: float) -> None:
    with pytest.raises(UnlearnError, match="from 0 to 1") as caught:
        depth_index(depth, 12)
    assert caught.value.hint


# Reading


@pytest.mark.parametrize("name", NAMES)
def test_states_are_those_of_transformers(name: str) -> None:
    """In the order asked for; the last, put through the final norm, too."""
    model = make(name)
    expected = hidden_states(model)
    with torch.no_grad(), tapped(model, (3, BLOCKS, 1), stop=False) as states:
        model(input_ids=IDS, use_cache=False)
    assert states[0].equal(expected[3]) and states[2].equal(expected[1])
    torch.testing.assert_close(final_norm(model)(states[1]), expected[BLOCKS])
    assert not states[1].equal(expected[BLOCKS])


@pytest.mark.parametrize("name", NAMES)
def test_blocks_behind_the_deepest_are_not_run(name: str) -> None:
    model = make(name)
    expected = hidden_states(model)
    with counted(model) as run, torch.no_grad():
        with tapped(model, (3, 1), stop=True) as states:
            model.base_model(input_ids=IDS, use_cache=False)
        assert run == [1, 2, 3]
        with tapped(model, (3, 1), stop=False):
            model.base_model(input_ids=IDS, use_cache=False)
        assert run == [1, 2, 3, 1, 2, 3, 4]
    assert states[0].equal(expected[3]) and states[1].equal(expected[1])


def test_a_layer_may_be_asked_for_twice() -> None:
    model = make("llama")
    with torch.no_grad(), tapped(model, (2, 2), stop=True) as states:
        model.base_model(input_ids=IDS, use_cache=False)
    assert len(states) == 2 and states[0] is states[1]


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_left_as_it_was(name: str, stop: bool) -> None:
    """After an exception, too, and to the last bit."""
    loaded = adapted(name)
    model, members = loaded.model, blocks(loaded.model)
    with torch.no_grad():
        before = model(input_ids=IDS, use_cache=False).logits
        for error in (None, ZeroDivisionError):
            try:
                with tapped(model, (2,), stop=stop), replaced(model, 1, torch.zeros_like):
                    model(input_ids=IDS, use_cache=False)
                    raise error or ValueError
            except (ValueError, ZeroDivisionError):
                pass
            assert blocks(model) is members and len(members) == BLOCKS
            assert not any(block._forward_hooks or block._forward_pre_hooks for block in members)
            assert model(input_ids=IDS, use_cache=False).logits.equal(before)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_forward_gives_states_that_predict_the_answers(name: str, packed: bool) -> None:
    """By group and layer, packed and padded, equal to each row run by itself; head and states at once, too."""
    loaded = load(name)
    layout = loaded.layout if packed else Layout(False, loaded.layout.attention, own_head=True)
    rows, plain = rows_of(LENGTHS, starts=STARTS), make(name, "eager")
    batch = pack({"forget": rows[:3], "retain": rows[3:]})
    layers_of = {"forget": (3, 1), "retain": (2,)}
    with torch.no_grad():
        short = forward(loaded.model, batch, layout, states=HiddenStates(layers_of), head=False)
        full = forward(loaded.model, batch, layout, states=HiddenStates(layers_of))
        scored = forward(loaded.model, batch, layout)
    assert short["forget"].token_logps is None and short["forget"].mask.equal(full["forget"].mask)
    outputs = [("forget", i) for i in range(3)] + [("retain", 0)]
    for (group, at), row in zip(outputs, rows, strict=True):
        expected = hidden_states(plain, torch.from_numpy(row.input_ids)[None])
        for place, number in enumerate(layers_of[group]):
            state = short[group].hidden[place]
            alone = expected[number][0, row.answer_start - 1 : -1]
            scale = max(1.0, float(alone.abs().max()))
            torch.testing.assert_close(state[at, : row.answer_length], alone, rtol=1e-4, atol=1e-5 * scale)
            assert not state[at, row.answer_length :].any()
            torch.testing.assert_close(full[group].hidden[place], state)
    for group in layers_of:
        assert full[group].token_logps.equal(scored[group].token_logps)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox"])
def test_adapter_and_reference_have_states_of_their_own(name: str) -> None:
    loaded, base = adapted(name), hidden_states(make(name))
    with torch.no_grad(), tapped(loaded.model, (2,), stop=True) as states:
        causal_lm(loaded.model).base_model(input_ids=IDS, use_cache=False)
        (policy,) = states
        with reference_weights(loaded.model):
            causal_lm(loaded.model).base_model(input_ids=IDS, use_cache=False)
        (reference,) = states
    torch.testing.assert_close(reference, base[2])
    assert (policy - reference).abs().max() > 1e-3


def test_tuples() -> None:
    model = of_tuples()
    with tapped(model, (3, 1), stop=False) as states:
        model.base_model(torch.zeros(1, 2, 3))
    assert [float(state.mean()) for state in states] == [3.0, 1.0]
    with replaced(model, 2, lambda hidden: 10 * hidden), tapped(model, (1, 2, 3), stop=False) as states:
        assert float(model.base_model(torch.zeros(1, 2, 3)).mean()) == 21.0
    assert [float(state.mean()) for state in states] == [1.0, 20.0, 21.0]


# Gradients


def hooks_inside(model: Any) -> None:
    """Recompute a block's whole call, hooks and all, as releases of transformers before the one installed here may do."""
    for block in blocks(model):
        kind = type(block)

        def call(self: Any, *args: Any, _call: Any = kind.__call__, **kwargs: Any) -> Any:
            return checkpoint(partial(_call, self, **kwargs), *args, use_reentrant=False)

        block.__class__ = type(kind.__name__, (kind,), {"__call__": call})


def recomputing(loaded: LoadedModel, way: str) -> None:
    if way == "inside":
        hooks_inside(loaded.model)
    elif way == "outside":
        enable_checkpointing(loaded)
    loaded.model.train()


def state_gradients(name: str, way: str, *, stop: bool) -> tuple[list[Tensor], list[Tensor | None]]:
    """States and the adapter's gradients of a loss on them, the tap gone before the backward pass."""
    loaded = adapted(name)
    recomputing(loaded, way)
    batch = pack({"rows": rows_of(LENGTHS, starts=STARTS)})
    out = forward(loaded.model, batch, loaded.layout, states=HiddenStates({"rows": (3, 1)}), head=not stop)["rows"]
    weights = [p for _, p in trainable_parameters(loaded.model)]
    loss = sum(h.square().mean() for h in out.hidden)
    return list(out.hidden), list(torch.autograd.grad(loss, weights, allow_unused=True))


@cache
def without_checkpointing(name: str, *, stop: bool) -> tuple[list[Tensor], list[Tensor | None]]:
    return state_gradients(name, "none", stop=stop)


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("way", ["outside", "inside"])
@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_no_state_and_no_gradient(name: str, way: str, stop: bool) -> None:
    states, gradients = without_checkpointing(name, stop=stop)
    again, recomputed = state_gradients(name, way, stop=stop)
    assert any(g is not None and g.abs().max() > 1e-4 for g in gradients)
    for ours, plain in zip((*again, *recomputed), (*states, *gradients), strict=True):
        if plain is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5 * max(1.0, float(plain.abs().max())))


def test_blocks_behind_the_layer_get_no_gradient() -> None:
    loaded = adapted("llama")
    batch = pack({"rows": rows_of(LENGTHS, starts=STARTS)})
    out = forward(loaded.model, batch, loaded.layout, states=HiddenStates({"rows": (2,)}), head=False)["rows"]
    out.hidden[0].square().sum().backward()
    reached = {name.split(".layers.")[1][0] for name, p in trainable_parameters(loaded.model) if p.grad is not None}
    assert reached == {"0", "1"}


# Replacing


@pytest.mark.parametrize("name", NAMES)
def test_replaced_by_itself_is_no_change(name: str) -> None:
    model = make(name)
    with torch.no_grad():
        plain = model(input_ids=IDS, use_cache=False).logits
        with replaced(model, 2, lambda hidden: hidden):
            assert model(input_ids=IDS, use_cache=False).logits.equal(plain)
        with replaced(model, 2, lambda hidden: -hidden):
            assert not model(input_ids=IDS, use_cache=False).logits.equal(plain)


@pytest.mark.parametrize("name", NAMES)
def test_later_blocks_see_what_was_put_there(name: str) -> None:
    """The state of another row after block 2: from there on everything is the other row's."""
    model, other = make(name), IDS.flip(1)
    expected = hidden_states(model, other)
    with torch.no_grad(), replaced(model, 2, lambda hidden: expected[2]), tapped(model, (1, 2, 3), stop=False) as states:
        logits = model(input_ids=IDS, use_cache=False).logits
    assert not states[0].equal(expected[1])
    assert states[1].equal(expected[2])
    torch.testing.assert_close(states[2], expected[3])
    with torch.no_grad():
        torch.testing.assert_close(logits, model(input_ids=other, use_cache=False).logits)


@pytest.mark.parametrize("way", ["none", "outside", "inside"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_gradient_of_what_was_put_there(name: str, way: str) -> None:
    """h (1 + delta) at delta = 0, which keeps h for the backward pass: the same gradient, recomputed or not."""
    outcomes = []
    for how in ("none", way):
        loaded = adapted(name)
        recomputing(loaded, how)
        batch = pack({"rows": rows_of(LENGTHS, starts=STARTS)})
        delta = torch.zeros(loaded.config.hidden_size, requires_grad=True)
        weights = [p for _, p in trainable_parameters(loaded.model)]
        with replaced(loaded.model, 2, lambda hidden, d=delta: hidden * (1 + d)):
            loss = -forward(loaded.model, batch, loaded.layout)["rows"].mean_logps.mean()
            outcomes.append(torch.autograd.grad(loss, [delta, *weights]))
    assert outcomes[0][0].abs().max() > 1e-4
    for plain, ours in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5 * max(1.0, float(plain.abs().max())))


# Fewer blocks


def cut(name: str, count: int) -> Any:
    """A model that has only `count` blocks to begin with, of the same weights."""
    whole = make(name)
    setattr(whole.config, "n_layer" if name == "gpt2" else "num_hidden_layers", count)
    if getattr(whole.config, "layer_types", None):
        whole.config.layer_types = whole.config.layer_types[:count]
    model = AutoModelForCausalLM.from_config(whole.config, attn_implementation=whole.config._attn_implementation)
    missing, _ = model.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    return model.requires_grad_(False).eval()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shallow_is_a_model_of_so_many_blocks(name: str, count: int) -> None:
    model, small = make(name), cut(name, count)
    with torch.no_grad():
        whole, expected = (m(input_ids=IDS, use_cache=False).logits for m in (model, small))
        with shallow(model, count):
            assert len(blocks(model)) == count
            assert model(input_ids=IDS, use_cache=False).logits.equal(expected)
        assert model(input_ids=IDS, use_cache=False).logits.equal(whole)
    assert not whole.equal(expected)


@pytest.mark.parametrize("name", NAMES)
def test_shallow_generates_with_a_cache(name: str) -> None:
    """The cache has a place for every block of the whole model; the answers are the small model's."""
    loaded = load(name)
    small = LoadedModel(cut(name, 2), None, loaded.layout, None, torch.device("cpu"), torch.float32, None, frozenset({STOP}))
    prompts = [row.input_ids for row in rows_of((9, 2, 5, 1, 7), seed=3)]
    with shallow(loaded.model, 2):
        ours = greedy(loaded, prompts, 8)
    assert ours == greedy(small, prompts, 8)
    assert ours != greedy(loaded, prompts, 8)


def test_shallow_ends_after_an_exception() -> None:
    model = make("llama")
    members = blocks(model)
    with pytest.raises(ZeroDivisionError), shallow(model, 2):
        raise ZeroDivisionError
    assert blocks(model) is members and len(members) == BLOCKS


# Names

PROJECTIONS = {
    "phi": "model.layers.2.mlp.fc2",
    "gpt-neox": "gpt_neox.layers.2.mlp.dense_4h_to_h",
    "gpt2": "transformer.h.2.mlp.c_proj",
    "opt": "model.decoder.layers.2.fc2",
}


@pytest.mark.parametrize("name", NAMES)
def test_down_projection(name: str) -> None:
    """The name is the same with an adapter, and an adapter put there is on this module alone."""
    expected = PROJECTIONS.get(name, "model.layers.2.mlp.down_proj")
    loaded = load(name)
    name_in_model = down_projection(loaded.model, 3)
    assert name_in_model == expected
    attach(loaded, LoraOptions(lora_r=2), seed=0, modules=[name_in_model])
    trained = [n for n, _ in trainable_parameters(loaded.model)]
    assert len(trained) == 2 and all(f".{expected}.lora_" in n for n in trained)
    assert down_projection(loaded.model, 3) == expected
    assert down_projection(adapted(name).model, 3) == expected


@pytest.mark.parametrize("name", NAMES)
def test_down_projection_writes_to_the_stream(name: str) -> None:
    """With it at 0, the block's own attention is all it adds, so the stream differs after that block and not before."""
    model = make(name)
    before = hidden_states(model)
    with torch.no_grad():
        model.get_submodule(down_projection(model, 2)).weight.zero_()
    after = hidden_states(model)
    assert after[1].equal(before[1]) and not after[2].equal(before[2])


def test_the_projection_of_the_attention_is_not_the_mlp_s() -> None:
    """GPT-2 calls both c_proj; the order in which a block names its parts does not matter."""

    def block() -> torch.nn.Module:
        parts = {name: torch.nn.ModuleDict({"c_proj": torch.nn.Linear(2, 2)}) for name in ("mlp", "attn")}
        module = torch.nn.Module()
        for name, part in parts.items():
            module.add_module(name, part)
        return module

    backbone = torch.nn.Module()
    backbone.h = torch.nn.ModuleList([block(), block()])
    assert down_projection(_named(SimpleNamespace(base_model=backbone)), 2) == "model.h.1.mlp.c_proj"


def test_no_down_projection() -> None:
    with pytest.raises(UnlearnError, match="no MLP output projection") as caught:
        down_projection(_named(of_tuples()), 1)
    assert "down_proj" in caught.value.hint


def _named(model: Any) -> Any:
    model.named_modules = lambda: ((f"model.{n}", m) for n, m in model.base_model.named_modules())
    return model


@pytest.mark.parametrize("name", NAMES)
def test_linears(name: str) -> None:
    """All of those in the first blocks and no other; half as many as in twice the blocks."""
    model = make(name)
    two, four = linears(model, 2), linears(model, 4)
    assert len(two) * 2 == len(four) and four[: len(two)] == two
    assert down_projection(model, 2) in two and down_projection(model, 3) not in two
    assert all(model.get_submodule(n).weight.dim() == 2 for n in four)
