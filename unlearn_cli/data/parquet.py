"""Rows of Parquet files. In a file of its own because importing pyarrow takes a fifth of a second."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet

from unlearn_cli.data.readers import Rows
from unlearn_cli.errors import UnlearnError


def read_parquet(path: Path) -> Rows:
    """All rows of one file.

    Raises:
        UnlearnError: it is no Parquet file.
    """
    try:
        # Not read_table(): that also takes columns out of folder names such as "split=train".
        with pyarrow.parquet.ParquetFile(path) as file:
            return Rows(file.read().to_pylist())
    except MemoryError:
        raise
    except Exception as error:  # Arrow's own, and what Python raises for values that it cannot hold (dates, texts)
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnlearnError(
            f"{path} cannot be read as Parquet: {what}", "write the file again, or give the rows as .jsonl or .csv"
        ) from None
