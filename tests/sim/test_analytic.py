"""Analytic baselines against loops over tiles, chunks and steps, and against published cycles."""

import dataclasses
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from configs.analytic import AnalyticConfig
from configs.errors import InputError
from configs.figure import Figure
from configs.memory import DramConfig, MemoryConfig, SramConfig
from configs.schema import load_axis
from sim.analytic import simulate_analytic
from sim.results import STALLS
from sw.workloads import Gemm, Workload


def memory(
    bytes_per_cycle: int, clock_mhz: float, weights: int = 0, tokens: int = 0
) -> MemoryConfig:
    """A memory without losses; SRAMs in KiB, 0 without."""
    one = Figure(value=1, kind="quoted", source="test")

    def sram(kib: int) -> SramConfig | None:
        return SramConfig(kib=kib) if kib else None

    return MemoryConfig(
        name="m",
        description="for tests",
        dram=DramConfig(
            bus_bits=8 * bytes_per_cycle,
            transfers_mt_s=clock_mhz,
            burst_efficiency=one,
            refresh_efficiency=one,
            energy_pj_per_bit=one,
        ),
        weight_sram=sram(weights),
        activation_sram=sram(tokens),
    )


def baseline(**changes: Any) -> AnalyticConfig:
    """A small array of fusion units."""
    base = {
        "name": "b",
        "description": "for tests",
        "source": "tests",
        "kind": "fusion",
        "rows": 2,
        "cols": 3,
        "lanes": 2,
        "weight_bits": (2, 4, 8),
        "activation_bits": (2, 4, 8),
        "bricks": 4,
        "brick_bits": 4,
        "clock_mhz": 100.0,
    }
    return AnalyticConfig(**{**base, **changes})


def workload(*prefill: Gemm, decode: tuple[Gemm, ...] = (), steps: int = 0) -> Workload:
    """Those GEMMs."""
    return Workload(name="w", prefill=prefill, decode=decode, decode_steps=steps)


def walked_cycles(config: AnalyticConfig, m: int, n: int, k: int, weights: int, inputs: int) -> int:
    """Walk a product tile by tile and chunk by chunk, a chunk by what a lane does in a cycle."""
    weights = min(width for width in config.weight_bits if width >= weights)
    inputs = min(width for width in config.activation_bits if width >= inputs)
    cycles = 0
    for _ in range(0, m, config.rows):
        for _ in range(0, n, config.cols):
            done = 0
            while done < k:
                if config.kind == "bit_serial":
                    cycles += sum(1 for _ in range(weights) for _ in range(inputs))
                    done += config.lanes
                elif config.kind == "mac":
                    cycles += 1
                    done += config.lanes
                else:
                    needed = len(range(0, weights, config.brick_bits))
                    needed *= len(range(0, inputs, config.brick_bits))
                    free, products = config.bricks, 0
                    while free >= needed:
                        free, products = free - needed, products + 1
                    if products:
                        cycles, done = cycles + 1, done + config.lanes * products
                    else:
                        while needed > 0:  # one product, its bricks by turns
                            cycles, needed = cycles + 1, needed - config.bricks
                        done += config.lanes
    return cycles


def walked_bytes(
    config: AnalyticConfig, gemm: Gemm, weight_bits: float, bits: int, srams: tuple[int, int]
) -> tuple[int, int]:
    """Bytes of matrices and of tokens that cross, at best over all ways to run one product.

    Ways: everything streamed per tile, a held operand once; or, with both buffers, blocks of one
    operand that fill its buffer while the other passes by.
    """
    matrix = math.ceil(Fraction(weight_bits) * gemm.n * gemm.k / 8)
    tokens = math.ceil(Fraction(bits) * gemm.m * gemm.k / 8)
    row_tiles, col_tiles = len(range(0, gemm.m, config.rows)), len(range(0, gemm.n, config.cols))
    for_weights, for_tokens = (1024 * kib for kib in srams)
    holds = matrix <= for_weights
    ways = [(1 if holds else row_tiles, 1 if tokens <= for_tokens else col_tiles)]
    if for_weights and for_tokens:
        ways.append((math.ceil(Fraction(tokens, for_tokens)), 1))
        ways.append((1, math.ceil(Fraction(matrix, for_weights))))
    found = []
    for of_matrix, of_tokens in ways:
        read = matrix * (gemm.matrices if holds else gemm.count * of_matrix)
        found.append((read, gemm.count * tokens * of_tokens))
    return min(found, key=sum)


