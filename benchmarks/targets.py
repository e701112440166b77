"""What a component becomes on an FPGA or in a cell library, one target at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from amaranth.lib import wiring

from benchmarks.synthesis import LIBERTY, library_script, unpacked
from costmodel.fpga import map_cells, statistics
from hw.emit import to_rtlil

#: libraries beside a checkout that are measured by default: both open 130 nm processes
LIBERTIES = (LIBERTY, LIBERTY.with_name("sky130hd_tt.lib.gz"))
#: shown for the file names of these two
_LIBRARY_NAMES = {"ihp_sg13g2_typ_1p20V_25C": "sg13g2", "sky130hd_tt": "sky130"}
_TOP = "measured"


#: FPGA families that are measured
FPGAS = ("xc7", "ecp5", "ice40")


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
    found = map_cells(source, name, top=_TOP, dsp=dsp)
    return {key: found[key] for key in ("lut", "flip_flops", "carry", "dsp")}


def map_library(source: str, liberty: Path) -> dict[str, int | float]:
    """Cells of a library: ``area_um2``, ``sequential_um2`` of it, ``delay_ps``.

    The delay is ABC's, of the longest path between flip-flops or ports, without wires.
    """
    found = statistics([f"synth -flatten -top {_TOP}", *library_script(liberty)], source, liberty)
    return {
        "area_um2": round(found["area"], 1),
        "sequential_um2": round(found.get("sequential_area", 0.0), 1),
        "delay_ps": round(found["delay_ps"]),
    }
