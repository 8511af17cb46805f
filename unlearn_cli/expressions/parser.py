"""Expressions over scores: `--fail-if`, `--stop-when`. A small parser of its own; nothing is ever evaluated as code.

    forget.probability.after > 0.05 and retain.rouge_l < 0.9 * retain.rouge_l.before

Names are SPLIT.METRIC (`rouge-l` is read as `rouge_l`) or SPLIT.METRIC.before|after|baseline; without the last part it is
`after`. `before`, `after` and `baseline` alone are those of the one metric that the comparison is about:
`retain.probability >= 0.95 * before`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.hints import rewritten, underscored, unknown_metric, without_split

Lookup = Callable[[str, str, str], float | None]  # split, metric, moment -> value
MOMENTS = ("before", "after", "baseline")
# Of an attack's recovery: relearn.recovery.max
PLACES = ("start", "max", "gain", "area")

_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_COMPARISON = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
EXAMPLE = "an expression looks like 'forget.probability > 0.05 and retain.rouge_l.after < 0.9 * retain.rouge_l.before'"


class Missing(Exception):
    """A name in an expression has no value; the message says which. `name` is (split, metric, moment), if it is one."""

    def __init__(self, message: str, name: tuple[str, str, str] | None = None) -> None:
        super().__init__(message)
        self.name = name


class _Bare(ValueError):
    """A name without its split; the message is the name."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression that is true or false."""

    text: str
    tree: ast.expr

    def holds(self, lookup: Lookup) -> bool:
        """Whether the expression is true.

        Raises:
            Missing: a name has no value, or a division by zero.
        """
        return bool(_value(self.tree, lookup))

    def names(self) -> list[tuple[str, str, str]]:
        """(split, metric, moment) of every name in it."""
        return [_path(node) for node in _outermost_attributes(self.tree)]

    def values(self, lookup: Lookup) -> dict[str, float | None]:
        """The value of every name, by the name as it was written: `before` alone stays that."""
        nodes = _outermost_attributes(self.tree)
        return {getattr(node, "written", None) or ast.unparse(node): lookup(*_path(node)) for node in nodes}

    def single(self) -> tuple[str, str] | None:
        """("forget.probability", "> 0.1") of an expression that compares one name with one number."""
        tree = self.tree
        if not isinstance(tree, ast.Compare) or not isinstance(tree.left, ast.Attribute) or len(tree.ops) > 1:
            return None
        limit = tree.comparators[0]
        if not isinstance(limit.operand if isinstance(limit, ast.UnaryOp) else limit, ast.Constant):
            return None
        name = ast.unparse(tree.left)
        return name, ast.unparse(tree).removeprefix(name).strip()


def parse(text: str, *, metrics: list[str]) -> Expression:
    """Parse an expression; unknown metrics and anything but comparisons, and/or/not and arithmetic are refused.

    Raises:
        UnlearnError: with what is wrong and an example.
    """
    try:
        tree = ast.parse(underscored(text.strip(), metrics, MOMENTS), mode="eval").body
        tree = _BareMoments().visit(tree)
        _check(tree, condition=True)
    except _Bare as bare:
        raise without_split(text, str(bare), metrics) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        understood = isinstance(error, ValueError)
        reason = str(error) if understood else "not an expression"
        raise UnlearnError(f"'{text}': {reason}", (None if understood else rewritten(text)) or EXAMPLE) from None
    for node in _outermost_attributes(tree):
        if _path(node)[1] not in metrics:
            raise unknown_metric(text, _path(node)[1], metrics)
    return Expression(text, tree)


def arithmetic(text: str, *, metrics: list[str]) -> Callable[[Lookup], float]:
    """A number made of scores: `retain.probability - forget.probability`.

    Raises:
        UnlearnError: with what is wrong and an example.
    """
    expression = parse(f"({text}) > 0", metrics=metrics)
    return lambda lookup: float(_value(expression.tree.left, lookup))


