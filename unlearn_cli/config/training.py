"""Options of training: the objective, the adapter and the loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unlearn_cli.config.expressions import OneCondition
from unlearn_cli.config.option import LARGEST_RATE, Names, Options, Pairs, option
from unlearn_cli.values import MANY, SEED


class LoraOptions(Options):
    """The adapter, or whatever else is trained."""

    lora_r: int = option(16, "rank of the adapter", "LoRA", ge=1, le=2**16)
    lora_alpha: int = option(32, "scale of the adapter is alpha / r", "LoRA", ge=1, le=2**20)
    lora_dropout: float = option(0.0, "dropout in the adapter; costs time and memory", "LoRA", ge=0, lt=1)
    lora_target_modules: Names = option(("all-linear",), "module names, or all-linear", "LoRA", metavar="NAMES")
    lora_target_parameters: Names = option(
        (), "weights that are not modules, such as experts in one tensor: mlp.experts.down_proj", "LoRA", metavar="NAMES"
    )
    lora_from: float = option(
        0.0, "relative depth from which on the blocks get an adapter; 0.5: the upper half, whose steps are cheaper", "LoRA",
        ge=0, lt=1,
    )  # fmt: skip
    lora_init: Literal["default", "fila", "pissa"] | None = option(
        None,
        "initial weights of the adapter; fila: in the directions that matter most to the forget rows; default: the method's",
        "LoRA",
    )
    full: bool = option(False, "train all weights and write a model instead of an adapter", "LoRA")


class MethodOptions(Options):
    """The objective."""

    method: str = option(
        "npo", "see `unlearn list methods`, or a file of your own", "Method", metavar="NAME", names="methods"
    )
    retain_term: str | None = option(
        None, "see `unlearn list retain-terms`; default: the method's, and kl instead of nll where the run has a target",
        "Method", metavar="NAME", names="retain-terms",
    )  # fmt: skip
    forget_weight: float | None = option(None, "weight of the forget term; default: the method's", "Method", ge=0, le=MANY)
    retain_weight: float | None = option(None, "weight of the retain term; default: the method's", "Method", ge=0, le=MANY)
    parameters: Pairs = option(
        {},
        "a parameter of the method, repeatable: -p beta=0.1",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="NAME=VALUE",
        consent="files",
    )
    retain_parameters: Pairs = option(
        {}, "a parameter of the retain term, repeatable", "Method", flag="--retain-parameter", metavar="NAME=VALUE"
    )
    robust: str | None = option(
        None,
        "rule against relearning: sam, gru, gu, lat or none; default: the method's",
        "Method",
        metavar="NAME",
        names="robust-rules",
    )
    robust_parameters: Pairs = option(
        {}, "a parameter of the robust rule, repeatable", "Method", flag="--robust-parameter", metavar="NAME=VALUE"
    )
    calibrate: OneCondition | None = option(
        None,
        "after training, scale the adapter as far as this still holds: 'retain.probability >= 0.95*before'",
        "Method",
        metavar="EXPR",
    )


class TrainingOptions(Options):
    """The training loop."""

    epochs: float | None = option(
        None, "passes over the forget rows; default: the method's; with a target this is a limit, by default three times "
        "the method's", "Training", gt=0, le=MANY,
    )  # fmt: skip
    max_steps: int | None = option(
        None, "optimizer steps, instead of epochs; with a target this is a limit", "Training", ge=1, le=MANY
    )
    learning_rate: Annotated[float, Field(gt=0, le=LARGEST_RATE)] | Literal["auto"] = option(
        "auto", "auto: LoRA scaling rule times the method's multiplier", "Training"
    )
    batch_size: int | None = option(None, "forget rows in one pass; default: the method's", "Training", ge=1, le=MANY)
    gradient_accumulation_steps: int = option(1, "passes for each optimizer step", "Training", ge=1, le=MANY)
    auto_batch_size: bool = option(
        False, "run a step in as few passes as memory allows; its rows and its loss stay the same", "Training"
    )
    retain_ratio: int | None = option(
        None, "retain rows for each forget row; default: the method's", "Training", ge=1, le=MANY
    )
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = option(
        "cosine", "shape of the learning rate after the warm-up", "Training"
    )
    warmup_ratio: float = option(0.1, "share of the steps in which the learning rate rises", "Training", ge=0, lt=1)
    weight_decay: float = option(0.0, "decoupled weight decay", "Training", ge=0, le=1000)
    max_grad_norm: float = option(
        1.0, "largest norm of the gradient; a larger one is scaled down", "Training", gt=0, le=MANY
    )
    optim: Literal["auto", "adamw", "paged_adamw_8bit", "sophia", "sign"] | None = option(
        None, "auto: AdamW; 8-bit paged for --full on CUDA; default: the method's, mostly auto", "Training"
    )
    activation_checkpointing: Literal["auto", "on", "off"] = option(
        "auto", "auto: on if the memory estimate asks for it", "Training"
    )
    seed: int = option(42, "seed of all random draws", "Training", **SEED)
    deterministic: bool = option(False, "use deterministic kernels; slower on CUDA", "Training")
    forget_loss_floor: float | None = option(
        None, "stop when the forget loss falls below this", "Training", ge=-MANY, le=MANY
    )
    eval_every: int | None = option(
        None, "measure every N steps; default with --stop-when: once an epoch", "Training", ge=1, le=MANY, metavar="N"
    )
    stop_when: OneCondition | None = option(
        None, "stop at the first measurement for which this holds: 'forget.probability < 0.05'", "Training", metavar="EXPR"
    )
    save_every: int | None = option(
        None,
        "write a checkpoint every N steps; default: every minute, less often where writing takes long",
        "Training",
        ge=1,
        le=MANY,
        metavar="N",
        runtime=True,
    )
