"""Speed of the accumulator bounds on one core: ``python -m benchmarks.bounds_speed``.

Whole calls of ``layer_bounds``, checks included, with numba and with numpy alone. CPU time, the
best of several runs; compiling is not timed. Both ways are compared first.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.errors import InputError
from sw.accumulators import LayerBounds, compiled, layer_bounds
from sw.formats import family_terms, get_family

#: weights per second of one core that are asked for
PARALLEL_TARGET, SERIAL_TARGET = 200e6, 40e6
SIGNED = (-128, 127)
_SEED = 1


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to add up a layer: ``format`` None is bit-parallel int8, 0 groups is one a row."""

    name: str
    format: str | None = None
    dtype: str = "int8"
    group_size: int = 128
    lanes: int = 4
    input_range: tuple[int, int] = SIGNED
    scales: bool = True
    zero_points: bool = False

    @property
    def target(self) -> float:
        """Weights per second that are asked for."""
        return PARALLEL_TARGET if self.format is None else SERIAL_TARGET


WHOLE = 1 << 30
CASES = (
    Case(name="whole row", group_size=WHOLE, lanes=1, scales=False),
    Case(name="whole row, int64", group_size=WHOLE, lanes=1, scales=False, dtype="int64"),
    Case(name="groups of 128"),
    Case(name="groups, inputs 1..255", input_range=(1, 255)),
    Case(name="groups, zero points", zero_points=True),
    Case(name="bitmod_fp4 terms", format="bitmod_fp4"),
    Case(name="int8 terms", format="int8"),
    Case(name="int8 terms, zero points", format="int8", zero_points=True),
    Case(name="int8 terms, whole row", format="int8", group_size=WHOLE, lanes=1, scales=False),
)


def layer(case: Case, rows: int, columns: int) -> dict[str, Any]:
    """Random weights and the arguments of ``layer_bounds``."""
    random = np.random.default_rng(_SEED)
    family = get_family(case.format or "int8")
    levels = random.choice(np.array(family.all_levels), (rows, columns)).astype(case.dtype)
    groups = -(-columns // case.group_size)
    scales = random.integers(1, 256, (rows, groups)).astype(np.uint8)
    return {
        "levels": levels,
        "terms": None if case.format is None else family_terms(family),
        "group_size": case.group_size,
        "lanes": case.lanes,
        "input_range": case.input_range,
        "scale_codes": scales if case.scales else None,
        "outer_levels": levels.astype(np.int16) - 3 if case.zero_points else None,
    }


def best_s(run: Callable[[], object], repeats: int) -> float:
    """Shortest CPU time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def widths(bounds: LayerBounds) -> list[Any]:
    """Every width of every channel."""
    stages = [stage for stage in (bounds.inner, bounds.outer) if stage is not None]
    return [stage.bits(mode).tolist() for stage in stages for mode in ("wrap", "flag")]


def measure(rows: int, columns: int, repeats: int) -> Iterator[dict[str, Any]]:
    """One result per case, speeds in weights per second of one core.

    Raises
    ------
    RuntimeError : numba and numpy differ.
    """
    with_numba = compiled.COMPILED
    for case in CASES:
        arguments = layer(case, rows, columns)
        few = {
            name: value[:2] if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()
        }
        speeds, found = {}, []
        try:
            for label in ("numpy", "numba") if with_numba else ("numpy",):
                compiled.COMPILED = label == "numba"
                found.append(widths(layer_bounds(**few)))
                seconds = best_s(lambda a=arguments: layer_bounds(**a), repeats)
                speeds[label] = rows * columns / seconds
        finally:
            compiled.COMPILED = with_numba
        if found[0] != found[-1]:
            raise RuntimeError(f"{case.name}: numba and numpy differ")
        yield {
            "case": case.name,
            "rows": rows,
            "columns": columns,
            **{f"{label}_weights_per_s": round(speed) for label, speed in speeds.items()},
            "target_weights_per_s": round(case.target),
            "met": max(speeds.values()) >= case.target,
        }


def shape(text: str) -> tuple[int, int]:
    """ROWSxCOLUMNS."""
    rows, _, columns = text.partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise InputError(f"--shape must be like 4096x4096, not '{text}'")
    return int(rows), int(columns)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--shape", action="append", metavar="NxK", help="default: 4096x4096, 288x768, 64x11008"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.repeats < 1:
        raise InputError("--repeats must be at least 1")
    results = []
    if not options.json:
        print("million weights per second of one core; activations of 8 bits")
        print(f"{'shape':>12}  {'case':26}{'numpy':>8}{'numba':>8}{'target':>8}")
    for rows, columns in map(shape, options.shape or ("4096x4096", "288x768", "64x11008")):
        for result in measure(rows, columns, options.repeats):
            results.append(result)
            if options.json:
                continue
            names = [f"{way}_weights_per_s" for way in ("numpy", "numba", "target")]
            speeds = [result.get(name) for name in names]
            shown = "".join(f"{s / 1e6:8.0f}" if s else f"{'-':>8}" for s in speeds)
            missed = "" if result["met"] else "  missed"
            print(f"{f'{rows}x{columns}':>12}  {result['case']:26}{shown}{missed}", flush=True)
    if options.json:
        print(json.dumps(results, indent=1, allow_nan=False))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
