"""Train the two models of the demo: `python -m unlearn_cli.demo.build [--out DIR]`.

First a byte-level tokenizer, then the same tiny Llama twice from scratch: on all people, and on all but those to forget.
Training stops when the answers are known, not when they are certain.
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unlearn_cli.data.batch import Batch, pack
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.demo.facts import splits
from unlearn_cli.models.forward import forward
from unlearn_cli.models.layout import Layout, choose_layout

SPECIAL = ["<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
VOCABULARY, LENGTH, SEED = 768, 128, 0
EPOCHS, BATCH, PEAK, KNOWN = 300, 32, 3e-3, 0.985


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of the demo's texts; any other text still has tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|end|>", pad_token="<pad>", model_max_length=LENGTH
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def examples(rows: list[dict]) -> list[Example]:
    """Each question in both wordings, with the one answer."""
    wordings = [(row, row[key]) for row in rows for key in ("question", "paraphrased_question")]
    return [Example(row["id"], (("user", question),), row["answer"], "qa") for row, question in wordings]


def probability(model: LlamaForCausalLM, layout: Layout, rows: list[Row]) -> float:
    """Mean over rows of the length-normalized probability of the answer."""
    with torch.no_grad():
        return float(forward(model, pack({"rows": rows}), layout)["rows"].mean_logps.exp().mean())


def train(vocabulary: int, rows: list[Row], layers: int = 4, width: int = 128) -> LlamaForCausalLM:
    """A tiny Llama that knows the answers of `rows`."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        intermediate_size=width * 11 // 4,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("sdpa")
    layout = choose_layout(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.05, fused=True)
    order, steps = random.Random(SEED), EPOCHS * math.ceil(len(rows) / BATCH)
    scale = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps, pct_start=0.05)
    for epoch in range(EPOCHS):
        shuffled = order.sample(rows, len(rows))
        for start in range(0, len(rows), BATCH):
            batch: Batch = pack({"rows": shuffled[start : start + BATCH]})
            loss = -forward(model, batch, layout)["rows"].mean_logps.mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scale.step()
            optimizer.zero_grad(set_to_none=True)
        if epoch % 2 == 1:
            known = probability(model, layout, rows)
            print(f"epoch {epoch + 1}: probability {known:.4f}", flush=True)
            if known >= KNOWN:
                break
    model.set_attn_implementation("sdpa")
    return model


def build(out: Path, layers: int = 4, width: int = 128) -> None:
    """Build both models into a folder."""
    data = splits()
    texts = [text for rows in data.values() for row in rows for text in (row["question"], row["answer"])]
    tokenizer = build_tokenizer(texts)
    encoder = Encoder(tokenizer, LENGTH, TEMPLATE, stop_ids=frozenset({2}))
    rows_of = {"model": data["forget"] + data["retain"], "model-retain-only": data["retain"]}
    for name, rows in rows_of.items():
        model = train(len(tokenizer), encoder.encode(examples(rows)), layers, width)
        model.to(torch.float16)  # type: ignore[arg-type]  # transformers wraps Module.to without its overloads
        model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
        model.save_pretrained(out / name)
        tokenizer.save_pretrained(out / name)
        (out / name / "model.safetensors").chmod(0o644)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "assets")
    build(parser.parse_args().out)
