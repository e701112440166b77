"""Fit the SRAM model to the published points and write ``sram_fit.json``.

``python -m costmodel.memory.fit_sram`` prints every point, ``--check`` only says whether the file
is what this module makes.
"""

import argparse
import json
import math
import sys
from typing import Any

import numpy as np

from configs.errors import InputError
from costmodel.scaling import scale

from .sram import FIT_FILE, AreaFit, SramFit, energy_of
from .sram_geometry import REFERENCE_BITS, TERMS, Floats, access_terms, area_um2, side_mm
from .sram_points import (
    CACTI_LEAKAGE_MW,
    CACTI_SOURCE,
    HOROWITZ_PJ,
    HOROWITZ_SOURCE,
    PUBLISHED_ACCESS_NS,
    PUBLISHED_AREA_MM2,
    PUBLISHED_BANKS,
    PUBLISHED_PJ,
    PUBLISHED_SOURCE,
    SMALL_SOURCE,
    Check,
    cacti_checks,
    small_checks,
)

#: share of the comparisons that an interval has to hold
COVERAGE = 0.95


def fitted_area() -> AreaFit:
    """Area per bit and per bit of a port from the ends of the published range.

    With one port for both, the area per bit is what our own runs of CACTI take less: the median
    over equal memories of at least 32 KiB.
    """
    widths = (min(PUBLISHED_PJ), max(PUBLISHED_PJ))
    low, high = (1e6 * area for area in PUBLISHED_AREA_MM2)
    edge = (high - low) / (PUBLISHED_BANKS * (widths[1] - widths[0]))
    cell = (low - edge * PUBLISHED_BANKS * widths[0]) / REFERENCE_BITS
    by_port: dict[str, dict[tuple[float, int, int], float]] = {"1rw": {}, "1r1w": {}}
    for c in cacti_checks():
        if c.kib >= 32 and c.area_um2 is not None:
            by_port[c.ports][c.kib, c.width_bits, c.banks] = c.area_um2
    shares = [by_port["1rw"][key] / area for key, area in by_port["1r1w"].items()]
    return AreaFit(cell_um2=cell, edge_um2=edge, single_port_share=float(np.median(shares)))


def _rows(area: AreaFit, widths: list[int]) -> tuple[Floats, Floats]:
    """Terms and published energies, a read and a write for each width."""
    side = side_mm(area_um2(REFERENCE_BITS, widths, PUBLISHED_BANKS, area.cell_um2, area.edge_um2))
    terms = [access_terms(REFERENCE_BITS, widths, side, 1.0, write) for write in (False, True)]
    energies = [[PUBLISHED_PJ[width][write] for width in widths] for write in (0, 1)]
    return np.concatenate(terms), np.concatenate([np.asarray(e, dtype=float) for e in energies])


def fitted_coefficients(area: AreaFit, widths: list[int]) -> Floats:
    """Least squares of the relative errors; a negative coefficient would have no meaning."""
    terms, energies = _rows(area, widths)
    found = np.linalg.lstsq(terms / energies[:, None], np.ones(len(energies)), rcond=None)[0]
    if found.min() < 0:
        raise InputError(f"the fit wants a negative {list(TERMS)[int(found.argmin())]}")
    return np.asarray(found, dtype=float)


def relative_errors(area: AreaFit, coefficients: Floats, widths: list[int]) -> Floats:
    """Fitted over published, less 1: the reads, then the writes."""
    terms, energies = _rows(area, widths)
    return np.asarray(terms @ coefficients / energies - 1)


def left_out_error(area: AreaFit) -> float:
    """Greatest error at a width that the fit has not seen, the two outermost excepted."""
    widths = sorted(PUBLISHED_PJ)
    worst = 0.0
    for width in widths[1:-1]:
        seen = fitted_coefficients(area, [w for w in widths if w != width])
        worst = max(worst, float(np.abs(relative_errors(area, seen, [width])).max()))
    return worst


