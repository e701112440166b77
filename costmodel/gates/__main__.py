"""Calibrate the energies of actions: python -m costmodel.gates LIBRARY --name NAME --volts V."""

import argparse
import sys
from pathlib import Path

from configs.errors import InputError

from .calibrate import CALIBRATION, calibrate_energy, refit
from .points import SEED


def main() -> int:
    """Command line; the exit code is 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m costmodel.gates", description=__doc__)
    parser.add_argument("liberty", type=Path, nargs="?", help="cell library, gzip or not")
    parser.add_argument("--name", required=True, help="name of the fit, e.g. sg13g2")
    parser.add_argument("--volts", type=float, default=1.2, help="supply (default 1.2)")
    parser.add_argument("--out", type=Path, default=CALIBRATION, help="folder of samples and fits")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--refit", action="store_true", help="fit the sample that is there")
    chosen = parser.parse_args()
    try:
        if chosen.refit:
            fit = refit(chosen.name, out=chosen.out)
        elif chosen.liberty is None:
            raise InputError("name a cell library, or --refit")
        else:
            fit = calibrate_energy(
                chosen.liberty,
                chosen.name,
                chosen.volts,
                out=chosen.out,
                workers=chosen.workers,
                seed=chosen.seed,
                say=lambda line: print(line, file=sys.stderr),
            )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for component, model in fit.energy_pj.items():
        found = model.error
        print(
            f"{component}: mean {found.mean_percent:.1f} %, worst {found.worst_percent:.1f} % "
            f"on {found.held_out} held-out jobs"
        )
    held = fit.summary["held_out"]
    print(
        f"core: mean {held['data_mean_percent']:.1f} %, worst {held['data_worst_percent']:.1f} %; "
        f"with clock mean {held['with_clock_mean_percent']:.1f} %, "
        f"worst {held['with_clock_worst_percent']:.1f} %"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
