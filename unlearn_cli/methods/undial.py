"""UNDIAL: self-distillation from the reference with the answer token's logit lowered.

    L = -(1/n) sum_t sum_v q_v log p_v,   q = softmax(z_ref - beta onehot(y_t))

Dong et al., "UNDIAL: Self-Distillation with Adjusted Logits for Robust Unlearning in Large Language Models" (2024).
beta = 0 is plain distillation, with gradient 0 at the reference; with the policy as its own teacher and beta ->
infinity it is ceu. The minimum is the entropy of q, not 0. Published ports train on question and padding positions and
lower an unrelated token there; here only answer positions count.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs


@method(
    family="target distribution",
    paper="2402.10052",
    published={
        "beta": 5.0,
        "retain_term": "none",
        "average": "tokens",
        "lora_r": 8,
        "lora_alpha": 16,
        "lora_target_modules": ("q_proj", "v_proj"),
        "learning_rate": 1e-4,
    },
    because="beta 10 is that of the port in open-unlearning, and only the retain term protects the retain rows",
    defaults=Defaults(retain_weight=2.0, retain_ratio=2, epochs=6),
    logits=("policy", "reference"),
)
def undial(
    policy: Outputs,
    reference: Outputs,
    *,
    beta: Annotated[float, parameter("how far the answer token's logit is lowered", ge=0)] = 10.0,
    average: Average = "answers",
) -> Tensor:
    lowered = reference.logits.scatter_add(
        -1, policy.targets[..., None], reference.logits.new_full((*policy.mask.shape, 1), -beta)
    )
    values = -(lowered.softmax(-1) * policy.logits.log_softmax(-1)).sum(-1)
    return policy.averaged(values, average)
