"""What stays forgotten, at what price: `docs/reference/frontier.md`, its data and its picture.

    python tests/benchmarks/frontier.py --shared ../shared [--real DIR] --model small --recipes npo,undo --seeds 0
        [--rows 60] [--rates 1e-2,3e-3,1e-3] [--steps 60] [--render]

Each recipe is a run of `unlearn forget`, attacked by `unlearn relearn-attack` at every rate against a model that never saw
the rows, and measured by the attack `path`, which trains nothing. Entries of earlier calls stay. DIR holds the models that
`../shared/real/build.py DIR` makes. `--finished RUN --recipes NAME --seeds N` takes a run that was attacked before.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import unlearn_cli
from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.demo import ASSETS
from unlearn_cli.rendering.svg import COLORS, Axis, Series, chart
from unlearn_cli.report import UNUSABLE, RunReport, before_and_after, read_report

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "reference" / "frontier.json"
PAGE, PICTURE = DATA.with_suffix(".md"), DATA.with_suffix(".svg")
BATCH = 8  # forget rows of a step
REPAIR = 240  # steps of the training that follows unlearning, whatever the number of rows
RECIPES: dict[str, dict[str, Any]] = {  # settings of `unlearn forget`
    "npo": {"method": "npo"},
    "simnpo": {"method": "simnpo"},
    "me-gd": {"method": "me-gd"},
    "rmu": {"method": "rmu"},
    "grad-diff": {"method": "grad-diff"},
    "masc": {"method": "masc"},
    "memit": {"method": "memit"},
    "idk": {"method": "idk"},
    "shred": {"method": "shred"},
    "layered": {"method": "layered"},
    "relabel": {"method": "relabel"},
    "npo sign": {"method": "npo", "optim": "sign"},
    "npo gu": {"method": "npo", "robust": "gu"},
    "npo sam": {"method": "npo", "robust": "sam"},
    "repselect": {"method": "repselect"},
    "rehearsal": {"method": "rehearsal"},
    "rehearsal 2e-4": {"method": "rehearsal", "parameters": {"rounds": 200, "rate": 2e-4, "retain_weight": 4.0}},
    "undo": {"method": "undo"},
    **{f"undo {a}": {"method": "undo", "parameters": {"alpha": a, "epochs": REPAIR}} for a in (0.4, 0.5, 0.6, 0.7)},
    **{
        f"undo {base} 0.5": {"method": "undo", "parameters": {"base": base, "alpha": 0.5, "epochs": REPAIR}}
        for base in ("me-gd", "relabel")
    },
    "weight-distortion": {"method": "weight-distortion", "parameters": {"epochs": REPAIR}},
    "weight-distance": {"method": "weight-distance", "parameters": {"epochs": REPAIR}},
    "mode-connectivity": {"method": "mode-connectivity", "parameters": {"epochs": REPAIR}},
}
STYLE = (
    "<style>svg{background:#fff}text{font:13px sans-serif;fill:#1b1f24}.tick{fill:#57606a;font-size:12px}"
    ".grid{stroke:#d8dee4}circle{fill:currentColor}"
    + "".join(f".c{i}{{color:{color}}}" for i, color in enumerate(COLORS))
    + "</style>"
)
RETAIN = {"demo": 1000, "small": 1200, "real": 90}  # rows to keep, of which a fifth is held out


def places(model: str, shared: Path | None, real: Path | None) -> tuple[Path, Path, list[dict], list[dict]]:
    """The model that knows the rows, the one that never saw them, forget rows and retain rows."""
    if model == "demo":
        rows = splits()
        return ASSETS / "model", ASSETS / "model-retain-only", rows["forget"], rows["retain"]
    assert shared is not None, "--shared names the folder of models and rows"
    data = shared / "data" / ("tofu-mini" if model == "small" else "tofu-real")
    forget, retain = (
        [json.loads(line) for line in (data / f"{split}.jsonl").read_text("utf-8").splitlines()]
        for split in ("forget_perturbed", "retain")
    )
    if model == "small":
        return shared / "models" / "tofu-mini-full", shared / "models" / "tofu-mini-retain90", forget, retain
    assert real is not None, "--real names the folder that real/build.py made"
    return real / "smollm2-tofu-full", real / "smollm2-tofu-retain", forget, retain


def entry(name: str, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One recipe with one seed: what it reached, what the attacker reached, and what the way back says."""
    model, baseline, forget, retain = places(arguments.model, arguments.shared, arguments.real)
    files = {"forget": forget[: arguments.rows], "retain": retain[: RETAIN[arguments.model]]}
    for split, rows in files.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    out = folder / f"{name.replace(' ', '-')}-{seed}"
    base = {"recipe": name, "model": arguments.model, "rows": len(files["forget"]), "seed": seed}
    recipe = dict(RECIPES[name])
    if recipe.get("parameters", {}).get("epochs") == REPAIR:
        epochs = REPAIR * BATCH / len(files["forget"])
        recipe["parameters"] = {**recipe["parameters"], "epochs": epochs}
    few = {"eval_limit": 60, "bootstrap_samples": 500, "offline": True}
    with suppress(UnlearnError):  # a target that was missed: the report says how far
        unlearn_cli.forget(
            model=str(model), forget=str(folder / "forget.jsonl"), retain=str(folder / "retain.jsonl"), output_dir=out,
            overwrite=True, no_general=arguments.model != "real", generate_limit=1, seed=seed, **few, **recipe,
        )  # fmt: skip
    report = read_report(out)
    if report.status in UNUSABLE:
        return {**base, "failed": report.status}
    ways = {"steps": places_of(arguments.steps), "full": arguments.full}
    settings = {"learning_rates": tuple(arguments.rates.split(",")), "generate_limit": -1, "baseline": str(baseline)}
    attacks = unlearn_cli.relearn_attack(out, attack=("relearn", "path"), parameters=ways, **settings, **few)
    return base | described(report, attacks)