class _BareMoments(ast.NodeTransformer):
    """Write `before` out in full where a comparison leaves no doubt which metric is meant."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        bare = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in MOMENTS]
        if bare:
            named = {_path(found)[:2] for found in _outermost_attributes(node)}
            if len(named) != 1:
                raise ValueError(f"'{bare[0].id}' alone needs exactly one metric in its comparison")
            ((split, metric),) = named
            return _Written(split, metric).visit(node)
        return self.generic_visit(node)


@dataclass
class _Written(ast.NodeTransformer):
    split: str
    metric: str

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in MOMENTS:
            return node
        owner = ast.Attribute(ast.Name(self.split, ast.Load()), self.metric, ast.Load())
        made = ast.Attribute(owner, node.id, ast.Load())
        made.written = node.id
        return made


def _outermost_attributes(tree: ast.AST) -> list[ast.Attribute]:
    if isinstance(tree, ast.Attribute):
        return [tree]
    return [found for child in ast.iter_child_nodes(tree) for found in _outermost_attributes(child)]


def _path(node: ast.Attribute) -> tuple[str, str, str]:
    parts: list[str] = []
    inner: Any = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name) or len(parts) > 2:
        raise ValueError("names are SPLIT.METRIC or SPLIT.METRIC.before|after|baseline")
    parts = [inner.id, *reversed(parts)]
    moment = parts[2] if len(parts) == 3 else "after"
    if moment not in MOMENTS + PLACES:
        raise ValueError(f"'{moment}' is none of {', '.join(MOMENTS)}, nor of an attack's {', '.join(PLACES)}")
    return parts[0], parts[1], moment


def _check(node: ast.AST, *, condition: bool) -> None:
    """Refuse everything that is not in the little language; `condition`: a truth value is expected here."""
    if condition:
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                _check(part, condition=True)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            _check(node.operand, condition=True)
        elif isinstance(node, ast.Compare) and all(type(op) in _COMPARISON for op in node.ops):
            for part in (node.left, *node.comparators):
                _check(part, condition=False)
        else:
            raise ValueError("a comparison is expected")
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _check(node.left, condition=False)
        _check(node.right, condition=False)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        _check(node.operand, condition=False)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    elif isinstance(node, ast.Attribute):
        _path(node)
    elif isinstance(node, ast.Name):
        raise _Bare(node.id)
    else:
        raise ValueError("only numbers, names, + - * /, comparisons, and, or, not are allowed")


def _value(node: ast.AST, lookup: Lookup) -> Any:
    match node:
        case ast.BoolOp(op=op, values=values):
            # Every part is looked at, so that a missing name cannot hide behind an early answer.
            truths = [_value(part, lookup) for part in values]
            return all(truths) if isinstance(op, ast.And) else any(truths)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, lookup)
        case ast.UnaryOp(operand=operand):
            return -_value(operand, lookup)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            values = [_value(part, lookup) for part in (left, *comparators)]
            return all(_COMPARISON[type(op)](a, b) for op, a, b in zip(ops, values, values[1:], strict=False))
        case ast.BinOp(left=left, op=op, right=right):
            try:
                return _ARITHMETIC[type(op)](_value(left, lookup), _value(right, lookup))
            except (ZeroDivisionError, OverflowError) as error:
                raise Missing(str(error)) from None
        case ast.Constant(value=value):
            return value
        case ast.Attribute():
            split, metric, moment = _path(node)
            found = lookup(split, metric, moment)
            if found is None:
                raise Missing(f"{split}.{metric}.{moment} has no value", (split, metric, moment))
            return found
    raise AssertionError(node)  # `_check` lets nothing else through


def lookup_in(scores: Mapping[str, Mapping[str, Any]]) -> Lookup:
    """A lookup over a report's scores: split -> metric -> Compared."""

    def find(split: str, metric: str, moment: str) -> float | None:
        compared = scores.get(split, {}).get(metric)
        found = getattr(compared, moment, None)
        return None if found is None else found.value

    return find
