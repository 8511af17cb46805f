"""Where the other answers come from that a method wants for the forget questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from unlearn_cli.data.alternatives import with_mismatched, with_perturbed, with_refusals
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.models.generate import sample
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.progress import Run
from unlearn_cli.report import fingerprint, write_text

PER_ROW = 4
GENERATED_PER_ROW = 5  # as many as Mekala et al. (2024) take
TEMPERATURE = 1.0


def alternative_examples(run: Run, loaded: LoadedModel, encoder: Encoder, texts: Mapping[str, Split]) -> tuple[Example, ...]:
    """The forget examples with the alternatives that the method declares."""
    kind, seed = run.settled.objective.method.alternatives, run.config.seed
    examples = texts["forget"].examples
    others = texts["retain"].examples if "retain" in texts else examples
    if kind == "mismatched":
        return with_mismatched(examples, others, seed=seed, count=PER_ROW)
    if kind == "perturbed":
        if not all(example.perturbed for example in examples):
            run.reporter.note("rows without perturbed answers get answers of other forget rows instead")
        return with_perturbed(examples, examples, seed=seed, count=PER_ROW)
    if kind == "generated":
        return _generated(run, loaded, encoder, examples)
    return with_refusals(examples, seed=seed, count=PER_ROW)


def _generated(run: Run, loaded: LoadedModel, encoder: Encoder, examples: tuple[Example, ...]) -> tuple[Example, ...]:
    """Answers that the model itself samples, kept in the run folder; rows that bring alternatives keep their own."""
    wanted = [example for example in examples if not example.alternatives and example.style != "text"]
    if not wanted:
        return examples
    key = fingerprint([e.fingerprint for e in wanted], run.config.seed, GENERATED_PER_ROW, run.config.max_new_tokens)
    path = run.folder.alternatives
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if stored.get("key") != key:
        rows = encoder.encode(wanted)
        prompts = [row.prompt_ids for row in rows]
        with run.reporter.progress("sampling alternatives", len(prompts) * GENERATED_PER_ROW) as bar:
            sampled = sample(
                loaded, prompts, run.config.max_new_tokens, temperature=TEMPERATURE, count=GENERATED_PER_ROW,
                seed=run.config.seed, advance=bar.advance,
            )  # fmt: skip
        decode = encoder.tokenizer.decode
        answers = {
            example.fingerprint: sorted({decode(ids, skip_special_tokens=True).strip() or "-" for ids in some})
            for example, some in zip(wanted, sampled, strict=True)
        }
        stored = {"key": key, "answers": answers}
        write_text(path, json.dumps(stored, ensure_ascii=False) + "\n")
    answers = stored["answers"]
    return tuple(replace(e, alternatives=tuple(answers[e.fingerprint])) if e.fingerprint in answers else e for e in examples)
