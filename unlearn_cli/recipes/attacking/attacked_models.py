"""The attacked models: the unlearned one, the original before unlearning, and a baseline that never saw the forget rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from torch import Tensor

from unlearn_cli.attacks._target import AttackData, Place, Role, Target, kind
from unlearn_cli.config import AttackConfig, DataOptions, ModelOptions, PlacementOptions, restored
from unlearn_cli.console import Reporter
from unlearn_cli.data import row_notes
from unlearn_cli.data.tokenize import Encoder, make_encoder
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import Plan
from unlearn_cli.hashing import fingerprint
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.device import resolve_device, resolve_dtype
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel, load_config, load_model, load_tokenizer
from unlearn_cli.models.source import check_weights, resolve_source
from unlearn_cli.report import RunReport


def original_of(config: AttackConfig, run: RunReport) -> str:
    """The path of the model before unlearning; --base names it if it was moved."""
    return config.base or run.config["model"]


class AttackedModels:
    """The attacked models. One is in memory at a time. The original of an adapter run is the run without its adapter."""

    def __init__(self, config: AttackConfig, run: RunReport, data: AttackData, reporter: Reporter) -> None:
        self.config, self.run, self.data, self.reporter = config, run, data, reporter
        self._loaded: tuple[str, LoadedModel] | None = None
        self._identities: dict[Role, str] = {}
        self._keys: dict[Role, str] = {}
        self._encoders: dict[Role, Encoder] = {}
        self._weights: Mapping[str, Tensor] | None = None

    @property
    def roles(self) -> list[Role]:
        """The models that are attacked."""
        roles: list[Role] = ["unlearned"]
        if not self.config.skip_original:
            roles.append("original")
        return [*roles, *self.baselines, *(["control"] if self.config.control else [])]

    @property
    def baselines(self) -> dict[Role, str]:
        """The baselines: role -> model."""
        given = self.config.baseline
        return {"baseline": given[0]} if len(given) == 1 else {f"baseline {n}": model for n, model in enumerate(given, 1)}

    @property
    def original_is_base(self) -> bool:
        """Whether the original is the run without its adapter, so that both use the same weights in memory."""
        had_adapter = self.run.model is not None and self.run.model.adapter is not None
        return not had_adapter and (self.run.artifact is None or self.run.artifact.kind != "model")

    def options(self, role: Role) -> ModelOptions:
        """The options that load a model: those of the run, with another path."""
        paths = {
            "unlearned": str(self.config.run),
            "original": original_of(self.config, self.run),
            **self.baselines,
            "control": self.config.control,
        }
        here = {name: getattr(self.config, name) for name in PlacementOptions.model_fields}
        update = {"model": paths[role], **here} | ({} if role == "original" else {"revision": None})
        update["base"] = self.config.base if role in ("unlearned", "control") else None
        if kind(role) in ("baseline", "control"):  # in the precision of the model under attack
            update["dtype"] = self._dtype(self.options("unlearned")).removeprefix("torch.")
        return restored(ModelOptions, self.run.config, granted=self.config, **update)

    def identity(self, role: Role) -> str:
        """A fingerprint of a model's weights and of the way it is loaded.

        Raises:
            UnlearnError: a baseline is the unlearned or the original model itself or another baseline, or the original has
                other weights now.
        """
        if role not in self._identities:
            options = self.options(role)
            source = resolve_source(options.model, options.revision, options.base)
            if role == "original" and self.run.model:
                check_weights(options.model, source, self.run.model, "the model before unlearning", "the run was made from")
            self._identities[role] = identity(source, options, self._dtype(options), resolve_device(options.device).type)
            own = self._identities[role]
            if kind(role) == "baseline" and own in (self.identity("unlearned"), self.identity("original")):
                raise UnlearnError(
                    "--baseline is the unlearned or the original model itself",
                    "give a model trained without the forget rows",
                )
            for other in self.baselines:
                if kind(role) == "baseline" and other != role and self._identities.get(other) == own:
                    raise UnlearnError(f"{role} is the model of {other} again", "each baseline is another training")
        return self._identities[role]

    def _dtype(self, options: ModelOptions) -> str:
        model_config = load_config(resolve_source(options.model, options.revision, options.base), options)
        return str(resolve_dtype(options.dtype, model_config, resolve_device(options.device)))

    def key(self, role: Role) -> str:
        """A fingerprint of a model, of the attack's rows in its tokens, and of what is measured.

        Raises:
            UnlearnError: the rows have other tokens than for the unlearned model, so curves cannot be compared.
        """
        if role not in self._keys:
            tokens_key = self._tokens_key(role)
            if role != "unlearned" and tokens_key != self._tokens_key("unlearned"):
                raise UnlearnError(
                    f"the {role} model tokenizes the rows differently from the run: another tokenizer or chat template",
                    "give a model with the same tokenizer and template"
                    if kind(role) == "baseline"
                    else "run `unlearn forget` with --chat-template none or a file, which all models share",
                )
            self._keys[role] = fingerprint(
                self.identity(role), self.encoder(role).sha256, tokens_key, self._data_key, asdict(self.plan)
            )
        return self._keys[role]

    @property
    def placement(self) -> Mapping[str, int]:
        """Weights on each device of the model that was loaded last, if it is spread over several."""
        return self._loaded[1].placement if self._loaded else {}

    def cut_notes(self) -> list[str]:
        """Notes on rows that are too long for the unlearned model and are cut."""
        data, encoder = self.data, self.encoder("unlearned")
        rows = {
            "forget": encoder.encode((*data.train_forget, *data.eval_forget)),
            "retain": encoder.encode((*data.train_retain, *data.eval_retain)),
        }
        return row_notes.cut_notes(rows, encoder.max_length)

    def _tokens_key(self, role: Role) -> str:
        return fingerprint([[row.content for row in self.encoder(role).encode(rows)] for rows in self.data])

    @property
    def _data_key(self) -> str:
        return fingerprint([[(example.id, example.sha256) for example in rows] for rows in self.data])

    def target(self, role: Role, advance: Callable[[Place], None]) -> Target:
        """The loaded model, ready for an attack. `advance` is called with each place that the attack reaches."""
        options = self.options("unlearned" if role == "original" and self.original_is_base else role)
        if self._loaded is None or self._loaded[0] != options.model:
            self._loaded = None  # before the next one is loaded
            self.reporter.say(f"loading {options.model}")
            self._loaded = (options.model, load_model(options))
        loaded = self._loaded[1]
        if role == "original" and isinstance(loaded.model, Composed):
            loaded = replace(loaded, model=loaded.model.model)  # the base without its assistant
        return Target(
            role=role, loaded=loaded, data=self.data, encoder=self.encoder(role), plan=self.plan, advance=advance,
            separate_original=not self.original_is_base, original=self._original_weights,
        )  # fmt: skip

    def _original_weights(self) -> Mapping[str, Tensor]:
        """The original's weights by name, loaded once, for attacks that compare with them."""
        if self._weights is None:
            named = causal_lm(load_model(self.options("original")).model).named_parameters()
            self._weights = {name: parameter.data for name, parameter in named}
        return self._weights

    @property
    def plan(self) -> Plan:
        """The measurements at each point of a curve."""
        config = self.config
        return Plan(config.generate_limit, config.max_new_tokens, int(self.run.config.get("token_budget", 2048)))

    def encoder(self, role: Role) -> Encoder:
        """A model's tokenizer with the run's template and lengths. Loads no weights."""
        if role not in self._encoders:
            options = self.options(role)
            source = resolve_source(options.model, options.revision, options.base)
            limit = getattr(load_config(source, options).get_text_config(), "max_position_embeddings", None)
            tokenizer, stops = load_tokenizer(source, options)
            self._encoders[role] = make_encoder(restored(DataOptions, self.run.config), tokenizer, stops, limit)
        return self._encoders[role]
