"""Cell libraries: how circuits are mapped to one, and what else is read of its Liberty file."""

import gzip
import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from configs.errors import InputError

_CELL = re.compile(r'^\s*cell\s*\(\s*"?([\w$]+)"?\s*\)', re.MULTILINE)
_LEAKAGE = re.compile(r"^\s*cell_leakage_power\s*:\s*\"?([-+.\deE]+)", re.MULTILINE)
_UNIT = re.compile(r'^\s*leakage_power_unit\s*:\s*"?\s*1?\s*([munpf]?)W', re.MULTILINE)
_NANOWATTS = {"": 1e9, "m": 1e6, "u": 1e3, "n": 1.0, "p": 1e-3, "f": 1e-6}
#: mapping for area below a bounded delay; commas stand for spaces
_MAPPED = "+strash;ifraig;scorr;dc2;dch,-f;map,-B,0.9;topo"
#: sizes that make the longest path as short as they can
_FASTEST = "upsize;dnsize;stime,-p"


def library_script(liberty: Path) -> list[str]:
    """Yosys commands that map a synthesized design to the cells of an uncompressed library.

    Buffered and sized for speed.
    """
    return _mapped(liberty, f"buffer,-c;{_FASTEST}")


def clocked_script(liberty: Path, period_ps: float) -> list[str]:
    """The same for a clock: only paths that are longer than its period get larger cells.

    ABC reports the longest path that sizes for speed would give. Buffers are those of ABC's
    default, not of ``-c``, which doubles the cells of some large arrays and slows them.
    """
    target = f"{period_ps:.0f}"
    sized = f"restore;upsize,-D,{target};dnsize,-D,{target}"
    return _mapped(liberty, f"buffer;backup;{_FASTEST};{sized}")


def _mapped(liberty: Path, sized: str) -> list[str]:
    return [
        f"dfflibmap -liberty {liberty}",
        f"abc -liberty {liberty} -script {_MAPPED};{sized}",
        "opt_clean -purge",
    ]


@contextmanager
def unpacked(liberty: Path) -> Iterator[Path]:
    """Path of an uncompressed copy of a library.

    Raises
    ------
    InputError : the file cannot be read or is no Liberty file.
    """
    try:
        data = liberty.read_bytes()
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise InputError(f"cannot read Liberty file '{liberty}': {error}") from None
    if not re.search(rb"^\s*library\s*\(", text, re.MULTILINE):
        raise InputError(f"'{liberty}' is not a Liberty file: it has no library group")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.lib"
        path.write_bytes(text)
        yield path


def file_digest(liberty: Path) -> str:
    """SHA-256 of an uncompressed library."""
    return hashlib.sha256(liberty.read_bytes()).hexdigest()


def cell_leakage_nw(text: str) -> dict[str, float]:
    """Leakage by cell, of those that have a ``cell_leakage_power``; empty without its unit."""
    unit = _UNIT.search(text)
    if unit is None:
        return {}
    scale, found = _NANOWATTS[unit[1]], {}
    starts = [*_CELL.finditer(text)]
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        leakage = _LEAKAGE.search(text, start.end(), end)
        if leakage:
            found[start[1]] = float(leakage[1]) * scale
    return found


def total_leakage_nw(cells: Mapping[str, int], leakage_nw: Mapping[str, float]) -> float | None:
    """Leakage of cells by number; None where the library does not say it of one of them."""
    if not set(cells) <= set(leakage_nw):
        return None
    return sum(count * leakage_nw[cell] for cell, count in cells.items())
