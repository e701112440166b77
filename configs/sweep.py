"""What a sweep file may say: a design space, what is wanted of its points, how it is searched."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import InputError, check_range, unknown_name
from .load import build, preset_folder, preset_names, read_yaml
from .schema import RUN_AXES

#: values of one axis
MAX_VALUES = 10_000
#: one value: a scalar, nothing, or a list of words
Setting = int | float | str | bool | None | tuple[str, ...]

Method = Literal["exhaustive", "nsga2", "tpe", "gp"]


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How points are chosen."""

    #: every point, or a search that learns from the points before (Optuna)
    method: Method = "exhaustive"
    #: points that a search evaluates; an exhaustive sweep takes all
    points: int = 1000
    #: points chosen at a time, before any of their results is known
    batch: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("points", self.points, 1, 10_000_000)
        check_range("batch", self.batch, 1, 10_000)
        check_range("seed", self.seed, 0, (1 << 32) - 1)


@dataclass(frozen=True, kw_only=True)
class PromoteConfig:
    """How many points of the front climb to each rung of the fidelity ladder."""

    #: the stepped simulator and the cost model of the point's own machine
    stepped: int = 20
    #: synthesis of the point's blocks
    synthesis: int = 3
    #: the point's RTL under Verilator
    rtl: int = 3

    def __post_init__(self) -> None:
        for name in ("stepped", "synthesis", "rtl"):
            check_range(name, getattr(self, name), 0, 10_000)


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A design space and the question asked of it."""

    name: str
    description: str
    #: where every point starts: presets, files or mappings, as in a run configuration
    base: dict[str, Any]
    #: values by dotted path into the run configuration: a list, or one of ``range``, ``log2``,
    #: ``log``; a whole file by its axis, such as ``quantization: [bitmod_fp4, int4]``
    axes: dict[str, Any]
    #: axes that only some points have: path -> condition; the others keep the base's value
    when: dict[str, str] = field(default_factory=dict)
    #: what a feasible point fulfils: expressions, or ``fits: DEVICE``
    constraints: tuple[str | dict[str, str], ...] = ()
    #: metrics to be made as small, or as large, as their nature is
    objectives: tuple[str, ...]
    #: accelerators of the literature to show beside the points
    baselines: tuple[str, ...] = ("fp16", "int8", "ant", "olive", "bitmod")
    search: SearchConfig = field(default_factory=SearchConfig)
    promote: PromoteConfig = field(default_factory=PromoteConfig)

    def __post_init__(self) -> None:
        if not self.axes:
            raise InputError("axes is empty: name at least one")
        if not self.objectives:
            raise InputError("objectives is empty: name at least one")
        for given in ("objectives", "baselines"):
            names = getattr(self, given)
            if len(set(names)) < len(names):
                raise InputError(f"{given} names something twice: {', '.join(names)}")


def load_sweep(reference: Path | str) -> tuple[SweepConfig, Path]:
    """A sweep by the name of a shipped one or by its file, and the folder its paths start from.

    Raises
    ------
    InputError : no such sweep, an unknown key or a wrong value.
    """
    path = Path(reference)
    if str(reference) in preset_names("sweeps") and not path.exists():
        path = preset_folder("sweeps") / f"{reference}.yaml"
    elif not path.exists() and path.suffix not in (".yaml", ".yml"):
        known = ", ".join(preset_names("sweeps"))
        raise InputError(f"there is no sweep '{reference}'; shipped are {known}, or give a file")
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        raise InputError(f"{path}: expected a mapping of sweep settings")
    sweep = build(SweepConfig, {"name": path.stem, **data}, str(path))
    for axis in sweep.base:
        if axis not in RUN_AXES:
            raise InputError(f"{path}: base: '{axis}' is none of {', '.join(RUN_AXES)}")
    return sweep, path.parent


def axis_values(given: Any) -> tuple[Setting, ...]:
    """The values that one axis of a sweep takes, in order.

    Parameters
    ----------
    given : a list, or one of ``range: [first, last, step]``, ``log2: [first, last]`` and
        ``log: [first, last, count]``, all with both ends included.

    Raises
    ------
    InputError : no value, a value twice, an end that the steps do not meet.
    """
    if isinstance(given, Mapping):
        if len(given) != 1:
            raise InputError(f"expected one of {', '.join(SERIES)}, got {dict(given)!r}")
        ((kind, numbers),) = given.items()
        if kind not in SERIES:
            raise unknown_name("key", kind, SERIES)
        count, series = SERIES[kind]
        good = isinstance(numbers, list) and len(numbers) == count
        if not good or not all(_is_number(number) for number in numbers):
            raise InputError(f"{kind}: expected {count} numbers in a list, got {numbers!r}")
        try:
            values: tuple[Any, ...] = series(*numbers)
        except InputError as error:
            raise InputError(f"{kind} {numbers}: {error}") from None
    elif isinstance(given, list):
        values = tuple(map(_setting, given))
    else:
        raise InputError(f"expected a list of values or one of {', '.join(SERIES)}, got {given!r}")
    if not values:
        raise InputError("the list is empty: give at least one value")
    check_range("the number of values", len(values), 1, MAX_VALUES)
    if len(set(values)) < len(values):
        twice = next(value for place, value in enumerate(values) if value in values[:place])
        raise InputError(f"value {twice!r} is given twice")
    return values


def _is_number(value: Any) -> bool:
    finite = isinstance(value, int | float) and not isinstance(value, bool)
    return finite and abs(value) <= 1 << 53 and math.isfinite(value)


def _setting(value: Any) -> Setting:
    """A value from YAML as one that can be a key."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if value is None or isinstance(value, bool | str) or _is_number(value):
        return value
    raise InputError(f"{value!r} is neither a number, a text, null nor a list of words")


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    if step == 0 or (last - first) / step < 0:
        raise InputError("the steps never reach the last value")
    check_range("the number of values", (last - first) / step + 1, 1, MAX_VALUES)
    steps = round((last - first) / step)
    # 12 digits: 0.1 steps are 0.3, not 0.30000000000000004
    values = tuple(float(f"{first + place * step:.12g}") for place in range(steps + 1))
    if not math.isclose(values[-1], last, rel_tol=1e-9, abs_tol=1e-9 * abs(step)):
        raise InputError(f"the steps do not meet the last value: they end at {values[-1]:g}")
    return _whole(values, (first, last, step))


