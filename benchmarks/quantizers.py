"""Speed of the quantizers on one core: ``python -m benchmarks.quantizers``.

Whole calls of ``quantize_matrix``, checks and matrix included, with numba and with numpy alone,
beside a plain loop over the groups. CPU time, the best of several runs; compiling is not timed.
The errors are compared first: all three must do the same job.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.formats import FormatFamily, get_family
from sw.quantize import kernels, quantization_error, quantize_matrix
from sw.quantize.matrix import QuantizedMatrix

GROUP = 128
FORMATS = ("int4", "int8", "bitmod_fp4", "bitmod_fp3")
ARITHMETICS = ("float32", "float16")
#: of the 7-billion-parameter Llama: its linear layers
MODEL_WEIGHTS, MODEL_CORES = 6.5e9, 2
_SEED = 1
#: of the mean squared errors of loop and quantizer, relative
_SAME = 0.01


def loop(weights: NDArray[np.float32], family: FormatFamily, dtype: type) -> NDArray[np.floating]:
    """Dequantized weights (N, K), one group of 128 at a time, in plain numpy of ``dtype``."""
    found = np.empty_like(weights)
    unit = float(family.unit)
    grids = [(member.grid * unit).astype(dtype) for member in family.members]
    for row in range(weights.shape[0]):
        for first in range(0, weights.shape[1], GROUP):
            group = weights[row, first : first + GROUP].astype(dtype)
            least = np.inf
            for grid in grids:
                step = np.abs(group).max() / np.abs(grid).max()
                nearest = np.abs((group / step)[:, None] - grid).argmin(axis=1)
                values = grid[nearest] * step
                error = float(np.mean((values - group).astype(np.float32) ** 2))
                if error < least:
                    least = error
                    found[row, first : first + GROUP] = values
    return found


def best_s(run: Callable[[], object], repeats: int) -> float:
    """Shortest CPU time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def measure(rows: int, columns: int, repeats: int) -> Iterator[dict[str, Any]]:
    """One result per format and arithmetic, speeds in weights per second of one core.

    Raises
    ------
    RuntimeError : loop and quantizer differ in error.
    """
    random = np.random.default_rng(_SEED)
    weights = (random.standard_normal((rows, columns)) * 0.02).astype(np.float32)
    few = weights[: max(1, rows // 64)]
    for name in FORMATS:
        family = get_family(name)
        for arithmetic in ARITHMETICS:

            def quantize(
                part: NDArray, family: FormatFamily = family, arithmetic: str = arithmetic
            ) -> QuantizedMatrix:
                return quantize_matrix(part, family, group_size=GROUP, arithmetic=arithmetic)

            dtype = {"float32": np.float32, "float16": np.float16}[arithmetic]
            plain = float(np.mean((loop(few, family, dtype).astype(float) - few) ** 2))
            found = quantization_error(few, quantize(few))["mse"]
            if abs(plain - found) > _SAME * plain:
                raise RuntimeError(f"{name}: the loop's error is {plain:g}, not {found:g}")
            loop_s = best_s(lambda f=family, d=dtype: loop(few, f, d), 1)
            speeds = {"loop": few.size / loop_s}
            with_numba = kernels.COMPILED
            try:
                for label in ("numpy", "numba") if with_numba else ("numpy",):
                    kernels.COMPILED = label == "numba"
                    quantize(few)
                    speeds[label] = weights.size / best_s(lambda q=quantize: q(weights), repeats)
            finally:
                kernels.COMPILED = with_numba
            best = max(speeds.values())
            yield {
                "format": name,
                "arithmetic": arithmetic,
                **{f"{label}_weights_per_s": round(speed) for label, speed in speeds.items()},
                "over_loop": round(best / speeds["loop"], 1),
                "model_7b_s": round(MODEL_WEIGHTS / best / MODEL_CORES, 1),
            }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if min(options.rows, options.columns, options.repeats) < 1:
        raise InputError("rows, columns and repeats must be at least 1")
    results = []
    if not options.json:
        print("million weights per second of one core, groups of 128")
        print(
            f"{'format':12}{'arithmetic':12}{'loop':>8}{'numpy':>8}{'numba':>8}{'x loop':>8}"
            f"{'7B model, 2 cores':>20}"
        )
    for result in measure(options.rows, options.columns, options.repeats):
        results.append(result)
        if options.json:
            continue
        speeds = [result.get(f"{way}_weights_per_s") for way in ("loop", "numpy", "numba")]
        shown = "".join(f"{s / 1e6:8.1f}" if s else f"{'-':>8}" for s in speeds)
        print(
            f"{result['format']:12}{result['arithmetic']:12}{shown}{result['over_loop']:8.0f}"
            f"{result['model_7b_s']:>18.0f} s"
        )
    if options.json:
        print(json.dumps(results, indent=1, allow_nan=False))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
