"""Read the rows of an attack, and check that the attacker's rows contain no answers by which it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unlearn_cli.attacks._target import AttackData
from unlearn_cli.attacks.relearn import paraphrased
from unlearn_cli.config import AttackConfig, DataOptions, restored
from unlearn_cli.contract import Attack
from unlearn_cli.data import row_notes
from unlearn_cli.data.columns import parse_columns
from unlearn_cli.data.example import Example
from unlearn_cli.data.held_out import RETAIN_TRAINED
from unlearn_cli.data.load import load_split
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.recipes.attacking.settings import Setting
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.report import RunReport

WINDOW = 8  # consecutive words that count as a leak


def read_attack_data(config: AttackConfig, run: RunReport) -> tuple[AttackData, list[str]]:
    """The run's rows, divided into rows of the attacker and rows that judge the attack; and notes on them.

    Raises:
        UnlearnError: the rows are gone, or they are not the rows that the run forgot.
    """
    places = {"benchmark": config.benchmark, "benchmark_dir": config.benchmark_dir}
    changed: dict[str, Any] = {name: value for name, value in places.items() if value}
    if config.benchmark:  # the benchmark has the run's rows; the files that the run read are not needed
        changed |= {"forget": None, "retain": None, "retain_eval": None}
    # Older reports have no `retain_held_out`: those runs held out no rows.
    options = restored(DataOptions, {"retain_held_out": 0.0} | run.config, holdout=None, **changed)
    splits = load_splits(options, config.run)
    if "forget" not in splits or "forget" not in run.data:
        raise UnlearnError(f"{config.run} names no forget rows", "a run of `unlearn forget` is expected")
    for name, split in splits.items():
        if name in run.data and split.origin.sha256 != run.data[name].sha256:
            raise UnlearnError(
                f"the {name} rows at {run.data[name].spec} are not those of the run",
                "an attack is judged by the rows that the run forgot: restore the file",
            )
    forget = splits["forget"].examples
    if len(forget) < 2:
        raise UnlearnError(
            "an attack needs at least two forget rows: one to train on, and one that judges",
            "attack a run that forgot more rows",
        )
    train = set(spread(len(forget), max(1, min(len(forget) - 1, round(config.share * len(forget))))))
    judging = [example for i, example in enumerate(forget) if i not in train]
    retain = splits["retain"].examples if "retain" in splits else ()
    eval_retain = set(spread(len(retain), config.eval_limit or len(retain))) if retain else set()
    unjudged = tuple(example for i, example in enumerate(retain) if i not in eval_retain)
    trained = splits[RETAIN_TRAINED].examples if RETAIN_TRAINED in splits else unjudged
    data = AttackData(
        eval_forget=tuple(judging[i] for i in spread(len(judging), config.eval_limit)),
        train_forget=tuple(forget[i] for i in sorted(train)),
        eval_retain=tuple(retain[i] for i in sorted(eval_retain)),
        train_retain=trained or tuple(retain),
        user_rows=_user_rows(config, options),
    )
    return data, row_notes.notes(splits)


def _user_rows(config: AttackConfig, options: DataOptions) -> tuple[Example, ...]:
    if not config.attack_data:
        return ()
    columns = parse_columns(options.columns) if options.columns else None
    return tuple(load_split("attack", config.attack_data, columns=columns, elsewhere=True).examples)


def attacker_rows(attack: Attack, setting: Setting, data: AttackData) -> tuple[Example, ...]:
    """The rows that an attack trains on, or shows to the model in a prompt."""
    if attack.name == "relearn":
        rows_of = {
            "forget-subset": data.train_forget, "same-data": (*data.train_forget, *data.eval_forget),
            "retain-only": data.train_retain, "given": data.user_rows, "paraphrased": tuple(paraphrased(data.train_forget)),
        }  # fmt: skip
        return rows_of.get(setting["data"], ())
    if attack.name in ("rtt", "probe"):
        return data.train_forget
    if attack.name == "few-shot":
        return data.train_forget if setting["source"] == "forget" else data.train_retain
    return ()


def overlap(judged: Sequence[Example], attacker: Sequence[Example]) -> int:
    """The number of judged answers that share `WINDOW` consecutive words with the attacker's rows."""

    def windows(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return {tuple(words[i : i + WINDOW]) for i in range(len(words) - WINDOW + 1)}

    attacker_windows = {window for row in attacker for window in windows(f"{row.prompt} {row.answer}")}
    return sum(bool(windows(example.answer) & attacker_windows) for example in judged)


def check_no_answers(judged: Sequence[Example], attacker: Sequence[Example]) -> None:
    """Check that the attacker's rows contain no judged answers word for word: the attack would teach them.

    Raises:
        UnlearnError: a row contains such an answer of at least `WINDOW` words.
    """
    text = "\n".join(" ".join(f"{e.prompt} {e.answer}".lower().split()) for e in attacker)
    leaked = [e.id for e in judged if len(e.answer.split()) >= WINDOW and " ".join(e.answer.lower().split()) in text]
    if leaked:
        raise UnlearnError(
            f"the attacker's rows contain {len(leaked)} of the judged answers word for word (forget row {leaked[0]})",
            "remove them, or -p data=same-data, whose recovery is an upper bound",
        )
