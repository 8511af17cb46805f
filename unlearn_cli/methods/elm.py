"""ELM: erasure of language memory. The target is the model's own distribution behind a sentence that makes it a novice.

    z_t = log p_ref(.|x) + eta_t (log p_ref(.|novice, x) - log p_ref(.|expert, x)),   eta_t from 1 to eta along the answer
    q_t = softmax(z_t), cut to the `top` likeliest tokens
    L = -(1/n) sum_t sum_v q_t,v log p_t,v  -  fluency (1/m) sum_t log p(a_t | x, a_<t)

Gandikota et al., "Erasing Conceptual Knowledge from Language Models" (2024). The model classifies its own text. The
answer's tokens have one probability behind the expert's sentence and another behind the novice's. Tokens that the
expert says more often become less likely. a is an answer that the reference gives behind the novice's sentence. It
keeps the text fluent where the user asks for the concept. eta = 0 from the second token on is distillation.

Deviations: only answer tokens are scored; the authors score whole documents. Raw documents are refused. The authors'
retain term is the cross-entropy to the reference's likeliest token; here it is the divergence from the reference. Their
fluent text is drawn from z with eta 3 behind a change of subject; here it comes from the novice alone. Their sentences
name the concept. Yours can do so: -p expert_sentence=... -p novice_sentence=... The minimum is the entropy of q, not 0.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method, parameter
from unlearn_cli.outputs import Outputs

EXPERT = "This is answered by an expert who knows the facts by heart."
NOVICE = "This is answered by a beginner who has never heard of the subject and makes the facts up."


def ramp(policy: Outputs, last: float) -> Tensor:
    """[B, T] from 1 at the first token of each answer to `last` at its last one."""
    place = torch.arange(policy.mask.shape[1], device=policy.mask.device)
    return 1 + (last - 1) * place / (policy.lengths[:, None] - 1).clamp_min(1)


@method(
    family="target distribution",
    paper="2410.02760",
    published={
        "eta": 1000.0,
        "top": 50,
        "temperature": 1.2,
        "fluency": 1.0,
        "retain_weight": 1.0,
        "lora_r": 256,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "learning_rate": 5e-5,
        "batch_size": 1,
        "gradient_accumulation_steps": 4,
    },
    because=(
        "our two sentences name no concept, and the retain term holds less here: with weight 5, twice the schedule and our "
        "adapter the demo ended at 0.21 of the forget and 0.96 of the retain probability; eta 10 left 0.85"
    ),
    defaults=Defaults(retain_term="kl", retain_weight=5.0, retain_ratio=2, epochs=12),
    logits=("policy", "reference", "expert", "novice"),
    alternatives="novice",
)
def elm(
    policy: Outputs,
    reference: Outputs,
    expert: Outputs,
    novice: Outputs,
    alternative: Outputs,
    *,
    eta: Annotated[float, parameter("strength at the last token of an answer; it is 1 at the first", ge=0)] = 1000.0,
    top: Annotated[int, parameter("likeliest tokens that the target keeps", ge=1)] = 50,
    temperature: Annotated[float, parameter("the logits of the target are divided by it", gt=0)] = 1.2,
    fluency: Annotated[float, parameter("weight of the novice's own answers", ge=0)] = 1.0,
    samples: Annotated[int, parameter("answers sampled for each question that has no alternatives", ge=1)] = 2,
    expert_sentence: Annotated[str, parameter("in front of a question, says that an expert answers")] = EXPERT,
    novice_sentence: Annotated[str, parameter("in front of a question, says that a novice answers")] = NOVICE,
    average: Average = "answers",
) -> Tensor:
    base, knows, guesses = ((outputs.logits / temperature).log_softmax(-1) for outputs in (reference, expert, novice))
    combined = base + ramp(policy, eta)[..., None] * (guesses - knows)
    kept, tokens = combined.topk(min(top, combined.shape[-1]), dim=-1)
    values = -(kept.softmax(-1) * policy.logits.log_softmax(-1).gather(-1, tokens)).sum(-1)
    return policy.averaged(values, average) - fluency * alternative.averaged(alternative.token_logps, average)
