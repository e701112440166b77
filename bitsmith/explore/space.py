"""A design space: points by number, their settings and configurations, whole classes in columns.

Numbers count all combinations of the axes' values, the last axis fastest. The axes of
:data:`VECTOR` come last, whatever their place in the file: they change no format, width or search
of a machine, so that all points of a *class* (points that only differ in them) are evaluated at
once.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, check_range, unknown_name
from configs.expressions import Expression, written
from configs.schema import RUN_AXES, RunConfig
from configs.sweep import Setting, SweepConfig, axis_values

from .axes import BASE, Base, check_path, inside
from .axes import axis_paths as axis_paths
from .conditions import Constraint, check_metrics, read_conditions, read_constraint

#: axes that a whole class is evaluated over at once
VECTOR = (
    "accelerator.rows",
    "accelerator.cols",
    "accelerator.queue_beats",
    "accelerator.rows_per_dequantizer",
)
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """One axis of a space.

    Attributes
    ----------
    values : in the order of the file.
    stride : difference of two numbers whose points are neighbours on this axis.
    when : which points have it; all of them if None.
    table : the values as a column (numbers, or text), behind them what the base says, which counts
        where the axis is inactive, for every choice of the base's file.
    """

    path: str
    values: tuple[Setting, ...]
    stride: int
    when: Expression | None
    table: NDArray[Any]

    @property
    def texts(self) -> frozenset[str] | None:
        """Every text that it can be, None for numbers."""
        return frozenset(self.table.tolist()) if self.table.dtype == object else None

    @cached_property
    def places(self) -> dict[Setting, int]:
        """Place of every value."""
        return {value: place for place, value in enumerate(self.values)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Points that only differ in vector axes.

    Attributes
    ----------
    settings : that all of them share: value by axis, inactive axes left out.
    numbers : int64 (points,), increasing.
    columns : the others, int64 (points,), by name without ``accelerator.``; the base's value where
        an axis is inactive.
    """

    settings: Mapping[str, Setting]
    numbers: Numbers
    columns: Mapping[str, Numbers]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """The points of a sweep.

    Attributes
    ----------
    axes : in file order.
    constraints : in file order.
    size : all combinations of values, those that are not :meth:`allowed` included.
    """

    sweep: SweepConfig
    folder: Path
    base: Base = field(repr=False)
    axes: tuple[Axis, ...]
    constraints: tuple[Constraint, ...]
    size: int

    @classmethod
    def of(cls, sweep: SweepConfig, folder: Path) -> "Space":
        """The space of a sweep, with everything checked that needs no evaluation.

        Raises
        ------
        InputError : an unknown name, a value that no point can have, a bad condition, a base that
            does not load, too many combinations.
        """
        try:
            return cls._of(sweep, folder)
        except InputError as error:
            raise InputError(f"sweep '{sweep.name}': {error}") from None

    @classmethod
    def _of(cls, sweep: SweepConfig, folder: Path) -> "Space":
        values = {}
        for path, given in sweep.axes.items():
            check_path(path)
            try:
                values[path] = axis_values(given)
            except InputError as error:
                raise InputError(f"axes: {path}: {error}") from None
        base = Base.of(sweep, folder, values)
        whens = read_conditions(sweep, values)
        size = prod(map(len, values.values()))
        check_range("the number of combinations", size, 1, (1 << 62) - 1)
        strides, stride = {}, 1
        vectors = _vector_paths(values, whens)
        for path in reversed([p for p in values if p not in vectors] + vectors):
            strides[path] = stride
            stride *= len(values[path])
        axes = tuple(
            Axis(
                path=path,
                values=values[path],
                stride=strides[path],
                when=whens.get(path),
                table=_table(path, values[path], sweep, base),
            )
            for path in values
        )
        known = {axis.path: axis.texts for axis in axes}
        for path, when in whens.items():
            inside(f"when: {path}", when.check, known)
        constraints = tuple(read_constraint(given, known) for given in sweep.constraints)
        check_metrics(sweep, constraints)
        return cls(
            sweep=sweep, folder=folder, base=base, axes=axes, constraints=constraints, size=size
        )

    @cached_property
    def axis(self) -> dict[str, Axis]:
        """Axes by path."""
        return {axis.path: axis for axis in self.axes}

    @cached_property
    def vector_axes(self) -> tuple[Axis, ...]:
        """Axes that the points of a class differ in, in file order: those of :data:`VECTOR` on
        whose value no other kind of axis depends."""
        whens = {axis.path: axis.when for axis in self.axes if axis.when is not None}
        paths = _vector_paths(self.axis, whens)
        return tuple(self.axis[path] for path in paths)

    @cached_property
    def class_size(self) -> int:
        """Numbers of one class."""
        return prod(len(axis.values) for axis in self.vector_axes)

    @property
    def device(self) -> str | None:
        """The FPGA that a constraint names."""
        return next((c.device for c in self.constraints if c.device is not None), None)

    @cached_property
    def key(self) -> str:
        """Hash of what gives a number its meaning: axes, conditions, constraints, objectives, the
        search and the contents of all files; not of the code, and not of what is promoted, shown
        beside the points or said in words."""
        asked = dataclasses.asdict(self.sweep)
        for name in ("name", "description", "base", "baselines", "promote", "axes"):
            del asked[name]
        axes = [(axis.path, axis.values) for axis in self.axes]
        text = json.dumps([axes, asked, self.base.content, self.base.named(dict(axes))])
        return hashlib.sha256(text.encode()).hexdigest()

    def settings(self, number: int) -> dict[str, Setting]:
        """Values of a point by axis, in file order, inactive axes left out."""
        points = _Points(self, self._numbers([number]))
        return {a.path: a.values[points.place(a)[0]] for a in self.axes if points.active(a)[0]}

    def number(self, settings: Mapping[str, Setting]) -> int:
        """The number of the point with these settings; inverse of :meth:`settings`.

        Raises
        ------
        InputError : an axis or a value that the space has not, an active axis without a value, an
            inactive one with one.
        """
        number = 0
        for path, value in settings.items():
            if path not in self.axis:
                raise unknown_name("axis", path, self.axis)
            axis = self.axis[path]
            value = tuple(value) if isinstance(value, list) else value
            if value not in axis.places:
                raise unknown_name(f"value of {path}", written(value), map(written, axis.values))
            number += axis.places[value] * axis.stride
        points = _Points(self, self._numbers([number]))
        for axis in self.axes:
            is_active = bool(points.active(axis)[0])
            if is_active != (axis.path in settings):
                state = "is missing" if is_active else "is given, but not active here"
                raise InputError(f"axis {axis.path} {state}")
        return number

    def config(self, settings: Mapping[str, Setting]) -> RunConfig:
        """The base with these settings; axes without one stay as in the base.

        Raises
        ------
        InputError : a setting that is no axis, or what the strict loader refuses.
        """
        for path in settings:
            if path not in self.axis:
                raise unknown_name("axis", path, self.axis)
        return self.base.config(settings)

    def chunks(
        self, limit: int = 16384, start: int = 0, stop: int | None = None
    ) -> Iterator[Chunk]:
        """All numbers from ``start`` to before ``stop`` in order, in chunks of one class and at
        most ``limit`` points; lazy."""
        check_range("start", start, 0, self.size)
        if limit < 1:
            raise InputError(f"limit is {limit}, a chunk has at least one point")
        stop = self.size if stop is None else min(stop, self.size)
        settings, kept = self._class_settings(start), start // self.class_size
        while start < stop:
            which = start // self.class_size
            if which != kept:
                settings, kept = self._class_settings(start), which
            end = min(start + limit, (which + 1) * self.class_size, stop)
            yield self._chunk(settings, np.arange(start, end, dtype=np.int64))
            start = end

    def group(self, numbers: ArrayLike) -> list[Chunk]:
        """Any numbers, each once, by class: chunks whose numbers increase, in increasing order."""
        each = np.unique(self._numbers(numbers))
        if not len(each):
            return []
        cuts = np.flatnonzero(np.diff(each // self.class_size)) + 1
        return [
            self._chunk(self._class_settings(int(part[0])), part) for part in np.split(each, cuts)
        ]

    def allowed(self, numbers: ArrayLike) -> NDArray[np.bool_]:
        """Which points count: inactive axes are at their first value, so that no point counts
        twice, and the constraints that only name axes hold."""
        points = _Points(self, self._numbers(numbers))
        result = np.ones(points.numbers.shape, dtype=bool)
        for axis in self.axes:
            if axis.when is not None:
                result &= points.active(axis) | (points.place(axis) == 0)
        for constraint in self.constraints:
            if constraint.is_known_at_once and constraint.expression is not None:
                columns = {path: points.column(self.axis[path]) for path in constraint.axes}
                result &= constraint.expression.evaluate(columns)
        return result

    def columns(self, numbers: ArrayLike) -> dict[str, NDArray[Any]]:
        """Values of all axes: int64, float64, or text as objects (``none``, ``true``).

        Where an axis is inactive, the value is that of the base: NaN or ``none`` if it has none.
        """
        points = _Points(self, self._numbers(numbers))
        return {axis.path: points.column(axis) for axis in self.axes}

    def _numbers(self, numbers: ArrayLike) -> Numbers:
        """Numbers as int64, all of them of points.

        Raises
        ------
        InputError : a number that no point has.
        """
        array = np.asarray(numbers)
        if array.size and array.dtype.kind not in "iu":
            raise InputError(f"point numbers are integers, not {array.dtype}")
        if array.size and not (array.min() >= 0 and array.max() < self.size):
            wrong = array.min() if array.min() < 0 else array.max()
            raise InputError(f"there is no point {wrong}, valid are 0..{self.size - 1}")
        return array.astype(np.int64, copy=False)

    def _class_settings(self, number: int) -> dict[str, Setting]:
        """Settings that all points of a number's class share."""
        if not 0 <= number < self.size:
            return {}
        vectors = {axis.path for axis in self.vector_axes}
        settings = self.settings(number - number % self.class_size)
        return {path: value for path, value in settings.items() if path not in vectors}

    def _chunk(self, settings: Mapping[str, Setting], numbers: Numbers) -> Chunk:
        points = _Points(self, numbers)
        columns = {
            axis.path.removeprefix("accelerator."): points.column(axis) for axis in self.vector_axes
        }
        return Chunk(settings=settings, numbers=numbers, columns=columns)


class _Points:
    """Columns of some points, each computed once."""

    def __init__(self, space: Space, numbers: Numbers) -> None:
        self.space, self.numbers = space, numbers
        self._places: dict[str, Numbers] = {}
        self._active: dict[str, NDArray[np.bool_]] = {}

    def place(self, axis: Axis) -> Numbers:
        """Place among the axis's values."""
        if axis.path not in self._places:
            self._places[axis.path] = self.numbers // axis.stride % len(axis.values)
        return self._places[axis.path]

    def active(self, axis: Axis) -> NDArray[np.bool_]:
        """Whether the points have the axis: all axes that its condition names, and it holds."""
        if axis.path not in self._active:
            result = np.ones(self.numbers.shape, dtype=bool)
            if axis.when is not None:
                named = [self.space.axis[p] for p in axis.when.names if p in self.space.axis]
                for other in named:
                    result &= self.active(other)
                columns = {other.path: self.column(other) for other in named}
                result &= axis.when.evaluate(columns)
            self._active[axis.path] = result
        return self._active[axis.path]

    def column(self, axis: Axis) -> NDArray[Any]:
        """The axis's values, the base's where it is inactive."""
        places = self.place(axis)
        if axis.when is not None:
            others = len(axis.values) + self._choice(axis.path.split(".")[0])
            if axis.path in RUN_AXES:
                others = np.full_like(places, len(axis.values))
            places = np.where(self.active(axis), places, others)
        column: NDArray[Any] = axis.table[places]
        return column

    def _choice(self, name: str) -> Numbers:
        """Place among the files that the base has for an axis."""
        if name not in self.space.axis:
            return np.zeros_like(self.numbers)
        axis = self.space.axis[name]
        own = int(BASE in self.space.base.files[name])
        return np.where(self.active(axis), self.place(axis) + own, 0)


def _vector_paths(values: Iterable[str], whens: Mapping[str, Expression]) -> list[str]:
    """Vector axes, less those that decide whether an axis of another kind is there."""
    paths = list(values)
    slow = [path for path in paths if path not in VECTOR]
    for path in slow:  # grows while it is walked
        named = whens[path].names if path in whens else frozenset()
        slow.extend(name for name in paths if name in named and name not in slow)
    return [path for path in paths if path not in slow]


def _table(path: str, values: tuple[Setting, ...], sweep: SweepConfig, base: Base) -> NDArray[Any]:
    """Column of an axis's values and of the base's."""
    entries: tuple[Any, ...] = values
    if path in sweep.when and path in RUN_AXES:
        given = sweep.base.get(path)
        entries += (given if given is None or isinstance(given, str) else "base",)
    elif path in sweep.when:
        entries += base.settings_at(path)
        if path in VECTOR and None in entries:
            raise InputError(f"when: {path}: the base has no value where it is inactive")
    kinds = {type(entry) for entry in entries}
    if kinds <= {int}:
        return np.array(entries, dtype=np.int64)
    if kinds <= {int, float, type(None)} and kinds != {type(None)}:
        return np.array([np.nan if e is None else e for e in entries], dtype=np.float64)
    return np.array([written(entry) for entry in entries], dtype=object)
