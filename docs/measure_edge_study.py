"""Evaluate the sweeps of docs/edge_study.md and keep what the page shows."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsmith.explore.baselines import baselines
from bitsmith.explore.evaluate import Evaluator
from bitsmith.explore.pareto import front
from bitsmith.explore.quality import Quality, quality_of
from bitsmith.explore.space import Space
from bitsmith.job import Job
from configs.schema import RunConfig, load_axis
from configs.sweep import load_sweep

MEASURED = Path(__file__).with_name("edge_study.json")
#: sweeps of each model: with or without an SRAM, and with tile buffers
MODELS = {
    "Llama-3-8B": ("edge_llama3_8b", "edge_llama3_8b_tiles"),
    "BitNet-2B4T": ("edge_bitnet_2b", "edge_bitnet_2b_tiles"),
}
#: what a point is compared by; less is better
COMPARED = ("prefill_s", "s_per_token", "energy_j", "area_mm2")
INTERVALS = ("energy_j_low", "energy_j_high", "area_mm2_low", "area_mm2_high", "max_mhz_low")
KEPT = (*COMPARED, *INTERVALS, "latency_s", "max_mhz")
BUDGET_MM2 = 2
#: differences that do not decide
TIE = 0.01
Row = dict[str, Any]
Figures = dict[str, NDArray[np.float64]]


def relaxed(name: str) -> Space:
    """A sweep without its demand on quality: ANT is to be seen, too."""
    sweep, folder = load_sweep(name)
    kept = tuple(text for text in sweep.constraints if "perplexity" not in str(text))
    return Space.of(dataclasses.replace(sweep, constraints=kept), folder)


def evaluated(space: Space, counts: Row) -> Iterator[tuple[tuple[str, str], Figures]]:
    """Feasible points of every class, with the class's PE and weight format."""
    evaluator = Evaluator(space)
    for place, chunk in enumerate(space.chunks(limit=space.class_size)):
        if place % 100 == 0:
            share = 100 * place * space.class_size / space.size
            print(f"{space.sweep.name}: {share:.0f} %", file=sys.stderr)
        allowed = space.allowed(chunk.numbers)
        if not allowed.any():
            continue
        done = evaluator.run(chunk).take(allowed)
        good = done.take(done.feasible)
        counts["points"] += len(done)
        counts["feasible"] += len(good)
        if len(good):
            columns = {name: good.metrics[name] for name in KEPT}
            key = kind(space.config(space.settings(int(good.numbers[0]))))
            yield key, {"number": good.numbers.astype(float), **columns}


def kind(config: RunConfig) -> tuple[str, str]:
    """PE and weight format of a point."""
    array = config.accelerator
    pe = "terms" if array.pe == "serial" else "MAC"
    if not array.has_floats:
        return f"{pe}, INT8", config.quantization.format
    if array.floating.alignment == "row":
        return f"{pe}, FP16 aligned per row", config.quantization.format
    return ("BitMoD's" if pe == "terms" else "MAC, FP16"), config.quantization.format


def reduced(figures: Figures) -> Figures:
    """Only points that no other of them dominates."""
    places = front(np.stack([figures[name] for name in COMPARED], axis=1))
    return {name: column[places] for name, column in figures.items()}


def measure_model(names: tuple[str, ...]) -> Row:
    """Fronts of every PE and format over a model's sweeps, and the literature beside them."""
    spaces = [relaxed(name) for name in names]
    counts: Row = {"points": 0, "feasible": 0}
    groups: dict[tuple[str, str], Figures] = {}
    for place, space in enumerate(spaces):
        for key, found in evaluated(space, counts):
            found = reduced({**found, "sweep": np.full(len(found["number"]), float(place))})
            if key in groups:
                found = {name: np.concatenate([groups[key][name], found[name]]) for name in found}
            groups[key] = reduced(found) if len(found["number"]) > 1 else found
    picked = [measure_group(spaces, names, key, groups) for key in sorted(groups)]
    literature = [
        {"name": one.name, "note": one.note, **rounded(dict(one.metrics))}
        for one in baselines(spaces[0])
    ]
    return {**counts, "groups": picked, "literature": literature, "with_sram": with_sram(spaces[0])}


def with_sram(space: Space) -> list[Row]:
    """The literature with the memory of the BitMoD paper, 512 + 512 KiB on the chip."""
    sweep = space.sweep
    base = {**sweep.base, "memory": "bitmod_ddr4"}
    axes = {path: given for path, given in sweep.axes.items() if not path.startswith("memory")}
    when = {path: given for path, given in sweep.when.items() if not path.startswith("memory")}
    paper = dataclasses.replace(sweep, base=base, axes=axes, when=when)
    found = baselines(Space.of(paper, space.folder))
    return [{"name": one.name, **rounded(dict(one.metrics))} for one in found]


