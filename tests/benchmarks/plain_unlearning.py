"""Unlearning without `unlearn`, in two ways; see time_to_target.py.

- peft: PEFT and transformers' Trainer, as people write it: npo + kl, the reference is the model with the adapter off.
- full: the loop of the field's framework, OpenUnlearning (Dorna et al., 2025, arXiv 2506.12618), from its description: all
  weights are trained, the reference is a copy of the model, npo + nll with one retain row for each forget row, and
  transformers' own loss is computed beside the method's.

python tests/benchmarks/plain_unlearning.py PLAN.json
"""

from __future__ import annotations

import copy
import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

BATCH = 8  # rows of a batch of the evaluation


def main(path: Path) -> None:
    """Forget by the plan in a JSON file; the result is added to it."""
    plan = json.loads(path.read_text())
    torch.manual_seed(plan["seed"])
    tokenizer = AutoTokenizer.from_pretrained(plan["model"])
    model = AutoModelForCausalLM.from_pretrained(plan["model"], dtype=torch.float32)
    lines = {name: Path(plan[name]).read_text().splitlines() for name in ("forget", "retain")}
    rows = {name: [encoded(tokenizer, json.loads(line)) for line in some] for name, some in lines.items()}
    every = round(1 / plan["retain_held_out"])
    kept, trained = rows["retain"][::every], [row for i, row in enumerate(rows["retain"]) if i % every]
    full = plan["way"] == "full"
    reference = copy.deepcopy(model).eval() if full else None
    if not full:
        lora = LoraConfig(
            r=plan["lora_r"], lora_alpha=plan["lora_alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, lora)
    splits = {"forget": rows["forget"], "kept": kept, "trained": trained}
    before = {name: probability(model, some) for name, some in splits.items()}
    answers(model, tokenizer, [*rows["forget"], *kept], plan)
    probe = Probe(plan, rows["forget"], kept, before["kept"])
    trainer = (FullUnlearner if full else Unlearner)(
        model=model,
        args=TrainingArguments(
            output_dir=plan["output"],
            per_device_train_batch_size=plan["batch_size"],
            max_steps=plan["steps"],
            learning_rate=plan["learning_rate"],
            max_grad_norm=1.0,
            use_cpu=True,
            remove_unused_columns=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=plan["seed"],
        ),
        train_dataset=Pairs(rows["forget"], trained, plan["retain_ratio"]),
        data_collator=collate,
        callbacks=[probe],
    )
    trainer.plan, trainer.reference = plan, reference
    trainer.train()
    model.save_pretrained(plan["output"])
    after = {name: probability(model, some) for name, some in splits.items()}
    answers(model, tokenizer, [*rows["forget"], *kept], plan)
    share = after["kept"] / before["kept"]
    result = {
        "steps": trainer.state.global_step,
        "forget": after["forget"],
        "kept": share,
        "reached": after["forget"] <= plan["level"] and share >= plan["keep"],
        "probes": len(probe.values),
    }
    path.write_text(json.dumps({**plan, "result": result}))


def encoded(tokenizer: Any, row: dict) -> dict:
    """Token ids of a row, and where its answer begins."""
    turns = [{"role": "user", "content": row["question"]}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    turns.append({"role": "assistant", "content": row["answer"]})
    full = tokenizer.apply_chat_template(turns, tokenize=False).rstrip("\n")
    start = len(tokenizer(prompt, add_special_tokens=False).input_ids)
    ids = tokenizer(full, add_special_tokens=False).input_ids
    return {"input_ids": ids, "labels": [-100] * start + ids[start:], "start": start}


class Pairs(torch.utils.data.Dataset):
    """Each forget row with some retain rows, drawn anew each time."""

    def __init__(self, forget: list[dict], retain: list[dict], ratio: int) -> None:
        self.forget, self.retain, self.ratio = forget, retain, ratio

    def __len__(self) -> int:
        return len(self.forget)

    def __getitem__(self, index: int) -> dict:
        return {"forget": self.forget[index], "retain": random.sample(self.retain, self.ratio)}


def padded(rows: list[dict]) -> dict[str, Tensor]:
    """A batch, padded to its longest row."""
    ids = pad_sequence([torch.tensor(row["input_ids"]) for row in rows], batch_first=True)
    labels = pad_sequence([torch.tensor(row["labels"]) for row in rows], batch_first=True, padding_value=-100)
    mask = pad_sequence([torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows], batch_first=True)
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def collate(pairs: list[dict]) -> dict:
    """Forget rows and retain rows of a step."""
    retain = [row for pair in pairs for row in pair["retain"]]
    return {"forget": padded([pair["forget"] for pair in pairs]), "retain": padded(retain)}


def token_logps(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the vocabulary at the places before each token, and of the labels (0 elsewhere)."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    labels = batch["labels"][:, 1:]
    logps = logits.float().log_softmax(-1)
    of_labels = logps.gather(-1, labels.clamp_min(0)[..., None]).squeeze(-1)
    return logps, of_labels * (labels != -100)


class Unlearner(Trainer):
    """npo with a kl on the retain rows; the reference is the model with the adapter off."""

    plan: dict
    reference: Any

    def compute_loss(self, model: Any, inputs: dict, **_: Any) -> Tensor:
        beta = self.plan["beta"]
        forget, retain = inputs["forget"], inputs["retain"]
        with torch.no_grad(), model.disable_adapter():
            reference = token_logps(model, forget)[1].sum(-1)
            theirs = token_logps(model, retain)[0]
        policy = token_logps(model, forget)[1].sum(-1)
        loss = (-2 / beta * F.logsigmoid(-beta * (policy - reference))).mean()
        ours = token_logps(model, retain)[0]
        mask = retain["labels"][:, 1:] != -100
        divergence = (theirs.exp() * (theirs - ours)).sum(-1)
        kept = ((divergence * mask).sum(-1) / mask.sum(-1)).mean()
        return loss + self.plan["retain_weight"] * kept


class FullUnlearner(Unlearner):
    """npo with a nll on the retain rows; the reference is a copy of the model."""

    def compute_loss(self, model: Any, inputs: dict, **_: Any) -> Tensor:
        beta, forget = self.plan["beta"], inputs["forget"]
        with torch.no_grad():
            reference = sequence_nll(self.reference(**forget).logits, forget["labels"])
        policy = sequence_nll(model(**forget).logits, forget["labels"])
        loss = (-2 / beta * F.logsigmoid(beta * (policy - reference))).mean()
        kept: Tensor = model(**inputs["retain"]).loss
        return loss + self.plan["retain_weight"] * kept


def sequence_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of each row's labels [B], from logits [B, T, V]."""
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none")
    return losses.sum(-1)


class Probe(TrainerCallback):
    """After each epoch: is the target reached?"""

    def __init__(self, plan: dict, forget: list[dict], kept: list[dict], before: float) -> None:
        self.plan, self.forget, self.kept, self.before = plan, forget, kept, before
        self.values: list[tuple[int, float, float]] = []

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> Any:
        forget, share = probability(model, self.forget), probability(model, self.kept) / self.before
        model.train()
        self.values.append((state.global_step, forget, share))
        control.should_training_stop |= forget <= self.plan["level"] and share >= self.plan["keep"]
        return control


@torch.no_grad()
def probability(model: Any, rows: list[dict]) -> float:
    """Mean over rows of the geometric mean probability of the answer's tokens."""
    model.eval()
    values = []
    for first in range(0, len(rows), BATCH):
        batch = padded(rows[first : first + BATCH])
        counts = (batch["labels"][:, 1:] != -100).sum(-1)
        values += (token_logps(model, batch)[1].sum(-1) / counts).exp().tolist()
    return sum(values) / len(values)


@torch.no_grad()
def answers(model: Any, tokenizer: Any, rows: list[dict], plan: dict) -> list[str]:
    """Greedy answers."""
    model.eval()
    tokenizer.padding_side = "left"
    texts = []
    for first in range(0, min(len(rows), 2 * plan["generate_limit"]), BATCH):
        prompts = [{"input_ids": row["input_ids"][: row["start"]]} for row in rows[first : first + BATCH]]
        batch = tokenizer.pad(prompts, return_tensors="pt")
        written = model.generate(
            **batch, max_new_tokens=plan["max_new_tokens"], do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
        texts += tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


if __name__ == "__main__":
    main(Path(sys.argv[1]))
