"""One channel, one input vector, step by step in Python integers.

Slow and plain on purpose: it reads terms one by one and takes no sum from the bounds, so it can
judge them.
"""

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from numpy.typing import ArrayLike

from configs.errors import InputError
from sw.formats import TermTable

from .checks import Mode, Stage, check_word, integer, integer_array
from .width import signed_range

#: From a sum to what the register keeps of it, and whether it left the range.
Register = Callable[[int], tuple[int, bool]]
Place = TypeVar("Place")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What the two accumulators did.

    Attributes
    ----------
    value : outer accumulator at the end; without scales, the last latched group sum.
    group_sums : inner accumulator as latched at the end of each group.
    inner_events : (group, chunk, slot) of every step whose sum left the inner range, the sum being
        that of what the register held and what the step adds.
    outer_events : group of every addition that left the outer range, likewise.
    exact_value, exact_group_sums : the same with unlimited registers.
    """

    value: int
    group_sums: tuple[int, ...]
    inner_events: tuple[tuple[int, int, int], ...]
    outer_events: tuple[int, ...]
    exact_value: int
    exact_group_sums: tuple[int, ...]

    @property
    def inner_flag(self) -> bool:
        """The inner stage's sticky bit."""
        return bool(self.inner_events)

    @property
    def outer_flag(self) -> bool:
        """The outer stage's sticky bit."""
        return bool(self.outer_events)

    def fails(self, stage: Stage, mode: Mode) -> bool:
        """Whether ``stage`` failed in the sense of ``mode``.

        Wrapping fails when a latched value differs, saturating and flagging when a sum left the
        range. The outer stage is judged on exact group sums: replay it with an inner width that
        holds.
        """
        check_word("accumulator stage", stage, Stage)
        check_word("accumulator mode", mode, Mode)
        if mode != "wrap":
            return self.inner_flag if stage == "inner" else self.outer_flag
        if stage == "inner":
            return self.group_sums != self.exact_group_sums
        return self.value != self.exact_value


def reference_accumulate(
    levels_row: ArrayLike,
    x: ArrayLike,
    *,
    terms: TermTable | None,
    group_size: int,
    lanes: int,
    scale_row: ArrayLike | None,
    inner_bits: int | None,
    outer_bits: int | None,
    inner_mode: Mode,
    outer_mode: Mode,
) -> Replay:
    """Accumulate one channel as the machine does: groups, chunks of ``lanes``, slots innermost.

    Parameters
    ----------
    levels_row, x : integer weights and activations, both (K,).
    terms, group_size, lanes : the schedule, as for :func:`.layer_bounds`.
    scale_row : unsigned scale of each group, or ``None`` without an outer stage.
    inner_bits, outer_bits : register widths; ``None`` is unlimited.
    inner_mode, outer_mode : what happens to a sum outside the range.

    Raises
    ------
    InputError : lengths that differ, sizes below 1, an unknown mode, a level without terms.
    """
    weights = [int(w) for w in integer_array(levels_row, "levels of a row", ndim=1)]
    inputs = [int(v) for v in integer_array(x, "inputs", ndim=1)]
    group_size = integer(group_size, "group size", least=1)
    lanes = integer(lanes, "lanes", least=1)
    if len(weights) != len(inputs):
        raise InputError(f"{len(weights)} weights cannot meet {len(inputs)} inputs")
    parts = [slice(k, k + group_size) for k in range(0, len(weights), group_size)]
    scales = [] if scale_row is None else _scales(scale_row, len(parts))
    inner, outer = _register(inner_bits, inner_mode), _register(outer_bits, outer_mode)
    groups = [_accumulate(_steps(weights[p], inputs[p], lanes, terms), inner) for p in parts]
    sums, exact_sums, places = zip(*groups, strict=True)
    value, exact_value, outer_events = sums[-1], exact_sums[-1], list[int]()
    if scales:
        value, _, outer_events = _accumulate(enumerate(map(operator.mul, scales, sums)), outer)
        exact_value = sum(map(operator.mul, scales, exact_sums))
    return Replay(
        value=value,
        group_sums=sums,
        inner_events=tuple((g, *place) for g, left in enumerate(places) for place in left),
        outer_events=tuple(outer_events),
        exact_value=exact_value,
        exact_group_sums=exact_sums,
    )


def _accumulate(
    steps: Iterable[tuple[Place, int]], register: Register
) -> tuple[int, int, list[Place]]:
    """Register and unlimited sum at the end, and the places where a sum left the range."""
    kept = exact = 0
    events = []
    for place, addend in steps:
        exact += addend
        kept, left = register(kept + addend)
        events += [place] if left else []
    return kept, exact, events


def _steps(
    weights: list[int], inputs: list[int], lanes: int, terms: TermTable | None
) -> Iterator[tuple[tuple[int, int], int]]:
    """(chunk, slot) and addend of every step of one group."""
    for chunk, first in enumerate(range(0, len(weights), lanes)):
        part = slice(first, first + lanes)
        for slot, factors in enumerate(_slots(weights[part], terms)):
            yield (chunk, slot), sum(map(operator.mul, factors, inputs[part]))


def _scales(scale_row: ArrayLike, groups: int) -> list[int]:
    scales = [int(s) for s in integer_array(scale_row, "scale codes of a row", ndim=1)]
    if len(scales) != groups or min(scales) < 0:
        raise InputError(f"scale codes must be {groups} numbers, none negative, not {scales}")
    return scales


def _slots(weights: list[int], terms: TermTable | None) -> list[list[int]]:
    """What each lane multiplies its input by, slot by slot."""
    if terms is None:
        return [weights]
    for weight in weights:
        if weight not in terms.terms:
            raise InputError(f"level {weight} has no terms in this table")
    return [
        [terms.terms[weight][slot].value << shift for weight in weights]
        for slot, shift in enumerate(terms.base_shifts)
    ]


def _register(bits: int | None, mode: Mode) -> Register:
    """A register of ``bits`` that treats overflow by ``mode``; ``None`` is unlimited."""
    check_word("accumulator mode", mode, Mode)
    if bits is None:
        return lambda exact: (exact, False)
    low, high = signed_range(bits)

    def keep(exact: int) -> tuple[int, bool]:
        if low <= exact <= high:
            return exact, False
        if mode == "saturate":
            return (low if exact < low else high), True
        return (exact - low) % (high - low + 1) + low, True

    return keep
