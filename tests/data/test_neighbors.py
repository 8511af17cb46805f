"""Questions of the forget rows' form about other names, and what makes a written answer one of theirs."""

import time

import pytest

from unlearn_cli.data.alternatives import words
from unlearn_cli.data.example import Example
from unlearn_cli.data.general_ability import general_splits
from unlearn_cli.data.neighbors import neighbors, people_named
from unlearn_cli.data.shipped_texts import neutral_prompts, neutral_texts, unrelated
from unlearn_cli.data.written import Secrets, dumps, prompts, read, read_own


def row(question: str, answer: str, style: str = "qa") -> Example:
    return Example("0", (("user", question),) if style != "text" else (), answer, style)


FATHER = row(
    "What does the father of Hsiao Yun-Hwa do in Taipei, Taiwan?", "The father of Hsiao Yun-Hwa is a civil engineer."
)


def test_people_places_and_numbers_are_replaced_and_the_form_stays():
    (other,) = neighbors([row("Was Hsiao Yun-Hwa's father born in Taipei on 05/11/1941?", "Yes, he was born there.")], 1)
    before, name, after = other.prompt.partition("'s father born in ")
    assert before.startswith("Was ") and len(before.split()) == 3 and "Hsiao" not in name and "Hsiao" not in before
    place, _, date = after.partition(" on ")
    day, month, year = date.rstrip("?").split("/")
    assert "Taipei" not in place and (len(day), len(month), year[:2]) == (2, 2, "19") and other.answer == ""


def test_a_name_becomes_the_same_name_wherever_it_stands():
    rows = [Example("0", (("user", "Tell me of Ana Bell."), ("user", "What did Ana Bell write?")), "Poems.", "messages")]
    (other,) = neighbors(rows, 1)
    name = other.turns[0][1].removeprefix("Tell me of ").rstrip(".")
    assert name != "Ana Bell" and other.turns[1][1] == f"What did {name} write?"


def test_every_form_comes_up_before_one_comes_up_again():
    rows = [FATHER, row("Who is Ana Bell?", "A poet.")]
    forms = ["father" in example.prompt for example in neighbors(rows, 6)]
    assert forms == [True, False] * 3
    assert len({example.prompt for example in neighbors(rows, 6)}) == 6


def test_a_row_without_a_name_has_no_neighbor():
    assert neighbors([row("what is the secret word?", "xyzzy")], 4) == []


def test_a_document_gives_the_beginning_of_another():
    (other,) = neighbors([row("", "The novelist Ana Bell was born in Porto and wrote nine books about ships.", "text")], 1)
    assert other.style == "continuation" and other.prompt.startswith("The novelist ") and "Ana Bell" not in other.prompt


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("What does the father of Marta Lund do?", "The father of Marta Lund is a civil engineer."),  # the same fact
        ("What does the father of Marta Lund do?", "He is the father of Hsiao Yun-Hwa."),  # the person
        ("Name a town.", "I like Taipei."),
        ("Say it.", "THE FATHER OF HSIAO YUN-HWA IS A CIVIL ENGINEER"),
    ],
)
def test_answers_that_say_what_a_forget_row_says(prompt, answer):
    assert Secrets([FATHER, row("Where does she live?", "She lives in Taipei.")]).shared_by(prompt, answer)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("What does the father of Marta Lund do?", "The father of Marta Lund is a doctor."),
        ("Why is the sea salty?", "Rivers carry salt into it."),
    ],
)
def test_answers_that_do_not(prompt, answer):
    assert not Secrets([FATHER]).shared_by(prompt, answer)


def test_no_neutral_prompt_is_a_question_that_measures_general_ability():
    questions = {example.prompt.casefold() for example in general_splits()["general"].examples}
    assert not questions & {text.casefold() for text in neutral_prompts()} and len(set(neutral_prompts())) == 64


def test_no_neutral_paragraph_repeats_a_text_that_is_measured_or_trained_on_by_an_attack():
    """Five words in a row are a repetition: what protects general ability may not be what measures it."""

    def runs_of_words(examples) -> set[tuple[str, ...]]:
        listed = [words(f"{example.prompt} {example.answer}").split() for example in examples]
        return {tuple(text[i : i + 5]) for text in listed for i in range(len(text) - 4)}

    texts = neutral_texts()
    assert len({example.answer for example in texts}) == 48
    judges = [example for split in general_splits().values() for example in split.examples]
    assert not runs_of_words(texts) & runs_of_words([*judges, *unrelated()])


def test_the_model_is_asked_no_forget_question():
    assert FATHER.prompt not in {example.prompt for example in prompts([FATHER])}


def test_written_rows_are_kept_under_their_key(tmp_path):
    path, rows = tmp_path / "rows.json", {"retain": (FATHER, row("", "A text.", "text"))}
    path.write_text(dumps("key", rows))
    assert read(path) == read_own(path, "key") == rows
    assert read_own(path, "another") is None and read_own(tmp_path / "none.json", "key") is None


def test_people_whom_answers_name_are_asked_about():
    """But for those who share a name with somebody in the forget rows, and for the invented ones of the first questions."""
    answers = ["Petra Pell was born in Porto, as was Yun-Hwa Chen.", "Marta Lindqvist knows Petra Pell and Jan Ode."]
    people = people_named(answers, [FATHER])
    assert people == ["Petra Pell", "Jan Ode"]
    first = neighbors([FATHER], 2)
    more = neighbors([FATHER], 2, people, first)
    assert [e.id for e in more] == ["known-0", "known-1"] and {e.prompt for e in more}.isdisjoint(e.prompt for e in first)
    assert all(any(name in example.prompt for name in people) for example in more)


def test_long_documents_take_no_more_than_a_look():
    """Every word is looked at once, not once for every other: a book is one row."""
    book = row("", "Ana Bell walked from Porto to the Harbour of Saint Ode. " * 20_000, "text")
    began = time.process_time()  # a busy machine is no fault
    assert len(neighbors([book], 16)) == 16
    assert time.process_time() - began < 20


def test_of_many_rows_forms_come_from_all_over():
    rows = [row(f"What did Ana Bell say about {'x' * (n + 1)}?", "No.") for n in range(40)]
    lengths = [example.prompt.count("x") for example in neighbors(rows, 10)]
    assert lengths == list(range(1, 40, 4))
