"""The cells of `docs/reference/reproductions.md`: every run, by experiment."""

from __future__ import annotations

from itertools import product

from tests.benchmarks.experiments import FIXED_RATE, TO_ONE_LEVEL, Cell

SEEDS = (0, 1, 2)
ALONE = ("--retain-term", "none")
ONE_LEVEL_METHODS = {
    "grad-ascent": ("--method", "grad-ascent"),
    "npo-alone": ("--method", "npo", *ALONE),
    "grad-diff": ("--method", "grad-diff"),
    "npo": ("--method", "npo"),
}
CONTROLLED = {name: ("--method", name) for name in ("grad-ascent", "grad-diff", "npo", "simnpo", "wga", "ceu")}
HELD = ("--calibrate", "retain.probability >= 0.95*before")


def _divergence() -> list[Cell]:
    methods = {"grad-ascent": ("--method", "grad-ascent"), "npo-alone": ("--method", "npo", *ALONE)}
    small = [
        Cell("npo-divergence", name, (*flags, *FIXED_RATE, "--max-steps", "100"), seed, kind="curve")
        for (name, flags), seed in product(methods.items(), SEEDS)
    ]
    real = [
        Cell(
            "npo-divergence", name, (*flags, *FIXED_RATE, "--max-steps", "30", "--batch-size", "4"), 0, "real",
            kind="curve",
        )
        for name, flags in methods.items()
    ]  # fmt: skip
    return small + real


def _fluency() -> list[Cell]:
    methods = ("grad-ascent", "npo-alone")
    steps = ("--max-steps", "100")
    small = [Cell("npo-fluency", name, (*ONE_LEVEL_METHODS[name], *steps), seed) for name, seed in product(methods, SEEDS)]
    level = ("--stop-when", "forget.probability < 0.1", "--eval-every", "1", "--max-steps", "60")
    small += [
        Cell("npo-fluency", f"{name}-at-one-level", (*ONE_LEVEL_METHODS[name], *level), seed)
        for name, seed in product(methods, SEEDS)
    ]
    steps = ("--max-steps", "30", "--batch-size", "4", "--generate-limit", "12", "--eval-limit", "24")
    return small + [Cell("npo-fluency", name, (*ONE_LEVEL_METHODS[name], *steps), 0, "real") for name in methods]


def _large() -> list[Cell]:
    return [
        Cell("npo-large", f"{share}-{name}", (*flags, *TO_ONE_LEVEL), 0, share=share)
        for share, (name, flags) in product((5, 10, 50, 90), ONE_LEVEL_METHODS.items())
    ]


def _simnpo() -> list[Cell]:
    methods = {"npo": ("--method", "npo"), "simnpo": ("--method", "simnpo")}
    return [
        Cell("simnpo", name, (*flags, *TO_ONE_LEVEL), seed, kind="attack")
        for (name, flags), seed in product(methods.items(), SEEDS)
    ]


def _uld() -> list[Cell]:
    methods = {
        "uld": ("--method", "uld"),
        "uld-published": (
            "--method", "uld", "-p", "rest=uniform", "-p", "depth=0.25", "-p", "alpha=0.8", "-p", "filter=0.01",
        ),
        "grad-diff": ("--method", "grad-diff"),
        "npo": ("--method", "npo"),
    }  # fmt: skip
    steps = ("--max-steps", "60")
    cells = [Cell("uld", name, (*flags, *steps), seed) for (name, flags), seed in product(methods.items(), SEEDS)]
    cells += [Cell("uld", f"{name}-at-one-level", (*flags, *TO_ONE_LEVEL)) for name, flags in methods.items()]
    return [*cells, Cell("uld", "uld-240-steps", (*methods["uld"], "--max-steps", "240"))]


def _loku() -> list[Cell]:
    methods = {
        "grad-diff": ("--method", "grad-diff"),
        "ihl": ("--method", "ihl"),
        "ihl-fila": ("--method", "ihl", "--lora-init", "fila"),
    }
    return [
        Cell("loku", f"{name}-r{rank}", (*flags, *TO_ONE_LEVEL, "--lora-r", str(rank), "--lora-alpha", str(2 * rank)))
        for rank, (name, flags) in product((4, 16, 32), methods.items())
    ]


def _control() -> list[Cell]:
    steps = ("--max-steps", "40")
    plain = [Cell("control", f"{name}-plain", (*flags, *steps)) for name, flags in CONTROLLED.items()]
    return plain + [Cell("control", f"{name}-held", (*flags, *steps, *HELD)) for name, flags in CONTROLLED.items()]


CELLS: list[Cell] = [*_divergence(), *_fluency(), *_simnpo(), *_large(), *_uld(), *_loku(), *_control()]
