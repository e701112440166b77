"""Conditions of a sweep file: what they mean, and that nothing else gets in."""

import operator
import pickle
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.expressions import Expression, written

NUMBERS = ("accelerator.rows", "area_mm2", "x")
TEXTS = {"accelerator.pe": ("serial", "multiplier"), "quantization": ("int4", "int8", "bitmod_fp4")}
KNOWN = {**dict.fromkeys(NUMBERS), **TEXTS}
Values = Mapping[str, float | str]
#: an expression beside a function that computes the same in plain Python
Pair = tuple[str, Callable[[Values], float | bool]]


def _joined(symbol: str, function: Callable[[float, float], float], a: Pair, b: Pair) -> Pair:
    return f"({a[0]} {symbol} {b[0]})", lambda v: function(a[1](v), b[1](v))


def _divided(a: float, b: float) -> float:
    """IEEE 754 division, which Python's is but for a zero."""
    return float(np.float64(a) / np.float64(b))


_LEAVES = st.one_of(
    st.integers(0, 1000).map(lambda n: (str(n), lambda v: float(n))),
    st.floats(0, 1e6, allow_subnormal=False).map(lambda x: (repr(x), lambda v: x)),
    st.sampled_from(NUMBERS).map(lambda name: (name, lambda v: float(v[name]))),
)
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
}


