"""question, choices, answer (a number from 0, or a letter): multiple choice, as in WMDP and MMLU."""

from __future__ import annotations

from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._row import BadRow, Row, as_text, row_format

LETTERS = "ABCDEFGHIJ"
HEADER = "The following are multiple choice questions (with answers)"


@row_format(question=("question",), choices=("choices", "options"), answer=("answer",))
def multiple_choice(row: Row) -> Example:
    """A question with lettered choices. The right letter is scored against the others, as the evaluation harness does."""
    choices = row.texts("choices")
    if not 2 <= len(choices) <= len(LETTERS):
        raise BadRow(f"{len(choices)} choices; 2 to {len(LETTERS)} are expected")
    letters = LETTERS[: len(choices)]
    answer = row.text("answer").strip()
    right = letters[int(answer)] if answer.isdecimal() and int(answer) < len(letters) else answer.upper()
    if right not in letters:
        raise BadRow(f"answer {answer!r} is none of the {len(choices)} choices")
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, choices, strict=True))
    subject = row.get("subject")
    about = f" about {as_text(subject, 'subject').replace('_', ' ')}" if subject else ""
    prompt = f"{HEADER}{about}.\n\n{row.in_context(row.text('question').strip())}\n{listed}\nAnswer:"
    wrong = tuple(letter for letter in letters if letter != right)
    return Example(row.id, (("user", prompt),), right, "choice", perturbed=wrong)
