"""LUNAR: hidden states on the forget rows move to those of questions without an answer.

    L = (1/n) sum_t |h_t - (h_ref,t + c r)|^2 / H,
    r = mean hidden state on questions without an answer, minus that on the forget questions

Shen et al., "LLM Unlearning via Neural Activation Redirection" (2025), with the retain term hidden-mse. Both terms use
the tokens of the prompts alone, as the authors do. `layer` is the authors' block 22 of 32, counted from 0. As
published, only one matrix is trained: the one by which the block's MLP writes to the residual stream. Everything else
in the stream is then the reference's. So the target equals that of the authors' regression on recorded activations. r
is taken at the last token of the question. The questions without an answer come with this package. c = 0 leaves the
model as it is.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Positions, method, parameter
from unlearn_cli.methods.rmu import Layer
from unlearn_cli.outputs import Outputs


@method(
    family="representation",
    paper="2502.07218",
    published={
        "coefficient": 2.0,
        "layer": 0.72,
        "positions": "prompt",
        "retain_term": "hidden-mse",
        "retain_weight": 1.0,
        "retain_ratio": 1,
        "average": "tokens",
        "epochs": 20,
        "batch_size": 64,
        "learning_rate": 0.01,
    },
    because=(
        "the retain weight was found by trial; our small model, which never learned to decline, does not change at 1 or at 3"
    ),
    defaults=Defaults(retain_term="hidden-mse", retain_weight=3.0, retain_ratio=2, epochs=6),
    hidden=("policy", "reference"),
    logps=False,
    trains="down_projection",
)
def lunar(
    policy: Outputs,
    reference: Outputs,
    direction: Tensor,
    *,
    coefficient: Annotated[float, parameter("c: length of the shift, in lengths of r", ge=0)] = 2.0,
    layer: Layer = 0.72,
    positions: Positions = "prompt",
    average: Average = "answers",
) -> Tensor:
    (states,), (known,) = policy.hidden, reference.hidden
    return policy.averaged((states - known - coefficient * direction.to(states)).square().mean(-1), average)
