"""What skipping zeros would buy: cycles of machines that spend no slot on nothing.

The machine of :mod:`hw` takes ``slots`` cycles per chunk whatever its weights are. Here a lane
skips

- ``zero_weights``: a weight of level 0 takes no cycle, any other all slots; or
- ``zero_terms``: a weight takes one cycle per term that is not zero,

and the lanes wait for each other in one of these ways:

- ``scope``: of the ``array`` all lanes are supplied together, since an activation chunk goes to all
  columns at once; of a ``column`` only its own lanes, and activations wait beside every column.
  The lanes of a row of PEs hold the same weights as those of any other row and take the same time.
- ``depth``: chunks that wait in the queue of every lane, see :func:`sim.skipping_times.run_ahead`;
  0 is lock-step, None as many as a group has.
- ``base_shift``: ``shared`` by the lanes of the scope, as on the machine: it stays at each value
  until no lane has a term left there. Lanes then cannot drift apart, unless the schedule has
  only one base shift, or weights are skipped whole (they then start in multiples of ``slots``
  cycles). ``own``: every lane shifts as it likes; it may have fewer terms then, see ``digits``.

At the end of a group all lanes of the array wait, because its sum goes to the dequantizer. Counted
are the cycles of one pass over the weights (one row tile) in which the array computes: no memory,
no dequantizer, no filling of pipelines. Lanes without a weight (padding) have nothing to do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.formats import FormatFamily, TermTable
from sw.quantize import QuantizedMatrix

from .skipping_times import column_tiles, lock_step, run_ahead

Mode = Literal["zero_weights", "zero_terms"]
BaseShift = Literal["shared", "own"]
Scope = Literal["array", "column"]
#: of lanes with shifts of their own: as few signed powers of two as there can be, or the machine's
Digits = Literal["fewest", "table"]
DIGITS: tuple[Digits, ...] = ("fewest", "table")
DEPTHS = (0, 1, 2, 4, 8, None)


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """What is skipped, and who waits for whom; see the module."""

    mode: Mode
    base_shift: BaseShift
    scope: Scope
    depth: int | None


@dataclass(frozen=True, kw_only=True)
class LayerSkipping:
    """Weights of a layer, or of several, and the cycles of one pass over them.

    Attributes
    ----------
    name, weights : of the layer.
    zero_weights : how many weights have level 0.
    table_terms, fewest_terms : their terms that are not zero: in the machine's table, and as few
        signed powers of two as there can be (the non-adjacent form).
    chunks : of all tiles.
    unskipped_cycles : cycles of the machine as it is, ``slots`` per chunk.
    balanced_cycles : cycles if every lane of every column in use always had a term to add, of
        those that lanes with shifts of their own add: no scheme is faster.
    cycles : cycles of every scheme.
    """

    name: str
    weights: int
    zero_weights: int
    table_terms: int
    fewest_terms: int
    chunks: int
    unskipped_cycles: int
    balanced_cycles: float
    cycles: dict[Scheme, int]

    @property
    def largest_speed_up(self) -> float:
        """What perfect balance would give; infinite without any term."""
        return _ratio(self.unskipped_cycles, self.balanced_cycles)

    def speed_up(self, scheme: Scheme) -> float:
        """Cycles of the machine as it is over those of ``scheme``."""
        return _ratio(self.unskipped_cycles, self.cycles[scheme])

    def __add__(self, other: "LayerSkipping") -> "LayerSkipping":
        """Both together, one after the other, named like the first."""
        names = [f.name for f in fields(self) if f.name not in ("name", "cycles")]
        sums: dict[str, Any] = {x: getattr(self, x) + getattr(other, x) for x in names}
        cycles = {scheme: count + other.cycles[scheme] for scheme, count in self.cycles.items()}
        return LayerSkipping(name=self.name, cycles=cycles, **sums)


def _ratio(cycles: float, fewer: float) -> float:
    return cycles / fewer if fewer else (1.0 if cycles == fewer else float("inf"))


@dataclass(frozen=True, kw_only=True)
class SkippingReport:
    """All layers on one array.

    Attributes
    ----------
    slots : cycles per chunk of the machine as it is.
    base_shifts : its schedule.
    own_slots, own_exponent_bits : slots and exponent width that lanes with shifts of their own
        need for every level of the family.
    """

    cols: int
    lanes: int
    slots: int
    base_shifts: tuple[int, ...]
    digits: Digits
    own_slots: int
    own_exponent_bits: int
    layers: tuple[LayerSkipping, ...]

    @cached_property
    def total(self) -> LayerSkipping:
        """The layers one after another."""
        first, *others = self.layers
        return sum(others, start=first)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Codes:
    """What each code of each member costs; one more entry, of no work, for padding.

    Attributes
    ----------
    weights : uint8 (entries,), 1 if the level is not 0.
    shared : uint8 (base shifts, entries), terms of the machine's table by base shift.
    fewest : uint8 (entries,), terms of the non-adjacent form.
    own : uint8 (entries,), terms that lanes with shifts of their own add.
    """

    weights: NDArray[np.uint8]
    shared: NDArray[np.uint8]
    fewest: NDArray[np.uint8]
    own: NDArray[np.uint8]

    def of(self, scheme: Scheme) -> NDArray[np.uint8]:
        """Work of each code, (phases, entries): lanes in lock-step start each phase together."""
        if scheme.mode == "zero_weights":
            return self.weights[None]
        return self.shared if scheme.base_shift == "shared" else self.own[None]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Setting:
    """What all layers of a report share."""

    codes: _Codes
    schemes: list[Scheme]
    slots: int
    cols: int
    lanes: int


def skipping_report(
    layers: Iterable[tuple[str, QuantizedMatrix]],
    *,
    terms: TermTable,
    cols: int,
    lanes: int,
    depths: Sequence[int | None] = DEPTHS,
    digits: Digits = "fewest",
) -> SkippingReport:
    """Cycles of every layer under every way to skip.

    Parameters
    ----------
    layers : names and matrices, all of one family and in one plane; at least one.
    terms : the machine's, see :func:`sw.compile.step_terms`.
    cols, lanes : of the array.
    depths : of the queues.
    digits : terms that lanes with shifts of their own add.

    Raises
    ------
    InputError : a number out of range, several planes or families, levels without terms.
    """
    _check(cols, lanes, depths, digits)
    found: list[LayerSkipping] = []
    family = setting = None
    for name, matrix in layers:
        if matrix.residual is not None:
            raise InputError(f"layer '{name}' has several planes: report each of them by itself")
        if family is None or setting is None:
            family = matrix.family
            setting = _Setting(
                codes=_codes(family, terms, digits),
                schemes=schemes(terms, depths),
                slots=terms.slots,
                cols=cols,
                lanes=lanes,
            )
        elif matrix.family != family:
            raise InputError(
                f"layer '{name}' is in '{matrix.family.name}', layers before it in '{family.name}'"
            )
        found.append(_layer(name, matrix, setting))
    if family is None:
        raise InputError("there are no layers to report on")
    slots, bits = _own_pe(family, terms, digits)
    return SkippingReport(
        cols=cols,
        lanes=lanes,
        slots=terms.slots,
        base_shifts=terms.base_shifts,
        digits=digits,
        own_slots=slots,
        own_exponent_bits=bits,
        layers=tuple(found),
    )


def schemes(terms: TermTable, depths: Sequence[int | None]) -> list[Scheme]:
    """Every way to skip that a machine with these terms can have."""
    drifting = len(set(terms.base_shifts)) == 1
    return [
        Scheme(mode=mode, base_shift=base_shift, scope=scope, depth=depth)
        for mode, base_shift in _WAYS
        for scope in _SCOPES
        for depth in depths
        if depth == 0 or drifting or (mode, base_shift) != ("zero_terms", "shared")
    ]


#: skipped weights leave all lanes in the same slot: they need no shifts of their own
_WAYS: tuple[tuple[Mode, BaseShift], ...] = (
    ("zero_weights", "shared"),
    ("zero_terms", "shared"),
    ("zero_terms", "own"),
)
_SCOPES: tuple[Scope, ...] = ("array", "column")


def _check(cols: int, lanes: int, depths: Sequence[int | None], digits: str) -> None:
    for name, value in (("cols", cols), ("lanes", lanes)):
        if value < 1:
            raise InputError(f"{name} is {value}, it must be at least 1")
    if not depths:
        raise InputError("there are no queue depths to report on")
    for depth in depths:
        if depth is not None and depth < 0:
            raise InputError(f"a queue depth is {depth}, it must not be negative")
    if digits not in DIGITS:
        raise InputError(f"digits is '{digits}', valid are {', '.join(DIGITS)}")


def _non_adjacent(level: int) -> int:
    """Places of the fewest signed powers of two that add up to ``level``."""
    return (abs(level) ^ 3 * abs(level)) >> 1


def _codes(family: FormatFamily, terms: TermTable, digits: Digits) -> _Codes:
    levels = family.level_table.ravel().tolist()
    for level in family.all_levels:
        if level not in terms.terms:
            raise InputError(f"level {level} of '{family.name}' has no terms on this machine")
    shifts = sorted(set(terms.base_shifts))
    shared = np.zeros((len(shifts), len(levels) + 1), np.uint8)
    for place, level in enumerate(levels):
        # codes without a level read 0, of which a family may have no terms
        for slot, term in enumerate(terms.terms.get(level, ())):
            shared[shifts.index(terms.base_shifts[slot]), place] += term.present
    fewest = np.array([*(_non_adjacent(level).bit_count() for level in levels), 0], np.uint8)
    return _Codes(
        weights=np.array([*(level != 0 for level in levels), 0], np.uint8),
        shared=shared,
        fewest=fewest,
        own=fewest if digits == "fewest" else shared.sum(axis=0, dtype=np.uint8),
    )


def _own_pe(family: FormatFamily, terms: TermTable, digits: Digits) -> tuple[int, int]:
    """Slots and exponent bits of lanes with shifts of their own."""
    if digits == "table":
        rows = (zip(terms.terms[x], terms.base_shifts, strict=True) for x in family.all_levels)
        top = max(shift + term.exponent for row in rows for term, shift in row if term.present)
        return terms.slots, max(1, top.bit_length())
    forms = [_non_adjacent(level) for level in family.all_levels]
    top = max(form.bit_length() for form in forms) - 1
    return max(form.bit_count() for form in forms), max(1, top.bit_length())


def _layer(name: str, matrix: QuantizedMatrix, setting: _Setting) -> LayerSkipping:
    codes, cols, lanes = setting.codes, setting.cols, setting.lanes
    entries = len(codes.weights)
    ids = matrix.expand(matrix.format_ids).astype(np.uint16)
    places = ids * np.uint16(1 << matrix.family.bits) + matrix.codes
    counts = np.bincount(places.ravel(), minlength=entries)
    cycles = dict.fromkeys(setting.schemes, 0)
    for part in column_tiles(
        places, group_size=matrix.group_size, cols=cols, lanes=lanes, padding=entries - 1
    ):
        for scheme in setting.schemes:
            cycles[scheme] += _cycles(part, scheme, setting)
    (n, k), group = matrix.shape, min(matrix.group_size, matrix.shape[1])
    last = k - (matrix.groups - 1) * group
    chunks = -(-n // cols) * ((matrix.groups - 1) * -(-group // lanes) + -(-last // lanes))
    # the last tile may have fewer columns
    in_use = np.where(np.arange(n) < n - n % cols, cols, n % cols)
    return LayerSkipping(
        name=name,
        weights=n * k,
        zero_weights=n * k - int(counts @ codes.weights),
        table_terms=int(counts @ codes.shared.sum(axis=0)),
        fewest_terms=int(counts @ codes.fewest.astype(np.int64)),
        chunks=chunks,
        unskipped_cycles=setting.slots * chunks,
        balanced_cycles=float((codes.own[places].sum(axis=1) / (in_use * lanes)).sum()),
        cycles=cycles,
    )


def _cycles(part: NDArray[np.uint16], scheme: Scheme, setting: _Setting) -> int:
    """Cycles of the weights (chunks, lanes, cols, groups) under a scheme."""
    chunks, lanes, cols, groups = part.shape
    shape = (chunks, lanes * cols, groups)
    if scheme.scope == "column":
        shape = (chunks, lanes, cols * groups)
    phases = [table[part].reshape(shape) for table in setting.codes.of(scheme)]
    depth = scheme.depth
    times = lock_step(phases) if depth == 0 else run_ahead(phases[0], depth)
    total = int(times.reshape(-1, groups).max(axis=0).sum())
    return total * (setting.slots if scheme.mode == "zero_weights" else 1)