SIZES = st.integers(1, 40)
KINDS = st.sampled_from(["fusion", "bit_serial", "mac"])


@st.composite
def configs(draw: st.DrawFn) -> AnalyticConfig:
    """Small baselines of every kind."""
    kind = draw(KINDS)
    fusion = kind == "fusion"
    widths = st.sets(st.integers(1, 12), min_size=1, max_size=3)
    return baseline(
        kind=kind,
        rows=draw(st.integers(1, 4)),
        cols=draw(st.integers(1, 4)),
        lanes=draw(st.integers(1, 5)),
        bricks=draw(st.integers(1, 9)) if fusion else 1,
        brick_bits=draw(st.integers(1, 5)) if fusion else 0,
        weight_bits=tuple(sorted(draw(widths) | {12})),
        activation_bits=tuple(sorted(draw(widths) | {12})),
        result_bits=draw(st.integers(1, 33)),
        weight_buffer_kib=draw(st.integers(0, 2)),
        activation_buffer_kib=draw(st.integers(0, 2)),
    )


@st.composite
def gemms(draw: st.DrawFn, *, grows: bool = False) -> Gemm:
    """Small products, some of which share their matrix."""
    count = draw(st.integers(1, 4))
    name = draw(st.sampled_from(["n", "k"])) if grows else None
    sizes = {"m": draw(SIZES), "n": draw(SIZES), "k": draw(SIZES)}
    limit = None
    if name is not None and draw(st.booleans()):
        limit = sizes[name] + draw(st.integers(0, 4))
    return Gemm(
        name="g",
        **sizes,
        count=count,
        operand=draw(st.sampled_from(["weights", "kv_cache", "activations"])),
        distinct=draw(st.one_of(st.none(), st.integers(1, count))),
        grows=name,
        limit=limit,
    )


