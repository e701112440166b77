"""Which configurations are synthesized: drawn before anything is fitted, from a seed.

Every component has axes, each with its choices. A sample of n configurations takes the choices of
every axis equally often, in an order of its own (a Latin hypercube); what a machine refuses is
drawn again, its first axis kept. A third of each component's configurations is held out.
"""

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from configs.errors import InputError

from .axes import AXES, BEYOND, Axes
from .components import COMPONENTS
from .points import Point

#: share of each component's configurations that is never fitted to
HELD_OUT = 0.32
#: attempts before a combination of choices is given up
_TRIES = 400
#: settings of an accelerator that a component does not depend on
_DEFAULTS: dict[str, Any] = {"rows": 1, "cols": 1, "lanes": 2}
_OUTSIDE = ("format", "group_size", "inputs")


def sample(seed: int) -> list[Point]:
    """All configurations, component by component: to fit, held out, and beyond the range."""
    points: list[Point] = []
    for component, (count, axes) in AXES.items():
        rng = np.random.default_rng([seed, zlib.crc32(component.encode())])
        drawn = list(_drawn(component, count, axes, rng))
        held_out = set(rng.permutation(len(drawn))[: math.ceil(HELD_OUT * len(drawn))].tolist())
        points += [
            replace(point, use="held_out" if number in held_out else "fit")
            for number, point in enumerate(drawn)
        ]
    for component, (count, further) in BEYOND.items():
        rng = np.random.default_rng([seed, zlib.crc32(component.encode()), 1])
        axes = AXES[component][1] | further
        points += [replace(p, use="beyond") for p in _drawn(component, count, axes, rng)]
    return points


def _drawn(component: str, count: int, axes: Axes, rng: np.random.Generator) -> Iterator[Point]:
    """``count`` different configurations that can be built."""
    orders = {name: rng.permutation(count) for name in axes}
    first = next(iter(axes))
    seen: set[str] = set()
    for number in range(count):
        picks = {n: int(orders[n][number]) * len(axes[n]) // count for n in axes}
        for _ in range(_TRIES):
            point = _point(component, {n: axes[n][pick] for n, pick in picks.items()})
            name = json.dumps([point.format, point.group_size, point.inputs, point.array])
            if name not in seen and _builds(point):
                seen.add(name)
                yield point
                break
            picks |= {n: int(rng.integers(len(axes[n]))) for n in axes if n != first}
        else:
            raise InputError(f"no further configuration of {component} with {axes[first]} found")


def _point(component: str, chosen: dict[str, Any]) -> Point:
    """A configuration of one choice per axis; a choice of several settings is a dictionary."""
    settings: dict[str, Any] = {"format": "int4", "group_size": 64, "inputs": 2048, **_DEFAULTS}
    settings |= {name: choice for name, choice in chosen.items() if not name.startswith("_")}
    for name, choice in chosen.items():
        settings |= choice if name.startswith("_") else {}
    mantissas = {
        n: settings.pop(n) for n in ("mantissa_bits", "outer_mantissa_bits") if n in settings
    }
    floating = settings.get("floating", {})
    if settings.get("activation_format") and floating.get("datapath") != "exact" and mantissas:
        settings["floating"] = floating | mantissas
    if "rows_per_dequantizer" in settings:
        rows, shared = settings["rows"], settings["rows_per_dequantizer"]
        settings["rows"] = max(rows, shared) // shared * shared
    outside = {name: settings.pop(name) for name in _OUTSIDE}
    return Point(component=component, use="fit", array=settings, **outside)


def _builds(point: Point) -> bool:
    """Whether there is such a machine."""
    try:
        COMPONENTS[point.component].build(point.machine)
    except InputError:
        return False
    return True
