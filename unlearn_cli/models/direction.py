"""A direction in the residual stream: the mean state at the end of some prompts minus that at the end of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.batch import pack, packs
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.forward import HiddenStates, forward
from unlearn_cli.models.load import LoadedModel

TOKENS = 2048  # of one pass


def refusal_direction(
    loaded: LoadedModel, towards: Sequence[np.ndarray], forget: Sequence[np.ndarray], layer: int
) -> Tensor:
    """Mean hidden state [H] float32 after block `layer` at the last token of `towards`, less that of `forget`.

    Shen et al. (2025, arXiv 2502.07218) take prompts the model refuses for `towards`.

    Raises:
        UnlearnError: one side has no prompts.
    """
    difference = _mean_state(loaded, towards, layer) - _mean_state(loaded, forget, layer)
    return difference.float()


@torch.no_grad()
def _mean_state(loaded: LoadedModel, prompts: Sequence[np.ndarray], layer: int) -> Tensor:
    # States are read where they predict an answer token, so a 0 is appended as the answer to each prompt.
    if not prompts:
        raise UnlearnError(
            "this method compares prompts of the forget rows with other prompts, and raw documents have none",
            "--method rmu takes documents",
        )
    rows = [Row(str(n), np.append(p, 0), len(p), len(p), "", ends=False) for n, p in enumerate(prompts) if len(p)]
    total = torch.zeros(loaded.config.hidden_size, dtype=torch.float64, device=loaded.device)
    for members in packs([len(row.input_ids) for row in rows], TOKENS):
        batch = pack({"rows": [rows[i] for i in members]}).to(loaded.device)
        wanted = HiddenStates({"rows": (layer,)})
        states = forward(loaded.model, batch, loaded.layout, states=wanted, head=False)["rows"].hidden[0]
        total += states[:, 0].double().sum(0)
    return total / len(rows)