@given(
    config=configs(),
    gemm=gemms(),
    growing=gemms(grows=True),
    steps=st.integers(1, 6),
    weight_bits=st.sampled_from([1.0, 2.5, 3.0625, 4.0, 4.125, 8.0, 12.9375]),
    bits=st.integers(1, 12),
    kv_bits=st.integers(1, 12),
    bandwidth=st.one_of(st.none(), st.integers(1, 64)),
    srams=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
@settings(
    max_examples=300, deadline=None, phases=[Phase.reuse, Phase.generate]
)  # shrinking is slow
def test_against_loops(
    config, gemm, growing, steps, weight_bits, bits, kv_bits, bandwidth, srams
) -> None:
    behind = None if bandwidth is None else memory(bandwidth, config.clock_mhz, *srams)
    run = workload(gemm, decode=(gemm, growing), steps=steps)
    timing = simulate_analytic(
        config, run, weight_bits=weight_bits, activation_bits=bits, kv_bits=kv_bits, memory=behind
    )
    own = (config.weight_buffer_kib, config.activation_buffer_kib)
    kib = own if behind is None else tuple(s or o for s, o in zip(srams, own, strict=True))
    stored = {"weights": weight_bits, "kv_cache": kv_bits, "activations": bits}
    counted = [(gemm, 1), (gemm, steps), (growing, steps)]
    for phase, (first, passes) in zip(timing.phases, counted, strict=True):
        compute = total = macs = ideal = 0
        crossed = dict.fromkeys(("weights", "kv_cache", "activations", "results"), 0)
        for step in range(passes):
            now = first.at_step(step)
            width = stored[now.operand]
            array = now.count * walked_cycles(config, now.m, now.n, now.k, int(width), bits)
            matrices, tokens = walked_bytes(config, now, width, bits, kib)
            results = now.count * math.ceil(Fraction(config.result_bits) * now.m * now.n / 8)
            waits = 0 if bandwidth is None else -(-(matrices + tokens + results) // bandwidth)
            compute, total, macs = compute + array, total + max(array, waits), macs + now.macs
            crossed[now.operand] += matrices
            crossed["activations"] += tokens
            crossed["results"] += results
            once = math.ceil(Fraction(width) * now.n * now.k / 8)
            ideal += now.matrices * once + results
            ideal += now.count * math.ceil(Fraction(bits) * now.m * now.k / 8)
        assert phase.gemm is first and phase.steps == passes and phase.jobs == passes * first.count
        assert phase.cycles == total
        assert phase.causes == {"compute": compute}
        assert phase.stalls == {
            **dict.fromkeys(STALLS, 0),
            "compute": compute,
            "dram": total - compute,
        }
        assert phase.activity.macs == macs and phase.activity.busy_cycles == total
        assert phase.activity.pe_slots == compute * config.rows * config.cols
        assert phase.traffic.weight_bytes == crossed["weights"]
        assert phase.traffic.kv_bytes == crossed["kv_cache"]
        assert phase.traffic.activation_bytes == crossed["activations"]
        assert phase.traffic.result_bytes == crossed["results"]
        assert phase.traffic.ideal_bytes == ideal <= phase.traffic.total_bytes
        width = int(stored[first.operand])
        once = walked_cycles(config, first.m, first.n, first.k, width, bits)
        assert phase.report.total_cycles == once == phase.report.causes["compute"]
        assert phase.report.macs == first.m * first.n * first.k
        assert max(phase.report.utilization, phase.utilization) <= 1 + 1e-12
        assert not phase.verified
    assert timing.total_cycles == sum(timing.stalls().values())
    assert timing.roofline.bytes_per_cycle == bandwidth


def linear(name: str, m: int, n: int, k: int) -> Gemm:
    return Gemm(name=name, m=m, n=n, k=k)


def paper_prefill(
    hidden: int, inner: int, layers: int, heads: int, vocabulary: int, ups: int
) -> Workload:
    """256 tokens as the first simulator released with BitMoD has them, without P V."""
    tokens, found = 256, []
    for layer in range(layers):
        found += [linear(f"{layer}.{i}", tokens, hidden, hidden) for i in range(4)]
        found += [linear(f"{layer}.up{i}", tokens, inner, hidden) for i in range(ups)]
        found.append(linear(f"{layer}.down", tokens, hidden, inner))
        found.append(
            Gemm(
                name=f"{layer}.scores",
                m=heads * tokens,
                n=tokens,
                k=hidden,
                operand="activations",
            )
        )
    found.append(linear("lm_head", tokens, vocabulary, hidden))
    return workload(*found)


def paper_values(rows: int, cols: int, hidden: int, heads: int) -> int:
    """Cycles of P V there: one product for all heads, with all of V as its 'tokens'."""
    compute = 256 * -(-heads * 256 // cols) * -(-256 // rows)
    matrix, tokens, results = 2 * heads * 256 * 256, 2 * 256 * hidden, 2 * heads * 256 * 256
    half = 512 * 1024
    read = matrix + tokens
    if matrix > half and tokens > half:
        read = min(-(-tokens // half) * matrix + tokens, -(-matrix // half) * tokens + matrix)
    return max(compute, (read + results) // 32)


#: hidden, inner, layers, heads, vocabulary, matrices up; published cycles of FP16, ANT and OliVe
PAPER = {
    "OPT-1.3B": ((2048, 8192, 24, 32, 50272, 1), (669255680, 440975360, 403718144)),
    "Phi-2": ((2560, 10240, 32, 32, 51200, 1), (1399816192, 847773696, 779268096)),
    "Llama-2-7B": ((4096, 11008, 32, 32, 32000, 2), (3156574208, 1949564928, 1768062976)),
    "Llama-2-13B": ((5120, 13824, 40, 40, 32000, 2), (6676111360, 4076584960, 3648512000)),
}
#: rows, columns, bits per weight
MACHINES = ((24, 32, 16.0), (32, 32, 5.5), (32, 36, 4.5))


@pytest.mark.parametrize("model", PAPER)
def test_published_prefill_cycles(model: str) -> None:
    """BitMoD (HPCA 2025), Fig. 7: cycles of the three baselines, to the cycle."""
    shape, published = PAPER[model]
    run, behind = paper_prefill(*shape), load_axis("memory", "bitmod_ddr4")
    for (rows, cols, bits), expected in zip(MACHINES, published, strict=True):
        config = baseline(
            kind="mac",
            rows=rows,
            cols=cols,
            lanes=1,
            bricks=1,
            brick_bits=0,
            weight_bits=(16,),
            activation_bits=(16,),
            clock_mhz=1000.0,
        )
        timing = simulate_analytic(
            config, run, weight_bits=bits, activation_bits=16, kv_bits=16, memory=behind
        )
        hidden, _, layers, heads, *_ = shape
        values = layers * paper_values(rows, cols, hidden, heads)
        assert timing.prefill_cycles + values == expected, (model, rows, cols)


def test_faster_memory_is_never_slower() -> None:
    config = load_axis("baseline", "bitfusion_16x32")
    run = workload(linear("a", 7, 1000, 1000), decode=(linear("a", 1, 1000, 1000),), steps=3)
    names = ("lpddr4", "ddr4", "lpddr5", "hbm2e", None)
    times = []
    for name in names:
        behind = None if name is None else load_axis("memory", name)
        timing = simulate_analytic(
            config, run, weight_bits=4.125, activation_bits=8, kv_bits=8, memory=behind
        )
        times.append(timing.total_cycles)
    assert times == sorted(times, reverse=True) and times[0] > times[-1]


def test_a_memory_replaces_the_buffers() -> None:
    """1 KiB of weights: held by the baseline's own 2 KiB, not by an SRAM of half of that."""
    config = baseline(weight_buffer_kib=2, activation_buffer_kib=0)
    run = workload(linear("a", 6, 32, 33))
    crossed = []
    for kib in (0, 1, 2):
        timing = simulate_analytic(
            config,
            run,
            weight_bits=8,
            activation_bits=8,
            kv_bits=8,
            memory=memory(4, config.clock_mhz, weights=kib),
        )
        crossed.append(timing.prefill[0].traffic.weight_bytes)
    assert crossed == [32 * 33, 3 * 32 * 33, 32 * 33]


def test_decode_of_one_token_is_bound_by_the_memory() -> None:
    """7 B weights of 4 bits at 32 GB/s: the roofline's slope, not its roof."""
    config = load_axis("baseline", "bitfusion_16x32")
    run = workload(decode=(linear("a", 1, 4096, 4096),), steps=2)
    behind = load_axis("memory", "bitmod_ddr4")
    (phase,) = simulate_analytic(
        config, run, weight_bits=4, activation_bits=8, kv_bits=8, memory=behind
    ).phases
    limit = 4096 * 4096 / 2 + 4096 + 2 * 4096
    assert phase.cycles == 2 * math.ceil(limit / 64)
    assert phase.stalls["dram"] > phase.stalls["compute"]


def test_equal_sizes_of_other_operands_are_told_apart() -> None:
    """Layers that repeat are counted once; scores of the same sizes are no layer."""
    layer = linear("a", 4, 8, 8)
    scores = dataclasses.replace(layer, name="b", operand="kv_cache")
    config = baseline(clock_mhz=100.0)
    timing = simulate_analytic(
        config,
        workload(layer, scores, dataclasses.replace(layer, name="c")),
        weight_bits=8,
        activation_bits=4,
        kv_bits=4,
    )
    first, second, third = timing.prefill
    assert [phase.gemm.name for phase in timing.prefill] == ["a", "b", "c"]
    assert first.cycles == third.cycles == 2 * second.cycles
    assert first.traffic.weight_bytes == 2 * second.traffic.kv_bytes


def test_refused() -> None:
    config = baseline()
    run = workload(linear("a", 1, 1, 1))
    with pytest.raises(InputError, match=r"baseline 'b': weight_bits is 9, valid are 1..8"):
        simulate_analytic(config, run, weight_bits=9.5, activation_bits=8, kv_bits=8)
    cached = workload(dataclasses.replace(run.prefill[0], operand="kv_cache"))
    with pytest.raises(InputError, match=r"weight_bits is 16, valid are 1..8"):
        simulate_analytic(config, cached, weight_bits=4, activation_bits=8, kv_bits=16)
    large = workload(linear("large", 1 << 20, 1 << 20, 1 << 20))
    with pytest.raises(InputError, match="GEMM 'large' has more than 1125899906842624 products"):
        simulate_analytic(config, large, weight_bits=4, activation_bits=8, kv_bits=8)
