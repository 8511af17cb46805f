"""Files that are changed until they reach a branch that no file has reached (atheris, https://github.com/google/atheris).

    python -m tests.hostile.fuzz KIND [SECONDS]

`test_hostile.py` generates files by their grammar. This knows none, and tries what nobody thought of. It starts from one
whole file of each kind. A file is read, or refused by an `UnlearnError` with a hint; anything else is a fault, and ends the
run with its traceback and the file. It needs `pip install atheris`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["unlearn_cli"]):
    from unlearn_cli.attack_report import read_attack
    from unlearn_cli.config import ForgetConfig, resolve
    from unlearn_cli.contract import METRICS
    from unlearn_cli.data import written
    from unlearn_cli.data.example import Example
    from unlearn_cli.data.load import load_split
    from unlearn_cli.errors import UnlearnError
    from unlearn_cli.expressions.parser import parse
    from unlearn_cli.jsonfile import read_kept
    from unlearn_cli.recipes.forgetting.about import SPLITS, stored_rows
    from unlearn_cli.recipes.forgetting.alternatives import StoredAlternatives
    from unlearn_cli.report import read_report

from tests.cli.comparing import attack_report, write_run

SECONDS_EACH, MEBIBYTES, LONGEST = 10, 3072, 4096  # of one file: time, memory of the process, bytes
ROW = {"question": "Who wrote it?", "answer": "Mira Okafor did.", "id": "7", "person": "mira"}
LINE, EXAMPLE = json.dumps(ROW), Example("0", (("user", "Who?"),), "Mira", "qa")
Read = Callable[[Path], object]


def kinds(folder: Path) -> dict[str, tuple[str, str, Read]]:
    """Name -> (suffix, a whole file, what reads it)."""
    write_run(folder / "run", {"forget.probability": [0.1, 0.2], "retain.probability": [0.9, 0.8]})
    report = (folder / "run" / "report.json").read_text(encoding="utf-8")
    attack = attack_report().model_dump_json()

    def rows(path: Path) -> object:
        return load_split("forget", str(path))

    return {
        "expression": ("", "forget.nll.before >= 2", lambda path: parse(
            path.read_text(encoding="utf-8", errors="replace"), metrics=METRICS.names()
        )),
        "config": (".yaml", "method: npo\nepochs: 3\nparameters: {beta: 0.1}\nforget: rows.jsonl\n",
                   lambda path: resolve(ForgetConfig, {}, path)),
        "report": (".json", report, read_report),
        "attack": (".json", attack, read_attack),
        "written": (".json", written.dumps("k", {"retain": [EXAMPLE]}), written.read),
        "about": (".json", '{"key": "k", "splits": ["forget", "retain"]}', lambda path: stored_rows(path, "k", SPLITS)),
        "alternatives": (".json", '{"key": "k", "answers": {"a": ["Sol"]}}',
                         lambda path: read_kept(path, StoredAlternatives)),
        "jsonl": (".jsonl", f"{LINE}\n{LINE}\n", rows),
        "json": (".json", f"[{LINE}]", rows),
        "csv": (".csv", "question,answer\nWho wrote it?,Mira did.\n", rows),
        "txt": (".txt", "Mira Okafor wrote it.\n\nNobody read it.\n", rows),
    }  # fmt: skip


def main() -> None:
    """Fuzz one kind of file until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        choices = kinds(folder)
        parser.add_argument("kind", choices=choices)
        parser.add_argument("seconds", type=int, nargs="?", default=60)
        arguments = parser.parse_args()
        suffix, whole, read = choices[arguments.kind]
        path, corpus = folder / f"file{suffix}", folder / "corpus"
        corpus.mkdir()
        (corpus / "whole").write_text(whole, encoding="utf-8")
        path.write_text(whole, encoding="utf-8")
        read(path)  # the file to start from has nothing wrong in it

        def one(data: bytes) -> None:
            path.write_bytes(data)
            try:
                read(path)
            except UnlearnError as error:
                assert error.hint, f"no hint: {error}"

        limits = (f"-max_total_time={arguments.seconds}", f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEBIBYTES}")
        atheris.Setup([sys.argv[0], str(corpus), *limits, f"-max_len={LONGEST}", f"-artifact_prefix={Path.cwd()}/"], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
