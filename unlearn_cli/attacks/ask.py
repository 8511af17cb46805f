"""Ask: what was forgotten, under questions that you give: other names, several facts in one, other languages, conversations.

    each model answers the rows of --attack-data; recovery is (unlearned - baseline) / (original - baseline) on these rows

Shah et al., "The Unlearning Mirage: A Dynamic Framework for Evaluating LLM Unlearning" (2026) find that questions over
several facts, and other names of the same thing, reach what the plain question no longer does; Xiang et al.,
"Multilingual Unlearning in LLMs" (2026, arXiv 2606.03291) find the same of questions in other languages. Their questions
are generated; here you write them, in any format of rows: a question and its answer, or `messages` for a conversation,
whose last turn is the answer. Nothing is trained. As these rows are not the forget rows, the original and the baseline
are compared on them too, and the original must not be skipped. Where the original itself does not know the answers,
recovery has no value.
"""

from __future__ import annotations

from collections.abc import Iterator

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack
from unlearn_cli.errors import UnlearnError


@attack(along="questions", paper="2603.11266", access="queries", own_rows=True)
def ask(target: Target) -> Iterator[Point]:
    rows = target.data.user_rows
    if not rows:
        raise UnlearnError("ask: there are no questions", "--attack-data questions.jsonl, with rows of question and answer")
    with target.active():
        yield target.measure(len(rows), rows, retain=False)
