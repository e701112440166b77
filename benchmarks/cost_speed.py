"""The cost model's time per design point: ``python -m benchmarks.cost_speed``.

One point at a time (:func:`costmodel.cost`) and many (:func:`costmodel.points.cost_points`),
on the same designs and the same GEMMs, in one run. Both give the same figures (tests compare them).
"""

import argparse
import json
import time
from dataclasses import replace

import numpy as np

from configs.accelerator import AcceleratorConfig
from configs.schema import load_axis
from costmodel import Technology, cost
from costmodel.points import cost_points
from sim.activity import Activity
from sim.points import point_activities
from sw.compile import GemmShape, resolve_machine, worst_case_widths
from sw.formats import get_family

#: target for many points at once, microseconds per point on one core
TARGET_US = 20.0
SHAPES = [GemmShape(m=32, n=4096, k=4096, group_size=128)]
#: points that are also taken one at a time
ALONE = 40


def grid(side: int) -> dict[str, np.ndarray]:
    """Rows and columns 1 to ``side``, lanes 2, 4, 8 and 16, queues of 2, 4 and 8 beats."""
    axes = (np.arange(1, side + 1), np.arange(1, side + 1), np.array([2, 4, 8, 16]),
            np.array([2, 4, 8]))  # fmt: skip
    names = ("rows", "cols", "lanes", "queue_beats")
    columns = (column.ravel() for column in np.meshgrid(*axes, indexing="ij"))
    return dict(zip(names, columns, strict=True))


def measure(side: int) -> dict[str, float]:
    """Times in microseconds per point."""
    array = AcceleratorConfig(name="grid", rows=4, cols=4, lanes=4)
    family = get_family("bitmod_fp4")
    machine = resolve_machine(
        array, family, *worst_case_widths(array, family, group_size=128, k=4096)
    )
    technology = Technology.of(load_axis("technology", "generic_28nm"))
    points = grid(side)
    count = len(points["rows"])
    activities = point_activities(machine, points, SHAPES)
    started = time.process_time()
    found = cost_points(machine, points, activities, technology)
    together = (time.process_time() - started) / count * 1e6
    chosen = np.random.default_rng(1).choice(count, ALONE, replace=False)
    started = time.process_time()
    largest = 0.0
    for index in chosen:
        settings = {name: int(values[index]) for name, values in points.items()}
        one = replace(machine, accelerator=replace(array, **settings))
        activity = Activity(**{name: int(column[index]) for name, column in activities.items()})
        alone = cost(one, activity, technology)
        largest = max(largest, abs(found.area_um2.value[index] / alone.area_um2 - 1))
        energy = found.on_chip_energy_pj.value[index] / alone.on_chip_energy_pj
        largest = max(largest, abs(energy - 1))
    one_by_one = (time.process_time() - started) / ALONE * 1e6
    return {
        "points": count,
        "us_per_point": round(together, 2),
        "target_us": TARGET_US,
        "us_per_point_alone": round(one_by_one, 1),
        "times_faster": round(one_by_one / together, 1),
        "largest_difference": largest,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=64, help="largest number of rows and columns")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.side)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{found['points']:,} points: {found['us_per_point']} us each of processor time (target "
        f"{TARGET_US:g}), {found['us_per_point_alone']} us one at a time, largest difference "
        f"{found['largest_difference']:.1e}"
    )


if __name__ == "__main__":
    main()
