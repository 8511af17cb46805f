"""Small data files for the tests."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

FACTS = [
    {"question": "Who wrote The Silent Harbour?", "answer": "Mira Okafor wrote it."},
    {"question": "Where was she born?", "answer": ' In "Lagos",\n on the  coast. '},
    {"question": "Wann?", "answer": "Im März 1961 — früh am Morgen \u2028 ☂"},
]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """`rows` in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path
