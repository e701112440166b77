"""Other people's Verilog through the same synthesis: ``python -m benchmarks.foreign FILES``.

For designs that are not part of this repository: give the files, the top module and how many
products it forms per cycle, and compare with ``python -m benchmarks.pe``.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.targets import FPGAS, libraries, map_fpga, map_library
from configs.errors import InputError
from hw.emit import run_yosys


def elaborate(files: list[Path], top: str, parameters: dict[str, str]) -> str:
    """RTLIL of a Verilog design, flattened below a top module ``measured``.

    Raises
    ------
    InputError : a file is missing, or Yosys cannot read the design.
    """
    for path in files:
        if not path.is_file():
            raise InputError(f"'{path}' is not there")
    lines = [f"read_verilog -sv {path.resolve()}" for path in files]
    lines += [f"chparam -set {name} {value} {top}" for name, value in parameters.items()]
    lines += [f"hierarchy -top {top}", "proc", "flatten", f"rename {top} measured"]
    # the log carries the design: Yosys runs in a process of its own
    lines += ["opt_clean", "write_rtlil -"]
    try:
        log = run_yosys("\n".join(lines))
    except RuntimeError as error:
        raise InputError(str(error)) from None
    start = log.rindex("\nautoidx ") if "\nautoidx " in log else 0
    return log[start + 1 : log.rindex("\nend") + 5]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="Verilog files")
    parser.add_argument("--top", required=True, help="top module")
    parser.add_argument("--macs", type=float, required=True, help="products per cycle")
    parser.add_argument(
        "--parameter", action="append", default=[], help="NAME=VALUE of the top module"
    )
    parser.add_argument("--target", action="append", choices=[*FPGAS, "libraries"])
    parser.add_argument("--liberty", type=Path, action="append")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    parameters = dict(text.split("=", 1) for text in options.parameter)
    source = elaborate(options.files, options.top, parameters)
    wanted = options.target or [*FPGAS, "libraries"]
    found = {name: map_fpga(source, name) for name in FPGAS if name in wanted}
    with libraries(options.liberty if "libraries" in wanted else []) as cells:
        found |= {name: map_library(source, path) for name, path in cells.items()}
    for result in found.values():
        key = "lut" if "lut" in result else "area_um2"
        result["per_mac"] = round(result[key] / options.macs, 2)
    if options.json:
        print(json.dumps({"top": options.top, "targets": found}, indent=1))
        return
    for name, result in found.items():
        print(f"{name:8}" + "  ".join(f"{key} {value}" for key, value in result.items()))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