def horowitz_checks() -> tuple[Check, ...]:
    """The caches of Horowitz at 28 nm, as memories with one port and one bank."""
    factor = scale("energy", from_nm=45, from_volts=0.9, to_nm=28, to_volts=0.9).value
    return tuple(
        Check(
            source=HOROWITZ_SOURCE,
            kib=kib,
            width_bits=64,
            banks=1,
            ports="1rw",
            read_pj=energy * factor,
        )
        for kib, energy in HOROWITZ_PJ.items()
    )


def comparisons() -> tuple[Check, ...]:
    """All memories that the model was not fitted to, those of independent authors first."""
    return horowitz_checks() + small_checks() + cacti_checks()


def deviations(fit: SramFit, checks: tuple[Check, ...]) -> list[tuple[float, float]]:
    """Octaves from 512 KiB and logarithm of model over comparison, for every energy."""
    found = []
    for check in checks:
        bits = check.kib * 8192
        for write, energy in ((False, check.read_pj), (True, check.write_pj)):
            if energy is not None:
                model = energy_of(fit, bits, check.width_bits, check.banks, check.ports, write)
                found.append((abs(math.log2(bits / REFERENCE_BITS)), math.log(model / energy)))
    return found


def _interval(fit: SramFit) -> tuple[float, float]:
    """Share at 512 KiB and growth per doubling that hold ``COVERAGE`` of the comparisons."""
    found = deviations(fit, comparisons())
    near = sorted(abs(log) for octaves, log in found if octaves == 0)
    at_reference = max(near[math.ceil(COVERAGE * len(near)) - 1], math.log1p(fit.left_out_error))
    slopes = sorted(
        max(0.0, (abs(log) - at_reference) / octaves) for octaves, log in found if octaves
    )
    per_octave = slopes[math.ceil(COVERAGE * len(slopes)) - 1]
    return math.ceil(1000 * math.expm1(at_reference)) / 1000, math.ceil(1000 * per_octave) / 1000


def _access(area: AreaFit) -> tuple[float, float, float, float]:
    """Fixed time, time per mm, fastest and slowest over expected.

    The fixed time is that of the smallest memory of our runs, where hardly a wire is left.
    """
    fixed = min(c.access_ns for c in cacti_checks() if c.access_ns is not None)
    sides = [
        float(side_mm(area_um2(REFERENCE_BITS, w, PUBLISHED_BANKS, area.cell_um2, area.edge_um2)))
        for w in (min(PUBLISHED_PJ), max(PUBLISHED_PJ))
    ]
    slope = sum((t - fixed) / side for t, side in zip(PUBLISHED_ACCESS_NS, sides, strict=True)) / 2
    ratios = []
    for c in cacti_checks():
        assert c.access_ns is not None
        side = float(side_mm(area.of(c.kib * 8192, c.width_bits, c.banks, c.ports)))
        ratios.append(c.access_ns / (fixed + slope * side))
    return fixed, slope, min(1.0, min(ratios)), max(ratios)


def _area_error(area: AreaFit) -> float:
    """Share of the area that ``COVERAGE`` of the memories stay within."""
    off = sorted(
        abs(math.log(float(area.of(c.kib * 8192, c.width_bits, c.banks, c.ports)) / c.area_um2))
        for c in comparisons()
        if c.area_um2 is not None
    )
    return math.expm1(off[math.ceil(COVERAGE * len(off)) - 1])


def make_fit() -> SramFit:
    """Everything that the file holds, to six digits."""
    area = fitted_area()
    widths = sorted(PUBLISHED_PJ)
    coefficients = fitted_coefficients(area, widths)
    fixed, slope, fastest, slowest = _access(area)
    leaks = {
        ports: tuple(
            1e6 * CACTI_LEAKAGE_MW[key][ports] / REFERENCE_BITS
            for key in sorted(CACTI_LEAKAGE_MW, key=lambda key: CACTI_LEAKAGE_MW[key][ports])
        )
        for ports in ("1rw", "1r1w")
    }
    bare = SramFit(
        coefficients=dict(zip(TERMS, map(float, coefficients), strict=True)),
        area=area,
        area_error=_area_error(area),
        access_fixed_ns=fixed,
        access_ns_per_mm=slope,
        access_fastest=fastest,
        access_slowest=slowest,
        leakage_nw_per_bit=leaks,
        max_error=float(np.abs(relative_errors(area, coefficients, widths)).max()),
        left_out_error=left_out_error(area),
        error_at_reference=0.0,
        log_error_per_octave=0.0,
    )
    rounded = SramFit.from_dict(_rounded(bare.to_dict()))
    return rounded.with_interval(*_interval(rounded))


