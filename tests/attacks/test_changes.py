"""What attacks do to weights and questions, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unlearn_cli.attacks.multiple_choice import as_choice
from unlearn_cli.attacks.prompts import WORDINGS, reworded
from unlearn_cli.attacks.prompts import _worded as worded
from unlearn_cli.attacks.prune import pruned
from unlearn_cli.attacks.quantize import GROUP, codes, equal_codes, rounded
from unlearn_cli.attacks.relearn import paraphrased
from unlearn_cli.attacks.reverse import reversed_
from unlearn_cli.contract import ATTACKS
from unlearn_cli.data.example import Example
from unlearn_cli.data.shipped_texts import unrelated
from unlearn_cli.models.weights import formats_known, read_back

FACT = Example("0", (("user", "Where was she born?"),), "She was born in Lima.", "qa")
OTHER = Example("1", (("user", "What is a kettle?"),), "A pot.", "qa")


def test_rounding_by_hand() -> None:
    """Three bits: codes -3 to 3, step max / 3. The row 3, 1.4, -0.4, 1.6 becomes 3, 1, 0, 2."""
    weight = torch.tensor([[3.0, 1.4, -0.4, 1.6]])
    assert codes(weight, 3)[0][0, 0, :4].tolist() == [3, 1, 0, 2]
    assert rounded(weight, 3).tolist() == [[3.0, 1.0, 0.0, 2.0]]


def test_groups_have_scales_of_their_own() -> None:
    """A large weight in one group of 128 does not coarsen the next."""
    weight = torch.full((1, 2 * GROUP), 0.1)
    weight[0, 0] = 100.0
    coarse = rounded(weight, 8)
    assert coarse[0, 1] == 0.0 and coarse[0, GROUP] == pytest.approx(0.1)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_is_no_further_than_half_a_step(bits: int) -> None:
    weight = torch.randn(5, 200, generator=torch.Generator().manual_seed(0))
    step = codes(weight, bits)[1].repeat_interleave(GROUP, 2).view(5, -1)[:, :200]
    assert ((rounded(weight, bits) - weight).abs() <= step / 2 + 1e-6).all()
    assert rounded(torch.zeros(1, 3), bits).tolist() == [[0.0, 0.0, 0.0]]


def test_small_moves_fall_on_the_same_code() -> None:
    """Moves of a hundredth of the step change few codes in 4 bits; moves of two steps change nearly all."""
    weight = torch.randn(4, 256, generator=torch.Generator().manual_seed(0))
    step = float(codes(weight, 4)[1].mean())
    moved = torch.where(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) > 0, 1.0, -1.0)
    assert equal_codes(weight, weight, 4) == 1.0
    assert equal_codes(weight, weight + 0.01 * step * moved, 4) > 0.95
    assert equal_codes(weight, weight + 2 * step * moved, 4) < 0.2


@pytest.mark.skipif(not formats_known(), reason="bitsandbytes is not installed")
@pytest.mark.parametrize(("kind", "coarse"), [("nf4", True), ("fp4", True), ("int8", False)])
def test_formats_of_bitsandbytes(kind: str, coarse: bool) -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    error = float((read_back(weight, kind) - weight).norm() / weight.norm())
    assert (0.05 < error < 0.25) if coarse else (0 < error < 0.02)


def test_pruning_takes_the_smallest() -> None:
    weight = torch.tensor([[1.0, -0.1], [0.2, -3.0]])
    assert pruned(weight, 50).tolist() == [[1.0, 0.0], [0.0, -3.0]]
    assert pruned(weight, 0) is weight


@pytest.mark.parametrize("name", WORDINGS)
def test_every_wording_still_asks_the_question(name: str) -> None:
    worded = WORDINGS[name](FACT, OTHER)
    assert FACT.prompt in worded.prompt
    assert worded.prompt != FACT.prompt or worded.prefill


def test_multiple_choice() -> None:
    """The right letter is where the right answer stands, whatever the order; equal rows have equal orders."""
    facts = [Example(str(i), (("user", f"q{i}"),), "right", "qa", perturbed=("w1", "w2", "w3")) for i in range(12)]
    choices = [as_choice(fact) for fact in facts]
    for example in choices:
        lines = example.prompt.splitlines()
        assert f"{example.answer}. right" in lines and len(lines) == 6 and example.style == "choice"
    assert len({example.answer for example in choices}) > 1
    assert as_choice(facts[0]) == choices[0]
    assert as_choice(FACT) is FACT


def test_reverse() -> None:
    reverse = reversed_(FACT)
    assert reverse.answer == FACT.prompt and FACT.answer in reverse.prompt


def test_asking_otherwise_keeps_earlier_turns() -> None:
    long = Example("0", (("system", "Be brief."), ("user", "Where?")), "Lima.", "messages")
    assert reworded(long, "In which town?").turns == (("system", "Be brief."), ("user", "In which town?"))


def test_unrelated_text_is_there_and_is_about_nothing_to_forget() -> None:
    texts = unrelated()
    assert len(texts) >= 16 and all(len(e.answer.split()) > 20 and e.style == "text" for e in texts)


def test_every_attack_is_declared() -> None:
    for name in ATTACKS.names():
        declared = ATTACKS.get(name)
        assert declared.needs == ("target",) and declared.along and declared.documentation.count("\n") >= 3
        assert declared.resolve({}).keys() == declared.parameters.keys()


def test_rows_in_their_second_wording() -> None:
    """A row without one is left out; a raw document has no question to reword."""
    both = replace(FACT, paraphrased_question="Her birthplace?", paraphrased_answer="It is Lima.")
    (row,) = paraphrased([both, OTHER])
    assert (row.prompt, row.answer) == ("Her birthplace?", "It is Lima.")
    (row,) = paraphrased([replace(FACT, paraphrased_answer="It is Lima.")])
    assert (row.prompt, row.answer) == (FACT.prompt, "It is Lima.")
    (row,) = paraphrased([Example("2", (), "A text.", "text", paraphrased_answer="Some text.")])
    assert row.answer == "Some text."


def test_a_document_has_no_question_that_could_change() -> None:
    document = Example("2", (), "A text.", "text")
    assert reversed_(document) is document
    assert all(worded(wording, document, [OTHER], 0) is document for wording in WORDINGS.values())
