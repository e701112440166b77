"""Timings of workloads made by hand or by hypothesis, with no simulator behind them."""

from hypothesis import strategies as st

from sim.activity import Activity
from sim.array import CycleReport
from sim.results import STALLS, PhaseTiming, Roofline, Traffic, WorkloadTiming
from sw.workloads import Gemm, Workload

NARROW = 4096 // 4
LINEARS = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (NARROW, 4096),
    "self_attn.v_proj": (NARROW, 4096),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (14336, 4096),
    "mlp.up_proj": (14336, 4096),
    "mlp.down_proj": (4096, 14336),
}


def phase_timing(
    gemm: Gemm,
    *,
    steps: int = 1,
    peak: float = 2048.0,
    bytes_per_cycle: float | None = 25.6,
    verified: bool = True,
) -> PhaseTiming:
    """A plausible entry: compute at the peak on padded tiles, DRAM at its bandwidth."""
    jobs = gemm.count * steps
    macs = gemm.macs * steps
    rows = -(-gemm.m // 32) * 32
    compute = -(-rows * gemm.n * gemm.k // int(peak)) * jobs
    matrix = gemm.matrices * gemm.n * gemm.k * steps // 2
    traffic = Traffic(
        weight_bytes=matrix * max(1, rows // 512) if gemm.operand == "weights" else 0,
        kv_bytes=0 if gemm.operand == "weights" else matrix,
        activation_bytes=gemm.m * gemm.k * jobs,
        result_bytes=4 * gemm.m * gemm.n * jobs,
        ideal_bytes=matrix + (gemm.m * gemm.k + 4 * gemm.m * gemm.n) * jobs,
    )
    dram = 0
    if bytes_per_cycle is not None:
        dram = max(0, int(traffic.total_bytes / bytes_per_cycle) - compute)
    stalls = dict.fromkeys(STALLS, 0) | {
        "compute": compute,
        "dequantizer": compute // 50 if gemm.operand != "weights" else 0,
        "operands": compute // 80,
        "output": 40 * jobs,
        "fill": 60 * jobs,
        "drain": 45 * jobs,
        "dram": dram,
        "host": 2 * jobs,
    }
    cycles = sum(stalls.values())
    report = CycleReport(
        total_cycles=(cycles - stalls["host"]) // jobs,
        causes={},
        counters={},
        macs=gemm.m * gemm.n * gemm.k,
        peak_macs_per_cycle=peak,
    )
    activity = Activity(
        busy_cycles=cycles - stalls["host"],
        slots=compute,
        macs=macs,
        weight_bits=compute * 48,
        activation_bits=compute * 1024 + 3,
        result_bits=gemm.m * gemm.n * jobs * 32,
    )
    return PhaseTiming(
        gemm=gemm, report=report, jobs=jobs, steps=steps, cycles=cycles, causes={},
        stalls=stalls, activity=activity, traffic=traffic, verified=verified,
    )  # fmt: skip


def llama(
    *, blocks: int = 32, prompt: int = 512, steps: int = 128, bytes_per_cycle: float | None = 25.6
) -> WorkloadTiming:
    """Linear layers and attention of a model of 8B parameters, 32 query and 8 key heads."""

    def gemms(tokens: int, context: int) -> tuple[Gemm, ...]:
        made = []
        grow = {"grows": "n"} if tokens == 1 else {}
        for block in range(blocks):
            prefix = f"layers.{block}"
            made += [
                Gemm(name=f"{prefix}.{kind}", m=tokens, n=n, k=k)
                for kind, (n, k) in LINEARS.items()
            ]
            scores = Gemm(
                name=f"{prefix}.self_attn.scores", m=tokens, n=context, k=128, count=32,
                operand="kv_cache", distinct=8, **grow,
            )  # fmt: skip
            values = Gemm(
                name=f"{prefix}.self_attn.values", m=tokens, n=128, k=context, count=32,
                operand="kv_cache", distinct=8, **({"grows": "k"} if grow else {}),
            )  # fmt: skip
            made += [scores, values]
        return (*made, Gemm(name="lm_head", m=1, n=128256, k=4096))

    workload = Workload(
        name="llama_8b",
        prefill=gemms(prompt, prompt),
        decode=gemms(1, prompt + 1),
        decode_steps=steps,
        prefill_tokens=prompt,
    )

    def timed(gemm: Gemm, times: int) -> PhaseTiming:
        peak = 1024.0 if gemm.operand == "kv_cache" else 2048.0
        return phase_timing(
            gemm, steps=times, peak=peak, bytes_per_cycle=bytes_per_cycle,
            verified=gemm.operand == "weights",
        )  # fmt: skip

    return WorkloadTiming(
        workload=workload,
        prefill=tuple(timed(gemm, 1) for gemm in workload.prefill),
        decode=tuple(timed(gemm, steps) for gemm in workload.decode),
        roofline=Roofline(peak_macs_per_cycle=2048.0, bytes_per_cycle=bytes_per_cycle),
        clock_mhz=500.0,
    )


#: names that group, names that look as if they did, and names that need escaping
names = st.one_of(
    st.builds("layers.{}.{}".format, st.integers(0, 9), st.sampled_from(("up", "w1", "w2"))),
    st.builds("layers.{}.experts.{}.up".format, st.integers(0, 3), st.integers(0, 9)),
    st.builds("/layer{}/conv/{}".format, st.integers(0, 3), st.integers(0, 3)),
    st.text(alphabet='a0.9/"<&,é', min_size=1, max_size=8),
)


@st.composite
def phase_timings(draw, name: str, steps: int, bytes_per_cycle: float | None) -> PhaseTiming:
    """Any entry that keeps what :mod:`sim.results` promises."""
    size = st.integers(1, 1 << 14)
    gemm = Gemm(
        name=name, m=draw(st.integers(1, 64)), n=draw(st.sampled_from((1, 64))), k=draw(size),
        count=draw(st.integers(1, 3)), operand=draw(st.sampled_from(("weights", "kv_cache"))),
        grows=draw(st.sampled_from((None, "n", "k"))) if steps > 1 else None,
    )  # fmt: skip
    sizes = st.integers(0, 1 << 40)
    stalls = {name: draw(sizes) for name in STALLS} | {"compute": draw(st.integers(2, 1 << 40))}
    peak = draw(st.sampled_from((0.5, 16.0, 1024.0)))
    macs = draw(st.integers(1, int(peak * stalls["compute"])))
    moved = {f"{kind}_bytes": draw(sizes) for kind in ("weight", "kv", "activation", "result")}
    if bytes_per_cycle is None:
        moved = dict.fromkeys(moved, 0)
    total = sum(moved.values())
    return PhaseTiming(
        gemm=gemm,
        report=CycleReport(
            total_cycles=1, causes={}, counters={}, macs=1, peak_macs_per_cycle=peak
        ),
        jobs=gemm.count * steps,
        steps=steps,
        cycles=sum(stalls.values()),
        causes={},
        stalls=stalls,
        activity=Activity(
            slots=stalls["compute"], macs=macs, weight_bits=draw(sizes),
            activation_bits=draw(sizes), result_bits=draw(sizes),
        ),
        traffic=Traffic(**moved, ideal_bytes=draw(st.integers(0, total))),
        verified=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def timings(draw) -> WorkloadTiming:
    """Any timing of a workload of up to 12 GEMMs."""
    bytes_per_cycle = draw(st.one_of(st.none(), st.sampled_from((0.125, 8.0, 25.6))))
    steps = draw(st.integers(0, 5))
    phases = {"prefill": 1, "decode": steps} if steps else {"prefill": 1}
    entries = {
        phase: tuple(
            draw(phase_timings(name, times, bytes_per_cycle))
            for name in draw(st.lists(names, min_size=1, max_size=6, unique=True))
        )
        for phase, times in phases.items()
    }
    prefill, decode = entries["prefill"], entries.get("decode", ())
    peaks = [phase.report.peak_macs_per_cycle for phase in (*prefill, *decode)]
    return WorkloadTiming(
        workload=Workload(
            name="any",
            prefill=tuple(phase.gemm for phase in prefill),
            decode=tuple(phase.gemm for phase in decode),
            decode_steps=steps,
        ),
        prefill=prefill,
        decode=decode,
        roofline=Roofline(peak_macs_per_cycle=max(peaks), bytes_per_cycle=bytes_per_cycle),
        clock_mhz=draw(st.sampled_from((100.0, 300.0, 1000.0))),
    )
