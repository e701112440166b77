"""Line and toggle coverage of the emitted Verilog under the batch stimulus."""

import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .batch import Batch
from .block import Block
from .checks import recordings
from .registry import blocks_by_kind

_FIELD = re.compile(r"\x01([a-zA-Z]+)\x02([^\x01']*)")
#: modules that are blocks of their own inside another
_NESTED = re.compile(
    r"__.+__(accumulator|decoder(_\d+)?|special|pair_\d+|requantizer|encoder|walker)$"
)
#: names that Yosys makes up
_NUMBER = re.compile(r"(?<=initialize)_\d+")
_TEMPORARY = re.compile(r"^_+\d+_*$")
_BIT = re.compile(r"^(.*?)(?:\[(\d+)\])?:(0->1|1->0)$")


@dataclass(frozen=True)
class Point:
    """One coverage point: of a module, ``line`` or ``toggle``, and what exactly."""

    module: str
    kind: str
    what: str


def read_points(path: Path, verilog: list[str]) -> dict[Point, int]:
    """Counts in a file that Verilator wrote, instances of a module added up."""
    counts: dict[Point, int] = defaultdict(int)
    for text in path.read_text(encoding="latin-1").splitlines():
        if not text.startswith("C "):
            continue
        fields = dict(_FIELD.findall(text))
        kind, _, module = fields["page"].removeprefix("v_").partition("/")
        name = fields["o"].replace("___05F", "__")
        if kind in ("line", "branch"):
            source = re.sub(r"\s+", " ", verilog[int(fields["l"]) - 1].strip())
            name = f"{fields['l']} {fields['o']}: {source}"
        counts[Point(module, "toggle" if kind == "toggle" else "line", name)] += int(
            text.rsplit(" ", 1)[1]
        )
    return counts


def variants(kind: str) -> list[Block]:
    """The variants that are measured: all, but of the many term decoders only every tenth."""
    blocks = blocks_by_kind()[kind]
    return blocks[::10] if len(blocks) > 50 else blocks


def own_points(kind: str) -> dict[Point, int]:
    """Counts of a kind's modules over all recordings, without those of nested blocks."""
    batch = Batch(variants(kind), coverage=True)
    verilog = batch.verilog.splitlines()
    total: dict[Point, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.dat"
        for block in batch.blocks:
            for recording in recordings(block):
                mismatch = batch.replay(recording, coverage=path)
                assert mismatch is None, str(mismatch)
                for point, count in read_points(path, verilog).items():
                    total[point] += count
    left_out = re.compile(rf"^{Batch.TOP}$|{_NESTED.pattern}")
    return {point: count for point, count in total.items() if not left_out.search(point.module)}


def ranges(numbers: list[int]) -> str:
    """``0, 1, 2, 7`` as ``0-2, 7``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def holes(points: dict[Point, int]) -> list[dict[str, Any]]:
    """What was never reached: lines, and signals with the bits that never toggled."""
    missing: dict[tuple[str, str], list[str]] = defaultdict(list)
    for point, count in points.items():
        if not count:
            missing[point.module.removeprefix(f"{Batch.TOP}__"), point.kind].append(point.what)
    where: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (variant, kind), names in missing.items():
        if kind == "line":
            found = {("line", _NUMBER.sub("", name.split(" ", 1)[1])) for name in names}
        else:
            bits: dict[str, list[int]] = defaultdict(list)
            for name in names:
                signal, bit, _ = _BIT.match(name).groups()
                bits[_TEMPORARY.sub("unnamed", _NUMBER.sub("", signal))].append(int(bit or 0))
            found = {("toggle", f"{signal}[{ranges(b)}]") for signal, b in bits.items()}
        for hole in found:
            where[hole].append(variant)
    return [
        {"kind": kind, "what": what, "in": sorted(variants)}
        for (kind, what), variants in sorted(where.items())
    ]


def measure(kind: str) -> dict[str, Any]:
    """Covered and all points of a kind, and the holes."""
    points = own_points(kind)
    result: dict[str, Any] = {"variants": len(variants(kind))}
    for sort in ("line", "toggle"):
        counts = [count for point, count in points.items() if point.kind == sort]
        result[sort] = {"points": len(counts), "covered": sum(count > 0 for count in counts)}
    return result | {"holes": holes(points)}
