"""Find the step at which a PE leaves the golden model, from a waveform of the failing tile."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sw.compile import GemmProgram
from sw.golden.gemm import bounded, inner_steps

from .batch import BatchBench

_VARIABLE = re.compile(r"\$var \S+ \d+ (\S+) (\S+)")


def read_vcd(path: Path, names: dict[str, str], clock: str) -> Iterator[dict[str, int]]:
    """Values of some signals just before every rising clock edge.

    Parameters
    ----------
    path : VCD file.
    names : key -> hierarchical name, dots between scopes, without the bit range.
    clock : hierarchical name of the clock.
    """
    scope: list[str] = []
    codes: dict[str, list[str]] = {}
    wanted = {name: key for key, name in names.items()} | {clock: "clock"}
    values = dict.fromkeys([*names, "clock"], 0)
    changes: dict[str, int] = {}  # of the current time step, in no particular order
    with path.open() as file:
        for line in map(str.strip, file):
            if line.startswith("$scope"):
                scope.append(line.split()[2])
            elif line.startswith("$upscope"):
                scope.pop()
            elif found := _VARIABLE.match(line):
                name = ".".join([*scope, found[2]])
                if name in wanted:
                    codes.setdefault(found[1], []).append(wanted[name])
            elif line.startswith("#"):
                if changes.get("clock"):
                    yield dict(values)
                values |= changes
                changes = {}
            elif line and line[0] in "01b":
                value, code = line[1:].split() if line[0] == "b" else (line[0], line[1:])
                changes |= dict.fromkeys(codes.get(code, []), int(value, 2))


def expected_steps(
    tile: GemmProgram, row: int, col: int
) -> tuple[list[tuple[int, int, int]], list[int], list[int]]:
    """Accumulator values of one PE of a one-tile program.

    Returns the (group, chunk, slot) of every inner step, the inner accumulator after each, and the
    outer accumulator after each group.
    """
    machine, array = tile.machine, tile.machine.accelerator
    places, inner, outer, total = [], [], [], np.zeros((), dtype=np.int64)
    for step in inner_steps(tile, array.inner_accumulator.mode):
        places.append((step.group, step.chunk, step.slot))
        inner.append(int(step.register[row, col]))
    for group, scale in enumerate(tile.scale_codes[col].tolist()):
        last = max(index for index, place in enumerate(places) if place[0] == group)
        exact = total + inner[last] * scale
        total, _ = bounded(exact, machine.outer_bits, array.outer_accumulator.mode)
        outer.append(int(total))
    return places, inner, outer


def first_wrong_step(
    tile: GemmProgram, row: int, col: int, *, verilog: str | None, folder: Path | None
) -> str:
    """Re-run one tile with waves and name the first wrong accumulator step of a PE.

    Parameters
    ----------
    tile : a program of exactly one tile.
    row, col : the PE; must not be a padded one.
    verilog : text to run instead of the machine's own.
    folder : keep the waveform here; None discards it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch) if folder is None else folder
        kept.mkdir(parents=True, exist_ok=True)
        path = kept / "failing_tile.vcd"
        bench = BatchBench(tile.machine, verilog=verilog, waves=path)
        # a hang was described by the caller; its waveform is still of use
        with bench, contextlib.suppress(RuntimeError):
            bench.run(tile)
        note = "" if folder is None else f", waveform in {path}"
        return _compare(tile, row, col, path) + note


def _compare(tile: GemmProgram, row: int, col: int, path: Path) -> str:
    """First difference between the waveform at ``path`` and the golden steps."""
    array = "top.bitsmith_accelerator.pe_array"
    names = {
        f"{stage}_{port}": f"{array}.{block}_{row}_{col}.accumulator.{port}"
        for stage, block in (("inner", "pe"), ("outer", "dequantizer"))
        for port in ("enable", "next")
    }
    seen: dict[str, list[int]] = {"inner": [], "outer": []}
    for values in read_vcd(path, names, "top.aclk"):
        for stage, found in seen.items():
            if values[f"{stage}_enable"]:
                found.append(values[f"{stage}_next"])
    places, inner, outer = expected_steps(tile, row, col)
    machine = tile.machine
    for (group, chunk, slot), want, got in zip(places, inner, seen["inner"], strict=False):
        if want % (1 << machine.inner_bits) != got:
            signed = got - ((got >> (machine.inner_bits - 1)) << machine.inner_bits)
            return (
                f"group {group}, chunk {chunk}, slot {slot} "
                f"(inner accumulator {signed} instead of {want})"
            )
    last_slot = machine.terms.slots - 1
    for group, (want, got) in enumerate(zip(outer, seen["outer"], strict=False)):
        if want % (1 << machine.outer_bits) != got:
            signed = got - ((got >> (machine.outer_bits - 1)) << machine.outer_bits)
            return (
                f"group {group}, after slot {last_slot} "
                f"(outer accumulator {signed} instead of {want})"
            )
    return "in no step of the tile run alone (group and slot unknown)"
