"""Find the local files that a data argument names."""

from __future__ import annotations

from pathlib import Path

from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import closest

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
LISTED = 8  # files named in a hint


def find_files(name: str, spec: str) -> list[Path]:
    """The file, or all data files of the folder, sorted by name; absolute.

    Args:
        name: the split, for messages.
        spec: a path.

    Raises:
        UnlearnError: the path does not exist, or the folder has no data files, several kinds of them, or an unknown kind.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        return _in_folder(name, path.resolve())
    if not path.is_file():
        raise UnlearnError(f"{name} data not found: {spec}", _files_nearby(spec, path))
    if path.suffix.lower() not in SUFFIXES:
        kind = f"'{path.suffix}'" if path.suffix else "no suffix"
        raise UnlearnError(f"{name} data: {path.name} has an unknown suffix: {kind}", f"known: {', '.join(SUFFIXES)}")
    return [path.resolve()]


def _in_folder(name: str, folder: Path) -> list[Path]:
    files = _data_files(folder)
    if not files:
        raise UnlearnError(f"{name} data: no data files in {folder}", f"known suffixes: {', '.join(SUFFIXES)}")
    first_of = {file.suffix.lower(): file.name for file in reversed(files)}
    if len(first_of) > 1:
        named = ", ".join(f"{suffix} ({first_of[suffix]})" for suffix in sorted(first_of))
        raise UnlearnError(
            f"{name} data: {folder} has files of several kinds: {named}",
            "name one file, or a folder with one kind of file",
        )
    return files


def _data_files(folder: Path) -> list[Path]:
    files = (entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    return sorted((file for file in files if file.suffix.lower() in SUFFIXES), key=lambda file: file.name)


def _files_nearby(spec: str, path: Path) -> str | None:
    if spec.count("/") == 1 and not path.suffix and not path.parent.exists():
        return f"a data set of the Hub is written hf:{spec}"
    folder = next((parent for parent in path.absolute().parents if parent.is_dir()), Path.cwd())
    names = [file.name for file in _data_files(folder)]
    if not names:
        return f"no data files in {folder}"
    # Stems are compared, because a common suffix does not make two names similar.
    nearest = closest(path.stem, [Path(name).stem for name in names])
    names.sort(key=lambda name: Path(name).stem != nearest)
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    where = "here" if folder == path.absolute().parent else f"in {folder}"
    guess = f"did you mean {names[0]}? " if nearest else ""
    return f"{guess}files {where}: {', '.join(names[:LISTED])}{more}"
