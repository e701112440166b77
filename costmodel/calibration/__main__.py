"""Calibrate to a cell library: ``python -m costmodel.calibration --liberty FILE --name NAME``."""

import argparse
import sys
from pathlib import Path

from configs.errors import InputError

from .asic import fit_sample
from .calibrate import FOLDER, SEED, calibrate_asic, judged_again, write_fit
from .files import AsicFit, load_fit
from .rows import read_sample


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="name of the fit")
    parser.add_argument("--liberty", type=Path, help="library to synthesize the sample in")
    parser.add_argument("--refit", action="store_true", help="fit the committed sample again")
    parser.add_argument(
        "--judge", type=int, metavar="SEED", help="a fit that is there, by another sample's rows"
    )
    parser.add_argument("--description", default="", help="of the library")
    parser.add_argument("--node-nm", type=float, default=130.0, help="process (default: 130)")
    parser.add_argument("--volts", type=float, default=1.2, help="supply (default: 1.2)")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the sample (default: {SEED})")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of samples/ and fits/")
    options = parser.parse_args()
    if options.refit:
        fit = fit_sample(read_sample(options.out / "samples" / f"{options.name}.json"))
        write_fit(options.out / "fits" / f"{options.name}.json", fit)
    elif options.liberty is None:
        parser.error("--liberty FILE is missing (or --refit)")
    elif options.judge is not None:
        fit = judged_again(
            load_fit(options.name, where=options.out / "fits"),
            options.liberty,
            seed=options.judge,
            workers=options.workers,
        )
    else:
        fit = calibrate_asic(
            options.liberty,
            name=options.name,
            node_nm=options.node_nm,
            volts=options.volts,
            description=options.description,
            out=options.out,
            workers=options.workers,
            seed=options.seed,
        )
    _report(fit)


def _report(fit: AsicFit) -> None:
    """Errors of what was held out."""
    for kind in ("area", "delay"):
        found = fit.summary[kind]
        print(f"{kind:24}{'rows':>6}{'mean %':>9}{'worst %':>9}")
        for name, errors in {**found["components"], "all held out": found["held_out"]}.items():
            mean, worst = errors["mean_percent"], errors["worst_percent"]
            print(f"  {name:22}{errors['rows']:>6}{mean:>9.1f}{worst:>9.1f}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
