"""The command about FPGAs."""

import sys
from typing import Any

from configs.errors import InputError, check_range
from costmodel.fpga import SEEDS, FpgaReport, find_target, implement
from hw.top import Accelerator

from ..job import Progress
from ..strict_json import plain
from ..tables import text_table
from .chosen import chosen_machine
from .common import Options, emit

_ROWS = {
    "lut": "LUT",
    "flip_flops": "FF",
    "bram": "BRAM",
    "dsp": "DSP",
}


def fpga(options: Options, progress: Progress) -> int:
    """``bitsmith fpga``."""
    target = find_target(options.target)
    if options.jobs is not None:
        check_range("--jobs", options.jobs, 1, 1024)
    if options.freq is not None:
        check_range("--freq", options.freq, 1, 1000)
    for seed in options.seeds or ():
        check_range("--seeds", seed, 0, (1 << 31) - 1)
        if options.seeds.count(seed) > 1:
            raise InputError(f"--seeds names {seed} twice, each seed counts once")
    machine = chosen_machine(options, progress).machine
    report = implement(
        Accelerator(machine=machine),
        machine,
        target,
        seeds=options.seeds or SEEDS,
        freq_mhz=options.freq,
        dsp=not options.no_dsp,
        place=not options.synthesis_only,
        jobs=options.jobs,
        say=lambda line: print(f"fpga: {line}", file=sys.stderr, flush=True),
    )
    result: dict[str, Any] = plain(
        {
            "accelerator": machine.accelerator.name,
            "format": machine.family.name,
            "slots": machine.slots,
            "inner_bits": machine.inner_sum_bits,
            "outer_bits": machine.outer_sum_bits,
            **report.as_json(),
        }
    )
    emit(options, result, _text(result, report))
    return 0


def _text(result: dict[str, Any], report: FpgaReport) -> str:
    """Tables for the terminal."""
    rows = [
        [
            text,
            f"{result['used'][name]:,}",
            f"{result['available'][name]:,}",
            "-" if result["percent"][name] is None else f"{result['percent'][name]:.1f}%",
        ]
        for name, text in _ROWS.items()
    ]
    source = "place and route" if result["placed"] else "synthesis"
    lines = [
        f"{result['accelerator']}, {result['format']} in {result['slots']} slots, "
        f"P_I {result['inner_bits']}, P_O {result['outer_bits']}, on {result['target']} "
        f"({result['device']}), after {source}",
        "",
        text_table(["resource", "used", "available", "share"], rows),
        "",
    ]
    if result["wrapper_cells"]:
        lines.append(
            f"{result['wrapper_cells']} of these LUTs are the shift register and the fold that "
            "stand for pins"
        )
    if not result["placed"]:
        return "\n".join([*lines, "no clock: " + _reason(report)])
    seeds = ", ".join(f"seed {s['seed']}: {s['fmax_mhz']:.1f}" for s in result["seeds"])
    return "\n".join(
        [
            *lines,
            f"Fmax {result['fmax_mhz']:.1f} MHz, the worst of {seeds} "
            f"(nextpnr, --freq {result['freq_mhz']:g})",
            *_limit(report),
            f"{result['gops']:.2f} GOPS, {result['gops_per_klut']:.3f} per kLUT: 2 operations x "
            f"rows x cols x lanes / slots ({result['macs_per_cycle']:g} products per cycle) at "
            "Fmax and full utilization",
        ]
    )


def _limit(report: FpgaReport) -> list[str]:
    """The path that limits the worst seed."""
    worst = min(report.placements, key=lambda placement: placement.fmax_mhz)
    return [f"limited by {worst.slowest}"] if worst.slowest else []


def _reason(report: FpgaReport) -> str:
    if report.target.nextpnr:
        return "--synthesis-only"
    return f"{report.target.name} is synthesized only"