def _doublings(first: float, last: float) -> tuple[int, ...]:
    for number in (first, last):
        if not isinstance(number, int) or number < 1 or number & (number - 1):
            raise InputError(f"{number} is no power of two")
    if first > last:
        raise InputError("the first value is beyond the last")
    return tuple(1 << bits for bits in range(int(first).bit_length() - 1, int(last).bit_length()))


def _ratios(first: float, last: float, count: float) -> tuple[float, ...]:
    if not 0 < first < last:
        raise InputError("expected 0 < first < last")
    if not isinstance(count, int):
        raise InputError(f"the count is {count!r}, expected an integer")
    check_range("the count", count, 2, MAX_VALUES)
    start, stop = math.log(first), math.log(last)
    step = (stop - start) / (count - 1)
    inner = (float(f"{math.exp(start + step * place):.12g}") for place in range(1, count - 1))
    return _whole((first, *inner, last), (first, last))


def _whole(values: tuple[float, ...], given: tuple[float, ...]) -> tuple[float, ...]:
    """``values`` as integers where those that the user wrote are integers."""
    if all(isinstance(number, int) for number in given):
        return tuple(round(value) for value in values)
    return tuple(map(float, values))


#: series of numbers: how many the user gives, and what they make
SERIES: dict[str, tuple[int, Callable[..., tuple[float, ...]]]] = {
    "range": (3, _steps),
    "log2": (2, _doublings),
    "log": (3, _ratios),
}