def _grown(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    binary = st.builds(
        lambda symbol, a, b: _joined(symbol, _OPERATORS[symbol], a, b),
        st.sampled_from(sorted(_OPERATORS)),
        inner,
        inner,
    )
    return binary | inner.map(lambda a: (f"(-{a[0]})", lambda v: -a[1](v)))


FORMULAS = st.recursive(_LEAVES, _grown, max_leaves=6)
_ORDERS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_COMPARED = st.builds(
    lambda s, a, b: _joined(s, _ORDERS[s], a, b),
    st.sampled_from(sorted(_ORDERS)),
    FORMULAS,
    FORMULAS,
)
_CHAINED = st.builds(
    lambda s, t, a, b, c: (
        f"({a[0]} {s} {b[0]} {t} {c[0]})",
        lambda v: _ORDERS[s](a[1](v), b[1](v)) and _ORDERS[t](b[1](v), c[1](v)),
    ),
    st.sampled_from(sorted(_ORDERS)),
    st.sampled_from(sorted(_ORDERS)),
    FORMULAS,
    FORMULAS,
    FORMULAS,
)
_LISTED = st.builds(
    lambda a, items, negated: (
        f"({a[0]} {'not ' * negated}in [{', '.join(i[0] for i in items)}])",
        lambda v: any(a[1](v) == i[1](v) for i in items) != negated,
    ),
    FORMULAS,
    st.lists(FORMULAS, min_size=1, max_size=3),
    st.booleans(),
)


@st.composite
def _worded(draw: st.DrawFn) -> Pair:
    name = draw(st.sampled_from(sorted(TEXTS)))
    word = draw(st.sampled_from(TEXTS[name]))
    quote, negated = draw(st.sampled_from(["", "'", '"'])), draw(st.booleans())
    text = f"({name} {'!=' if negated else '=='} {quote}{word}{quote})"
    return text, lambda v: (v[name] == word) != negated


def _logic(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    both = st.builds(lambda a, b: _joined("and", lambda x, y: x and y, a, b), inner, inner)
    either = st.builds(lambda a, b: _joined("or", lambda x, y: x or y, a, b), inner, inner)
    return both | either | inner.map(lambda a: (f"(not {a[0]})", lambda v: not a[1](v)))


CONDITIONS = st.recursive(_COMPARED | _CHAINED | _LISTED | _worded(), _logic, max_leaves=4)
_ROW = st.fixed_dictionaries(
    {
        **{name: st.sampled_from([0, 1, 2, 3, 7.5, -4, 1000]) for name in NUMBERS},
        **{name: st.sampled_from(texts) for name, texts in TEXTS.items()},
    }
)


@settings(deadline=None, max_examples=100)
@given(pair=CONDITIONS, rows=st.lists(_ROW, min_size=1, max_size=5))
def test_conditions_mean_what_python_means(pair: Pair, rows: list[Values]) -> None:
    text, reference = pair
    if len(text) > 900:
        return
    expression = Expression.parse(text)
    assert expression.is_condition
    assert expression.check(KNOWN) <= set(KNOWN)
    with np.errstate(all="ignore"):
        expected = [bool(reference(row)) for row in rows]
    alone = [expression.evaluate(row) for row in rows]
    assert alone == expected
    assert all(isinstance(one, bool) for one in alone)
    columns = {name: np.array([row[name] for row in rows], dtype=object) for name in TEXTS}
    columns |= {name: np.array([row[name] for row in rows]) for name in NUMBERS}
    together = np.broadcast_to(expression.evaluate(columns), len(rows))
    assert together.tolist() == expected


@settings(deadline=None, max_examples=100)
@given(pair=FORMULAS, row=_ROW)
def test_formulas_are_those_of_float64(pair: Pair, row: Values) -> None:
    text, reference = pair
    with np.errstate(all="ignore"):
        expected = float(reference({name: row[name] for name in NUMBERS}))
    result = Expression.parse(text).evaluate(row)
    assert isinstance(result, float)
    assert result == expected or (np.isnan(result) and np.isnan(expected))


def test_large_columns_do_not_wrap() -> None:
    columns = {"x": np.array([1 << 40, 3], dtype=np.int64)}
    assert Expression.parse("x * x > 1").evaluate(columns).tolist() == [True, True]


def test_nan_fulfils_no_order() -> None:
    columns = {"x": np.array([np.nan, 1.0])}
    assert Expression.parse("x <= 5").evaluate(columns).tolist() == [False, True]
    assert Expression.parse("x > 5").evaluate(columns).tolist() == [False, False]


def test_names_words_and_pickling() -> None:
    expression = Expression.parse(" quantization == int4 and accelerator.rows > x ")
    assert expression.text == "quantization == int4 and accelerator.rows > x"
    assert expression.names == {"quantization", "int4", "accelerator.rows", "x"}
    assert expression.words == {"quantization", "int4"}
    assert expression.check(KNOWN) == {"quantization", "accelerator.rows", "x"}
    row = {"quantization": "int4", "accelerator.rows": 3, "x": 2}
    assert pickle.loads(pickle.dumps(expression)).evaluate(row) is True
    assert Expression.parse("x == x and x + 1 > 0").words == frozenset()
    assert not Expression.parse("x + 1").is_condition


def test_numbers_among_texts_are_compared_as_written() -> None:
    known = {"accelerator.slots": ("auto", "2", "4")}
    for text, expected in (
        ("accelerator.slots == 2", [False, True, False]),
        ("2 == accelerator.slots", [False, True, False]),
        ("accelerator.slots in [auto, 4]", [True, False, True]),
        ("accelerator.slots not in [auto, 4]", [False, True, False]),
    ):
        expression = Expression.parse(text)
        expression.check(known)
        column = np.array(["auto", "2", "4"], dtype=object)
        assert expression.evaluate({"accelerator.slots": column}).tolist() == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), (True, "true"), ((), "none"), (("sums", "shift"), "sums+shift"), (2, "2")],
)
def test_written(value: object, text: str) -> None:
    assert written(value) == text


