"""Whether a launcher (torchrun, accelerate launch) started this process as one of several, by its environment variables."""

from __future__ import annotations

import os

from unlearn_cli.errors import UnlearnError

OTHERS = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron"}
FSDP = "ACCELERATE_USE_FSDP"
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


def divided() -> bool:
    """Whether each process holds only a part of the base's weights (FSDP); all then run the model equally often."""
    return count() > 1 and _is_set(FSDP)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true")


def check(command: str) -> None:
    """Check that several processes can share the command.

    Raises:
        UnlearnError: the command is not `forget`, or the launcher asks for what is not supported.
    """
    if count() == 1:
        return
    if command != COMMAND:
        raise UnlearnError(
            f"`unlearn {command}` runs in one process, but a launcher started {count()}",
            "start it without torchrun or accelerate launch",
        )
    for variable, name in OTHERS.items():
        if _is_set(variable):
            raise UnlearnError(
                f"{name} is not supported",
                "distributed_type: MULTI_GPU in accelerate's config, or FSDP for a base that does not fit",
            )
    if divided() and _is_set("FSDP_OFFLOAD_PARAMS"):
        raise UnlearnError(
            "the launcher asks for fsdp_offload_params, which unlearn does not read",
            "leave it out of accelerate's config; --device-map auto without a launcher uses the CPU and the disk",
        )
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", ""):
        raise UnlearnError(
            f"the launcher asks for mixed_precision {precision}, which unlearn does not read",
            f"mixed_precision: 'no' in accelerate's config, and --dtype {'float16' if precision == 'fp16' else 'bfloat16'}",
        )
