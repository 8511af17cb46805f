"""Settings of every command. A field is the flag, the key in a config file, the entry in the report and the schema.

`option` says what an option is, `groups` holds the options that commands share, each command has a file of its own, and
`resolve` gathers values, later ones winning: the defaults here, a config file, `UNLEARN_*` variables, flags. It remembers
which. Fields that are None are filled by the method or the model, and their origin says so.
"""

from unlearn_cli.config.chat import ChatConfig
from unlearn_cli.config.clean import CleanConfig
from unlearn_cli.config.compare import CompareConfig
from unlearn_cli.config.demo import DemoConfig
from unlearn_cli.config.evaluate import EvaluateConfig
from unlearn_cli.config.forget import ForgetConfig, ForgettingOptions
from unlearn_cli.config.groups import DataOptions, LoadOptions, LoraOptions, MeasuringOptions, ModelOptions
from unlearn_cli.config.merge import MergeConfig
from unlearn_cli.config.option import Options, consent, default_of, restored, runtime_fields, without_consents
from unlearn_cli.config.push import PushConfig
from unlearn_cli.config.relearn_attack import AttackConfig
from unlearn_cli.config.resolve import given, resolve
from unlearn_cli.config.sweep import SweepConfig

__all__ = [
    "AttackConfig",
    "ChatConfig",
    "CleanConfig",
    "CompareConfig",
    "DataOptions",
    "DemoConfig",
    "EvaluateConfig",
    "ForgetConfig",
    "ForgettingOptions",
    "LoadOptions",
    "LoraOptions",
    "MeasuringOptions",
    "MergeConfig",
    "ModelOptions",
    "Options",
    "PushConfig",
    "SweepConfig",
    "consent",
    "default_of",
    "given",
    "resolve",
    "restored",
    "runtime_fields",
    "without_consents",
]