def _rounded(data: Any) -> Any:
    """Six digits: the last ones differ between machines, and mean nothing."""
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_rounded(value) for value in data]
    return float(f"{data:.6g}")


def document(fit: SramFit) -> dict[str, Any]:
    """What is written: the fit, the points that it was made from, and the errors."""
    area, widths = fit.area, sorted(PUBLISHED_PJ)
    errors = relative_errors(area, np.asarray(list(fit.coefficients.values())), widths)
    points = [
        {
            "width_bits": width,
            "read_pj": PUBLISHED_PJ[width][0],
            "write_pj": PUBLISHED_PJ[width][1],
            "read_error": round(float(errors[i]), 4),
            "write_error": round(float(errors[i + len(widths)]), 4),
        }
        for i, width in enumerate(widths)
    ]
    return {
        "made_by": "python -m costmodel.memory.fit_sram",
        "source": PUBLISHED_SOURCE,
        "compared_with": [HOROWITZ_SOURCE, SMALL_SOURCE, CACTI_SOURCE],
        "terms": TERMS,
        "fit": fit.to_dict(),
        "points": points,
    }


def _text(fit: SramFit) -> str:
    return json.dumps(document(fit), indent=2) + "\n"


def _report(fit: SramFit) -> None:
    print(f"{PUBLISHED_SOURCE}\nwidth  read pJ: published fitted error    write pJ: same")
    for p in document(fit)["points"]:
        cells = [
            f"{p[f'{kind}_pj']:7.1f} {p[f'{kind}_pj'] * (1 + p[f'{kind}_error']):7.1f} "
            f"{100 * p[f'{kind}_error']:+5.1f} %"
            for kind in ("read", "write")
        ]
        print(f"{p['width_bits']:5}  {'    '.join(cells)}")
    print(
        f"max error {100 * fit.max_error:.2f} %, "
        f"at a width left out {100 * fit.left_out_error:.2f} %"
    )
    for name, value in fit.coefficients.items():
        print(f"{name} {value:.5g}: {TERMS[name]}")
    print("comparison at other capacities: source, KiB, bits, banks, ports: theirs, model, pJ read")
    for c in comparisons():
        assert c.read_pj is not None
        model = energy_of(fit, c.kib * 8192, c.width_bits, c.banks, c.ports, False)
        print(
            f"{c.source.split()[0].strip(','):8} {c.kib:5g} {c.width_bits:4} {c.banks} {c.ports:4} "
            f"{c.read_pj:7.2f} {model:7.2f} {100 * (model / c.read_pj - 1):+4.0f} %"
        )
    print(
        f"interval: times or over {1 + fit.error_at_reference:.3f} at 512 KiB, its logarithm "
        f"{fit.log_error_per_octave:.3f} more per doubling or halving"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 where ``--check`` finds a file that is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m costmodel.memory.fit_sram")
    parser.add_argument("--check", action="store_true", help="only compare the file")
    options = parser.parse_args(arguments)
    fit = make_fit()
    if options.check:
        try:
            same = FIT_FILE.read_text(encoding="utf-8") == _text(fit)
        except OSError as error:
            raise InputError(f"cannot read {FIT_FILE.name}: {error.strerror}") from error
        print(f"{FIT_FILE.name} is {'up to date' if same else 'stale: run without --check'}")
        return 0 if same else 1
    FIT_FILE.write_text(_text(fit), encoding="utf-8")
    _report(fit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
