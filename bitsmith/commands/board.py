"""``bitsmith board``: an accelerator as the bitstream of a board, with its driver."""

from pathlib import Path
from typing import Any

from configs.errors import InputError
from hw.boards import BoardResult, LinkConfig, build_board, check_streams, get_board
from sw.compile import Machine
from sw.compile.registers import fingerprint
from sw.compile.transfers import activation_port
from sw.quantize.recipe import group_length

from .. import __version__
from ..job import Progress
from ..package.files import HERE, driver_source
from ..package.identity import identity
from ..strict_json import dumps, plain
from ..tables import text_table
from ..verify import longest_k
from .common import Options, emit, recipe_of
from .rtl import chosen_machine

_BACKEND = "uart_backend.py"


def board(options: Options, progress: Progress) -> int:
    """``bitsmith board``."""
    target = get_board(options.board)
    link = target.link(options.baud)
    machine, group_size, k = board_machine(options, progress)
    folder: Path = options.output
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: '{folder}' is a file, a folder is needed")
    built = build_board(target, machine, link, folder, seed=options.seed, progress=progress)
    files = [built.bitstream, *_write_driver(machine, folder)]
    result = _summary(options, machine, k, link, built)
    (folder / "board.json").write_text(dumps(result) + "\n")
    cells = [[name, f"{used:,}", f"{total:,}"] for name, (used, total) in built.cells.items()]
    lines = [
        f"{machine.accelerator.name} with {machine.family.name} on {target.title} "
        f"({target.device}): K up to {k} in groups of {group_size}, P_I {machine.inner_bits}, "
        f"P_O {machine.outer_bits}",
        text_table(["cell", "used", "available"], cells),
        f"clock {built.clock_mhz:g} MHz, Fmax {built.fmax_mhz:.2f} MHz by place and route: "
        + ("met" if built.met else "NOT met"),
        f"serial line: {result['baud']} bits per second, 8 data bits, no parity, 1 stop bit",
        f"written: {', '.join(str(file) for file in files)}",
        f"to load it: {target.programming.format(file=built.bitstream)}",
    ]
    emit(options, plain(result), "\n".join(lines))
    return 0 if built.met else 1


def board_machine(options: Options, progress: Progress) -> tuple[Machine, int, int]:
    """The machine that the options mean, a group size, and the largest K that its buffers hold.

    Of an accelerator alone, ``auto`` widths are those for which no weights and activations of that
    K overflow.

    Raises
    ------
    InputError : its streams are not bytes.
    """
    first = Options(**vars(options))
    machine = chosen_machine(first, progress)
    check_streams(machine)
    port = activation_port(machine)
    most = port.half_beats * machine.accelerator.lanes
    group_size = group_length(recipe_of(options), most)
    k = longest_k(machine, most, group_size)
    # it names the accelerator where the options name nothing else
    alone = first.accelerator != options.accelerator
    if alone and options.k is None:
        machine = chosen_machine(Options(**{**vars(options), "k": k}), progress)
    return machine, group_size, k


def _write_driver(machine: Machine, folder: Path) -> list[Path]:
    """The stand-alone driver and its backend for a serial port."""
    place = folder / "driver"
    place.mkdir(exist_ok=True)
    head = identity(machine, __version__).comment("#")
    backend = (HERE / "driver" / _BACKEND).read_text()
    texts = {
        "bitsmith_accelerator.py": driver_source(machine, __version__),
        _BACKEND: head + backend,
    }
    for name, text in texts.items():
        (place / name).write_text(text)
    return [place / name for name in texts]


def _summary(
    options: Options, machine: Machine, k: int, link: LinkConfig, built: BoardResult
) -> dict[str, Any]:
    """The command's JSON object."""
    target = get_board(options.board)
    return {
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
