"""What a component becomes on an FPGA or in a cell library, one target at a time."""

import hashlib
import importlib.metadata
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from benchmarks.synthesis import LIBERTY, library_script, unpacked
from configs.cache import cache_folder
from hw.emit import run_yosys, to_rtlil

#: libraries beside a checkout that are measured by default: both open 130 nm processes
LIBERTIES = (LIBERTY, LIBERTY.with_name("sky130hd_tt.lib.gz"))
#: shown for the file names of these two
_LIBRARY_NAMES = {"ihp_sg13g2_typ_1p20V_25C": "sg13g2", "sky130hd_tt": "sky130"}
_TOP = "measured"


@dataclass(frozen=True, kw_only=True)
class Fpga:
    """An FPGA family and how its cells are counted.

    Attributes
    ----------
    script : Yosys command without and with inference of multiplier blocks.
    luts : look-up tables that one cell of a kind takes.
    carry : kind of the carry cells.
    """

    script: tuple[str, str]
    luts: dict[str, int]
    carry: str
    flip_flops: str
    dsps: str


#: a CCU2C takes both LUT4s of a slice, whether it adds or only passes a carry; a LUT4 adder bit of
#: iCE40 shares its cell with the carry, so that only the LUT is counted
FPGAS = {
    "xc7": Fpga(
        script=(
            "synth_xilinx -family xc7 -abc9 -nodsp -noiopad -noclkbuf -flatten",
            "synth_xilinx -family xc7 -abc9 -noiopad -noclkbuf -flatten",
        ),
        luts={f"LUT{n}": 1 for n in range(1, 7)} | {"INV": 1, "SRL16E": 1, "SRLC32E": 1},
        carry="CARRY4",
        flip_flops=r"FD[RSCP]E(_1)?",
        dsps="DSP48E1",
    ),
    "ecp5": Fpga(
        script=("synth_ecp5 -abc9 -nodsp", "synth_ecp5 -abc9"),
        luts={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
        carry="CCU2C",
        flip_flops="TRELLIS_FF",
        dsps="MULT18X18D",
    ),
    "ice40": Fpga(
        script=("synth_ice40 -abc9", "synth_ice40 -abc9 -dsp"),
        luts={"SB_LUT4": 1},
        carry="SB_CARRY",
        flip_flops=r"SB_DFF\w*",
        dsps="SB_MAC16",
    ),
}


@contextmanager
def libraries(files: list[Path] | None) -> Iterator[dict[str, Path]]:
    """Uncompressed cell libraries by name; without ``files`` those that lie beside the checkout.

    Raises
    ------
    InputError : a file cannot be read or is no Liberty file.
    """
    chosen = files if files is not None else [path for path in LIBERTIES if path.is_file()]
    with ExitStack() as stack:
        found = {}
        for path in chosen:
            stem = path.name.split(".lib")[0]
            found[_LIBRARY_NAMES.get(stem, stem)] = stack.enter_context(unpacked(path))
        yield found


def rtlil(component: wiring.Component) -> str:
    """Source that all targets of ``component`` start from."""
    return to_rtlil(component, _TOP)


def map_fpga(source: str, name: str, *, dsp: bool = False) -> dict[str, int]:
    """Cells of an FPGA family: ``lut``, ``flip_flops``, ``carry``, ``dsp``."""
    family = FPGAS[name]
    cells = _run([f"{family.script[dsp]} -top {_TOP}"], source)["num_cells_by_type"]
    return {
        "lut": sum(cells.get(cell, 0) * luts for cell, luts in family.luts.items()),
        "flip_flops": sum(n for c, n in cells.items() if re.fullmatch(family.flip_flops, c)),
        "carry": cells.get(family.carry, 0),
        "dsp": cells.get(family.dsps, 0),
    }


def map_library(source: str, liberty: Path) -> dict[str, int | float]:
    """Cells of a library: ``area_um2``, ``sequential_um2`` of it, ``delay_ps``.

    The delay is ABC's, of the longest path between flip-flops or ports, without wires.
    """
    found = _run([f"synth -flatten -top {_TOP}", *library_script(liberty)], source, liberty)
    return {
        "area_um2": round(found["area"], 1),
        "sequential_um2": round(found.get("sequential_area", 0.0), 1),
        "delay_ps": round(found["delay_ps"]),
    }


def _run(lines: list[str], source: str, liberty: Path | None = None) -> dict:
    """Statistics and ``log`` after some commands, in a process of their own.

    (What ran before in a process changes results.) Kept by content, so that an interrupted
    benchmark goes on where it was.
    """
    content = [importlib.metadata.version("pyosys"), *lines, source]
    if liberty:
        content = [text.replace(str(liberty), "LIBERTY") for text in content]
        content.append(liberty.read_text())
    digest = hashlib.sha256("\0".join(content).encode()).hexdigest()
    kept = cache_folder() / "synthesis" / f"{digest}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.il").write_text(source)
        stat = f"stat -json -liberty {liberty}" if liberty else "stat -json"
        script = [f"read_rtlil {folder}/design.il", *lines, f"tee -q -o {folder}/stat.json {stat}"]
        log = run_yosys("\n".join(script))
        found = json.loads((folder / "stat.json").read_text())["design"]
        delays = re.findall(r"Delay =\s*([\d.]+) ps", log)
        found["delay_ps"] = float(delays[-1]) if delays else 0.0
        kept.parent.mkdir(exist_ok=True)
        (folder / "kept.json").write_text(json.dumps(found))
        shutil.move(folder / "kept.json", kept)
    return found
