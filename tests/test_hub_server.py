"""The loopback Hub serves models as `transformers` asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.hub_server import FakeHub

LOAD = """
import json, sys, time
time.sleep = lambda seconds: None
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM, AutoTokenizer
from unlearn_cli.data.hub_errors import hub_error
from unlearn_cli.errors import UnlearnError
found = {}
for repo in sys.argv[1:]:
    try:
        with hub_error(repo, "model"):
            commit = HfApi().model_info(repo).sha
            ids = AutoTokenizer.from_pretrained(repo, revision=commit)("a b")["input_ids"]
            model = AutoModelForCausalLM.from_pretrained(repo)
            found[repo] = [ids, model.num_parameters(), commit]
    except UnlearnError as error:
        found[repo] = error.message
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=3, **sizes)).save_pretrained(folder)
    return folder


def test_models_in_every_mode(folder: Path, tmp_path: Path) -> None:
    refused = {
        "org/gated": "model org/gated is gated",
        "org/private": "model org/private not found at ",
        "org/missing": "model org/missing not found at ",
        "org/broken": "the download of model org/broken broke off",
    }
    repos = dict.fromkeys(("org/tiny", *refused), folder)
    with FakeHub({"model": repos}, {name: name.removeprefix("org/") for name in refused}) as hub:
        hub.modes["org/tiny"] = "ok"
        done = subprocess.run(
            [sys.executable, "-c", LOAD, *repos], env=hub.environment(tmp_path), capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    parameters = LlamaForCausalLM.from_pretrained(folder).num_parameters()
    assert outcomes.pop("org/tiny") == [[1, 2], parameters, hub.commit("org/tiny")]
    for repo, message in refused.items():
        assert outcomes[repo].startswith(message), outcomes[repo]
    assert "GET /org/tiny/resolve/" in " ".join(hub.requests)
