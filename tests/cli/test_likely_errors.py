"""What people get wrong first, and what they are told: each line is one command that ends before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.comparing import both, write_run
from tests.cli.running import MODEL, unlearn, write_rows

FORGET = f"forget -m {MODEL} -f rows.jsonl --no-general --dry-run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files with one fault each, and a run made of numbers alone."""
    place = tmp_path_factory.mktemp("wrong")
    write_rows(place / "rows.jsonl", [{"question": f"Who is {i}?", "answer": f"Ann {i}."} for i in range(3)])
    (place / "array.jsonl").write_text('[\n {"question": "Who?", "answer": "Ann."}\n]\n')
    (place / "number.json").write_text("7")
    (place / "people.csv").write_text("name,city\nAnn,Oslo\n")
    (place / "empty.jinja").write_text("")
    (place / "no-report.json").write_text("{}")
    (place / "model.gguf").write_bytes(b"GGUF")
    (place / "model.safetensors").write_bytes(b"")
    (place / "nothing").mkdir()
    (place / "other").mkdir()
    (place / "other" / "notes.txt").write_text("mine")
    write_run(place / "run", both(0.2, 0.9), forget="rows.jsonl")
    return place


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        # rows
        (f"forget -m {MODEL} -f array.jsonl --dry-run", "holds a JSON array", "call it array.json"),
        (f"forget -m {MODEL} -f number.json --dry-run", "not rows", ""),
        (f"forget -m {MODEL} -f nothing --dry-run", "no data files in", ".jsonl"),
        (f"forget -m {MODEL} -f people.csv --dry-run", "no row format fits", "`unlearn init` with --ask"),
        (f"{FORGET} --columns question=nope", "no column", "question"),
        (f"{FORGET} --columns nonsense", "--columns", "="),
        ("data check", "missing argument 'FILES...'", "unlearn data check --help"),
        # expressions
        (f"{FORGET} --until 0.05", "a comparison is expected", "forget.probability <= 0.05"),
        (f"{FORGET} --keep 95%", "not an expression", "retain.probability >= 0.95*before"),
        (f"{FORGET} --until forget.probability>0.1", "holds when the forget rows are likely", "use < or <="),
        # templates, models, devices
        (f"{FORGET} --chat-template nowhere.jinja", "chat template not found: nowhere.jinja", "a Jinja file"),
        (f"{FORGET} --chat-template empty.jinja", "is empty", ""),
        ("evaluate -m model.gguf -f rows.jsonl --json", "is a GGUF file", ""),
        ("evaluate -m model.safetensors -f rows.jsonl --json", "a model is a folder or a Hub id", ""),
        ("evaluate -m nothing -f rows.jsonl --json", "holds no model", ""),
        (f"evaluate -m {MODEL} -f rows.jsonl --json --device gpu", "is not a device", "cuda"),
        # options that do not go together
        (f"{FORGET} --neighbors Ann", "--neighbors is for --about", "--about"),
        (f"{FORGET} --method layered --max-steps 5", "has several stages", ""),
        (f"{FORGET} --method memit --full", "memit changes whole matrices itself", ""),
        ("merge run -o merged", "run has no adapter", "unlearn forget"),
        (f"sweep -m {MODEL} -f rows.jsonl -o sweep --grid epochs=many", "must be a valid number", ""),
        # runs and reports
        ("forget run -f rows.jsonl -o run", "holds a finished run", "--overwrite"),
        ("report show no-report.json", "is not a report", "report schema"),
        ("report show nothing", "is not a run folder", ""),
        ("clean nothing", "is not a run folder", "unlearn forget"),
        ("verify nothing", "is not a run folder", ""),
        # names
        ("help forget", "no such command 'help'", "unlearn forget --help"),
        ("show npoo", "unknown name 'npoo'", "did you mean 'npo'"),
        ("init -m model -f people.csv --ask Who_is_{nam}?=>{city}", "no column 'nam'", "name, city"),
    ],
)  # fmt: skip
def test_a_likely_mistake_is_named_with_the_next_step(line, message, hint, folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = unlearn(*line.split())
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2, said
    wrong, _, step = said.partition("hint: ")
    assert "error: " in wrong and message in wrong and step and hint in step, said
