"""A base that is divided over the processes of a launcher, by torch's FSDP: each holds a part of every block's weights, and
gets the rest for as long as the block runs.

Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel" (2023, arXiv 2304.11277). The base is frozen,
so only its weights travel; adapters, embeddings, final norm and head are whole in every process. All processes must run the
model equally often, also where they only measure.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from unlearn_cli import launched
from unlearn_cli.models.depth import blocks


def divide(model: Any, device: torch.device) -> None:
    """Divide the weights of a model's decoder blocks over the processes, and move the rest to `device`.

    Each block is divided on its own, so that the backbone, its head or some of its blocks can be run alone.
    """
    model.requires_grad_(False)
    mesh = init_device_mesh(device.type, (launched.count(),))
    for block in blocks(model):
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    inside = {id(module) for block in blocks(model) for module in block.modules()}
    for module in model.modules():
        if id(module) not in inside:
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.data = parameter.data.to(device)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = buffer.to(device)
