"""The models an attack is tried on: the unlearned one, the one before, and one that never saw the forget rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from unlearn_cli.attacks._target import AttackData, Place, Role, Target
from unlearn_cli.config import AttackConfig, DataOptions, ModelOptions, restored
from unlearn_cli.console import Reporter
from unlearn_cli.data import row_notes
from unlearn_cli.data.columns import parse_columns
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.load import load_split
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import Plan, spread
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel, load_config, load_model, load_tokenizer, resolve_device, resolve_dtype
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.forgetting.resolve import make_encoder
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.report import RunReport, fingerprint

WINDOW = 8  # words in a row that count as a leak


def read_attack_data(config: AttackConfig, run: RunReport) -> tuple[AttackData, list[str]]:
    """The run's rows, split between the attacker and the judge; and notes on the run's rows.

    Raises:
        UnlearnError: they are gone, or are not what the run forgot any more.
    """
    options = restored(DataOptions, run.config, holdout=None)
    splits = load_splits(options)
    if "forget" not in splits or "forget" not in run.data:
        raise UnlearnError(f"{config.run} names no forget rows", "a run of `unlearn forget` is expected")
    for name, split in splits.items():
        if name in run.data and split.origin.sha256 != run.data[name].sha256:
            raise UnlearnError(
                f"the {name} rows at {run.data[name].spec} are not those of the run",
                "an attack is judged by what was forgotten; restore the file",
            )
    forget = splits["forget"].examples
    if len(forget) < 2:
        raise UnlearnError("an attack needs at least two forget rows: one to train on, one to judge by")
    mine = set(spread(len(forget), max(1, min(len(forget) - 1, round(config.share * len(forget))))))
    others = [example for i, example in enumerate(forget) if i not in mine]
    retain = splits["retain"].examples if "retain" in splits else ()
    seen = set(spread(len(retain), config.eval_limit or len(retain))) if retain else set()
    data = AttackData(
        eval_forget=tuple(others[i] for i in spread(len(others), config.eval_limit)),
        train_forget=tuple(forget[i] for i in sorted(mine)),
        eval_retain=tuple(retain[i] for i in sorted(seen)),
        train_retain=tuple(example for i, example in enumerate(retain) if i not in seen) or tuple(retain),
        user_rows=_given(config, options),
    )
    return data, row_notes.notes(splits)


def _given(config: AttackConfig, options: DataOptions) -> tuple[Example, ...]:
    if not config.attack_data:
        return ()
    columns = parse_columns(",".join(options.columns)) if options.columns else None
    split: Split = load_split("attack", config.attack_data, columns=columns, elsewhere=True)
    return split.examples


def overlap(judged: Sequence[Example], attacker: Sequence[Example]) -> int:
    """Judged answers that share `WINDOW` words in a row with the attacker's rows."""

    def windows(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return {tuple(words[i : i + WINDOW]) for i in range(len(words) - WINDOW + 1)}

    known: set[tuple[str, ...]] = set()
    for example in attacker:
        known |= windows(f"{example.prompt} {example.answer}")
    return sum(bool(windows(example.answer) & known) for example in judged)


def check_no_answers(judged: Sequence[Example], attacker: Sequence[Example]) -> None:
    """Refuse an attack whose rows hold judged answers word for word: it would measure teaching.

    Raises:
        UnlearnError: there are some; answers of fewer than `WINDOW` words do not count.
    """
    known = "\n".join(" ".join(f"{e.prompt} {e.answer}".lower().split()) for e in attacker)
    held = [e.id for e in judged if len(e.answer.split()) >= WINDOW and " ".join(e.answer.lower().split()) in known]
    if held:
        raise UnlearnError(
            f"the attacker's rows hold {len(held)} of the judged answers word for word (forget row {held[0]})",
            "take them out, or -p data=same-data, whose number is an upper bound",
        )


def original_of(config: AttackConfig, run: RunReport) -> str:
    """The model before unlearning, where it is now."""
    return config.base or run.config["model"]


class AttackedModels:
    """The three models; one is in memory at a time, and an adapter run's original is its base."""

    def __init__(self, config: AttackConfig, run: RunReport, data: AttackData, reporter: Reporter) -> None:
        self.config, self.run, self.data, self.reporter = config, run, data, reporter
        self._loaded: tuple[str, LoadedModel] | None = None
        self._identities: dict[Role, str] = {}
        self._keys: dict[Role, str] = {}
        self._encoders: dict[Role, Encoder] = {}

    @property
    def roles(self) -> list[Role]:
        """Those that are attacked."""
        roles: list[Role] = ["unlearned"]
        if not self.config.skip_original:
            roles.append("original")
        return [*roles, "baseline"] if self.config.baseline else roles

    @property
    def adapter(self) -> bool:
        """The original is what the run's artefact lies on: the same weights without it."""
        arrived = self.run.model is not None and self.run.model.adapter is not None
        return not arrived and (self.run.artifact is None or self.run.artifact.kind != "model")

    def options(self, role: Role) -> ModelOptions:
        """Which model, loaded as the run loaded its own."""
        named = {
            "unlearned": str(self.config.run),
            "original": original_of(self.config, self.run),
            "baseline": self.config.baseline,
        }
        update = {"model": named[role], "device": self.config.device} | ({} if role == "original" else {"revision": None})
        update["base"] = self.config.base if role == "unlearned" else None
        if role == "baseline":  # in the precision of the model under attack
            update["dtype"] = self._dtype(self.options("unlearned")).removeprefix("torch.")
        return restored(ModelOptions, self.run.config, granted=self.config, **update)

    def identity(self, role: Role) -> str:
        """Fingerprint of a model's weights and of how it is loaded.

        Raises:
            UnlearnError: the baseline is the unlearned or the original model itself.
        """
        if role not in self._identities:
            options = self.options(role)
            source = resolve_source(options.model, options.revision, options.base)
            self._identities[role] = identity(source, options, self._dtype(options), resolve_device(options.device).type)
            if role == "baseline" and self._identities[role] in (self.identity("unlearned"), self.identity("original")):
                raise UnlearnError(
                    "--baseline is the unlearned or the original model itself",
                    "give a model trained without the forget rows",
                )
        return self._identities[role]

    def _dtype(self, options: ModelOptions) -> str:
        model_config = load_config(resolve_source(options.model, options.revision, options.base), options)
        return str(resolve_dtype(options.dtype, model_config, resolve_device(options.device)))

    def key(self, role: Role) -> str:
        """Fingerprint of a model, of its tokens of the attack's rows, and of what is measured of them.

        Raises:
            UnlearnError: the model would be asked otherwise than the unlearned one, so that their curves would not compare.
        """
        if role not in self._keys:
            rows = self._rows(role)
            if role != "unlearned" and rows != self._rows("unlearned"):
                raise UnlearnError(
                    f"the {role} model writes the rows otherwise than the run: another tokenizer or chat template",
                    "give a model with the same tokenizer and template"
                    if role == "baseline"
                    else "run `unlearn forget` with --chat-template none or a file, which all models share",
                )
            self._keys[role] = fingerprint(
                self.identity(role), self.encoder(role).sha256, rows, self._data_key, asdict(self.plan)
            )
        return self._keys[role]

    def cut_notes(self) -> list[str]:
        """Notes on rows that are too long for the unlearned model and are cut."""
        data, encoder = self.data, self.encoder("unlearned")
        rows = {
            "forget": encoder.encode((*data.train_forget, *data.eval_forget)),
            "retain": encoder.encode((*data.train_retain, *data.eval_retain)),
        }
        return row_notes.cut_notes(rows, encoder.max_length)

    def _rows(self, role: Role) -> str:
        return fingerprint([[row.content for row in self.encoder(role).encode(rows)] for rows in self.data])

    @property
    def _data_key(self) -> str:
        return fingerprint([[(example.id, example.sha256) for example in rows] for rows in self.data])

    def target(self, role: Role, advance: Callable[[Place], None]) -> Target:
        """The model, ready to be attacked."""
        options = self.options("unlearned" if role == "original" and self.adapter else role)
        if self._loaded is None or self._loaded[0] != options.model:
            self._loaded = None  # before the next one is loaded
            self.reporter.say(f"loading {options.model}")
            self._loaded = (options.model, load_model(options))
        loaded = self._loaded[1]
        if role == "original" and isinstance(loaded.model, Composed):
            loaded = replace(loaded, model=loaded.model.model)  # the base alone, its assistant off
        return Target(
            role=role, loaded=loaded, data=self.data, encoder=self.encoder(role), plan=self.plan, advance=advance,
            separate_original=not self.adapter,
        )  # fmt: skip

    @property
    def plan(self) -> Plan:
        """What is measured at every point."""
        config = self.config
        return Plan(config.generate_limit, config.max_new_tokens, int(self.run.config.get("token_budget", 2048)))

    def encoder(self, role: Role) -> Encoder:
        """A model's tokenizer with the run's template and lengths; no weights are loaded for it."""
        if role not in self._encoders:
            options = self.options(role)
            source = resolve_source(options.model, options.revision, options.base)
            limit = getattr(load_config(source, options).get_text_config(), "max_position_embeddings", None)
            tokenizer, stops = load_tokenizer(source, options)
            self._encoders[role] = make_encoder(restored(DataOptions, self.run.config), tokenizer, stops, limit)
        return self._encoders[role]
