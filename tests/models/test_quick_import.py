"""Importing bitsandbytes without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from unlearn_cli.models import quick_import


def test_a_function_is_compiled_at_its_first_call(monkeypatch):
    compiled = []
    monkeypatch.setattr(quick_import, "_compile", lambda function, **options: compiled.append(options) or function)
    doubled = quick_import._compiled_later(dynamic=True)(lambda x: 2 * x)
    assert compiled == []
    assert (doubled(3), doubled(4)) == (6, 8)
    assert compiled == [{"dynamic": True}]


def test_torch_keeps_its_compiler_and_peft_loads_without_it():
    assert torch.compile is quick_import._compile
    pytest.importorskip("bitsandbytes")
    code = "import sys, unlearn_cli.models.load; print('torch._inductor.compile_fx' in sys.modules, 'peft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
