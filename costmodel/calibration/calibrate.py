"""From a cell library to a committed fit: sample, synthesize, fit, write."""

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import InputError, check_range
from costmodel.fpga.yosys import keep

from .asic import fit_sample, predict, summary
from .files import AsicFit
from .liberty import file_digest, unpacked
from .points import Point
from .rows import Row, Sample, write_sample
from .sampling import sample
from .synthesis import Measured, say_on_stderr, synthesize_all

#: below it ``samples/`` and ``fits/``
FOLDER = Path(__file__).parent
_TOOLS = ("pyosys", "amaranth", "scipy")
#: seed of the committed samples
SEED = 20261123
#: clock that cells are sized for: 50 delays of an inverter that drives four of its like, which take
#: half a picosecond per nanometre of the process (Horowitz's rule of thumb)
PERIOD_PS_PER_NM = 50 * 0.5


def committed() -> list[str]:
    """Names of the libraries whose sample and fit are committed."""
    samples, fits = ({p.stem for p in (FOLDER / f).glob("*.json")} for f in ("samples", "fits"))
    return sorted(samples & fits)


def calibrate_asic(
    liberty: Path,
    *,
    name: str,
    node_nm: float,
    volts: float,
    description: str = "",
    out: Path = FOLDER,
    workers: int | None = None,
    seed: int = SEED,
    points: Sequence[Point] | None = None,
    say: Callable[[str], object] = say_on_stderr,
) -> AsicFit:
    """Synthesize the designed sample in a cell library, fit it, and write both.

    Interrupted, the next call goes on where it was.

    Parameters
    ----------
    liberty : library, gzip or not.
    name : of the fit: ``out/samples/NAME.json`` and ``out/fits/NAME.json`` are written.
    node_nm, volts : process and supply that the library is characterized for.
    description : of the library, its file name by default.
    workers : processes, all cores by default.
    seed : of the sample.
    points : another sample than the designed one.
    say : takes one line of progress per configuration.

    Raises
    ------
    InputError : the library cannot be read, a figure is out of range, the name is no file name.
    """
    check_range("node_nm", node_nm, 1, 1000)
    check_range("volts", volts, 0.1, 10)
    if not name.replace("_", "").isalnum():
        raise InputError(f"name is '{name}': letters, digits and underscores make a fit's name")
    with unpacked(liberty) as path:
        digest = file_digest(path)
    chosen = sample(seed) if points is None else points
    period_ps = PERIOD_PS_PER_NM * node_nm
    measured = synthesize_all(chosen, liberty, period_ps=period_ps, workers=workers, say=say)
    rows = [Row(point=p, measured=m) for p, m in zip(chosen, measured, strict=True)]
    found = Sample(
        name=name,
        description=description or liberty.name,
        node_nm=node_nm,
        volts=volts,
        liberty=liberty.name.removesuffix(".gz"),
        liberty_sha256=digest,
        tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
        period_ps=period_ps,
        seed=seed,
        leakage_mw_per_mm2=leakage_mw_per_mm2(measured),
        rows=rows,
    )
    fit = fit_sample(found)
    write_sample(out / "samples" / f"{name}.json", found)
    write_fit(out / "fits" / f"{name}.json", fit)
    return fit


def judged_again(
    fit: AsicFit,
    liberty: Path,
    *,
    seed: int,
    workers: int | None = None,
    say: Callable[[str], object] = say_on_stderr,
) -> AsicFit:
    """A fit with the errors it makes on the held-out configurations of another sample.

    Nothing is fitted to them, and nothing is written.

    Raises
    ------
    InputError : the library is another one than the fit's, or cannot be read.
    """
    with unpacked(liberty) as path:
        fit.check_library(path)
    points = [point for point in sample(seed) if point.use == "held_out"]
    measured = synthesize_all(points, liberty, period_ps=fit.period_ps, workers=workers, say=say)
    rows = [Row(point=p, measured=m) for p, m in zip(points, measured, strict=True)]
    return replace(fit, summary=summary(predict(fit, rows)))


def leakage_mw_per_mm2(measured: Sequence[Measured]) -> float | None:
    """Of all cells of a sample together; None where one cell's is not known."""
    known = [m.leakage_nw for m in measured if m.leakage_nw is not None]
    if len(known) < len(measured):
        return None
    # nW per um2 are mW per mm2
    return float(f"{sum(known) / sum(m.area_um2 for m in measured):.6g}")


def write_fit(path: Path, fit: AsicFit) -> None:
    """A strict JSON file that :func:`load_fit` reads."""
    keep(path, (json.dumps(fit.to_json(), indent=1, allow_nan=False) + "\n").encode())