def finished(name: str, seed: int, model: str, run: Path) -> dict[str, Any]:
    """The entry of a run that was attacked before."""
    report, attacks = read_report(run), {path.parent.name: read_attack(path) for path in run.glob("attacks/*/report.json")}
    rows = report.data["forget"].rows
    return {"recipe": name, "model": model, "rows": rows, "seed": seed} | described(report, attacks)


def described(report: RunReport, attacks: Mapping[str, AttackReport]) -> dict[str, Any]:
    """What a run reached, what the attack `relearn` reached, and what the way back says, if it was measured."""
    recovered, general = attacks["relearn"].recovery["probability"], report.scores.get("general", {}).get("choice_accuracy")
    forgotten, retained = (before_and_after(report.scores[split]["probability"]) for split in ("forget", "retain"))
    points = recovered.points
    return {
        "forget": forgotten[1],
        "retain": retained[1] / retained[0],
        "general": before_and_after(general),
        "general_change": general.change.ci if general and general.change else None,
        "steps": report.training.steps,
        "seconds": round(report.seconds["train"] + report.seconds.get("probes", 0.0), 1),
        "of_retraining": report.efficiency.share_of_retraining if report.efficiency else None,
        "start": recovered.start,
        "recovery": recovered.max,
        "ci": recovered.ci,
        "rate": recovered.parameters.get("learning_rate"),
        "at": recovered.at,
        "full": bool(points[0].parameters["full"]),
        "curves": [[p.parameters["learning_rate"], p.at, p.value, p.retain] for p in points],
        "path": way_back(attacks["path"]) if "path" in attacks else None,
        "date": datetime.now(UTC).date().isoformat(),
    }


def places_of(steps: int) -> tuple[int, ...]:
    """Places of the curve: 0, then about three to each tenfold, up to the last."""
    return tuple(sorted({0, *(s for s in (5, 15, 30, 60, 150, 300) if s < steps), steps}))


