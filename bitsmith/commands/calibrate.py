"""The command that makes the cost model's fits again, or those of another library."""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import yaml

from configs.errors import InputError, check_range
from configs.schema import TechnologyConfig, load_axis
from costmodel.calibration import AsicFit, calibrate_asic
from costmodel.calibration.calibrate import FOLDER
from costmodel.fpga.calibrate import calibrate_fpga
from costmodel.gates import calibrate_energy
from costmodel.scaling import scale

from ..job import Progress
from ..strict_json import write_text
from .common import Options, emit
from .cost import refuse_empty

#: what a cell library needs to be known by
_LIBRARY = ("name", "node_nm", "volts")
#: its figures that no library gives are those of a new technology, too
_SHIPPED = "sg13g2_130nm"


def calibrate(options: Options, progress: Progress) -> int:
    """``bitsmith calibrate``."""
    refuse_empty(options)
    if (options.liberty is None) == (options.fpga is None):
        raise InputError("give --liberty FILE for a cell library or --fpga FAMILY, one of them")
    if options.workers is not None:
        check_range("--workers", options.workers, 1, 1024)
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"--out: '{options.output}' is a file, a folder is needed")
    if options.fpga is not None:
        if options.energy or any(getattr(options, name) is not None for name in _LIBRARY):
            raise InputError("--fpga goes without --energy, --name, --node-nm and --volts")
        return _fpga(options)
    missing = [name for name in _LIBRARY if getattr(options, name) is None]
    if missing:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise InputError(f"--liberty needs {names}: what the library is called and made for")
    return _library(options)


def _library(options: Options) -> int:
    """Areas, delays and energies in a cell library, and a technology that has them."""
    nm, volts = options.node_nm, options.volts
    # memories and wires need published factors: a process without them is refused before the work
    scale("area", from_nm=nm, from_volts=volts, to_nm=nm, to_volts=volts)
    fit = calibrate_asic(
        options.liberty,
        name=options.name,
        node_nm=nm,
        volts=volts,
        out=options.output,
        workers=options.workers,
        say=_say,
    )
    found = {"name": fit.name, "area": fit.summary["area"], "delay": fit.summary["delay"]}
    lines = [
        f"{kind}: mean error {errors['mean_percent']:.1f} %, worst {errors['worst_percent']:.1f} % "
        f"on {errors['rows']} configurations left out of the fit"
        for kind in ("area", "delay")
        for errors in [fit.summary[kind]["held_out"]]
    ]
    if options.energy:
        energy = calibrate_energy(
            options.liberty, options.name, volts, out=options.output,
            workers=options.workers, say=_say,
        )  # fmt: skip
        held = found["energy"] = energy.summary["held_out"]
        lines.append(
            f"energy: mean error {held['with_clock_mean_percent']:.1f} %, worst "
            f"{held['with_clock_worst_percent']:.1f} % on jobs left out of the fit"
        )
    lines.append(f"written to {options.output}")
    if options.output.resolve() != FOLDER.resolve():
        path = _technology(fit, options.output)
        found["technology"] = str(path)
        before = "" if options.energy else "after --energy, which it needs, too: "
        lines.append(f"use it: {before}bitsmith cost --technology {shlex.quote(str(path))}")
    emit(options, found, "\n".join(lines))
    return 0


def _technology(fit: AsicFit, folder: Path) -> Path:
    """A technology file beside the fits; one that is there may have been edited, and stays."""
    path = folder / f"{fit.name}.yaml"
    if not path.exists():
        config = TechnologyConfig(
            name=fit.name,
            description=fit.description,
            library=fit.name,
            node_nm=int(fit.node_nm),
            volts=fit.volts,
            figures=load_axis("technology", _SHIPPED).figures,
            fits="fits",
        )
        write_text(path, yaml.safe_dump(asdict(config), sort_keys=False))
    return path


def _fpga(options: Options) -> int:
    """Resources on one family."""
    fit = calibrate_fpga(
        options.fpga,
        options.output / "fits",
        workers=options.workers or 0,
        samples=options.output / "samples",
        say=_say,
    )
    parts = {**fit["components"], "core": fit["core"]}
    lines = [
        f"{name}: mean error {error['mean_percent']:.1f} %, worst {error['worst_percent']:.1f} % "
        f"on {error['held_out']} left out of the fit"
        for name, error in ((name, part["error"]) for name, part in parts.items())
    ]
    emit(options, fit, "\n".join([*lines, f"written to {options.output}"]))
    return 0


def _say(line: object) -> None:
    print(line, file=sys.stderr, flush=True)
