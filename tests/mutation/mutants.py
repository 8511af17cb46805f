"""Small mistakes in a Python source, one in each mutant: another comparison, sign, number or truth value."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
REVERSED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
SWAPPED = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "amin": "amax",
    "amax": "amin",
    "sum": "mean",
    "mean": "sum",
}


@dataclass(frozen=True)
class Mutant:
    """A changed source."""

    line: int
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a source. Docstrings, annotations, decorators, imports and the texts of messages stay."""
    tree = ast.parse(source)
    for index, node in enumerate(_nodes(tree)):
        for change, now in _changes(node):
            whole = copy.deepcopy(tree)
            target = list(_nodes(whole))[index]
            _put(whole, target, now)
            yield Mutant(node.lineno, change, ast.unparse(ast.fix_missing_locations(whole)))


def _nodes(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.Import, ast.ImportFrom)) or (isinstance(child, ast.expr) and _apart(tree, child)):
            continue
        if isinstance(child, (ast.expr, ast.stmt)):
            yield child
        yield from _nodes(child)


def _apart(owner: ast.AST, child: ast.AST) -> bool:
    """Whether a part of a node changes nothing that the program does: an annotation, a decorator, a docstring."""
    aside = [getattr(owner, name, None) for name in ("annotation", "returns")] + list(getattr(owner, "decorator_list", []))
    text = isinstance(owner, ast.Expr) and isinstance(child, ast.Constant)
    return any(child is one for one in aside) or text or isinstance(owner, (ast.Raise, ast.Assert))


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    now = copy.deepcopy(node)
    if isinstance(now, ast.Compare) and len(now.ops) == 1:
        old = type(now.ops[0])
        for table in (COMPARED, REVERSED):
            if old in table:
                other = copy.deepcopy(now)
                other.ops = [table[old]()]
                yield f"{old.__name__} -> {table[old].__name__}", other
    elif isinstance(now, (ast.BinOp, ast.AugAssign)) and type(now.op) in CALCULATED:
        old_op = type(now.op)
        now.op = CALCULATED[old_op]()
        yield f"{old_op.__name__} -> {type(now.op).__name__}", now
    elif isinstance(now, ast.BoolOp):
        now.op = ast.Or() if isinstance(now.op, ast.And) else ast.And()
        yield "and <-> or", now
    elif isinstance(now, ast.UnaryOp) and isinstance(now.op, (ast.USub, ast.Not)):
        yield f"without {type(now.op).__name__}", now.operand
    elif isinstance(now, ast.Constant) and isinstance(now.value, bool):
        yield f"{now.value} -> {not now.value}", ast.Constant(not now.value)
    elif isinstance(now, ast.Constant) and isinstance(now.value, (int, float)):
        yield f"{now.value} -> {now.value + 1}", ast.Constant(now.value + 1)
    elif isinstance(now, ast.IfExp):
        now.body, now.orelse = now.orelse, now.body
        yield "the other branch", now
    elif isinstance(now, (ast.If, ast.While)):
        now.test = ast.UnaryOp(ast.Not(), now.test)
        yield "if not", now
    elif isinstance(now, ast.Call) and _name(now.func) in SWAPPED:
        name = _name(now.func)
        if isinstance(now.func, ast.Attribute):
            now.func.attr = SWAPPED[name]
        elif isinstance(now.func, ast.Name):
            now.func.id = SWAPPED[name]
        yield f"{name} -> {SWAPPED[name]}", now
    elif isinstance(now, ast.Call) and isinstance(now.func, ast.Attribute) and now.func.attr in ("detach", "exp", "log"):
        yield f"without {now.func.attr}", now.func.value


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def _put(tree: ast.AST, target: ast.AST, now: ast.AST) -> None:
    for owner in ast.walk(tree):
        for name, value in ast.iter_fields(owner):
            if value is target:
                setattr(owner, name, now)
                return
            if isinstance(value, list):
                for place, one in enumerate(value):
                    if one is target:
                        value[place] = now
                        return
