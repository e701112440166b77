"""``bitsmith board``: an accelerator as the bitstream of a board, with its driver."""

import tempfile
from pathlib import Path
from typing import Any

from hw.boards import BoardResult, LinkConfig, build_board, check_streams, get_board
from sw.compile import Machine
from sw.compile.registers import fingerprint

from .. import __version__
from ..job import Progress
from ..package import driver_source, write_package
from ..package.files import HERE, hashes
from ..package.identity import identity
from ..package.writer import check_target
from ..strict_json import dumps, plain
from ..tables import text_table
from .chosen import chosen_machine, largest_k
from .common import Options, emit

_BACKEND = "uart_backend.py"
MANIFEST = "board.json"
#: of the keys of ``board.json``
MANIFEST_VERSION = 1


def board(options: Options, progress: Progress) -> int:
    """``bitsmith board``."""
    target = get_board(options.board)
    link = target.link(options.baud)
    folder: Path = options.output
    # before minutes of work
    check_target(folder, MANIFEST)
    machine, group_size, k = board_machine(options, progress)
    origin = identity(machine, __version__).comment("//")
    files: dict[str, str | bytes] = {**_driver(machine)}
    with tempfile.TemporaryDirectory() as scratch:
        built = build_board(
            target,
            machine,
            link,
            Path(scratch),
            seed=options.seed,
            origin=origin,
            progress=progress,
        )
        result = _summary(options, machine, k, link, built)
        files |= {path.name: path.read_bytes() for path in sorted(Path(scratch).iterdir())}
    result["files"] = hashes(files)
    files[MANIFEST] = dumps(result) + "\n"
    write_package(folder, files, MANIFEST)
    cells = [[name, f"{used:,}", f"{total:,}"] for name, (used, total) in built.cells.items()]
    lines = [
        f"{machine.accelerator.name} with {machine.family.name} on {target.title} "
        f"({target.device}): K up to {k} in groups of {group_size}, P_I {machine.inner_bits}, "
        f"P_O {machine.outer_bits}",
        text_table(["cell", "used", "available"], cells),
        f"clock {built.clock_mhz:g} MHz, Fmax {built.fmax_mhz:.2f} MHz by place and route: "
        + ("met" if built.met else "NOT met"),
        f"serial line: {result['baud']} bits per second, 8 data bits, no parity, 1 stop bit",
        f"written: {folder} ({', '.join(sorted(files))})",
        f"to load it: {target.programming.format(file=folder / built.bitstream.name)}",
    ]
    emit(options, plain(result), "\n".join(lines))
    return 0 if built.met else 1


def board_machine(options: Options, progress: Progress) -> tuple[Machine, int, int]:
    """The machine that the options mean, its largest group size, and the largest K for it.

    Of an accelerator alone that is the K for which its widths hold; with a model, whose widths hold
    for its own weights, the largest that the buffers hold.

    Raises
    ------
    InputError : its streams are not bytes, or its buffers are too small.
    """
    chosen = chosen_machine(options, progress)
    machine, purpose = chosen.machine, chosen.purpose
    check_streams(machine)
    group_size = max(purpose.group_sizes)
    return machine, group_size, purpose.k if chosen.alone else largest_k(machine, group_size)


def _driver(machine: Machine) -> dict[str, str]:
    """The stand-alone driver and its backend for a serial port, by path."""
    head = identity(machine, __version__).comment("#")
    return {
        "driver/bitsmith_accelerator.py": driver_source(machine, __version__),
        f"driver/{_BACKEND}": head + (HERE / "driver" / _BACKEND).read_text(),
    }


def _summary(
    options: Options, machine: Machine, k: int, link: LinkConfig, built: BoardResult
) -> dict[str, Any]:
    """The command's JSON object."""
    target = get_board(options.board)
    return {
        "bitsmith_board": MANIFEST_VERSION,
        "bitsmith": __version__,
        "board": options.board,
        "device": target.device,
        "accelerator": machine.accelerator.name,
        "family": machine.family.name,
        "fingerprint": f"{fingerprint(machine):08x}",
        "largest_k": k,
        "inner_bits": machine.inner_bits,
        "outer_bits": machine.outer_bits,
        "baud": round(target.clock_hz / link.divisor),
        "divisor": link.divisor,
        "seed": options.seed,
        "clock_mhz": built.clock_mhz,
        "fmax_mhz": built.fmax_mhz,
        "timing_met": built.met,
        "cells": {name: {"used": u, "available": a} for name, (u, a) in built.cells.items()},
        "bitstream": built.bitstream.name,
        "bitstream_bytes": built.bitstream.stat().st_size,
    }
