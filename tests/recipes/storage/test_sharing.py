"""What `unlearn push` uploads, and what it removes of an earlier upload."""

from __future__ import annotations

import pytest

from unlearn_cli.recipes.storage.sharing import is_shared, is_stale

REPORTS = ("report.json", "evaluation/report.json", "attacks/relearn/report.json", "derived/merged/report.json")
LINKS = ("lineage/0001-forget.json",)
ROWS = (
    "measured/after-forget.jsonl", "rows.jsonl", "evaluation/rows.jsonl", "derived/merged/rows.jsonl",
    "derived/merged/measured/after-forget.jsonl",
)  # fmt: skip
NEVER = (
    "notes/report.json",
    "attacks/relearn/curves/a.json",
    "checkpoints/step-1.pt",
    "forget.jsonl",
    "written/forget.jsonl",
)


@pytest.mark.parametrize("name", [*REPORTS, *LINKS, "adapter.safetensors", "assistant/adapter.safetensors"])
def test_reports_and_the_artifact_are_uploaded(name: str) -> None:
    assert is_shared(name, ["adapter.safetensors"])


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_uploaded_only_if_asked(name: str) -> None:
    assert not is_shared(name, []) and is_shared(name, [], samples=True)


@pytest.mark.parametrize("name", [*NEVER, "notes/adapter.safetensors"])
def test_the_rest_stays(name: str) -> None:
    assert not is_shared(name, ["adapter.safetensors"], samples=True) and not is_stale(name, [])


@pytest.mark.parametrize("name", [*REPORTS[1:], *LINKS, *ROWS])
def test_an_earlier_upload_leaves_no_report_of_another_state(name: str) -> None:
    assert is_stale(name, ["report.json"]) and not is_stale(name, ["report.json", name])
