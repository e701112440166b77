"""Options of ``bitsmith cost`` and ``bitsmith calibrate``."""

import argparse
from pathlib import Path

from configs.load import preset_names
from costmodel.technology import DATA

CALIBRATE_TEXT = "fit the cost model to a cell library or an FPGA family"


def cost_options(cost: argparse.ArgumentParser) -> None:
    """Those of ``bitsmith cost`` beside the machine's and the workload's."""
    cost.add_argument(
        "--technology", metavar="PRESET", help=", ".join(preset_names("technologies"))
    )
    text = f"what the operands are: {', '.join(DATA)} (default real, weights and text of a model)"
    cost.add_argument("--data", metavar="KIND", default="real", help=text)
    text = "say where one block, action, cause or figure of the report comes from"
    cost.add_argument("--explain", metavar="NAME", help=text)
    text = "write ART and ERT (area and energy reference tables), as Accelergy reads them"
    cost.add_argument("--tables", type=Path, metavar="DIR", help=text)


def calibrate_options(calibrate: argparse.ArgumentParser) -> None:
    """Those of ``bitsmith calibrate``."""
    text = "cell library, plain or .gz: areas and delays of the designed sample"
    calibrate.add_argument("--liberty", type=Path, metavar="FILE", help=text)
    text = "what the fit of a library is called; a technology names it as its library"
    calibrate.add_argument("--name", metavar="NAME", help=text)
    calibrate.add_argument("--node-nm", type=int, metavar="NM", help="feature size of the library")
    calibrate.add_argument("--volts", type=float, metavar="V", help="supply of the library")
    text = "energies, too: simulate netlists on real data (half an hour)"
    calibrate.add_argument("--energy", action="store_true", help=text)
    text = "look-up tables of an FPGA family instead of a library: ecp5, ice40, xc7"
    calibrate.add_argument("--fpga", metavar="FAMILY", help=text)
    text = (
        "folder for samples/ and fits/; what a broken-off run has synthesized is kept in the cache"
    )
    calibrate.add_argument(
        "--out", "--output", dest="output", type=Path, metavar="DIR", required=True, help=text
    )
    text = "processes at a time (default: all cores)"
    calibrate.add_argument("--workers", type=int, metavar="N", help=text)