def way_back(report: AttackReport) -> dict[str, float | None]:
    """What the line to the original says: the distance, and how much of the answers is there after part of the way."""
    own = next(curve for curve in report.curves if curve.role == "unlearned")
    values = {point.at: point.forget["probability"] for point in own.points}
    return {"distance": own.points[0].details["distance"], **{str(at): value for at, value in values.items()}}


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    array = np.asarray(values, dtype=float)
    return np.array([(array < v).sum() + ((array == v).sum() - 1) / 2 for v in array])


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation; nan if one of them is constant."""
    a, b = ranks(one), ranks(other)
    if a.std() == 0 or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def interval(one: Sequence[float], other: Sequence[float], resamples: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the rank correlation, over recipes; resamples without variation are left out."""
    a, b, random = np.asarray(one, dtype=float), np.asarray(other, dtype=float), np.random.default_rng(0)
    drawn = [random.integers(0, len(a), len(a)) for _ in range(resamples)]
    low, high = np.nanpercentile([spearman(a[rows], b[rows]) for rows in drawn], (2.5, 97.5))
    return float(low), float(high)


PREDICTORS = {
    "distance": ("distance of the weights from the original", -1),
    "25": ("probability a quarter of the way back", 1),
    "50": ("probability half of the way back", 1),
    "75": ("probability three quarters of the way back", 1),
}


HEADER = 2  # lines of a table before its rows


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table as lines of Markdown."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]


def predictions(entries: list[dict[str, Any]]) -> list[str]:
    """Rank correlation of what needs no attack with the worst recovery, for each model with at least eight recipes."""
    rows = []
    for model in RETAIN:
        judged = [e for e in entries if e["model"] == model and not e["full"] and e["recovery"] is not None and e["path"]]
        own = [e for e in judged if e["seed"] == 0]
        if len(own) < 8:
            continue
        for key, (label, sign) in PREDICTORS.items():
            sides = [e["path"][key] for e in own], [e["recovery"] for e in own]
            low, high = interval(*sides)
            rows.append(
                (model, len(own), label, "+" if sign > 0 else "-", f"{spearman(*sides):+.2f}", f"{low:+.2f} to {high:+.2f}")
            )
    return table(("model", "recipes", "measured without an attack", "expected sign", "rank correlation", "95 %"), rows)


INTRODUCTION = (
    "# Forgetting that lasts, and its price",
    "",
    "Generated by `python tests/benchmarks/frontier.py`. Each row is `unlearn forget` with the recipe's settings, then",
    "`unlearn relearn-attack` at every rate against a model that never saw the rows: half of the forget rows are",
    "trained on, the other half judges. *Recovery* is the worst over rates and steps: 0 as if never learned, 1 as before",
    "unlearning. *Kept* is the share that is left of the probability of retain rows that were not trained on. `demo`:",
    "the model of `unlearn demo`; `small`: a 5.7 M-parameter Llama that knows TOFU rows by heart; `real`:",
    "SmolLM2-135M-Instruct that was taught TOFU rows. In the picture `demo` is blue, `small` orange and `real` green",
    "(`rehearsal` on the right, `npo` on the left).",
    "*Attack*: the number of learning rates, and the last step at each. *Of retraining*: the tokens that the run trained",
    "on, over five epochs of the retain rows. Seconds on `small` and `real` were taken beside other work; `rehearsal` on",
    "`small` takes about six minutes alone.",
    "[How to read it](../guides/stays-forgotten.md).",
    "",
    "![Worst recovery against what is kept, one point for each recipe](frontier.svg)",
    "",
)
COLUMNS = (
    "model",
    "recipe",
    "rows",
    "seed",
    "forget",
    "kept",
    "general",
    "recovery",
    "95 %",
    "worst at",
    "attack",
    "steps",
    "train s",
    "of retraining",
)


def cells(e: dict[str, Any]) -> list[str]:
    """An entry's row of the table."""
    where = f"{e['at']} steps at {e['rate']:g}{', all weights' if e['full'] else ''}"
    rates, steps = ({curve[place] for curve in e["curves"]} for place in (0, 1))
    share = f"{e['of_retraining']:.2g}" if e.get("of_retraining") else "-"
    return [
        e["model"], f"`{e['recipe']}`", str(e["rows"]), str(e["seed"]), f"{e['forget']:.3f}", f"{e['retain']:.3f}",
        " → ".join(f"{value:.2f}" for value in e["general"]) if e["general"] else "-",
        f"{e['recovery']:.2f}", f"{e['ci'][0]:.2f} to {e['ci'][1]:.2f}" if e["ci"] else "-", where,
        f"{len(rates)} x {max(steps)}", str(e["steps"]), str(e["seconds"]), share,
    ]  # fmt: skip


def page(entries: list[dict[str, Any]]) -> str:
    """The page as Markdown."""
    judged = [e for e in entries if e["recovery"] is not None]
    judged.sort(key=lambda e: (list(RETAIN).index(e["model"]), e["recovery"]))
    lines = [*INTRODUCTION, *table(COLUMNS, [cells(e) for e in judged]), ""]
    predicted = predictions(judged)
    if len(predicted) > HEADER:
        lines += ["## What predicts it without an attack", "", *predicted, ""]
    return "\n".join(lines)


def picture(entries: list[dict[str, Any]]) -> str:
    """Recovery against what is kept, as SVG."""
    series = [
        Series(
            f"{e['model']} {e['recipe']}", [(e["retain"], e["recovery"])], order, "point", emphasized=e["recovery"] < 0.3,
            label=e["recipe"] if e["seed"] == 0 and e["model"] != "real" else "",
        )
        for order, model in enumerate(RETAIN)
        for e in entries
        if e["model"] == model and e["recovery"] is not None
    ]  # fmt: skip
    series.sort(key=lambda one: not one.emphasized)  # their names get the nearest places
    kept = [x for one in series for x, _ in one.points] or [1.0]
    x, y = Axis("kept of held-out retain rows", min(0.8, *kept) - 0.02, 1.05), Axis("worst recovery", 0, 1)
    drawn = chart(series, x, y, alt="worst recovery against what is kept", extra=STYLE)
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="780" height="440" ', 1) + "\n"


def main() -> None:
    """Measure, then write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--model", choices=tuple(RETAIN), default="demo")
    parser.add_argument("--recipes", default="")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--rates", default="1e-2,3e-3,1e-3")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--full", action="store_true", help="the attacker trains every weight")
    parser.add_argument("--keep", type=Path, help="folder for the runs; without it they are thrown away")
    parser.add_argument("--finished", type=Path, metavar="RUN", help="take this run and its attack reports")
    parser.add_argument("--render", action="store_true", help="write the page from the data, measure nothing")
    arguments = parser.parse_args()
    known = json.loads(DATA.read_text("utf-8")) if DATA.is_file() else []
    names = [] if arguments.render else [name for name in arguments.recipes.split(",") if name] or list(RECIPES)
    for name in names:
        for seed in map(int, arguments.seeds.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                if arguments.finished:
                    new = finished(name, seed, arguments.model, arguments.finished)
                else:
                    new = entry(name, seed, arguments, arguments.keep or Path(folder))
            print(json.dumps(new), flush=True)
            place = ("recipe", "model", "rows", "seed", "full")
            known = [old for old in known if [old.get(k) for k in place] != [new.get(k) for k in place]]
            if "failed" not in new:
                known.append(new)
                DATA.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(known), encoding="utf-8")
    PICTURE.write_text(picture(known), encoding="utf-8")


if __name__ == "__main__":
    main()
