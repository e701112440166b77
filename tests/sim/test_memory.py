"""The pace of a memory against a second reading of docs/memory.md, one job at a time."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.load import preset_names
from configs.memory import MemoryConfig, SramConfig
from configs.schema import load_axis
from sim import memory_rates, simulate_workload
from sw.compile import GemmShape, Machine, tiling
from sw.compile.transfers import stream_counts
from sw.workloads import Gemm, Workload

from .clocked import word_counts
from .test_buffers import machines

OPERANDS = ("weights", "activations")

srams = st.none() | st.builds(
    SramConfig,
    kib=st.integers(1, 3),
    banks=st.sampled_from((1, 3)),
    width_bits=st.sampled_from((8, 24, 256)),
    ports=st.sampled_from(("1rw", "1r1w")),
)


@st.composite
def memories(draw) -> MemoryConfig:
    """Presets with buses of all widths and, by chance, an SRAM before either operand."""
    memory = load_axis("memory", draw(st.sampled_from(preset_names("memories"))))
    dram = replace(memory.dram, bus_bits=draw(st.sampled_from((8, 40, 1024))))
    return replace(memory, dram=dram, weight_sram=draw(srams), activation_sram=draw(srams))


class Reading:
    """What docs/memory.md says about one GEMM."""

    def __init__(self, machine: Machine, shape: GemmShape, memory: MemoryConfig) -> None:
        array, t = machine.accelerator, tiling(machine, shape)
        weights, activations, row = word_counts(machine)
        chunks = t.chunks * (t.groups - 1) + t.last_chunks
        parameters = weights["p"] if array.requantizer is not None else 0
        self.tile = {
            "weights": parameters + t.groups * weights["h"] + chunks * weights["c"],
            "activations": chunks * activations["c"],
            "results": t.rows * row,
        }
        self.tiles, self.buffers, self.memory = t.tiles, array.buffers, memory
        counts = stream_counts(machine, t)
        self.crossing = {name: counts[f"{name.removesuffix('s')}_words"] for name in self.tile}
        different = {"weights": t.col_tiles, "activations": t.row_tiles, "results": t.tiles}
        self.once = {name: words * different[name] for name, words in self.tile.items()}
        widest = {
            "weights": machine.weight_beat_bits,
            "activations": machine.activation_beat_bits,
            "results": machine.result_beat_bits,
        }
        self.bits = {name: stream_bits(machine, name, bits) for name, bits in widest.items()}
        self.bandwidth = memory.dram.bytes_per_s / (array.clock_mhz * 1e6)
        self.latency = ceil(memory.dram.latency_ns * array.clock_mhz / 1e3)

    @property
    def from_dram(self) -> dict[str, int]:
        """Words over the DRAM interface."""
        found = dict(self.crossing)
        for name in OPERANDS:
            sram = self.sram(name)
            if sram and self.once[name] * self.bits[name] <= sram.kib * 1024 * 8:
                found[name] = min(found[name], self.once[name])
        return found

    def sram(self, name: str) -> SramConfig | None:
        return self.memory.weight_sram if name == "weights" else self.memory.activation_sram

    def bytes(self, words: dict[str, int]) -> dict[str, int]:
        return {name: count * self.bits[name] // 8 for name, count in words.items()}

    def shortest(self, name: str) -> Fraction:
        """1. One word over the interface."""
        return max(Fraction(ceil(64 * self.bits[name] / 8 / self.bandwidth), 64), Fraction(1))

    @property
    def leader(self) -> str:
        """3. Fewer tiles, then the smaller tile, then activations."""
        if self.buffers is None:
            return ""
        by = {n: (self.crossing[n] // self.tile[n], self.tile[n]) for n in OPERANDS}
        return "weights" if by["weights"] < by["activations"] else "activations"

    @property
    def tile_time(self) -> Fraction:
        """4. All bytes but those of a leader of one tile."""
        moved = self.bytes(self.from_dram)
        if self.leader and self.crossing[self.leader] == self.tile[self.leader]:
            del moved[self.leader]
        cycles, parts = sum(moved.values()) / self.bandwidth / self.tiles, 1
        while cycles * parts < 1000 and parts < 64:
            parts *= 2
        # a tile of less than a cycle counts as one when its parts are chosen: 64ths in any case
        return Fraction(ceil(cycles * parts), parts)

    def pace(self, name: str) -> Fraction:
        """Cycles of a word behind the lead."""
        if name == "results":
            return self.shortest(name)
        own = max(self.tile_time * self.tiles / self.crossing[name], Fraction(1))
        sram = self.sram(name)
        if sram is None:
            return own
        port = self.bits[name] / (sram.banks * sram.width_bits)
        if sram.ports == "1rw":
            port *= 1 + self.from_dram[name] / self.crossing[name]
        return max(own, Fraction(ceil(64 * port), 64))

    def gaps(self, name: str) -> list[int]:
        """Idle cycles before each word."""
        lead = self.tile[name] if name == self.leader else 0
        delay = 0 if name == "results" else self.latency
        if self.leader and name in OPERANDS and name != self.leader:
            delay += ceil(self.tile[self.leader] * self.shortest(self.leader))
        first, pace = self.shortest(name), self.pace(name)
        ends = [0]
        for n in range(1, self.crossing[name] + 1):
            ends.append(delay + ceil(min(n, lead) * first) + ceil(max(n - lead, 0) * pace))
        return [end - before - 1 for before, end in pairwise(ends)]


def stream_bits(machine: Machine, name: str, beat: int) -> int:
    """Width of a stream: given, or a beat in whole bytes."""
    given_bits = getattr(machine.accelerator.streams, f"{name.removesuffix('s')}_bits")
    return -(-beat // 8) * 8 if isinstance(given_bits, str) else given_bits


@settings(max_examples=400, deadline=None)
@given(
    machine=machines(),
    m=st.integers(1, 20),
    n=st.integers(1, 20),
    k=st.integers(1, 60),
    group_size=st.integers(1, 24),
    memory=memories(),
    clock=st.sampled_from((5, 100, 777, 3000)),
    operand=st.sampled_from(("weights", "kv_cache")),
)
def test_pace_and_traffic_are_as_documented(
    machine, m, n, k, group_size, memory, clock, operand
) -> None:
    machine = replace(machine, accelerator=replace(machine.accelerator, clock_mhz=clock))
    shape = GemmShape(m=m, n=n, k=k, group_size=group_size)
    read = Reading(machine, shape, memory)
    gaps = memory_rates(machine, shape, memory).gaps(stream_counts(machine, tiling(machine, shape)))
    for name in read.tile:
        assert np.array_equal(getattr(gaps, name), read.gaps(name)), name
    gemm = Gemm(name="a", m=m, n=n, k=k, operand=operand, count=2)
    timing = simulate_workload(
        machine,
        Workload(name="one", prefill=(gemm,)),
        group_size=group_size,
        memory=memory,
        kv_group_size=group_size,
    )
    moved, cached = read.bytes(read.from_dram), operand != "weights"
    traffic = timing.prefill[0].traffic
    assert traffic.weight_bytes == (0 if cached else 2 * moved["weights"])
    assert traffic.kv_bytes == (2 * moved["weights"] if cached else 0)
    assert traffic.activation_bytes == 2 * moved["activations"]
    assert traffic.result_bytes == 2 * moved["results"]
    assert traffic.ideal_bytes == 2 * sum(read.bytes(read.once).values())
    assert timing.roofline.bytes_per_cycle == read.bandwidth
