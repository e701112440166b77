"""Yosys recipes behind the measurements: generic cells, a Liberty library, ECP5."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from costmodel.calibration import liberty as liberty_text
from costmodel.calibration.liberty import library_script
from costmodel.fpga import FAMILIES
from hw.emit import run_yosys, to_rtlil

#: where the library lies beside a checkout, if it does
LIBERTY = Path(__file__).parents[2] / "shared" / "data" / "ihp_sg13g2_typ_1p20V_25C.lib.gz"
_TOP = "measured"


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What a component became.

    Attributes
    ----------
    flip_flops : flip-flops after generic synthesis, queue storage included.
    area_um2 : cell area in the Liberty library, None without one.
    cells : cells of the library by name.
    lut4 : ECP5 look-up tables, two per carry cell and four per distributed RAM included.
    ecp5_flip_flops : ECP5 flip-flops.
    """

    flip_flops: int
    area_um2: float | None
    cells: dict[str, int]
    lut4: int | None
    ecp5_flip_flops: int | None


@contextlib.contextmanager
def unpacked(liberty: Path | None) -> Iterator[Path | None]:
    """Path of an uncompressed copy: Yosys' output is mixed with messages otherwise.

    Raises
    ------
    InputError : the file cannot be read or is no Liberty file.
    """
    if liberty is None:
        yield None
        return
    with liberty_text.unpacked(liberty) as path:
        yield path


def synthesize(
    component: wiring.Component, *, liberty: Path | None = None, ecp5: bool = False
) -> Synthesis:
    """Synthesize ``component``, flattened.

    Parameters
    ----------
    liberty : uncompressed library to map to, or None.
    ecp5 : map to an ECP5 as well.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.il").write_text(to_rtlil(component, _TOP))
        run_yosys(_asic_script(folder, liberty))
        if ecp5:
            # in a process of its own: what ran before changes the result by a few percent
            run_yosys(_ecp5_script(folder))
        generic = _cells(folder / "generic.json")["num_cells_by_type"]
        mapped = _cells(folder / "liberty.json") if liberty else {}
        fpga = _cells(folder / "ecp5.json")["num_cells_by_type"] if ecp5 else {}
    mapped_fpga = FAMILIES["ecp5"].resources(fpga) if ecp5 else None
    return Synthesis(
        flip_flops=sum(n for cell, n in generic.items() if "DFF" in cell),
        area_um2=mapped.get("area"),
        cells=mapped.get("num_cells_by_type", {}),
        lut4=mapped_fpga.lut if mapped_fpga else None,
        ecp5_flip_flops=mapped_fpga.flip_flops if mapped_fpga else None,
    )


def synthesize_cells(component: wiring.Component) -> int:
    """Generic cells of ``component`` after Yosys' ``synth``, flattened."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.il").write_text(to_rtlil(component, _TOP))
        run_yosys(_asic_script(folder, None))
        return int(_cells(folder / "generic.json")["num_cells"])


def _asic_script(folder: Path, liberty: Path | None) -> str:
    lines = [
        f"read_rtlil {folder}/design.il",
        f"synth -flatten -top {_TOP}",
        f"tee -q -o {folder}/generic.json stat -json",
    ]
    if liberty:
        lines += [
            *library_script(liberty),
            f"tee -q -o {folder}/liberty.json stat -json -liberty {liberty}",
        ]
    return "\n".join(lines)


def _ecp5_script(folder: Path) -> str:
    lines = [
        f"read_rtlil {folder}/design.il",
        f"{FAMILIES['ecp5'].script[True]} -top {_TOP}",
        f"tee -q -o {folder}/ecp5.json stat -json",
    ]
    return "\n".join(lines)


def _cells(path: Path) -> dict:
    return json.loads(path.read_text())["design"]
