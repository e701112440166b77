"""A study result for tests: a real space, invented metrics with the shape of real ones."""

from pathlib import Path

import numpy as np

from bitsmith.explore.collect import front_places
from bitsmith.explore.ladder import Promotion
from bitsmith.explore.result import Baseline, LayerShare, StudyResult
from bitsmith.explore.space import Space
from bitsmith.explore.table import Table
from configs.sweep import SweepConfig

NOTE = "invented for a test"
AXES = {
    "quantization": ["bitmod_fp4", "int4", "int6"],
    "memory": ["lpddr4", "lpddr5"],
    "accelerator.rows": {"log2": [1, 32]},
    "accelerator.cols": {"log2": [2, 32]},
    "accelerator.lanes": [2, 4, 8],
    "accelerator.pe": ["serial", "multiplier"],
    "accelerator.pipeline": [[], ["operands", "sums"]],
    "accelerator.rows_per_dequantizer": [1, 2],
}
BASE = {
    "workload": "llama3_8b",
    "quantization": "bitmod_fp4",
    "accelerator": "bitmod_buffered_32x32x4",
    "technology": "generic_28nm",
    "memory": "lpddr5",
}


def made_up_space(name: str = "made_up", **changes: object) -> Space:
    """A small space over llama3_8b; nothing of it is evaluated."""
    settings = {
        "name": name,
        "description": "Invented figures, to try the page: which array for Llama-3-8B?",
        "base": BASE,
        "axes": AXES,
        "when": {"accelerator.rows_per_dequantizer": "accelerator.rows > 1"},
        "constraints": ("area_mm2 <= 2", "max_mhz >= 500"),
        "objectives": ("energy_per_token_j", "s_per_token", "area_mm2"),
    }
    return Space.of(SweepConfig(**{**settings, **changes}), Path())  # type: ignore[arg-type]


