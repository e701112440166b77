"""Conditions of a sweep file: a small language of comparisons, read by a whitelist and never
executed as code."""

import ast
import functools
import math
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, unknown_name

#: a value of a name: a number or text, or a column of them
Value = float | str | NDArray[Any]

MAX_CHARACTERS = 1000
MAX_DEPTH = 40
MAX_NAME = 100
#: numbers are float64: larger ones would not be exact
MAX_NUMBER = 2.0**53

_ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_ORDER: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_EQUALITY = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
#: how operators that are not allowed are written
_FOREIGN = {"Pow": "**", "Mod": "%", "FloorDiv": "//", "MatMult": "@", "LShift": "<<"}
_FOREIGN |= {"RShift": ">>", "BitOr": "|", "BitXor": "^", "BitAnd": "&", "Invert": "~"}
_FOREIGN |= {"UAdd": "unary +", "Is": "is", "IsNot": "is not"}
#: what a whole expression may be, besides a name or a number
_TRUTH = (ast.Compare, ast.BoolOp)
_GRAMMAR = (
    "allowed are numbers, names, quoted text, + - * /, comparisons, in [...], and, or, not and "
    "parentheses"
)


def written(value: Any) -> str:
    """A value that is no number as text: ``none``, ``true``, ``products+sums``, ``auto``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "+".join(map(written, value)) or "none"
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A condition or a formula over names.

    Arithmetic is that of float64: a division by zero gives an infinity or NaN, and no order and no
    equality holds of a NaN.

    Attributes
    ----------
    names : every name that it mentions, dotted ones whole.
    words : those of the names that may be meant as text, because they only stand beside ``==``,
        ``!=`` or ``in``: ``int4`` in ``quantization == int4``, and ``quantization`` too.
    """

    text: str
    names: frozenset[str]
    words: frozenset[str]
    tree: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "Expression":
        """Read an expression.

        Raises
        ------
        InputError : not text, too long, nested too deeply, or outside the grammar.
        """
        if not isinstance(text, str):
            raise InputError(f"expected an expression in text, got {text!r}")
        if len(text) > MAX_CHARACTERS:
            raise InputError(
                f"an expression of {len(text)} characters is too long, {MAX_CHARACTERS} are allowed"
            )
        try:
            with warnings.catch_warnings():
                # an odd escape or number is an error like any other
                warnings.simplefilter("error")
                tree = ast.parse(text.strip(), mode="eval").body
        except RecursionError:
            raise InputError(f"'{_short(text)}' is nested too deeply") from None
        except (SyntaxError, ValueError, MemoryError) as error:
            reason = getattr(error, "msg", None) or str(error) or "nested too deeply"
            raise InputError(f"'{_short(text)}' is no expression: {reason}") from None
        try:
            _check(tree, MAX_DEPTH)
        except InputError as error:
            raise InputError(f"'{_short(text)}': {error}") from None
        plain: set[str] = set()
        beside: set[str] = set()
        for name, is_word in _mentioned(tree, False):
            (beside if is_word else plain).add(name)
        return cls(
            text=text.strip(),
            names=frozenset(plain | beside),
            words=frozenset(beside - plain),
            tree=tree,
        )

    @property
    def is_condition(self) -> bool:
        """Whether it is true or false, not a number."""
        return _is_truth(self.tree)

    def check(self, known: Mapping[str, Collection[str] | None]) -> frozenset[str]:
        """The names among ``known`` that it mentions, all of them used as what they are.

        Parameters
        ----------
        known : every name, with the texts that it can be, or None for a number.

        Raises
        ------
        InputError : a name or a text that is not known (names the nearest), arithmetic or order of
            text, text beside a number.
        """
        try:
            _check_names(self.tree, known)
        except InputError as error:
            raise InputError(f"'{_short(self.text)}': {error}") from None
        return self.names & frozenset(known)

    def evaluate(self, values: Mapping[str, Value]) -> Any:
        """The value of the expression: a bool or float of scalars, an array of columns.

        Parameters
        ----------
        values : by name: numbers, texts, or columns of numbers or texts, all of one length. A name
            without a value is a text beside ``==``, ``!=`` and ``in``.

        Raises
        ------
        InputError : a name without a value elsewhere, or text where a number belongs.
        """
        try:
            with np.errstate(all="ignore"):
                result = _evaluate(self.tree, values)
        except InputError as error:
            raise InputError(f"'{_short(self.text)}': {error}") from None
        column = np.asarray(result)
        return column if column.ndim else column.item()


