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
        for change, made in _changes(node):
            whole = copy.deepcopy(tree)
            target = list(_nodes(whole))[index]
            _put(whole, target, made)
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
    made = copy.deepcopy(node)
    if isinstance(made, ast.Compare) and len(made.ops) == 1:
        old = type(made.ops[0])
        for table in (COMPARED, REVERSED):
            if old in table:
                other = copy.deepcopy(made)
                other.ops = [table[old]()]
                yield f"{old.__name__} -> {table[old].__name__}", other
    elif isinstance(made, (ast.BinOp, ast.AugAssign)) and type(made.op) in CALCULATED:
        old_op = type(made.op)
        made.op = CALCULATED[old_op]()
        yield f"{old_op.__name__} -> {type(made.op).__name__}", made
    elif isinstance(made, ast.BoolOp):
        made.op = ast.Or() if isinstance(made.op, ast.And) else ast.And()
        yield "and <-> or", made
    elif isinstance(made, ast.UnaryOp) and isinstance(made.op, (ast.USub, ast.Not)):
        yield f"without {type(made.op).__name__}", made.operand
    elif isinstance(made, ast.Constant) and isinstance(made.value, bool):
        yield f"{made.value} -> {not made.value}", ast.Constant(not made.value)
    elif isinstance(made, ast.Constant) and isinstance(made.value, (int, float)):
        yield f"{made.value} -> {made.value + 1}", ast.Constant(made.value + 1)
    elif isinstance(made, ast.IfExp):
        made.body, made.orelse = made.orelse, made.body
        yield "the other branch", made
    elif isinstance(made, (ast.If, ast.While)):
        made.test = ast.UnaryOp(ast.Not(), made.test)
        yield "if not", made
    elif isinstance(made, ast.Call) and _name(made.func) in SWAPPED:
        name = _name(made.func)
        if isinstance(made.func, ast.Attribute):
            made.func.attr = SWAPPED[name]
        elif isinstance(made.func, ast.Name):
            made.func.id = SWAPPED[name]
        yield f"{name} -> {SWAPPED[name]}", made
    elif isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute) and made.func.attr in ("detach", "exp", "log"):
        yield f"without {made.func.attr}", made.func.value


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def _put(tree: ast.AST, target: ast.AST, made: ast.AST) -> None:
    for owner in ast.walk(tree):
        for name, value in ast.iter_fields(owner):
            if value is target:
                setattr(owner, name, made)
                return
            if isinstance(value, list):
                for place, one in enumerate(value):
                    if one is target:
                        value[place] = made
                        return
