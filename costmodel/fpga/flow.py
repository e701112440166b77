"""A machine on an FPGA: resources, clock, operations per second."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from amaranth.lib import wiring

from configs.errors import InputError
from hw.emit import to_rtlil, without_collision_checks
from sw.compile import Machine

from .families import Resources
from .nextpnr import Placement, missing_nextpnr, place_and_route
from .pins import PinWrapper
from .targets import Target
from .yosys import netlist

#: placer seeds whose worst clock is reported
SEEDS = (1, 2, 3)
_TOP = "accelerator"
_NAMES = {"lut": "LUTs", "flip_flops": "flip-flops", "bram": "block RAMs", "dsp": "DSP blocks"}


@dataclass(frozen=True, kw_only=True)
class FpgaReport:
    """What a machine takes of a device, and how fast it is.

    Attributes
    ----------
    machine : of which the design was made.
    target : the device.
    used : after place and route where there is one, else after synthesis; the pin wrapper included.
    placements : one per seed; empty where only synthesis was done.
    freq_mhz : target frequency given to nextpnr.
    wrapper_cells : logic cells of the pin wrapper; 0 without one.
    dsp : whether multiplier blocks were allowed.
    """

    machine: Machine
    target: Target
    used: Resources
    placements: tuple[Placement, ...]
    freq_mhz: float
    wrapper_cells: int
    dsp: bool

    @property
    def fmax_mhz(self) -> float | None:
        """Highest frequency of the worst seed; None without place and route."""
        return min((p.fmax_mhz for p in self.placements), default=None)

    @property
    def macs_per_cycle(self) -> float:
        """Whole weights times activations per cycle at full utilization."""
        return macs_per_cycle(self.machine)

    @property
    def gops(self) -> float | None:
        """Two operations per product, at full utilization and ``fmax_mhz``; 10^9 per second."""
        if self.fmax_mhz is None:
            return None
        return 2 * self.macs_per_cycle * self.fmax_mhz / 1000

    @property
    def gops_per_klut(self) -> float | None:
        """``gops`` per 1000 look-up tables, those of the pin wrapper left out."""
        luts = self.used.lut - self.wrapper_cells
        return None if self.gops is None else 1000 * self.gops / luts

    def as_json(self) -> dict[str, object]:
        """Everything as JSON values.

        Keys: ``target``, ``device``, ``used``, ``available``, ``percent`` (each with ``lut``,
        ``flip_flops``, ``bram``, ``dsp``), ``placed``, ``fmax_mhz`` (null without placement),
        ``seeds`` (list of ``seed``, ``fmax_mhz``, ``slowest``), ``freq_mhz``, ``macs_per_cycle``,
        ``gops``, ``gops_per_klut``, ``wrapper_cells``, ``dsp_allowed``.
        """
        used, available = asdict(self.used), asdict(self.target.available)
        return {
            "target": self.target.name,
            "device": self.target.device,
            "used": used,
            "available": available,
            "percent": {
                name: round(100 * used[name] / available[name], 2) if available[name] else None
                for name in used
            },
            "placed": bool(self.placements),
            "fmax_mhz": self.fmax_mhz,
            "seeds": [
                {
                    "seed": placement.seed,
                    "fmax_mhz": placement.fmax_mhz,
                    "slowest": placement.slowest and asdict(placement.slowest),
                }
                for placement in self.placements
            ],
            "freq_mhz": self.freq_mhz,
            "macs_per_cycle": self.macs_per_cycle,
            "gops": None if self.gops is None else round(self.gops, 3),
            "gops_per_klut": None if self.gops_per_klut is None else round(self.gops_per_klut, 3),
            "wrapper_cells": self.wrapper_cells,
            "dsp_allowed": self.dsp,
        }


def macs_per_cycle(machine: Machine) -> float:
    """``rows x cols x lanes / slots``."""
    array = machine.accelerator
    return array.rows * array.cols * array.lanes / machine.slots


def check_fits(used: Resources, target: Target) -> None:
    """Refuse a design that takes more than the device has.

    Raises
    ------
    InputError : names everything that there is too much of.
    """
    have, need = asdict(target.available), asdict(used)
    over = [f"{need[n]:,} {_NAMES[n]} of {have[n]:,}" for n in need if need[n] > have[n]]
    if over:
        raise InputError(
            f"the design does not fit {target.name} ({target.device}): it takes {', '.join(over)}"
        )


def implement(
    design: wiring.Component,
    machine: Machine,
    target: Target,
    *,
    seeds: Sequence[int] = SEEDS,
    freq_mhz: float | None = None,
    dsp: bool = True,
    place: bool = True,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> FpgaReport:
    """Synthesize a design, and place and route it where that is possible.

    Parameters
    ----------
    design : component with ``aclk`` and ``aresetn``: the accelerator, or its core alone.
    machine : what it was made of.
    seeds : of the placer, one run each.
    freq_mhz : target frequency for nextpnr; by default the machine's clock.
    dsp : multipliers may become multiplier blocks.
    place : place and route on targets that nextpnr knows.
    jobs : runs at a time; all cores by default.
    say : is told what is done.

    Raises
    ------
    InputError : nextpnr is missing, or the design does not fit.
    RuntimeError : a tool failed.
    """
    place = place and bool(target.nextpnr)
    if place and (problem := missing_nextpnr(target)):
        raise InputError(problem)
    freq_mhz = machine.accelerator.clock_mhz if freq_mhz is None else freq_mhz
    wrapper_cells = 0
    if target.needs_pins:
        design = PinWrapper(design=design)
        wrapper_cells = design.cells
    say(f"synthesis for {target.name}")
    source = without_collision_checks(to_rtlil(design, _TOP))
    cells, made = netlist(source, target.script(dsp=dsp), top=_TOP)
    used = target.cells.resources(cells)
    say(f"{used.lut:,} LUTs, {used.flip_flops:,} flip-flops after synthesis")
    check_fits(used, target)
    placements: tuple[Placement, ...] = ()
    if place:
        placements = _placed(made, target, seeds, freq_mhz, jobs=jobs, say=say)
        counted = {n: v for n, v in placements[0].used.items() if v is not None}
        used = replace(used, **counted)
    return FpgaReport(
        machine=machine,
        target=target,
        used=used,
        placements=placements,
        freq_mhz=freq_mhz,
        wrapper_cells=wrapper_cells,
        dsp=dsp,
    )


def _placed(
    made: bytes,
    target: Target,
    seeds: Sequence[int],
    freq_mhz: float,
    *,
    jobs: int | None,
    say: Callable[[str], None],
) -> tuple[Placement, ...]:
    """Place and route a netlist once per seed."""
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        started = [
            pool.submit(place_and_route, made, target, seed=seed, freq_mhz=freq_mhz)
            for seed in seeds
        ]
        say(f"place and route with seeds {', '.join(map(str, seeds))}")
        try:
            return tuple(_told(run.result(), say) for run in started)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _told(placement: Placement, say: Callable[[str], None]) -> Placement:
    limit = f", limited by {placement.slowest}" if placement.slowest else ""
    say(f"seed {placement.seed}: {placement.fmax_mhz:.1f} MHz{limit}")
    return placement
