"""Generation is tried at load: where steps with a cache are not those of whole rows, answers are made without one."""

import numpy as np
import pytest
import torch

from tests.models.saved import ENDS, TOKENIZER, load, save, tiny
from tests.models.tiny import ARCHITECTURES
from tests.models.tiny import load as loaded_tiny
from unlearn_cli.models.generate import greedy
from unlearn_cli.models.layout import choose_layout

STATE = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
RECURRENT = {
    "MambaConfig": STATE,
    "Mamba2Config": STATE | {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    "RwkvConfig": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_models_answer_as_without_a_cache(tmp_path, name):
    model = tiny(name, scale=8, **RECURRENT[name], **ENDS)
    loaded = load(save(model, tmp_path / "model"))
    noise = np.random.default_rng(0)
    prompts = [noise.integers(3, len(TOKENIZER), n) for n in (9, 3, 6, 4)]
    ours = greedy(loaded, prompts, 6)
    for prompt, answer in zip(prompts, ours, strict=True):
        ids = torch.from_numpy(prompt)[None]
        expected = []
        for _ in range(6):
            with torch.no_grad():
                token = int(loaded.model(input_ids=ids, use_cache=False).logits[0, -1].argmax())
            if token in loaded.stop_ids:
                break
            expected.append(token)
            ids = torch.cat([ids, torch.tensor([[token]])], 1)
        assert answer == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_attention_keeps_its_cache(name):
    assert loaded_tiny(name).layout.caches


def test_a_cache_that_is_wrong_is_found(monkeypatch):
    """The planted mistake: positions that do not go on behind the prompt."""
    model = loaded_tiny("llama").model
    plain = model.forward

    def stuck(*arguments, **keywords):
        if keywords.get("past_key_values") is not None:
            keywords["position_ids"] = torch.zeros_like(keywords["input_ids"])
        return plain(*arguments, **keywords)

    monkeypatch.setattr(model, "forward", stuck)
    layout = choose_layout(model)
    assert not layout.caches and any("without a cache" in note for note in layout.notes)
