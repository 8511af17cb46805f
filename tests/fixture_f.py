"""Fixture F: two rows of closed-form logits for each role, on which every objective's published form has a known value.

B = 2, T = 5, V = 6; with n(b, t, v) = (5 b + t) 6 + v the policy's logits are 2 sin(k n + 1) and the reference's
2 cos(k n + 1), k = 1 on the forget answers, 2 on the alternative ones and 3 on the retain answers. The position before
a label predicts it. What comes out are Outputs as the models' forward makes them: answer tokens only, left-aligned.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unlearn_cli.outputs import Outputs

IGNORED = -100
FACTOR = {"forget": 1, "alternative": 2, "retain": 3}
LABELS = {
    "forget": [[-100, -100, 3, 4, 5], [-100, 3, 5, -100, -100]],
    "alternative": [[-100, -100, 2, 1, -100], [-100, 0, 1, 4, -100]],
    "retain": [[-100, 4, 2, 1, 0], [-100, -100, 5, 2, -100]],
}


def outputs_of(logits: list[Tensor], targets: list[Tensor]) -> Outputs:
    """Outputs of rows given as logits [n, V] and answer tokens [n]."""
    logps = [z.log_softmax(-1).gather(-1, y[:, None]).squeeze(-1) for z, y in zip(logits, targets, strict=True)]
    masks = [torch.ones_like(y, dtype=torch.bool) for y in targets]
    return Outputs(*(pad_sequence(part, batch_first=True) for part in (logps, targets, masks, logits)))


def fixture(group: str, model: str = "policy") -> Outputs:
    """Outputs of `group` (forget, alternative, retain) under `model` (policy, reference), in float64 and with logits."""
    n = torch.arange(2 * 5 * 6, dtype=torch.float64).reshape(2, 5, 6)
    whole = 2 * (torch.sin if model == "policy" else torch.cos)(FACTOR[group] * n + 1)
    logits, targets = [], []
    for row, labels in zip(whole, torch.tensor(LABELS[group]), strict=True):
        scored = labels[1:] != IGNORED
        logits.append(row[:-1][scored])
        targets.append(labels[1:][scored])
    return outputs_of(logits, targets)


def answers(*token_logps: list[float]) -> Outputs:
    """Outputs of answers given as their tokens' log-probabilities, with gradient; no logits."""
    rows = [torch.tensor(row, dtype=torch.float64) for row in token_logps]
    mask = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
    return Outputs(pad_sequence(rows, batch_first=True).requires_grad_(), torch.zeros_like(mask, dtype=torch.long), mask)


def everywhere(group: str, model: str = "policy") -> Outputs:
    """Outputs of every one of the 2 x 5 positions, which is what published code without a mask averages over."""
    n = torch.arange(2 * 5 * 6, dtype=torch.float64).reshape(2, 5, 6)
    whole = 2 * (torch.sin if model == "policy" else torch.cos)(FACTOR[group] * n + 1)
    return outputs_of(list(whole), [torch.zeros(5, dtype=torch.long)] * 2)


ATTENDED = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])  # of the forget rows


def states(mask: Tensor | None = None) -> tuple[Outputs, Outputs]:
    """Policy and reference with hidden states H = sin(m/2 + 1) and H0 = cos(m/2 + 1), m = (5 b + t) 4 + i, where `mask`."""
    m = torch.arange(2 * 5 * 4, dtype=torch.float64).reshape(2, 5, 4)
    mask = torch.ones(2, 5, dtype=torch.bool) if mask is None else mask
    return tuple(  # type: ignore[return-value]
        Outputs(None, torch.zeros(2, 5, dtype=torch.long), mask, hidden=(wave(0.5 * m + 1),))  # type: ignore[arg-type]
        for wave in (torch.sin, torch.cos)
    )


def one_token(probabilities: list[float], answer: int = 0) -> Outputs:
    """One answer of one token with the given distribution; its logits are a leaf."""
    logits = torch.tensor([[probabilities]], dtype=torch.float64).log().requires_grad_()
    targets = torch.tensor([[answer]])
    return Outputs(logits.log_softmax(-1)[..., answer], targets, torch.ones(1, 1, dtype=torch.bool), logits)
