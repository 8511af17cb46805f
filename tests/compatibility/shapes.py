"""A small report with every field that the present schema has: python -m tests.compatibility.shapes adds it to `reports/`.

A schema of an earlier release has its report there; the reports are never changed and never removed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.report import SCHEMA_VERSION, RunReport

REPORTS = Path(__file__).parent / "reports"
KINDS = {"run": RunReport, "attack": AttackReport}
INNER = {"scores": "forget", "data": "forget", "passes": "forget", "seconds": "train"}  # keys of mappings
VALUES = {"number": 0.5, "integer": 2, "boolean": False, "string": "text", "null": None}


def sample(kind: str) -> dict[str, Any]:
    """A report of the present schema with a value in every field."""
    schema = KINDS[kind].model_json_schema()
    report: dict[str, Any] = _value(schema, schema.get("$defs", {}), "")
    return report | ({"schema_version": SCHEMA_VERSION} if "schema_version" in report else {})


def _value(schema: dict[str, Any], known: dict[str, Any], name: str) -> Any:
    if "$ref" in schema:
        return _value(known[schema["$ref"].split("/")[-1]], known, name)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if "anyOf" in schema:
        return _value(next(one for one in schema["anyOf"] if one.get("type") != "null"), known, name)
    if schema.get("type") == "object":
        if "properties" in schema:
            return {key: _value(one, known, key) for key, one in schema["properties"].items()}
        inner = INNER.get(name, "probability")
        if isinstance(schema.get("additionalProperties"), dict):
            return {inner: _value(schema["additionalProperties"], known, inner)}
        return {"method": "npo", "model": "m"} if name == "config" else {}
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or ([schema["items"]] if schema.get("items") else [])
        return [_value(one, known, name) for one in items]
    return VALUES[schema.get("type", "string")]


def shape(value: Any) -> Any:
    """The fields of a report and the kinds of their values."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__


def present(kind: str) -> bool:
    """Whether a stored report has the shape of the present schema."""
    wanted = shape(sample(kind))
    return any(shape(json.loads(path.read_text())) == wanted for path in REPORTS.glob(f"{kind}-{SCHEMA_VERSION}-*.json"))


def main() -> None:
    for kind in KINDS:
        if not present(kind):
            number = len(list(REPORTS.glob(f"{kind}-{SCHEMA_VERSION}-*.json"))) + 1
            path = REPORTS / f"{kind}-{SCHEMA_VERSION}-{number:02d}.json"
            path.write_text(json.dumps(sample(kind), indent=1) + "\n")
            print(path)


if __name__ == "__main__":
    main()
