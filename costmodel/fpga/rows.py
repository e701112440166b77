"""What FPGA predictors are calibrated on: points of the designed sample and their synthesis."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from costmodel.calibration.components import COMPONENTS
from costmodel.calibration.points import Point
from costmodel.calibration.sampling import sample
from hw.emit import to_rtlil, without_collision_checks
from sw.compile import Machine

from .dsp import loses_products, machine_dsps
from .families import Resources
from .yosys import map_cells

#: seed of the committed samples
SEED = 2026

#: points of every component by family: fewer where a run takes longer
POINTS = {
    "serial_pe": {"ecp5": 54, "ice40": 42, "xc7": 18},
    "multiplier_pe": {"ecp5": 24, "ice40": 18, "xc7": 9},
    "float_pe": {"ecp5": 30, "ice40": 18, "xc7": 9},
    "dequantizer": {"ecp5": 33, "ice40": 24, "xc7": 9},
    "float_dequantizer": {"ecp5": 21, "ice40": 15, "xc7": 6},
    "column": {"ecp5": 36, "ice40": 24, "xc7": 6},
    "column_scale": {"ecp5": 9, "ice40": 9, "xc7": 3},
    "activation_sums": {"ecp5": 12, "ice40": 9, "xc7": 3},
    "activations": {"ecp5": 21, "ice40": 15, "xc7": 6},
    "queue": {"ecp5": 9, "ice40": 9, "xc7": 3},
    "drain": {"ecp5": 21, "ice40": 15, "xc7": 6},
    "control": {"ecp5": 4, "ice40": 4, "xc7": 3},
    "weight_buffer": {"ecp5": 9, "ice40": 6, "xc7": 3},
    "activation_buffer": {"ecp5": 9, "ice40": 6, "xc7": 3},
    "core": {"ecp5": 24, "ice40": 18, "xc7": 18},
}
#: share of a component's points that is held out
HELD_OUT = 1 / 3
_TOP = "measured"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One point and what it became.

    Attributes
    ----------
    dsp : multiplier blocks were allowed.
    carry : carry cells.
    """

    point: Point
    dsp: bool
    used: Resources
    carry: int

    def to_json(self) -> dict[str, Any]:
        """Fields of the point, ``dsp``, and ``measured``: resources and ``carry``."""
        return asdict(self.point) | {
            "dsp": self.dsp,
            "measured": asdict(self.used) | {"carry": self.carry},
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Row":
        """Of what :meth:`to_json` made."""
        left = dict(content)
        dsp, measured = left.pop("dsp"), dict(left.pop("measured"))
        carry = measured.pop("carry")
        return cls(point=Point(**left), dsp=dsp, used=Resources(**measured), carry=carry)


def chosen_points(family: str, seed: int) -> list[Point]:
    """Points of the sample that are synthesized for a family, a third of each component held out.

    They are the first of each kind in the sample, whose order is drawn.
    """
    points = sample(seed)
    found: list[Point] = []
    for component, counts in POINTS.items():
        count = counts[family]
        held_out = round(count * HELD_OUT)
        for use, number in (("fit", count - held_out), ("held_out", held_out)):
            kind = [p for p in points if p.component == component and p.use == use]
            found += kind[:number]
    return found


def runs(points: list[Point], family: str) -> Iterator[tuple[Point, bool]]:
    """Every point without multiplier blocks, and with them if it would take any."""
    for point in points:
        yield point, False
        if has_dsp(point.component, point.machine, family):
            yield point, True


def has_dsp(component: str, machine: Machine, family: str) -> bool:
    """Whether a component of a machine would take multiplier blocks, and rightly."""
    if loses_products(machine, family):
        return False
    found = machine_dsps(machine, family)
    kinds = set(found) if component == "core" else {component} & set(found)
    return any(found[kind] for kind in kinds)


def measure(point: Point, family: str, *, dsp: bool) -> Row:
    """Synthesize a point, or take what is kept of an earlier run."""
    source = without_collision_checks(
        to_rtlil(COMPONENTS[point.component].build(point.machine), _TOP)
    )
    cells = map_cells(source, family, top=_TOP, dsp=dsp)
    carry = cells.pop("carry")
    return Row(point=point, dsp=dsp, used=Resources(**cells), carry=carry)


def measured_rows(family: str, *, seed: int, workers: int, say: Callable[[str], None]) -> list[Row]:
    """Synthesis of all chosen points of a family; results are kept, so that a run can go on.

    Where Yosys ends without a result, as 0.70 does for some products of iCE40, the point is told
    and left out.
    """
    wanted = list(runs(chosen_points(family, seed), family))
    rows = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = [pool.submit(_measured, point, family, dsp=dsp) for point, dsp in wanted]
        try:
            for number, ((point, dsp), run) in enumerate(zip(wanted, found, strict=True), start=1):
                row = run.result()
                name = f"{family} {number}/{len(wanted)} {point.component}{' with DSPs' * dsp}"
                if row is None:
                    say(f"{name}: left out, Yosys failed on {asdict(point)}")
                    continue
                rows.append(row)
                say(f"{name}: {row.used.lut:,} LUTs, {row.used.flip_flops:,} flip-flops")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return rows


def _measured(point: Point, family: str, *, dsp: bool) -> Row | None:
    """A row, or None if Yosys failed."""
    try:
        return measure(point, family, dsp=dsp)
    except RuntimeError:
        return None


def read_rows(path: Path) -> list[Row]:
    """Rows of a file that calibration wrote."""
    return [Row.from_json(row) for row in json.loads(path.read_text())["rows"]]
