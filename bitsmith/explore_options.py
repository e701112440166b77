"""Options of ``bitsmith explore``."""

import argparse
from pathlib import Path

from configs.load import preset_names

EXPLORE_TEXT = "find the best accelerators of a design space: Pareto front, HTML report, RTL check"


def explore_options(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    text = f"sweep preset ({', '.join(preset_names('sweeps'))}) or YAML file"
    parser.add_argument("sweep", metavar="SWEEP", help=text)
    text = "study folder (default runs/explore/NAME)"
    parser.add_argument("--out", "--output", dest="output", type=Path, metavar="DIR", help=text)
    text = "say how large the space is, how long it will take, and show the first points"
    parser.add_argument("--dry-run", action="store_true", help=text)
    text = "go on with the study in that folder, after Ctrl-C or worse"
    parser.add_argument("--resume", action="store_true", help=text)
    search = parser.add_argument_group("search", "the sweep's own settings, for this run")
    search.add_argument("--method", metavar="NAME", help="exhaustive, nsga2, tpe or gp")
    search.add_argument("--points", type=int, metavar="N", help="points of a search")
    search.add_argument("--seed", type=int, metavar="S", help="of the search")
    text = "storage of the search, e.g. postgresql://HOST/NAME (default: SQLite in the folder)"
    search.add_argument("--storage", metavar="URL", help=text)
    engine = parser.add_argument_group("where it runs")
    text = "processes on this computer (default: one per core, one alone for a small space)"
    engine.add_argument("--workers", type=int, metavar="N", help=text)
    text = "a Dask cluster instead, e.g. tcp://HOST:8786 (extra 'cluster')"
    engine.add_argument("--scheduler", metavar="ADDRESS", help=text)
    ladder = parser.add_argument_group("fidelity ladder")
    for name, what in (
        ("stepped", "on the stepped simulator"),
        ("synthesis", "through synthesis"),
        ("rtl", "as Verilog on Verilator"),
    ):
        text = f"front points to check {what} (default: the sweep's)"
        ladder.add_argument(f"--{name}", type=int, metavar="N", help=text)
    text = "cell library for synthesis, plain or .gz (default: none, no synthesis for ASICs)"
    ladder.add_argument("--liberty", type=Path, metavar="FILE", help=text)
