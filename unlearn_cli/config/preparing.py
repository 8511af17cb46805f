"""Settings of the commands before a run: `unlearn init` and `unlearn data check`."""

from __future__ import annotations

from pathlib import Path

from unlearn_cli.config.groups import ModelOptions, OfflineOptions, ShownOptions
from unlearn_cli.config.option import Columns, Texts, option
from unlearn_cli.config.recipes import RecipeName


class CheckConfig(OfflineOptions, ModelOptions):
    """Settings of `unlearn data check`."""

    files: Texts = option((), "rows to forget, then rows to keep, then others: files, folders or hf:...", "Data",
                          metavar="FILES...", required=True)  # fmt: skip
    columns: Columns = option(
        (), "your column names: prompt=q,answer=a; default: guessed where no format fits", "Data", metavar="NAMES"
    )


class InitConfig(ShownOptions):
    """Settings of `unlearn init`."""

    model: str = option("", "folder, Hub id, or folder of an adapter", "Model", short="-m", metavar="MODEL", path=True)
    load_in_4bit: bool = option(False, "NF4 with double quantization", "Model")
    forget: str | None = option(
        None, "rows to forget: a file, a folder, or hf:org/name:split", "Data", short="-f", metavar="SPEC", path=True
    )
    retain: str | None = option(None, "rows that the model should still know", "Data", short="-r", metavar="SPEC", path=True)
    columns: Columns = option(
        (), "your column names: prompt=q,answer=a; default: guessed where no format fits", "Data", metavar="NAMES"
    )
    ask: Texts = option(
        (), "for a table of facts: a question and its answer with columns in braces, 'Where does {name} live? => {name} "
        "lives in {city}.'; repeatable", "Data", metavar="TEXT",
    )  # fmt: skip
    recipe: RecipeName = option(
        "balanced", "quick: a first look; durable: slower, and an attack brings least back (shown on small models)",
        "Method",
    )  # fmt: skip
    output_dir: Path | None = option(None, "run folder; default: runs/NAME-OF-THE-ROWS", "Output", short="-o", metavar="DIR")
    write: Path = option(Path("forget.yaml"), "the file to write", "Output", metavar="FILE")
    overwrite: bool = option(False, "replace the file", "Output")
