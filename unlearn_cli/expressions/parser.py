"""Expressions over scores: `--fail-if`, `--stop-when`. A small parser of its own; nothing is ever evaluated as code.

    forget.probability.after > 0.05 and retain.rouge_l < 0.9 * retain.rouge_l.before

Names are SPLIT.METRIC (`rouge-l` is read as `rouge_l`) or SPLIT.METRIC.before|after|baseline; without the last part it is
`after`. SPLIT.METRIC.max and .min are the rows with the largest and the smallest value after. `before`, `after` and
`baseline` alone are those of the one metric that the comparison is about: `retain.probability >= 0.95 * before`.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.hints import rewritten, underscored, unknown_metric, without_split

Name = tuple[str, str, str]  # split, metric, moment; or attack, metric, place of its recovery
Lookup = Callable[[str, str, str], float | None]  # the parts of a name -> its value
MOMENTS = ("before", "after", "baseline")
ROWS = ("min", "max")  # the row with the smallest or largest value, after
# Of an attack's recovery: relearn.recovery.max
PLACES = ("start", "max", "gain", "area", "worst")

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_COMPARISON: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
EXAMPLE = "an expression looks like 'forget.probability > 0.05 and retain.rouge_l.after < 0.9 * retain.rouge_l.before'"
SCORE_EXAMPLE = "a score looks like 'retain.probability - forget.probability'"


class Missing(Exception):
    """A name in an expression has no value; the message says which. `name` is None after a division by zero or overflow."""

    def __init__(self, message: str, name: Name | None = None) -> None:
        super().__init__(message)
        self.name = name


class _WithoutSplit(ValueError):
    """A name without its split; the message is the name."""


class _BareMoment(ast.Attribute):
    """`before` alone, completed to SPLIT.METRIC.before."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression. Two are equal if their texts are."""

    text: str
    tree: ast.expr = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    def names(self) -> list[Name]:
        """Every name in it."""
        return [_name(node) for node in _outermost_attributes(self.tree)]

    def check_metrics(self, known: Sequence[str]) -> None:
        """Refuse an unknown metric.

        Raises:
            UnlearnError: a metric is not in `known`; the hint gives the nearest.
        """
        for _, metric, _ in self.names():
            if metric not in known:
                raise unknown_metric(self.text, metric, known)


@dataclass(frozen=True)
class Condition(Expression):
    """An expression that is true or false."""

    def holds(self, lookup: Lookup) -> bool:
        """Whether it is true.

        Raises:
            Missing: a name has no value, or a number is divided by zero.
        """
        return _truth(self.tree, lookup)

    def values(self, lookup: Lookup) -> dict[str, float | None]:
        """The value of every name, by the name as it was written: `before` alone stays that."""
        nodes = _outermost_attributes(self.tree)
        return {n.attr if isinstance(n, _BareMoment) else ast.unparse(n): lookup(*_name(n)) for n in nodes}

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


@dataclass(frozen=True)
class Arithmetic(Expression):
    """An expression that is a number."""

    def value(self, lookup: Lookup) -> float:
        """The number.

        Raises:
            Missing: a name has no value, or a number is divided by zero.
        """
        return float(_number(self.tree, lookup))


def parse(text: str, *, metrics: Sequence[str], any_metric: bool = False) -> Condition:
    """Parse a condition; anything but comparisons, and/or/not and arithmetic is refused.

    Args:
        text: the expression.
        metrics: names of metrics, which may be written with hyphens.
        any_metric: metrics with other names are accepted, too.

    Raises:
        UnlearnError: with what is wrong and an example.
    """
    try:
        tree = ast.parse(underscored(text.strip(), metrics, MOMENTS), mode="eval").body
        tree = _CompleteMoments().visit(tree)
        _check(tree, condition=True)
    except _WithoutSplit as name:
        raise without_split(text, str(name), metrics) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        understood = isinstance(error, ValueError)
        reason = str(error) if understood else "not an expression"
        hint = _compared(text) or (None if understood else rewritten(text)) or EXAMPLE
        raise UnlearnError(f"'{text}': {reason}", hint) from None
    condition = Condition(text, tree)
    if not any_metric:
        condition.check_metrics(metrics)
    return condition