def measure_group(
    spaces: list[Space], names: tuple[str, ...], key: tuple[str, str], groups: dict[Any, Figures]
) -> Row:
    """One PE with one format: its best points, and how many of all others dominate."""
    mine = groups[key]
    picks = {
        "least latency": smallest(mine, mine["latency_s"]),
        "least prefill": smallest(mine, mine["prefill_s"]),
        "least energy": smallest(mine, mine["energy_j"]),
    }
    sure = mine["area_mm2_high"] <= BUDGET_MM2
    if sure.any():
        picks["fits for sure"] = smallest(mine, np.where(sure, mine["latency_s"], np.inf))
    row: Row = {"pe": key[0], "format": key[1], "front": len(mine["number"]), "picks": {}}
    for pick, place in picks.items():
        space = spaces[int(mine["sweep"][place])]
        settings = space.settings(int(mine["number"][place]))
        config = space.config(settings)
        quality = quality_of(config)
        row["perplexity"] = None if quality is None else quality.perplexity
        row["of_fp16"] = of_fp16(quality)
        row["source"] = "" if quality is None else quality.source
        row["picks"][pick] = {
            "sweep": names[int(mine["sweep"][place])],
            "number": int(mine["number"][place]),
            "design": design(config),
            **rounded({name: float(mine[name][place]) for name in KEPT}),
            **at_low_clock(config, float(mine["max_mhz_low"][place])),
        }
    row["dominated_by"] = {
        f"{pe} {fmt}": dominated(mine, other)
        for (pe, fmt), other in groups.items()
        if (pe, fmt) != key
    }
    return row


def smallest(figures: Figures, values: NDArray[np.float64]) -> int:
    """The point of least area among those within :data:`TIE` of the least value."""
    near = values <= (1 + TIE) * values.min()
    return int(np.argmin(np.where(near, figures["area_mm2"], np.inf)))


def of_fp16(quality: Quality | None) -> float | None:
    """Perplexity over that of the unquantized model."""
    if quality is None or quality.perplexity is None or quality.float_perplexity is None:
        return None
    return round(quality.perplexity / quality.float_perplexity, 4)


def dominated(mine: Figures, other: Figures) -> int:
    """How many of my points some other point is no worse than, and better in something."""
    theirs = np.stack([other[name] for name in COMPARED], axis=1)
    count = 0
    for place in range(len(mine["number"])):
        point = np.array([mine[name][place] for name in COMPARED])
        no_worse = (theirs <= point).all(axis=1) & (theirs < point).any(axis=1)
        count += bool(no_worse.any())
    return count


def design(config: RunConfig) -> str:
    """A point in words."""
    array, memory = config.accelerator, config.memory
    text = f"{array.rows} x {array.cols} x {array.lanes}"
    if array.rows_per_dequantizer > 1:
        text += f", {array.rows_per_dequantizer} rows a dequantizer"
    if config.quantization.group_size != 128:
        text += f", groups: {config.quantization.group_size}"
    sram = None if memory is None else memory.activation_sram
    if array.buffers is not None:
        text += ", tiles"
    elif sram is not None:
        text += f", {sram.kib} KiB"
    return f"{text}, {array.clock_mhz:g} MHz"


def at_low_clock(config: RunConfig, mhz: float) -> dict[str, float]:
    """Times at the low end of the clock's interval, or at the point's own clock if that is less."""
    clock = min(float(math.floor(mhz)), config.accelerator.clock_mhz)
    array = dataclasses.replace(config.accelerator, clock_mhz=clock)
    timing = Job(dataclasses.replace(config, accelerator=array)).timing
    hz = clock * 1e6
    found = {
        "slow_prefill_s": timing.prefill_cycles / hz,
        "slow_s_per_token": timing.decode_cycles / hz / timing.workload.decode_steps,
    }
    return rounded(found)


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Six digits: as much as the page and its claims need."""
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


def bounds(names: tuple[str, ...]) -> Row:
    """What the memory allows a decode step, whatever the array: its weights have to come."""
    memory = load_axis("memory", "edge_32gbs")
    job = Job(dataclasses.replace(relaxed(names[0]).config({}), memory=memory))
    weights = sum(g.n * g.k * g.matrices for g in job.timed_workload.decode)
    macs = sum(g.m * g.n * g.k * g.matrices for g in job.timed_workload.prefill)
    rate = memory.dram.bytes_per_s
    return {"weights": weights, "prefill_macs": macs, "bytes_per_s": rate}


def measure() -> None:
    """Evaluate everything and keep what the page shows."""
    found = {
        model: {**measure_model(names), "bounds": bounds(names)} for model, names in MODELS.items()
    }
    MEASURED.write_text(json.dumps(found, indent=1) + "\n")
