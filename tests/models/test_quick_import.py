"""Importing bitsandbytes without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import torch

from unlearn_cli.models import quick_import


def test_a_function_is_compiled_at_its_first_call(monkeypatch):
    compiled = []
    monkeypatch.setattr(quick_import, "_compile", lambda function, **options: compiled.append(options) or function)
    doubled = quick_import._compiled_later(dynamic=True)(lambda x: 2 * x)
    assert compiled == []
    assert (doubled(3), doubled(4)) == (6, 8)
    assert compiled == [{"dynamic": True}]


def test_torch_keeps_its_compiler():
    assert torch.compile is quick_import._compile


NEVER = {"torch._inductor.compile_fx", "nltk", "scipy.stats", "datasets", "pandas", "pyarrow", "sklearn", "torchvision"}


def test_a_run_loads_nothing_that_it_does_not_need():
    """All that `unlearn forget` imports, with every metric; and what it left out is whole for whoever imports it later."""
    code = (
        "import sys, unlearn_cli.recipes.forget; from unlearn_cli.contract import METRICS\n"
        "for name in METRICS.names(): METRICS.get(name)\n"
        "print(*sys.modules)\nfrom nltk.stem.porter import PorterStemmer; import nltk; nltk.word_tokenize"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"peft", "rouge_score.rouge_scorer"} <= loaded
    assert not loaded & NEVER
