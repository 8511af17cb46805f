"""Settings of every command. A field is the flag, the key in a config file, the entry in the report and the schema.

`option` says what an option is; `groups` and `training` hold options that several commands share. `resolve` gathers values
from the defaults here, a config file, `UNLEARN_*` variables and flags; a later source wins. It also returns the source of
each value. A field that is None is filled in later, by the method or the model, and its source then says so.
"""

from unlearn_cli.config.compare import CompareConfig
from unlearn_cli.config.evaluate import DERIVED, EvaluateConfig
from unlearn_cli.config.finished_run import (
    ChatConfig,
    CleanConfig,
    MergeConfig,
    PushConfig,
    RecordConfig,
    ReproduceConfig,
    VerifyConfig,
)
from unlearn_cli.config.forget import DemoConfig, ForgetConfig, ForgettingOptions
from unlearn_cli.config.groups import DataOptions, LoadOptions, MeasuringOptions, ModelOptions, PlacementOptions
from unlearn_cli.config.option import Options, consent, default_of, restored, runtime_fields, without_consents
from unlearn_cli.config.preparing import CheckConfig, InitConfig
from unlearn_cli.config.relearn_attack import AttackConfig
from unlearn_cli.config.resolve import given, resolve
from unlearn_cli.config.sweep import SweepConfig
from unlearn_cli.config.training import LoraOptions

__all__ = [
    "DERIVED",
    "AttackConfig",
    "ChatConfig",
    "CheckConfig",
    "CleanConfig",
    "CompareConfig",
    "DataOptions",
    "DemoConfig",
    "EvaluateConfig",
    "ForgetConfig",
    "ForgettingOptions",
    "InitConfig",
    "LoadOptions",
    "LoraOptions",
    "MeasuringOptions",
    "MergeConfig",
    "ModelOptions",
    "Options",
    "PlacementOptions",
    "PushConfig",
    "RecordConfig",
    "ReproduceConfig",
    "SweepConfig",
    "VerifyConfig",
    "consent",
    "default_of",
    "given",
    "resolve",
    "restored",
    "runtime_fields",
    "without_consents",
]
