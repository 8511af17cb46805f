"""Write `docs/reference/catalogue.md` from the registries; a test says whether it is current."""

from pathlib import Path

from unlearn_cli.recipes.catalogue import KINDS, describe

TITLES = {
    "methods": "Methods",
    "retain-terms": "Retain terms",
    "robust-rules": "Robust rules",
    "metrics": "Metrics",
    "attacks": "Attacks",
}


def catalogue() -> str:
    """The page as Markdown."""
    parts = [
        "# Methods, retain terms, robust rules, metrics and attacks\n\nGenerated from the docstrings by `python docs/generate.py`.\n"
    ]
    for kind, registry in KINDS.items():
        parts.append(f"## {TITLES[kind]}\n")
        for name in registry.names():
            heading, _, body = describe(registry.get(name)).partition("\n\n")
            parts.append(f"### {heading}\n\n```text\n{body}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (Path(__file__).parent / "reference" / "catalogue.md").write_text(catalogue(), encoding="utf-8")
