"""Published comparisons computed again, as published and with corrected modelling."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from costmodel.published import point_energy
from sim.published import (
    CORRECTED,
    VARIANTS,
    Modelling,
    Point,
    PointTiming,
    PublishedRow,
    time_generation,
    time_point,
)

Figures = dict[str, float]
Change = Callable[[PublishedRow], Point]
#: claim -> (accelerator, the one it is compared with)
PAIRS = {
    "FP16": ("bitmod-lossless", "fp16"),
    "ANT": ("bitmod-lossy", "ant"),
    "OliVe": ("bitmod-lossy", "olive"),
}
#: the paper's speed-ups: discriminative, generative, both (section 3.2 and abstract)
CLAIMED = {"FP16": (1.99, 2.41, 2.2), "ANT": (1.72, 1.66, 1.69), "OliVe": (1.56, 1.39, 1.48)}
#: its means of energy efficiency, both phases
CLAIMED_ENERGY = {"FP16": 2.31, "ANT": 1.48, "OliVe": 1.31}
#: what is corrected, in the order in which it is applied: text, settings of the modelling
CORRECTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("attention per head, KV INT8 in BitMoD", {"per_head": True}),
    ("256 decode steps, not 20", {"decode_steps": 256}),
    ("context grows with every step", {"growing": True}),
    ("10/128 bits of metadata per weight", {"full_metadata": True}),
    ("every bit of a step is read from SRAM", {"full_width": True}),
    ("PE energies as synthesised", {"synthesised_pe": True}),
    ("term encoder", {"encoder": True}),
    ("accumulators and scaling", {"accumulators": True}),
)
#: weight bits of ANT and OliVe in the 2025 release, both phases
LATER_BITS = {
    "ant": {"opt-1.3b": 5, "phi-2": 5, "yi-6b": 5.25, "llama-2-7b": 5, "llama-2-13b": 4}
    | {"llama-3-8b": 5},
    "olive": {"opt-1.3b": 4, "phi-2": 4, "yi-6b": 4, "llama-2-7b": 4, "llama-2-13b": 4}
    | {"llama-3-8b": 4.5},
}


@dataclass(frozen=True, kw_only=True)
class Means:
    """How many times better, as the mean over the models: discriminative and generative."""

    discriminative: float
    generative: float

    @property
    def both(self) -> float:
        """Mean of the two."""
        return (self.discriminative + self.generative) / 2

    def described(self) -> Figures:
        """The three figures by name."""
        return {
            "discriminative": self.discriminative,
            "generative": self.generative,
            "mean": self.both,
        }


@dataclass(frozen=True, kw_only=True)
class Gains:
    """Speed-ups and ratios of total energy, by what BitMoD is compared with."""

    speedup: dict[str, Means]
    energy: dict[str, Means]

    def described(self) -> dict[str, dict[str, Figures]]:
        """As JSON."""
        return {
            "speedup": {name: means.described() for name, means in self.speedup.items()},
            "energy_efficiency": {name: means.described() for name, means in self.energy.items()},
        }


def evaluate(points: Iterable[Point], variant: str) -> list[dict[str, float]]:
    """Cycles and energies in uJ of ``points`` by the compatibility model ``variant``, in order.

    Raises
    ------
    InputError : a batch in the 2024 variant.
    """
    modelling, rows = VARIANTS[variant], []
    for point in points:
        timing = time_point(point, modelling)
        energy = point_energy(point, timing, modelling)
        rows.append(
            {
                "cycles": timing.total_cycles,
                "onchip_uj": energy.onchip_uj,
                "total_uj": energy.total_uj,
            }
        )
    return rows


def gains(
    rows: Iterable[PublishedRow], modelling: Modelling, change: Change | None = None
) -> Gains:
    """BitMoD against the others, per model and then averaged.

    Discriminative: the prefill. Generative: the same prefill and ``modelling.decode_steps`` tokens,
    as the artifact adds them (4-bit prefill, 3-bit decoding for lossy BitMoD).

    Parameters
    ----------
    change : the point to take in place of a row's own.
    """
    cycles: dict[tuple[str, str], dict[str, float]] = {}
    energy: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        point = change(row) if change else row.point
        timing = _timing(point, modelling.without_energy())
        key = (point.accelerator, row.model_name)
        cycles.setdefault(key, {})[point.phase] = timing.total_cycles
        energy.setdefault(key, {})[point.phase] = point_energy(point, timing, modelling).total_uj
    return Gains(speedup=_ratios(cycles), energy=_ratios(energy))


@lru_cache(maxsize=256)
def _timing(point: Point, modelling: Modelling) -> PointTiming:
    """Kept, because corrections of energy change no timing."""
    in_time = time_point if point.phase == "prefill" else time_generation
    return in_time(point, modelling)


def _ratios(costs: dict[tuple[str, str], dict[str, float]]) -> dict[str, Means]:
    models = sorted({model for _, model in costs})
    found = {}
    for name, (ours, theirs) in PAIRS.items():
        prefill, both = 0.0, 0.0
        for model in models:
            own, other = costs[ours, model], costs[theirs, model]
            prefill += other["prefill"] / own["prefill"]
            both += sum(other.values()) / sum(own.values())
        found[name] = Means(discriminative=prefill / len(models), generative=both / len(models))
    return found


def corrections(rows: list[PublishedRow]) -> list[dict[str, Any]]:
    """Every correction: the gains when it joins those before it, and when it is the only one."""
    modelling = VARIANTS["2024"]
    found = []
    for text, settings in CORRECTIONS:
        modelling = replace(modelling, **settings)
        alone = gains(rows, replace(VARIANTS["2024"], **settings))
        found.append({"correction": text, "applied": gains(rows, modelling), "alone": alone})
    return found


def questions(rows: list[PublishedRow]) -> list[dict[str, Any]]:
    """What the corrected result depends on besides: precisions of the competitors."""

    def int8_cache(row: PublishedRow) -> Point:
        return replace(row.point, kv_bits=8.0) if row.point.weight_bits < 16 else row.point

    def later_bits(row: PublishedRow) -> Point:
        bits = LATER_BITS.get(row.point.accelerator, {}).get(row.point.model.name)
        return row.point if bits is None else replace(row.point, weight_bits=float(bits))

    def both(row: PublishedRow) -> Point:
        return replace(later_bits(row), kv_bits=int8_cache(row).kv_bits)

    changes: tuple[tuple[str, Change], ...] = (
        ("keys and values INT8 in ANT and OliVe too", int8_cache),
        ("weight bits of ANT and OliVe as in the 2025 release", later_bits),
        ("both", both),
    )
    return [{"question": text, "gains": gains(rows, CORRECTED, one)} for text, one in changes]


def limits(rows: list[PublishedRow]) -> dict[str, Figures]:
    """What bounds the speed-ups: products per cycle in prefill, bits per weight in decoding.

    Returns
    -------
    dict : for ANT and OliVe, how many times more products per cycle BitMoD's array makes, how many
        times the other's weights are larger (mean over the models), and the mean of the share of
        BitMoD's decode cycles, corrected, in operations that wait for the DRAM.
    """
    peak: dict[str, float] = {}
    bits: dict[str, dict[str, float]] = {}
    waiting = []
    for row in rows:
        point = row.point
        latency = -(-int(point.weight_bits) // 2) if point.bit_serial else 1
        if point.phase == "prefill":
            peak[point.accelerator] = point.rows * point.cols * point.lanes / latency
            continue
        bits.setdefault(point.accelerator, {})[row.model_name] = point.weight_bits
        if point.accelerator == "bitmod-lossy":
            timing = time_point(point, CORRECTED)
            slow = [t for t in timing.operations if t.dram_cycles > t.compute_cycles]
            waiting.append(sum(t.total_cycles for t in slow) / timing.total_cycles)
    found: dict[str, Figures] = {}
    for name in ("ANT", "OliVe"):
        ours, theirs = PAIRS[name]
        ratios = [bits[theirs][model] / own for model, own in bits[ours].items()]
        found[name] = {
            "products_per_cycle_ratio": peak[ours] / peak[theirs],
            "weight_bits_ratio": sum(ratios) / len(ratios),
        }
    found["bitmod-lossy"] = {"decode_share_waiting_for_dram": sum(waiting) / len(waiting)}
    return found