def _compared(text: str) -> str | None:
    """Conditions with a bare share or percentage, in which it is compared with something; None for another text."""
    number = re.fullmatch(r"(\d*\.?\d+)\s*(%?)", text.strip())
    value = float(number[1]) / (100 if number[2] else 1) if number else 0
    if not 0 < value < 1:
        return None
    return f"say what it is compared with: 'forget.probability <= {value:g}' or 'retain.probability >= {value:g}*before'"


def arithmetic(text: str, *, metrics: Sequence[str]) -> Arithmetic:
    """Parse a number made of scores: `retain.probability - forget.probability`.

    Raises:
        UnlearnError: with what is wrong and an example.
    """
    compared = f"({text}) > 0"  # a condition, which the parser knows
    try:
        tree = parse(compared, metrics=metrics).tree
    except UnlearnError as error:
        hint = SCORE_EXAMPLE if error.hint == EXAMPLE else error.hint
        raise UnlearnError(error.message.replace(f"'{compared}'", f"--score '{text}'"), hint) from None
    if not isinstance(tree, ast.Compare) or len(tree.ops) > 1:  # a parenthesis in the text closed ours
        raise UnlearnError(f"--score '{text}': not an expression", SCORE_EXAMPLE)
    return Arithmetic(text, tree.left)


class _CompleteMoments(ast.NodeTransformer):
    """Write `before` out in full where a comparison leaves no doubt which metric is meant."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        bare = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in MOMENTS]
        if not bare:
            return self.generic_visit(node)
        metrics = {_name(attribute)[:2] for attribute in _outermost_attributes(node)}
        if len(metrics) != 1:
            raise ValueError(f"'{bare[0].id}' alone needs exactly one metric in its comparison")
        ((split, metric),) = metrics
        return _Complete(split, metric).visit(node)


@dataclass
class _Complete(ast.NodeTransformer):
    split: str
    metric: str

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in MOMENTS:
            return node
        owner = ast.Attribute(ast.Name(self.split, ast.Load()), self.metric, ast.Load())
        return _BareMoment(owner, node.id, ast.Load())


def _outermost_attributes(tree: ast.AST) -> list[ast.Attribute]:
    if isinstance(tree, ast.Attribute):
        return [tree]
    return [attribute for child in ast.iter_child_nodes(tree) for attribute in _outermost_attributes(child)]


def _name(node: ast.Attribute) -> Name:
    parts: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name) or len(parts) > 2:
        raise ValueError("names are SPLIT.METRIC or SPLIT.METRIC.before|after|baseline|min|max")
    parts = [inner.id, *reversed(parts)]
    moment = parts[2] if len(parts) == 3 else "after"
    if moment not in MOMENTS + ROWS + PLACES:
        raise ValueError(f"'{moment}' is none of {', '.join(MOMENTS + ROWS)}, nor of an attack's {', '.join(PLACES)}")
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
        _name(node)
    elif isinstance(node, ast.Name):
        raise _WithoutSplit(node.id)
    else:
        raise ValueError("only numbers, names, + - * /, comparisons, and, or, not are allowed")


def _truth(node: ast.expr, lookup: Lookup) -> bool:
    match node:
        case ast.BoolOp(op=op, values=parts):
            # Every part is looked at, so that a missing name cannot hide behind an early answer.
            truths = [_truth(part, lookup) for part in parts]
            return all(truths) if isinstance(op, ast.And) else any(truths)
        case ast.UnaryOp(operand=operand):
            return not _truth(operand, lookup)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            numbers = [_number(part, lookup) for part in (left, *comparators)]
            return all(_COMPARISON[type(op)](a, b) for op, a, b in zip(ops, numbers, numbers[1:], strict=False))
    raise AssertionError(node)  # `_check` lets nothing else through


def _number(node: ast.expr, lookup: Lookup) -> float:
    match node:
        case ast.UnaryOp(operand=operand):
            return -_number(operand, lookup)
        case ast.BinOp(left=left, op=op, right=right):
            try:
                return _ARITHMETIC[type(op)](_number(left, lookup), _number(right, lookup))
            except ZeroDivisionError:  # the words of Python are not the same in every version
                raise Missing("division by zero") from None
            except OverflowError:
                raise Missing("a number too large") from None
        case ast.Constant(value=int() | float() as constant):
            return constant
        case ast.Attribute():
            name = _name(node)
            value = lookup(*name)
            if value is None:
                raise Missing(f"{'.'.join(name)} has no value", name)
            return value
    raise AssertionError(node)  # `_check` lets nothing else through
