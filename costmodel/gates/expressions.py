"""Boolean expressions of Liberty files, and how likely they are."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

from configs.errors import InputError

_WORD = re.compile(r"\s*([A-Za-z_]\w*(?:\[\d+\])?|[01]|[!&*|+^()'])")
_Evaluator = Callable[[Mapping[str, bool]], bool]


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """A Boolean expression over pins.

    Attributes
    ----------
    text : as in the file.
    names : pins that it reads.
    holds : its value for values of these.
    """

    text: str
    names: tuple[str, ...]
    holds: _Evaluator

    @cached_property
    def states(self) -> tuple[tuple[bool, ...], ...]:
        """Values of ``names`` for which it holds."""
        return tuple(
            values
            for values in product((False, True), repeat=len(self.names))
            if self.holds(dict(zip(self.names, values, strict=True)))
        )


@lru_cache(maxsize=4096)
def parse_condition(text: str) -> Condition:
    """A Liberty expression: ``!``, ``'`` for not; ``&``, ``*`` or nothing for and; ``|``, ``+``.

    Raises
    ------
    InputError : not such an expression.
    """
    words, place = [], 0
    stripped = text.strip()
    while place < len(stripped):
        found = _WORD.match(stripped, place)
        if found is None:
            raise InputError(f"Liberty expression '{text}' has an unknown sign: {stripped[place]}")
        words.append(found[1])
        place = found.end()
    parser = _Parser(words, text)
    holds = parser.alternatives()
    if parser.words:
        raise parser.wrong()
    names = tuple(dict.fromkeys(w for w in words if w[0].isalpha() or w[0] == "_"))
    return Condition(text=text, names=names, holds=holds)


class _Parser:
    """Recursive descent: or, and, exclusive-or, factors."""

    def __init__(self, words: list[str], text: str) -> None:
        self.words, self.text = words[::-1], text

    def wrong(self) -> InputError:
        """The error for what is left."""
        return InputError(f"Liberty expression '{self.text}' cannot be read")

    def _next(self, wanted: str) -> bool:
        """Whether the next word is one of ``wanted``; it is taken then."""
        if self.words and self.words[-1] in wanted:
            self.words.pop()
            return True
        return False

    def alternatives(self) -> _Evaluator:
        """Terms joined by or."""
        terms = [self._conjunction()]
        while self._next("|+"):
            terms.append(self._conjunction())
        return terms[0] if len(terms) == 1 else lambda v: any(term(v) for term in terms)

    def _conjunction(self) -> _Evaluator:
        factors = [self._difference()]
        while self.words and self.words[-1] not in "|+)":
            self._next("&*")
            factors.append(self._difference())
        return factors[0] if len(factors) == 1 else lambda v: all(f(v) for f in factors)

    def _difference(self) -> _Evaluator:
        found = [self._factor()]
        while self._next("^"):
            found.append(self._factor())
        return found[0] if len(found) == 1 else lambda v: bool(sum(f(v) for f in found) % 2)

    def _factor(self) -> _Evaluator:
        if self._next("!"):
            negated = self._factor()
            return lambda v: not negated(v)
        if self._next("("):
            inner = self.alternatives()
            if not self._next(")"):
                raise self.wrong()
        elif self.words and (self.words[-1][0].isalnum() or self.words[-1][0] == "_"):
            word = self.words.pop()
            inner = (lambda v: word == "1") if word in "01" else lambda v: v[word]
        else:
            raise self.wrong()
        while self._next("'"):
            inner = _negated(inner)
        return inner


def _negated(inner: _Evaluator) -> _Evaluator:
    return lambda v: not inner(v)