HOSTILE = {
    "__import__('os').system('true')": "'call' is not allowed here",
    "__class__ == 1": "'__class__' is no name here",
    "x.__class__.__mro__ == 1": "is no name here",
    "x._hidden > 1": "is no name here",
    "().__class__ == 1": "'attribute' is not allowed here",
    "x(1) > 1": "'call' is not allowed here",
    "(lambda: 1) == 1": "'lambda' is not allowed here",
    "[y for y in x] == 1": "'list comp' is not allowed here",
    "{1: 2} == x": "'dict' is not allowed here",
    "x[0] == 1": "'subscript' is not allowed here",
    "x if x > 1 else 2": "'if exp' is not allowed here",
    "(x := 3) > 1": "'named expr' is not allowed here",
    "f'{x}' == x": "'joined str' is not allowed here",
    "9**9**9**9 > x": "'**' is not allowed here",
    "x << 1000000 > 1": "'<<' is not allowed here",
    "x % 2 == 0": "'%' is not allowed here",
    "x // 2 == 0": "'//' is not allowed here",
    "~x > 1": "'~' is not allowed here",
    "+x > 1": "'unary +' is not allowed here",
    "x is 1": "'is' is not allowed here",
    "x, x": "'tuple' is not allowed here",
    "*x": "",
    "await x": "'await' is not allowed here",
    "yield": "is no expression",
    "import os": "is no expression",
    "x = 3": "is no expression",
    "x > 1; x > 2": "is no expression",
    "x >": "is no expression",
    "": "is no expression",
    "x\0 > 1": "null bytes",
    "x > 1 # and": "",
    "'\\d' == x": "is no expression",
    "1and 2": "is no expression",
    "1j == x": "is neither a number nor text",
    "b'a' == x": "is neither a number nor text",
    "... == x": "is neither a number nor text",
    "1e999 < x": "beyond 2**53",
    "9" * 900 + " < x": "beyond 2**53",
    "9007199254740993 < x": "beyond 2**53",
    "x == True": "write true, not True",
    "x == None": "write none, not None",
    "x and x > 1": "expected a comparison, got 'x'",
    "not x": "expected a comparison, got 'x'",
    "(x > 1) + 1 > 0": "expected a number or a name, got 'x > 1'",
    "(x > 1) == (x > 2)": "expected a number or a name, got 'x > 1'",
    "'a' + 'b' == x": "only stands beside",
    "-'a' == x": "only stands beside",
    "x in x": "'in' stands alone",
    "x in []": "'in' stands alone",
    "x in [1] in [2]": "'in' stands alone",
    "x in [[1]]": "'list' is not allowed here",
    "x in (1, 2)": "'in' stands alone",
    "x " * 501: "is too long",
    "x" * 100_000: "100000 characters is too long",
    "(" * 400 + "x" + ")" * 400: "",
    "(" * 120 + "x" + ")" * 120 + " > 1 and " + "(" * 90 + "x > 1" + ")" * 90: "",
    "-" * 900 + "1 < x": "nested more than 40 levels deep",
    "not " * 200 + "x > 1": "nested more than 40 levels deep",
    "1+" * 450 + "1 > x": "nested more than 40 levels deep",
    "x" + ".x" * 450 + " > 1": "a name of 901 characters is too long",
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:24].encode().hex()[:12])
def test_whatever_is_outside_the_grammar_is_one_sentence(text: str) -> None:
    try:
        Expression.parse(text).check({"x": None})
    except InputError as error:
        assert HOSTILE[text] in str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 300
    else:
        # harmless: parentheses that mean nothing, a comment
        assert not HOSTILE[text]
        assert Expression.parse(text).names == {"x"}


@settings(deadline=None, max_examples=150)
@given(st.text(st.sampled_from("x1.<>=!()[]+-*/ andortin'\"_,:%\\\n\t{}@"), max_size=30))
def test_any_text_is_an_expression_or_an_input_error(text: str) -> None:
    try:
        expression = Expression.parse(text)
        expression.check({"x": None})
        expression.evaluate({"x": 1.0})
    except InputError:
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("areamm2 < 1", "unknown name 'areamm2': did you mean 'area_mm2'?"),
        ("accelerator.row < 1", "did you mean 'accelerator.rows'?"),
        ("quantisation == int4", "unknown name 'quantisation': did you mean 'quantization'?"),
        ("quantization == int44", "unknown value 'int44': did you mean 'int4'?"),
        ("quantization in [int4, 'int9']", "unknown value 'int9': did you mean 'int8'?"),
        ("quantization == 4", "unknown value '4'"),
        ("quantization > int4", "orders text"),
        ("quantization == int4 < x", "orders text"),
        ("quantization + 1 == 2", "quantization is text"),
        ("x == 'int4'", "text 'int4' is compared with a number"),
        ("x == quantization", "x is a number, compared with text"),
        ("quantization == x + 1", "is a number, compared with text"),
    ],
)
def test_names_and_texts_are_checked(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Expression.parse(text).check(KNOWN)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y < 1", "unknown name 'y'"),
        ("y.z == 1", "unknown name 'y.z'"),
        ("x < quantization", "quantization is text"),
        ("x + quantization == 1", "quantization is text"),
        ("x == quantization", "'x' is a number, compared with text"),
    ],
)
def test_evaluation_refuses_what_it_cannot_do(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("'", ".")):
        Expression.parse(text).evaluate({"x": 1, "quantization": "int4"})


def test_an_expression_is_text() -> None:
    with pytest.raises(InputError, match="expected an expression in text, got 3"):
        Expression.parse(3)  # type: ignore[arg-type]
