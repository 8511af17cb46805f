"""The site of the documentation and its notebook. They need the extra `docs`, which CI installs for this file."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import PAGES, ROOT

NOTEBOOK = ROOT / "docs" / "guides" / "notebook.ipynb"
WHY = 'the site needs the extra: pip install ".[docs]"'


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built so that a warning is an error."""
    for name in ("material", "mkdocs_jupyter"):
        pytest.importorskip(name, reason=WHY)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", ROOT / "mkdocs.yml", "-d", folder]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_every_page_and_a_search_that_needs_no_server(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in [*PAGES[1:], NOTEBOOK]}
    assert [page for page in pages if not (site / page).is_file()] == []
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "guides/stays-forgotten.html#recovery" in index


def test_the_site_asks_no_other_server(site):
    """Links lead out; scripts, styles, pictures and frames do not."""
    loads = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")
    loaded = {(page.name, url) for page in site.rglob("*.html") for url in loads.findall(page.read_text(encoding="utf-8"))}
    assert loaded == set()
    styles = "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//", styles) == []


def test_the_notebook_runs(monkeypatch, tmp_path):
    """Its cells, in a fresh kernel, on the model of the demo."""
    nbformat, nbclient = (pytest.importorskip(name, reason=WHY) for name in ("nbformat", "nbclient"))
    pytest.importorskip("ipykernel", reason=WHY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("recovery" in json.dumps(output) for output in outputs)


def test_the_notebook_is_kept_with_its_outputs_and_without_paths():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [cell["outputs"] for cell in cells]
    assert all(outputs) and "error" not in {output["output_type"] for cell in outputs for output in cell}
    assert not re.search(r"/tmp|/home|/work|/Users", json.dumps(outputs))


@pytest.mark.parametrize("page", ["commands.md", "report.md"])
def test_no_description_in_the_reference_is_blank(page):
    lines = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) > 80
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []
