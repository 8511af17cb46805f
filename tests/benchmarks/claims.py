"""What the papers say, in our words, and whether it holds in the cells that were run."""

# ruff: noqa: E501

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

Cells = Mapping[str, Mapping[str, Any]]
Verdict = tuple[str, str]  # holds, does not hold, in part, not run; and what came


@dataclass(frozen=True)
class Claim:
    """A claim of a paper and its test."""

    paper: str
    says: str
    experiment: str
    setting: str
    columns: tuple[str, ...]  # numbers shown of each cell
    judge: Callable[[Cells], Verdict]
    picture: str = ""


def values(cells: Cells, name: str, number: str, model: str = "small") -> list[float]:
    """A number of all seeds of a cell."""
    seeds = [one for key, one in cells.items() if key.split("/")[1:3] == [name, model]]
    return [one[number] for one in seeds if one.get(number) is not None]


def mean(cells: Cells, name: str, number: str, model: str = "small") -> float | None:
    """Its mean over seeds; None where no cell was run."""
    numbers = values(cells, name, number, model)
    return fmean(numbers) if numbers else None


def last_kl(cells: Cells, name: str, model: str, split: str = "retain") -> float | None:
    """The distance from the start after the last step, over seeds."""
    numbers = [n["kl"][split][-1][1] for key, n in cells.items() if key.split("/")[1:3] == [name, model] and "kl" in n]
    return fmean(numbers) if numbers else None


NOT_RUN: Verdict = ("not run", "no cell of this experiment was run")


def _divergence(cells: Cells) -> Verdict:
    sentences, verdicts = [], []
    for model in ("small", "real"):
        ascent, npo = (last_kl(cells, name, model) for name in ("grad-ascent", "npo-alone"))
        if ascent is None or npo is None:
            sentences.append(f"{model}: not run")
            continue
        verdicts.append(npo < 0.5 * ascent)
        sentences.append(f"{model}: {ascent:.3g} nats a token after ascent, {npo:.3g} after NPO, on rows to keep")
    if not verdicts:
        return NOT_RUN
    return ("holds" if all(verdicts) else "does not hold" if not any(verdicts) else "holds in part"), "; ".join(sentences)


def _fluency(cells: Cells) -> Verdict:
    sentences, verdicts = [], []
    places = (("small", ""), ("small", "-at-one-level"), ("real", ""))
    for model, where in places:
        names = [f"{name}{where}" for name in ("grad-ascent", "npo-alone")]
        pair = [mean(cells, name, "forget.gibberish.after", model) for name in names]
        entropy = [mean(cells, name, "forget.ngram_entropy.after", model) for name in names]
        model += where.replace("-", " ")
        if None in pair:
            sentences.append(f"{model}: not run")
            continue
        verdicts.append(pair[1] < pair[0] or (pair[1] == pair[0] == 0.0))
        entropies = "" if None in entropy else f" (n-gram entropy {entropy[0]:.2f} and {entropy[1]:.2f})"
        sentences.append(
            f"{model}: {pair[0]:.0%} of the answers are gibberish after ascent, {pair[1]:.0%} after NPO{entropies}"
        )
    if not verdicts:
        return NOT_RUN
    return ("holds" if all(verdicts) else "does not hold" if not any(verdicts) else "holds in part"), "; ".join(sentences)


def _large(cells: Cells) -> Verdict:
    sentences, verdicts = [], []
    for share in (5, 10, 50, 90):
        kept = {
            name: mean(cells, f"{share}-{name}", "retain.probability.after")
            for name in ("grad-ascent", "grad-diff", "npo-alone", "npo")
        }
        known = {name: value for name, value in kept.items() if value is not None}
        if len(known) < 2:
            sentences.append(f"{share} %: not run")
            continue
        sentences.append(f"{share} %: " + ", ".join(f"{name} {value:.2f}" for name, value in known.items()))
        if share >= 50 and "npo" in known and "grad-diff" in known:
            verdicts.append(known["npo"] > max(v for n, v in known.items() if not n.startswith("npo")) + 0.02)
    if not sentences or all(part.endswith("not run") for part in sentences):
        return NOT_RUN
    verdict = (
        "not judged" if not verdicts else "holds" if all(verdicts) else "does not hold" if not any(verdicts) else "in part"
    )
    return verdict, "probability left of rows that no run trains on: " + "; ".join(sentences)


def _evenness(cells: Cells) -> Verdict:
    spread = {name: mean(cells, name, "rows.std") for name in ("npo", "simnpo")}
    if None in spread.values():
        return NOT_RUN
    length = {name: mean(cells, name, "rows.by_length") for name in spread}
    sentences = ", ".join(
        f"{name}: standard deviation over rows {spread[name]:.3f}, rank correlation of what is left with the length "
        f"{length[name]:+.2f}" for name in spread
    )  # fmt: skip
    return ("holds" if spread["simnpo"] < spread["npo"] else "does not hold"), sentences


def _weights(cells: Cells) -> Verdict:
    start = mean(cells, "npo", "weights.simnpo.start_ratio")
    end = mean(cells, "npo", "weights.npo.end_ratio")
    length = mean(cells, "npo", "weights.npo.by_length")
    if start is None or end is None or length is None:
        return NOT_RUN
    return "holds", (
        f"at the first step NPO weighs every row alike (1.0), SimNPO's weights differ by a factor of {start:.1f}, shorter answers "
        f"more; when NPO is done its own differ by a factor of {end:.2g}, and go with the length by {length:+.2f}"
    )


def _relearning(cells: Cells) -> Verdict:
    recovery = {name: values(cells, name, "recovery") for name in ("npo", "simnpo")}
    if not all(recovery.values()):
        return NOT_RUN
    sentences = ", ".join(f"{name} {spread_of(numbers)}" for name, numbers in recovery.items())
    means = {name: fmean(numbers) for name, numbers in recovery.items()}
    better = means["simnpo"] < means["npo"]
    return ("holds" if better else "does not hold"), f"recovery of probability under the same attack: {sentences}"


def spread_of(numbers: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    return f"{fmean(numbers):.3f}" + (f" ± {stdev(numbers):.3f} ({len(numbers)} seeds)" if len(numbers) > 1 else " (1 seed)")


ULD = ("uld", "uld-240-steps", "uld-published", "grad-diff", "npo")


def _uld(cells: Cells) -> Verdict:
    kept = {name: mean(cells, name, "retain.probability.after") for name in ULD}
    left = {name: mean(cells, name, "forget.probability.after") for name in kept}
    seconds = {name: mean(cells, name, "step_seconds") for name in kept}
    weights = {name: mean(cells, name, "trained_weights") or 0 for name in kept}
    before = mean(cells, "uld", "retain.probability.before")
    if kept["uld"] is None or before is None:
        return NOT_RUN
    sentences = "; ".join(
        f"{name}: forget {left[name]:.2g}, kept {kept[name]:.2f}, {seconds[name]:.2f} s a step, {weights[name]:,.0f} weights"
        for name in kept if kept[name] is not None
    )  # fmt: skip
    others = [s for name in ("grad-diff", "npo") if (s := seconds[name]) is not None]
    assistants = [s for name in ("uld", "uld-published") if (s := seconds[name]) is not None]
    lossless = max(kept[name] or 0.0 for name in ULD if name.startswith("uld")) >= 0.95 * before
    ratio = min(assistants, default=math.inf) / min(others) if others else math.inf
    # Other work on the machine moves the times by more than a half.
    cheaper = "yes" if ratio < 0.5 else "no" if ratio > 2 else "not decided by these times"
    verdict = (
        "holds" if lossless and cheaper == "yes" else "holds in part" if lossless or cheaper == "yes" else "does not hold"
    )
    why = "no loss of utility: " + ("yes" if lossless else "no") + f"; cheaper: {cheaper}"
    return verdict, f"{sentences}. Beside {before:.2f} before, {why}"


def _loku(cells: Cells) -> Verdict:
    sentences, verdicts = [], []
    for rank in (4, 16, 32):
        kept = {n: mean(cells, f"{n}-r{rank}", "retain.probability.after") for n in ("grad-diff", "ihl", "ihl-fila")}
        steps = {n: mean(cells, f"{n}-r{rank}", "steps") for n in kept}
        left = {n: mean(cells, f"{n}-r{rank}", "forget.probability.after") for n in kept}
        known = {n: v for n, v in kept.items() if v is not None}
        if len(known) < 2:
            sentences.append(f"rank {rank}: not run")
            continue
        sentences.append(
            f"rank {rank}: "
            + ", ".join(f"{n} {v:.3f} after {steps[n]:.0f} steps (forget {left[n]:.3f})" for n, v in known.items())
        )
        best = max((v for n, v in known.items() if n.startswith("ihl")), default=0.0)
        verdicts.append(best > known.get("grad-diff", math.inf))
    if not verdicts:
        return NOT_RUN
    verdict = "holds" if all(verdicts) else "does not hold" if not any(verdicts) else "holds in part"
    return verdict, "kept when the forget rows are below 0.1, where every fifth step is looked at: " + "; ".join(sentences)


def _control(cells: Cells) -> Verdict:
    names = sorted({key.split("/")[1].removesuffix("-plain").removesuffix("-held") for key in cells})
    orders = {}
    for kind in ("plain", "held"):
        numbers = {n: mean(cells, f"{n}-{kind}", "forget.probability.after") for n in names}
        orders[kind] = sorted((n for n in names if numbers[n] is not None), key=lambda n, f=numbers: f[n])
    common = [n for n in orders["plain"] if n in orders["held"]]
    if len(common) < 3:
        return "not run", f"three methods in both forms are needed, and {', '.join(common) or 'none'} was run in both"
    sentences = [f"{kind}: {' < '.join(n for n in orders[kind] if n in common)}" for kind in ("plain", "held")]
    changed = [n for n in orders["plain"] if n in common] != [n for n in orders["held"] if n in common]
    return ("holds" if changed else "does not hold"), (
        f"by what is left of the forget rows, strongest first, on the fixed schedule and at 95 % of the retain probability. {sentences[0]}; "
        f"{sentences[1]}"
    )


def _five(cells: Cells) -> Verdict:
    run = next((n for key, n in cells.items() if key.split("/")[1] == "npo" and "recovery" in n), None)
    if run is None:
        return NOT_RUN
    return "holds", (
        f"scope: 40 of 1,600 rows, 2 of 80 authors. Efficacy: probability of the forget rows {run['forget.probability.before']:.3f} "
        f"-> {run['forget.probability.after']:.3f}. Robustness: {run['recovery']:.3f} recovered by relearning. Utility: "
        f"{run['retain.probability.before']:.3f} -> {run['retain.probability.after']:.3f} on rows no run trains on. Efficiency: "
        f"{run['train_seconds']:.0f} s, {run['steps']} steps, {run['trained_weights']:,} weights; the ratio to retraining is not "
        "known: the baseline came with the shared material, and nobody timed its training"
    )


FORTY = "40 rows to forget and 160 to keep; what is kept is judged on 80 other rows that no run trains on"
ONE_LEVEL = f"{FORTY}; each run stops when the mean probability of the forget rows is below 0.1"
CLAIMS = (
    Claim("NPO, 2404.05868", "The model moves away from its start far more slowly under NPO than under gradient ascent.",
          "npo-divergence", f"{FORTY}; no retain term, constant rate, 100 steps of 8 rows (real: 30 steps of 4)",
          (), _divergence, "reproductions-npo.svg"),
    Claim("NPO, 2404.05868", "NPO's answers stay sensible where those of ascent are gibberish.", "npo-fluency",
          f"{FORTY}; no retain term, 100 steps (real: 30 steps of 4)",
          ("forget.probability.after", "forget.gibberish.after", "forget.repetition.after", "retain.gibberish.after"), _fluency),
    Claim("NPO, 2404.05868", "With half or more of the rows to forget, methods based on NPO keep utility where others fail.",
          "npo-large", "a share of 320 rows is forgotten, the rest kept; each run stops when the mean probability of the forget rows "
          "is below 0.1, or after 150 steps", ("forget.probability.after", "retain.probability.after", "steps"), _large),
    Claim("SimNPO, 2410.07163", "NPO spends its effort unevenly over rows of different difficulty and length, SimNPO does not.",
          "simnpo", ONE_LEVEL, ("forget.probability.after", "retain.probability.after", "rows.std", "rows.by_length"), _evenness),
    Claim("SimNPO, 2410.07163", "At its first steps NPO's reference gives every row the same weight; SimNPO's weights differ from the "
          "start.", "simnpo", "the weights of the gradient, from each row's log-probability: NPO at beta 0.1, SimNPO at beta 4.5",
          (), _weights),
    Claim("SimNPO, 2410.07163", "What SimNPO forgot comes back less under relearning than what NPO forgot.", "simnpo",
          f"{ONE_LEVEL}; then `unlearn relearn-attack --suite quick --attack relearn` with the retain-only model as baseline",
          ("recovery",), _relearning),
    Claim("ULD, 2406.08607", "An assistant model that is subtracted forgets without loss of utility, and is cheaper to train.", "uld",
          f"{FORTY}; 60 steps of each method (`uld` also 240), with this tool's defaults; `uld-published` has the rule of the release; the time of a step is "
          "that of the fastest quarter, for the machine did other work",
          ("forget.probability.after", "retain.probability.after", "step_seconds", "trained_weights"), _uld),
    Claim("LoKU, 2408.06621", "At equal rank the inverted hinge, with FILA, keeps more than gradient difference.", "loku",
          f"{ONE_LEVEL}; LoRA alpha is twice the rank", ("retain.probability.after", "steps"), _loku),
    Claim("Unlearning with Control, 2406.09179", "Methods change rank when they are compared at equal utility.", "control",
          f"{FORTY}; 40 steps of each method; held: the adapter is scaled until 95 % of the retain probability is left",
          ("forget.probability.after", "retain.probability.after", "scale"), _control),
    Claim("Rethinking Machine Unlearning, 2402.08787", "An evaluation has five headings: scope, efficacy, robustness, utility, "
          "efficiency.", "simnpo", "one report of `unlearn forget` and its attack, read under the five headings", (), _five),
)  # fmt: skip