def _short(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def _is_truth(node: ast.expr) -> bool:
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return negated or isinstance(node, _TRUTH)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or np.asarray(value).dtype.kind in "OU"


def _dotted(node: ast.expr) -> str | None:
    """The name that a node is, or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = _dotted(node.value)
        return front and f"{front}.{node.attr}"
    return None


def _constant(node: ast.expr) -> Any:
    """The number or text that a node is, or None."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _constant(node.operand)
        return None if inner is None or isinstance(inner, str) else -inner
    return None


def _check(node: ast.expr, depth: int) -> None:
    """Refuse whatever is outside the grammar, at every node of the tree."""
    if depth == 0:
        raise InputError(f"nested more than {MAX_DEPTH} levels deep")
    match node:
        case ast.Constant():
            _check_constant(node.value)
            return
        case ast.Name() | ast.Attribute() if (name := _dotted(node)) is not None:
            if any(part.startswith("_") for part in name.split(".")):
                raise InputError(f"'{_short(name)}' is no name here: a part starts with '_'")
            if len(name) > MAX_NAME:
                raise InputError(f"a name of {len(name)} characters is too long")
            return
        case ast.BoolOp():
            parts, truth = node.values, True
        case ast.UnaryOp(op=ast.Not()):
            parts, truth = [node.operand], True
        case ast.UnaryOp(op=ast.USub()):
            parts, truth = [node.operand], False
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            parts, truth = [node.left, node.right], False
        case ast.Compare():
            parts, truth = _compared(node), False
        case _:
            raise InputError(f"{_kind(node)} is not allowed here, {_GRAMMAR}")
    for part in parts:
        _check(part, depth - 1)
        if _is_truth(part) != truth:
            wanted = "a comparison" if truth else "a number or a name"
            raise InputError(f"expected {wanted}, got '{_short(ast.unparse(part))}'")
        if not isinstance(node, ast.Compare) and isinstance(_constant(part), str):
            raise InputError(f"text {_constant(part)!r} only stands beside ==, != and in")


def _compared(node: ast.Compare) -> list[ast.expr]:
    """What a comparison compares, the items of a list one by one."""
    parts = [node.left, *node.comparators]
    if not any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
        for op in node.ops:
            if type(op) not in _ORDER and not isinstance(op, _EQUALITY):
                raise InputError(f"{_kind(op)} is not allowed here, {_GRAMMAR}")
        return parts
    if len(node.ops) > 1 or not isinstance(parts[1], ast.List) or not parts[1].elts:
        raise InputError("'in' stands alone, before a list such as [1, 2] or [int4, int8]")
    return [node.left, *parts[1].elts]


def _check_constant(value: Any) -> None:
    if isinstance(value, bool) or value is None:
        raise InputError(f"write {written(value)}, not {value}")
    if isinstance(value, str):
        return
    if not isinstance(value, int | float):
        raise InputError(f"{_short(repr(value))} is neither a number nor text")
    if not abs(value) <= MAX_NUMBER or not math.isfinite(value):
        raise InputError("a number beyond 2**53 is too large")


def _kind(node: ast.AST) -> str:
    """What a node is, for an error message: ``'list comp'``, ``'call'``, ``'**'``."""
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        return _kind(node.op)
    kind = type(node).__name__
    return f"'{_FOREIGN.get(kind) or re.sub('(?<=[a-z])(?=[A-Z])', ' ', kind).lower()}'"


def _mentioned(node: ast.expr, beside: bool) -> Iterator[tuple[str, bool]]:
    """Every name, and whether it stands where text may stand."""
    name = _dotted(node)
    if name is not None:
        yield name, beside and "." not in name
        return
    if isinstance(node, ast.Compare):
        word = all(isinstance(op, _EQUALITY) for op in node.ops)
        for part in _compared(node):
            yield from _mentioned(part, word)
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _mentioned(child, False)


def _check_names(node: ast.expr, known: Mapping[str, Collection[str] | None]) -> None:
    """Names are known and numbers, except in comparisons for equality."""
    name = _dotted(node)
    if name is not None:
        if name not in known:
            raise unknown_name("name", name, known)
        if known[name] is not None:
            raise InputError(f"{name} is text: it only stands beside ==, != and in")
        return
    if isinstance(node, ast.Compare):
        parts = _compared(node)
        names = [part for part in map(_dotted, parts) if part is not None]
        texts = [known[part] for part in names if known.get(part) is not None]
        if texts:
            if not all(isinstance(op, _EQUALITY) for op in node.ops):
                raise InputError(f"'{ast.unparse(node)}' orders text")
            _check_texts(parts, known)
            return
        for part in parts:
            if isinstance(_constant(part), str):
                raise InputError(f"text {_constant(part)!r} is compared with a number")
            _check_names(part, known)
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check_names(child, known)


def _check_texts(parts: list[ast.expr], known: Mapping[str, Collection[str] | None]) -> None:
    """Operands of an equality of text: names of texts, and texts that one of those can be."""
    names = {part: name for part in parts if (name := _dotted(part)) is not None}
    valid = {text for name in names.values() for text in known.get(name) or ()}
    for part in parts:
        given = names.get(part, _constant(part))
        if part in names and given in known:
            if known[given] is None:
                raise InputError(f"{given} is a number, compared with text")
            continue
        if given is None:
            raise InputError(f"'{ast.unparse(part)}' is a number, compared with text")
        if written(given) not in valid:
            raise unknown_name("value", written(given), valid)


def _evaluate(node: ast.expr, values: Mapping[str, Value]) -> Any:
    match node:
        case ast.Compare():
            return _compare(node, values)
        case ast.BoolOp():
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return functools.reduce(join, (_evaluate(part, values) for part in node.values))
        case ast.UnaryOp(op=ast.Not()):
            return np.logical_not(_evaluate(node.operand, values))
        case ast.UnaryOp():
            return np.negative(_number(node.operand, values))
        case ast.BinOp():
            left, right = _number(node.left, values), _number(node.right, values)
            return _ARITHMETIC[type(node.op)](left, right)
    return _number(node, values)


def _number(node: ast.expr, values: Mapping[str, Value]) -> Any:
    """A number or a column of numbers, float64."""
    name = _dotted(node)
    if name is None:
        value = node.value if isinstance(node, ast.Constant) else _evaluate(node, values)
    elif name in values:
        value = values[name]
    else:
        raise unknown_name("name", name, values)
    if _is_text(value):
        raise InputError(f"{name or repr(value)} is text, a number belongs here")
    return np.asarray(value, dtype=np.float64)


def _compare(node: ast.Compare, values: Mapping[str, Value]) -> Any:
    parts = _compared(node)
    if isinstance(node.ops[0], ast.In | ast.NotIn):
        found: Any = np.False_
        for item in parts[1:]:
            found = np.logical_or(found, _equal(parts[0], item, values))
        return np.logical_not(found) if isinstance(node.ops[0], ast.NotIn) else found
    result: Any = np.True_
    for op, left, right in zip(node.ops, parts, parts[1:], strict=False):
        if type(op) in _ORDER:
            one = _ORDER[type(op)](_number(left, values), _number(right, values))
        else:
            one = _equal(left, right, values)
            one = np.logical_not(one) if isinstance(op, ast.NotEq) else one
        result = np.logical_and(result, one)
    return result


def _equal(left: ast.expr, right: ast.expr, values: Mapping[str, Value]) -> Any:
    """Whether two operands are equal: numbers as numbers, otherwise as text."""
    texts = [_text(part, values) for part in (left, right)]
    if texts[0] is None and texts[1] is None:
        return np.equal(_number(left, values), _number(right, values))
    for place, part in enumerate((left, right)):
        if texts[place] is None:
            constant = _constant(part)
            if constant is None:
                raise InputError(f"'{ast.unparse(part)}' is a number, compared with text")
            texts[place] = written(constant)
    return np.asarray(texts[0], dtype=object) == np.asarray(texts[1], dtype=object)


def _text(node: ast.expr, values: Mapping[str, Value]) -> Any:
    """A text or a column of texts, None if the operand is a number."""
    name = _dotted(node)
    if name is not None:
        value = values.get(name, name)
        if value is name and "." in name:
            raise unknown_name("name", name, values)
        return value if _is_text(value) else None
    constant = _constant(node)
    return constant if isinstance(constant, str) else None
