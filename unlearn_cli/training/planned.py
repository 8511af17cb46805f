"""The memory of a training step, found by running it without numbers: on the meta device tensors take no memory.

So the count follows every architecture, objective and option by itself: what autograd keeps, what the loss copies, what is
made again under activation checkpointing. Blocks are alike: a model of three blocks and one of two tell what each adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.config import LoraOptions
from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models import adapter
from unlearn_cli.models.depth import blocks, blocks_below, causal_lm, cut, shallow
from unlearn_cli.models.forward import Layout, logit_chunks
from unlearn_cli.models.live_tensors import peak_of
from unlearn_cli.models.planned_attention import PLANNED
from unlearn_cli.models.reach import with_lora
from unlearn_cli.models.score import CHUNK, read_tokens
from unlearn_cli.outputs import Outputs
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.passes import Passes, PassOutputs, Rows

META = torch.device("meta")
FEW = 3  # blocks; the first alone is not like the others, because nothing before it has a gradient


class Unknown:
    """A stored reference whose numbers nobody needs."""

    def outputs(self, keys: Any, policy: Outputs) -> Outputs:
        return Outputs(torch.zeros_like(policy.token_logps, requires_grad=False), policy.targets, policy.mask)


@dataclass(frozen=True)
class Planned:
    """A model of a few blocks without numbers as it will be trained, and the number of blocks of the real one."""

    model: Any
    layout: Layout
    count: int  # blocks that a gradient goes through
    below: int = 0  # blocks below them

    @classmethod
    def of(
        cls,
        skeleton: Any,
        options: LoraOptions,
        dtype: torch.dtype,
        *,
        checkpointing: bool,
        modules: Callable[[Any], list[str] | None] = lambda model: None,
    ) -> Planned:
        """Take `skeleton`, which is changed: it gets an adapter, or has all its weights trained, and keeps few blocks.

        Args:
            skeleton: a model on the meta device.
            options: `full`, or the adapter.
            dtype: of its weights.
            checkpointing: activations are computed again.
            modules: names of the modules that get an adapter, if the options do not say.
        """
        whole = len(blocks(skeleton))
        below = 0 if options.full else blocks_below(options.lora_from, whole)  # without a gradient: they keep nothing
        cut(skeleton, FEW)
        model = skeleton.to(dtype).requires_grad_(options.full).eval()
        model.set_attn_implementation(PLANNED)
        if not options.full:
            model = with_lora(model, options.model_copy(update={"lora_from": 0.0}), adapter.ADAPTER, modules(model))
        if checkpointing:
            adapter.recompute(causal_lm(model))
        adapter.set_training(model)
        for parameter in model.parameters():
            if parameter.requires_grad:  # its gradient is counted with the optimizer's moments
                parameter.register_post_accumulate_grad_hook(lambda tensor: setattr(tensor, "grad", None))
        return cls(model, Layout(packed=True, attention=PLANNED, own_head=True), whole - below, below)

    def step(self, objective: Objective, rows: Rows) -> int:
        """Bytes that one pass forward and backward over all of `rows` makes and holds at its most, without the gradients.

        Args:
            objective: the method and the retain term.
            rows: the forget rows and retain rows of one pass; each is counted whole, also where rows share tokens.
        """
        deepest = max([0, *objective.layers, *objective.retain_layers])
        depth = max(1, deepest - self.below) if deepest and not objective.head else self.count

        def once(count: int) -> int:
            layers, retain_layers = ([min(n, count) for n in some] for some in (objective.layers, objective.retain_layers))
            direction = torch.empty(self._width, device=META) if "direction" in objective.method.needs else None
            small = replace(objective, layers=tuple(layers), retain_layers=tuple(retain_layers), direction=direction)
            with shallow(self.model, count):
                return peak_of(lambda: self._run(small, rows))

        return self._at(depth, once)

    @property
    def _width(self) -> int:
        return causal_lm(self.model).config.get_text_config().hidden_size

    def _at(self, depth: int, once: Callable[[int], int]) -> int:
        """The value for `depth` blocks from those for a few."""
        if depth <= FEW:
            return once(depth)
        most = once(FEW)
        return most + (depth - FEW) * (most - once(FEW - 1))

    def _run(self, objective: Objective, rows: Rows) -> None:
        adapted = hasattr(self.model, "peft_config")
        passes = Passes(
            self.model,
            self.layout,
            META,
            objective,
            rows,
            Unknown(),  # type: ignore[arg-type]  # it stands for a stored reference
            adapter.reference_weights if adapted else lambda model: nullcontext(),
        )
        outputs = passes.run([(0, row) for row in range(len(rows.forget))], range(len(rows.retain)))
        loss = torch.zeros((), device=META)
        if objective.forget_groups:
            loss = loss + _summed(objective.forget_losses, outputs, objective.forget_groups)
        if objective.retain_groups and rows.retain:
            loss = loss + _summed(objective.retain_losses, outputs, objective.retain_groups)
        loss.backward()

    @torch.no_grad()
    def scoring(self, rows: list[Row]) -> int:
        """Bytes that one pass of measuring makes and holds at its most."""

        def once() -> None:
            batch = pack({"rows": rows}).to(META)
            for logits in logit_chunks(self.model, batch, self.layout, CHUNK):
                read_tokens(logits, torch.empty(len(logits), dtype=torch.long, device=META))

        with shallow(self.model, 1):
            return peak_of(once)


def _summed(losses: Callable[..., Tensor], outputs: PassOutputs, groups: Sequence[str]) -> Tensor:
    """The sum of a term's losses; for a term that reads numbers, such as tokens for a seed, a plain loss of its groups."""
    try:
        return losses(outputs.policy, outputs.reference, 0.0).sum()
    except RuntimeError:
        parts = [part for group in groups for part in _parts(outputs.policy[group])]
        return torch.stack([part.sum() for part in parts]).sum()


def _parts(policy: Outputs) -> list[Tensor]:
    logps = [] if policy.token_logps is None else [policy.token_logps]
    return [*logps, *(policy.hidden or ()), *([] if policy.logits is None else [policy.logits.log_softmax(-1).exp()])]
