"""R2MU: RMU on the answers and on the reasoning that the model writes before them.

    L = RMU(answer) + traces RMU(trace),   RMU = (1/n) sum_t |h_t - c u|^2 / H, h the residual stream after one block

Wang et al., "Reasoning Model Unlearning: Forgetting Traces, Not Just Answers, While Preserving Reasoning Skills"
(2025). A reasoning model that no longer answers may still write the fact down in its reasoning. So the model writes its
reasoning about each forget question before training: its answer begins with the words of `opening`, and it continues
them for up to --max-new-tokens tokens. This text is the trace. The hidden states on the trace are steered to the same
random direction. Traces that name the answer are used like the others. `traces` = 0 is rmu. The authors' opening ends
with a new line and <think>, which is a token of some models only. For these models give -p opening=... as their
template has it.

The authors also keep the states on reasoning data. Here such data are retain rows: messages with `reasoning_content`,
and `--reasoning score`, which also puts the reasoning of forget rows into their answers. Only questions have traces, so
raw documents are refused.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, Positions, method, parameter
from unlearn_cli.methods.rmu import Layer, Seed, rmu
from unlearn_cli.outputs import Outputs


@method(
    family="representation",
    paper="2506.12963",
    published={
        "coefficient": 6.5,
        "traces": 1.0,
        "retain_term": "hidden-mse",
        "retain_weight": 1.7,
        "retain_ratio": 1,
        "average": "tokens",
        "batch_size": 4,
        "max_steps": 500,
        "learning_rate": 7.5e-5,
    },
    because="the values are those of rmu here",
    defaults=Defaults(retain_term="hidden-mse", retain_weight=8.0, retain_ratio=2, epochs=5),
    hidden=("policy", "alternative"),
    logps=False,
    alternatives="traces",
)
def r2mu(
    policy: Outputs,
    alternative: Outputs,
    *,
    coefficient: Annotated[float, parameter("c: length of the target", gt=0)] = 6.5,
    traces: Annotated[float, parameter("weight of the reasoning", ge=0)] = 1.0,
    opening: Annotated[str, parameter("first words of the reasoning; the model writes the rest")] = (
        "Let's reason this step by step."
    ),
    samples: Annotated[int, parameter("traces sampled for each question; each epoch takes the next", ge=1)] = 1,
    layer: Layer = 0.5,
    seed: Seed = 0,
    positions: Positions = "all",
    average: Average = "answers",
) -> Tensor:
    given = {"coefficient": coefficient, "seed": seed, "average": average}
    return rmu(policy, **given) + traces * rmu(alternative, **given)
