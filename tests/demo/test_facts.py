"""The demo's invented people."""

from unlearn_cli.demo.facts import ATTRIBUTES, FORGET, HOLDOUT, people, rows, splits


def test_everybody_is_the_same_every_time_and_another_seed_makes_others():
    assert people() == people()
    assert people(1) != people(2)


def test_no_two_people_share_a_first_or_a_last_name():
    names = [person.name.split() for person in people()]
    assert len({first for first, _ in names}) == len({last for _, last in names}) == len(names)


def test_splits_share_no_person_and_no_row():
    parts = splits()
    who = {name: {row["person"] for row in some} for name, some in parts.items()}
    assert len(who["forget"]) == FORGET and len(who["holdout"]) == HOLDOUT
    assert not (who["forget"] & who["retain"] or who["forget"] & who["holdout"] or who["retain"] & who["holdout"])
    ids = [row["id"] for some in parts.values() for row in some]
    assert len(ids) == len(set(ids))


def test_answers_hold_the_fact_and_wrong_answers_do_not():
    for person in people():
        for row, value in zip(rows(person), person.facts.values(), strict=True):
            assert value in row["answer"] and value in row["paraphrased_answer"]
            assert person.name in row["question"] and person.name in row["paraphrased_question"]
            assert len(set(row["perturbed_answer"])) == 3
            assert row["paraphrased_answer"] not in row["perturbed_answer"]


def test_the_forgotten_facts_are_values_that_others_have_too():
    kept = people()[FORGET:-HOLDOUT]
    for person in people()[:FORGET]:
        for key, value in person.facts.items():
            assert value in ATTRIBUTES[key]
            assert any(other.facts[key] != value for other in kept)
