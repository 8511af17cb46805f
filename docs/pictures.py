"""Make the pictures of the README and the guides from real runs: `python docs/pictures.py` (a minute, on a CPU).

The demo's run and three more on its model are made in a temporary folder. The terminal is drawn from the output of the
command, and Chromium takes a screenshot of the page of `compare`.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

IMAGES = Path(__file__).parent / "images"
COLUMNS = 84
THEME = TerminalTheme(
    (22, 24, 29), (214, 218, 225),
    [(22, 24, 29), (240, 113, 103), (126, 198, 125), (229, 192, 103), (110, 168, 240), (198, 146, 233), (94, 200, 206),
     (214, 218, 225)],
    [(107, 114, 128), (240, 113, 103), (126, 198, 125), (229, 192, 103), (110, 168, 240), (198, 146, 233), (94, 200, 206),
     (245, 246, 248)],
)  # fmt: skip
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def unlearn(*arguments: object, cwd: Path) -> str:
    """The output of the command on both streams, with colors."""
    environment = os.environ | {"FORCE_COLOR": "1", "CI": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "unlearn_cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode not in (0, 4):
        raise SystemExit(done.stdout)
    return done.stdout


def draw(output: str, title: str, path: Path) -> None:
    """Draw a terminal with this output as SVG, in the reader's fonts and without links to others."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in output.splitlines():
        console.print(Text.from_ansi(line), highlight=False)
    svg = console.export_svg(title=title, theme=THEME, unique_id="unlearn")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    svg = re.sub(r"font-family: ?Fira Code[^;]*;", f"font-family: {FONT};", svg)
    path.write_text(svg, encoding="utf-8")


def screenshot(page: Path, path: Path, height: int) -> None:
    """Write the top of a page as a browser shows it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("the page of compare needs Chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1100,{height}"]
    subprocess.run([chromium, *flags, f"--screenshot={path}", page.as_uri()], check=True, capture_output=True)


def main() -> None:
    """Make all of them."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["UNLEARN_CACHE"] = str(folder / "cache")
        lines = unlearn("demo", "--keep", "demo", cwd=folder).splitlines()
        plain = [Text.from_ansi(line).plain for line in lines]
        first = next(i for i, line in enumerate(plain) if line.startswith("question"))
        last = next((i for i, line in enumerate(plain) if "run folder" in line), len(lines))
        draw("\n".join(["$ unlearn demo", "...", *lines[first:last]]), "unlearn demo", IMAGES / "demo.svg")
        data = ["--model", "demo/model", "--forget", "demo/forget.jsonl", "--retain", "demo/retain.jsonl"]
        settings = json.loads((folder / "demo" / "run" / "report.json").read_text())["config"]
        same = ["--until", settings["until"], "--learning-rate", settings["learning_rate"]]
        runs = [f"runs/{method}" for method in ("npo", "simnpo", "rmu")]
        for run in runs:
            unlearn("forget", *data, *same, "--method", Path(run).name, "--eval-every", 8, "-o", run, cwd=folder)
            attack = ["--baseline", "demo/model-retain-only", "-p", "steps=0+5+15+30"]
            unlearn("relearn-attack", run, *attack, cwd=folder)
        unlearn("evaluate", "--model", "demo/model-retain-only", *data[2:], "-o", "baseline", cwd=folder)
        compared = unlearn("compare", *runs, "--baseline", "baseline", "--html", "compare.html", cwd=folder)
        draw("$ unlearn compare runs/* --baseline baseline\n" + compared, "unlearn compare", IMAGES / "compare.svg")
        screenshot(folder / "compare.html", IMAGES / "page.png", 1400)


if __name__ == "__main__":
    main()
