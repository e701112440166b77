"""Find the step at which a PE leaves the golden model, from a waveform of the failing tile."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from configs.timing import decode_cycles, dot_cycles, inner_cycles
from sw.compile import GemmProgram, Machine, scale_integers
from sw.compile.scales import scale_parts
from sw.golden.floating import Sums, accumulate, float_steps, outer_rule
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
    outer accumulator after each group. Aligned sums are mantissa and exponent as the hardware packs
    them, the exponent above the mantissa.
    """
    machine, array = tile.machine, tile.machine.accelerator
    if array.is_aligned:
        return _expected_floats(tile, row, col)
    places, inner, outer, total = [], [], [], np.zeros((), dtype=tile.activation_values.dtype)
    for step in inner_steps(tile, array.inner_accumulator.mode):
        places.append((step.group, step.chunk, step.slot))
        inner.append(int(step.register[row, col]))
    scales = scale_integers(array.scale, tile.scale_codes[col]).tolist()
    for group, scale in enumerate(scales):
        last = max(index for index, place in enumerate(places) if place[0] == group)
        corrected = inner[last] - zero_point_product(tile, row, col, group)
        exact = np.asarray(total + corrected * scale)
        total, _ = bounded(exact, machine.outer_bits, array.outer_accumulator.mode)
        outer.append(int(total))
    return places, inner, outer


def _expected_floats(
    tile: GemmProgram, row: int, col: int
) -> tuple[list[tuple[int, int, int]], list[int], list[int]]:
    """As :func:`expected_steps`, of an aligned machine."""
    machine, groups = tile.machine, tile.tiling.groups
    places, inner, outer = [], [], []
    zero = np.zeros(1, dtype=np.int64)
    ends = [Sums(zero, zero)] * groups
    for step in float_steps(tile):
        value = Sums(*(part[row : row + 1, col] for part in step.sums))
        places.append((step.group, step.chunk, step.slot))
        inner.append(_packed(value, machine.inner_bits))
        ends[step.group] = value
    multipliers, shifts = scale_parts(machine.accelerator.scale, tile.scale_codes[col])
    total = Sums(zero, zero)
    for group, end in enumerate(ends):
        scaled, exponent = end.mantissa * multipliers[group], end.exponent + shifts[group]
        total = accumulate(total, scaled, exponent, outer_rule(machine.floating))
        outer.append(_packed(total, machine.outer_bits))
    return places, inner, outer


def _packed(sums: Sums, bits: int) -> int:
    """One sum as the hardware packs it."""
    return int(sums.mantissa[0]) % (1 << bits) | int(sums.exponent[0]) << bits


def zero_point_product(tile: GemmProgram, row: int, col: int, group: int) -> int:
    """What a group's zero point takes from its sum."""
    if tile.zero_points is None:
        return 0
    inputs = slice(group * tile.group_size, (group + 1) * tile.group_size)
    return int(tile.zero_points[col, group] * tile.activations[row, inputs].sum())


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
    array = "top.bitsmith_accelerator.core.pe_array"
    machine = tile.machine
    shared = machine.accelerator.rows_per_dequantizer
    config = machine.accelerator
    inner_at = decode_cycles(config) + dot_cycles(config) + inner_cycles(config) - 1
    names = {
        # valid is the lowest bit of an issue
        "inner_step": f"{array}.issue_{inner_at}",
        "inner_sum": f"{array}.pe_{row}_{col}.accumulator.next",
        "outer_step": f"{array}.accumulate" if config.is_aligned else f"{array}.control.last",
        "outer_sum": f"{array}.dequantizer_{row // shared}_{col}.accumulator.next",
    }
    seen: dict[str, list[int]] = {"inner": [], "outer": []}
    for cycle in read_vcd(path, names, "top.aclk"):
        for stage, found in seen.items():
            if cycle[f"{stage}_step"] & 1:
                found.append(cycle[f"{stage}_sum"])
    places, inner, outer = expected_steps(tile, row, col)
    for (group, chunk, slot), want, got in zip(places, inner, seen["inner"], strict=False):
        if want % (1 << machine.inner_sum_bits) != got:
            values = [_shown(machine, machine.inner_bits, value) for value in (got, want)]
            return (
                f"group {group}, chunk {chunk}, slot {slot} "
                f"(inner accumulator {' instead of '.join(values)})"
            )
    last_slot = machine.slots - 1
    turns = seen["outer"][row % shared :: shared]
    for group, (want, got) in enumerate(zip(outer, turns, strict=False)):
        if want % (1 << machine.outer_sum_bits) != got:
            values = [_shown(machine, machine.outer_bits, value) for value in (got, want)]
            return (
                f"group {group}, after slot {last_slot} "
                f"(outer accumulator {' instead of '.join(values)})"
            )
    return "in no step of the tile run alone (group and slot unknown)"


def _shown(machine: Machine, bits: int, value: int) -> str:
    """An accumulator for a message: a signed number, of aligned sums with its exponent."""
    mantissa = value % (1 << bits)
    mantissa -= (mantissa >> bits - 1) << bits
    return f"{mantissa} * 2**{value >> bits}" if machine.accelerator.is_aligned else str(mantissa)
