"""Whether a launcher (torchrun, accelerate launch) started this process as one of several, by its environment variables."""

from __future__ import annotations

import os

from unlearn_cli.errors import UnlearnError

SHARDED = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron"}
COMMAND = "forget"  # the only command that several processes can share


def count() -> int:
    """Number of processes that were started together; 1 without a launcher."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ) else 1


def rank() -> int:
    """The number of this process, from 0. Only process 0 prints and writes the run folder."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def local_rank() -> int:
    """The number of this process on its machine, from 0: the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", rank())) if count() > 1 else 0


def check(command: str) -> None:
    """Check that several processes can share the command.

    Raises:
        UnlearnError: the command is not `forget`, or the launcher shards weights or sets a precision.
    """
    if count() == 1:
        return
    if command != COMMAND:
        raise UnlearnError(
            f"`unlearn {command}` runs in one process, but a launcher started {count()}",
            "start it without torchrun or accelerate launch",
        )
    for variable, name in SHARDED.items():
        if os.environ.get(variable, "").lower() in ("1", "true"):
            raise UnlearnError(
                f"{name} is not supported: each process holds the whole base and shares the rows of a step",
                "distributed_type: MULTI_GPU in accelerate's config; --load-in-4bit for a base that does not fit",
            )
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", ""):
        raise UnlearnError(
            f"the launcher asks for mixed_precision {precision}, which unlearn does not read",
            f"mixed_precision: 'no' in accelerate's config, and --dtype {'float16' if precision == 'fp16' else 'bfloat16'}",
        )
