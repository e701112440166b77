"""The command that makes the cost model's fits again, or those of another library."""

import sys

from configs.errors import InputError, check_range
from costmodel.calibration import calibrate_asic
from costmodel.fpga.calibrate import calibrate_fpga
from costmodel.gates import calibrate_energy

from ..job import Progress
from .common import Options, emit

#: what a cell library needs to be known by
_LIBRARY = ("name", "node_nm", "volts")


def calibrate(options: Options, progress: Progress) -> int:
    """``bitsmith calibrate``."""
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
    fit = calibrate_asic(
        options.liberty,
        name=options.name,
        node_nm=options.node_nm,
        volts=options.volts,
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
            options.liberty, options.name, options.volts, out=options.output,
            workers=options.workers, say=_say,
        )  # fmt: skip
        held = found["energy"] = energy.summary["held_out"]
        lines.append(
            f"energy: mean error {held['with_clock_mean_percent']:.1f} %, worst "
            f"{held['with_clock_worst_percent']:.1f} % on jobs left out of the fit"
        )
    emit(options, found, "\n".join([*lines, f"written to {options.output}"]))
    return 0


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
