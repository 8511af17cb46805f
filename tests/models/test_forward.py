"""One pass over a batch, however it is run: the numbers that plain indexing takes from each row alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.models.tiny import load, make, rows_of
from unlearn_cli.data.batch import pack
from unlearn_cli.models import forward as forward_module
from unlearn_cli.models.depth import blocks
from unlearn_cli.models.forward import HiddenStates, Layout, forward, gather, logit_chunks
from unlearn_cli.models.packing import ROWS

ROWS_OF = rows_of((7, 3, 5, 4), starts=(4, 1, 2, 3))  # answers of 3, 2, 3 and 1 tokens
GROUPS = {"forget": slice(0, 3), "retain": slice(3, 4)}


def alone(model: Any, row: Any) -> dict[str, Any]:
    """What a row gives by itself: log-probabilities, logits, the stream after each block, what each MLP writes."""
    seen: dict[str, list[Any]] = {"stream": [], "mlp": []}
    hooks = []
    for block in blocks(model):
        hooks.append(block.register_forward_hook(lambda _m, _i, out: seen["stream"].append(out)))
        hooks.append(block.mlp.register_forward_hook(lambda _m, _i, out: seen["mlp"].append(out)))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(row.input_ids)[None]).logits[0]
    for hook in hooks:
        hook.remove()
    places = [at - 1 for at in range(row.answer_start, len(row.input_ids))]  # each token is predicted one place before it
    tokens = [int(row.input_ids[at + 1]) for at in places]
    logps = [logits[at].log_softmax(-1)[token] for at, token in zip(places, tokens, strict=True)]
    streams = [(one[0] if isinstance(one, tuple) else one)[0][places] for one in seen["stream"]]
    return {"logps": torch.stack(logps), "tokens": tokens, "logits": logits[places], "stream": streams,
            "mlp": [one[0][places] for one in seen["mlp"]]}  # fmt: skip


@pytest.mark.parametrize("own_head", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["llama", "gemma2"])  # gemma2 caps its logits
def test_every_way_gives_what_each_row_gives_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, packed: bool, own_head: bool
) -> None:
    loaded, plain = load(name), make(name, "eager")
    layout = Layout(packed, loaded.layout.attention, own_head=own_head)
    batch = pack({group: ROWS_OF[part] for group, part in GROUPS.items()})
    states = HiddenStates({"forget": (2, 1), "retain": (1,)}, mlp=frozenset({"retain"}))
    kept = forward(loaded.model, batch, layout, logits=frozenset({"retain"}), states=states)
    headless = forward(loaded.model, batch, layout, states=states, head=False)
    projected: list[int] = []
    project = forward_module.project
    monkeypatch.setattr(forward_module, "project", lambda model, h: projected.append(len(h)) or project(model, h))
    monkeypatch.setattr(forward_module, "CHUNK", 9)
    forward(loaded.model, batch, layout)  # the nine answer tokens are one chunk
    assert projected == []
    monkeypatch.setattr(forward_module, "CHUNK", 4)
    chunked = forward(loaded.model, batch, layout)
    assert projected == ([4, 4, 1] if own_head else [])
    for group, part in GROUPS.items():
        assert (kept[group].logits is None) == (group == "forget")
        assert chunked[group].logits is chunked[group].hidden is headless[group].token_logps is None
        for at, row in enumerate(ROWS_OF[part]):
            expected, n = alone(plain, row), row.answer_length
            for outputs in (kept[group], chunked[group]):
                torch.testing.assert_close(outputs.token_logps[at, :n], expected["logps"], rtol=1e-4, atol=1e-4)
            assert headless[group].targets[at, :n].tolist() == expected["tokens"]
            assert headless[group].mask[at].sum() == n
            if group == "retain":
                torch.testing.assert_close(kept[group].logits[at, :n], expected["logits"], rtol=1e-4, atol=1e-4)
            kind, numbers = ("stream", (2, 1)) if group == "forget" else ("mlp", (1,))
            for outputs in (kept[group], headless[group]):
                assert len(outputs.hidden) == len(numbers)
                for state, number in zip(outputs.hidden, numbers, strict=True):
                    torch.testing.assert_close(state[at, :n], expected[kind][number - 1], rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        parts = list(logit_chunks(loaded.model, batch, layout, 4))
    whole = torch.cat([alone(plain, row)["logits"] for row in ROWS_OF])
    assert [len(part) for part in parts] == [4, 4, 1]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-4)


def test_deep_states_of_mlps_need_no_head() -> None:
    """The pass may end after the deepest block of the stream only if no MLP behind it is read."""
    loaded, batch = load("llama"), pack({"a": ROWS_OF[:1], "b": ROWS_OF[1:2]})
    states = HiddenStates({"a": (1,), "b": (2,)}, mlp=frozenset({"b"}))
    outputs = forward(loaded.model, batch, loaded.layout, states=states, head=False)
    expected = alone(make("llama", "eager"), ROWS_OF[1])["mlp"][1]
    torch.testing.assert_close(outputs["b"].hidden[0][0], expected, rtol=1e-4, atol=1e-3)
    assert outputs["a"].hidden[0].shape[:2] == (1, 3)


def test_rows_of_flat_values() -> None:
    outputs = gather(torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([5, 6, 7]), [1, 2])
    assert outputs.token_logps.tolist() == [[-1, 0], [-2, -4]] and outputs.targets.tolist() == [[5, 0], [6, 7]]
    assert outputs.mask.tolist() == [[True, False], [True, True]]
    assert outputs.mean_logps.tolist() == [-1, -3] and outputs.logits is outputs.hidden is None


def test_what_a_layout_allows_and_says() -> None:
    plain = Layout(True, ROWS, own_head=True)
    assert plain.notes == () and plain.caches and not plain.shares and not plain.shares_in_steps
    assert Layout(True, ROWS, own_head=True, shares=True).shares_in_steps
    assert not Layout(True, "flash_attention_2", own_head=True, shares=True).shares_in_steps
    slow = Layout(False, "eager", own_head=True, note="rows are padded", caches=False)
    assert slow.notes[0] == "rows are padded" and slow.notes[1].startswith("answers are generated without a cache")