def made_up_metrics(space: Space, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Smooth formulas of the settings: more PEs are larger and faster up to the memory's speed."""
    columns = space.columns(numbers)
    pes = columns["accelerator.rows"] * columns["accelerator.cols"] * columns["accelerator.lanes"]
    serial = columns["accelerator.pe"] == "serial"
    bits = np.select(
        [columns["quantization"] == n for n in ("bitmod_fp4", "int4")], [4.13, 4.13], 6.13
    )
    bandwidth = np.where(columns["memory"] == "lpddr5", 43.6e9, 21.8e9)
    wave = 1 + 0.04 * np.sin(7.1 * numbers)
    area = (
        0.11 + pes * np.where(serial, 4.1e-4, 9.3e-4) * wave + 0.004 * columns["accelerator.lanes"]
    )
    loads = 7.5e9 * bits / 8 / bandwidth
    products = 7.5e9 * np.where(serial, 2, 1) * (bits > 5) * 0.5 / (pes * 1e9) + 7.5e9 / (pes * 1e9)
    seconds = np.hypot(loads, products) * wave
    energy = (
        7.5e9 * bits * np.where(bandwidth > 3e10, 6.4e-12, 8e-12)
        + 0.06 * seconds
        + 0.05 * area * seconds
    )
    metrics = {
        "s_per_token": seconds, "tokens_per_s": 1 / seconds, "prefill_s": 4 * seconds,
        "energy_per_token_j": energy, "energy_per_token_j_low": 0.72 * energy,
        "energy_per_token_j_high": 1.31 * energy,
        "area_mm2": area, "area_mm2_low": 0.85 * area, "area_mm2_high": 1.2 * area,
        "max_mhz": np.where(serial, 910.0, 640.0) * wave,
        "utilization": np.minimum(1, products / seconds),
        "perplexity": np.select([columns["quantization"] == n for n in ("bitmod_fp4", "int4")],
                                [6.63, 7.4], 6.2),
        "bits_per_weight": bits,
    }  # fmt: skip
    metrics["quality_quoted"] = (columns["quantization"] == "int4").astype(float)
    return metrics


def made_up_study(space: Space | None = None, *, limit: int = 3000) -> StudyResult:
    """An even choice of the space's points with everything that a page can show."""
    space = made_up_space() if space is None else space
    numbers = np.unique(np.linspace(0, space.size - 1, limit).astype(np.int64))
    numbers = numbers[space.allowed(numbers)]
    metrics = made_up_metrics(space, numbers)
    reason = np.where(metrics["area_mm2"] > 2, 1, 0)
    reason = np.where(numbers % 41 == 0, 2, reason)
    for column in metrics.values():
        column[reason == 2] = np.nan
    reasons = ("", "area_mm2 <= 2 is not met", "no machine: <b>invented</b> & refused")
    table = Table(numbers=numbers, metrics=metrics, reasons=reasons, reason=reason)
    front = front_places(table, space.sweep.objectives)
    knees = {f"least {n}": int(front[np.argmin(metrics[n][front])]) for n in space.sweep.objectives}
    spread = metrics["energy_per_token_j"] * metrics["s_per_token"] * metrics["area_mm2"]
    knees["knee"] = int(front[np.argmin(spread[front])])
    named = [int(numbers[place]) for place in knees.values()]
    return StudyResult(
        space=space,
        table=table,
        evaluated=len(numbers),
        feasible=int(table.feasible.sum()),
        refused={text: int((reason == place + 1).sum()) for place, text in enumerate(reasons[1:])},
        front=front,
        knees=knees,
        promotions=promotions(table, dict.fromkeys(named)),
        baselines=baselines(metrics),
        layers={int(number): layers(number) for number in numbers[front]},
    )


def promotions(table: Table, numbers: dict[int, None]) -> tuple[Promotion, ...]:
    """Every named point on two rungs, one of them on a third that could not be climbed."""
    found = []
    for number in numbers:
        place = int(np.searchsorted(table.numbers, number))
        seconds, area = (float(table.metrics[n][place]) for n in ("s_per_token", "area_mm2"))
        found += [
            Promotion(number=number, rung="stepped", figures={"s_per_token": seconds},
                      lower={"s_per_token": seconds}, seconds=1.5, note=NOTE),
            Promotion(number=number, rung="synthesis", figures={"area_mm2": 1.07 * area},
                      lower={"area_mm2": area}, seconds=30.0, note=f"{NOTE}: blocks by Yosys"),
        ]  # fmt: skip
    first = next(iter(numbers))
    return (*found, Promotion(number=first, rung="rtl", figures={}, lower={}, seconds=0.0,
                              note="not climbed: no Verilator"))  # fmt: skip


def baselines(metrics: dict[str, np.ndarray]) -> tuple[Baseline, ...]:
    """Five accelerators around the middle of the points."""
    middle = {n: float(np.nanmedian(c)) for n, c in metrics.items() if n != "quality_quoted"}
    worse = {"FP16": 3.1, "INT8": 1.9, "ANT": 1.3, "OliVe": 1.2, "BitMoD": 0.95}
    return tuple(
        Baseline(name=name, metrics={n: factor * value for n, value in middle.items()}, note=NOTE,
                 quoted=name in ("ANT", "OliVe"))
        for name, factor in worse.items()
    )  # fmt: skip


def layers(number: int) -> tuple[LayerShare, ...]:
    """Layers of a Llama block, of any point."""
    shapes = {"q_proj": (4096, 4096), "k_proj": (1024, 4096), "v_proj": (1024, 4096),
              "o_proj": (4096, 4096), "gate_proj": (14336, 4096), "up_proj": (14336, 4096),
              "down_proj": (4096, 14336), "lm_head": (128256, 4096)}  # fmt: skip
    scale = 1 + number % 7
    return tuple(
        LayerShare(name=f"model.layers.{name}", n=n, k=k, seconds=n * k * scale * 1e-10,
                   energy_j=n * k * 3e-11, utilization=0.31 + 0.05 * (number % 3))
        for name, (n, k) in shapes.items()
    )  # fmt: skip
