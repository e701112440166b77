"""The accelerator, job after job, against the golden model and the simulator."""

from dataclasses import dataclass

import cocotb
import numpy as np
from axi_stream import Accepted, Bench
from cocotb.task import Task
from cocotb.triggers import FallingEdge, with_timeout
from designs import small_machine

from configs.timing import CAUSES
from sim import Gaps, simulate_gemm
from sw.compile import GemmProgram
from sw.golden import golden_gemm

MACHINE = small_machine()
WEIGHTS, ACTIVATIONS = "s_axis_weights", "s_axis_activations"


def random_program(rng: np.random.Generator, name: str) -> GemmProgram:
    """A GEMM of random shape; most are ragged in every dimension."""
    m, n, k, group_size = (int(rng.integers(1, high)) for high in (6, 6, 25, 9))
    groups = -(-k // group_size)
    activations = rng.choice([-128, 127, 0, *rng.integers(-128, 128, 6)], (m, k))
    scale_codes = rng.choice([0, 1, 255, *rng.integers(0, 256, 6)], (n, groups))
    return GemmProgram(
        machine=MACHINE,
        name=f"{name}: M={m} N={n} K={k} G={group_size}",
        group_size=group_size,
        codes=rng.integers(0, 16, (n, k)).astype(np.uint8),
        format_ids=rng.integers(0, 4, (n, groups)).astype(np.uint8),
        scale_codes=scale_codes.astype(np.uint8),
        activations=activations,
    )


@dataclass
class Job:
    """A program as the streams see it: beats, packet ends and gaps of the whole job."""

    program: GemmProgram
    gaps: Gaps

    @classmethod
    def draw(cls, rng: np.random.Generator, name: str) -> "Job":
        """Random program; each stream is fast, now and then idle, or slow."""
        program = random_program(rng, name)
        t = program.tiling
        counts = {
            "weights": t.tiles * (t.groups + t.tile_chunks),
            "activations": t.tiles * t.tile_chunks,
            "results": t.tiles * t.rows,
        }
        gaps = {
            stream: rng.choice([[0, 0, 0, 0], [0, 0, 1, 5], [0, 9, 3, 30]][rng.integers(3)], count)
            for stream, count in counts.items()
        }
        return cls(program, Gaps(**gaps))

    @property
    def counts(self) -> dict[str, int]:
        """Values of the job port."""
        names = ("tiles", "groups", "chunks", "last_chunks")
        return {name: getattr(self.program.tiling, name) for name in names}

    def beats(self, stream: str) -> tuple[list[int], list[bool]]:
        """Beats and TLAST of an input stream: one packet per tile, row tiles innermost."""
        t, beats, last = self.program.tiling, [], []
        for tile in range(t.tiles):
            column, row = divmod(tile, t.row_tiles)
            program = self.program
            packet = (
                program.weight_beats[column] if stream == WEIGHTS else program.activation_beats[row]
            )
            beats += [int.from_bytes(words.tobytes(), "little") for words in packet]
            last += [False] * (len(packet) - 1) + [True]
        return beats, last


def offer(bench: Bench, job: Job, flip: tuple[str, int] | None = None) -> list[Task]:
    """Start both input streams of a job; ``flip`` inverts TLAST of one beat of a stream."""
    tasks = []
    for name, gaps in ((WEIGHTS, job.gaps.weights), (ACTIVATIONS, job.gaps.activations)):
        beats, last = job.beats(name)
        if flip and flip[0] == name:
            last[flip[1]] = not last[flip[1]]
        tasks.append(cocotb.start_soon(bench.offer(name, beats, last, gaps.tolist())))
    return tasks


async def finish(bench: Bench, job: Job, accepted: int, *, flipped: bool = False) -> int:
    """Take the results of a job that was accepted in cycle ``accepted``, and check everything.

    Called in the cycle after; returns in the cycle after the job's last one, whose number it gives.
    """
    gaps = job.gaps.results.tolist()
    results = cocotb.start_soon(bench.accept(len(gaps), gaps))
    await FallingEdge(bench.dut.aclk)
    assert int(bench.dut.protocol_error.value) == 0, "a new job has not cleared protocol_error"
    received = await with_timeout(results, 20, "us")
    await FallingEdge(bench.dut.aclk)
    check_values(bench.dut, job.program, received)
    check_time(bench.dut, job, received.cycles[-1] - accepted)
    assert int(bench.dut.busy.value) == 0, "busy after the last result"
    assert int(bench.dut.protocol_error.value) == flipped, f"protocol_error is not {flipped}"
    return received.cycles[-1]


def check_values(dut, program: GemmProgram, received: Accepted) -> None:
    """Outputs, overflow flags and TLAST."""
    expected, words = golden_gemm(program), -(-MACHINE.result_beat_bits // 32)
    raw = b"".join(beat.to_bytes(4 * words, "little") for beat in received.data)
    outputs = program.unpack_results(np.frombuffer(raw, dtype="<u4").reshape(-1, words))
    wrong = [tuple(place) for place in np.argwhere(outputs != expected.outputs).tolist()]
    assert not wrong, (
        f"{program.name}: output (row, column) {wrong[0]} expected {expected.outputs[wrong[0]]}, "
        f"got {outputs[wrong[0]]}"
    )
    ends = [0] * (len(received.last) - 1) + [1]
    assert received.last == ends, f"{program.name}: TLAST {received.last}"
    for stage in ("inner_overflow", "outer_overflow"):
        flags = [bool(int(getattr(dut, stage).value) >> col & 1) for col in range(2)]
        assert flags == getattr(expected, stage).tolist(), f"{program.name}: {stage} {flags}"


def check_time(dut, job: Job, cycles: int) -> None:
    """Cycles that the bench counted, and the design's own counters."""
    timing, name = simulate_gemm(MACHINE, job.program.shape, job.gaps), job.program.name
    assert cycles == timing.total_cycles, f"{name}: {cycles} cycles, expected {timing}"
    causes = {cause: int(getattr(dut, f"count_{cause}").value) for cause in CAUSES}
    assert causes == timing.causes, f"{name}: {causes}, expected {timing.causes}"


async def begin(dut) -> Bench:
    """Bench after reset."""
    bench = Bench(dut)
    await bench.next_cycle()
    await bench.reset(3)
    return bench


@cocotb.test()
async def jobs_back_to_back(dut):
    bench, rng = await begin(dut), np.random.default_rng(1)
    jobs = [Job.draw(rng, f"job {index}") for index in range(60)]
    overflows = np.array([0, 0])
    request = cocotb.start_soon(bench.job(**jobs[0].counts))
    finished = None
    for index, job in enumerate(jobs):
        accepted = await request
        assert finished in (None, accepted - 1), "the next job waits longer than one cycle"
        offer(bench, job)
        if index + 1 < len(jobs):  # offered while this one still runs
            request = cocotb.start_soon(bench.job(**jobs[index + 1].counts))
        finished = await finish(bench, job, accepted)
        golden = golden_gemm(job.program)
        overflows += [golden.inner_overflow.any(), golden.outer_overflow.any()]
        await bench.next_cycle()
    assert min(overflows) > 3 and max(overflows) < len(jobs), f"{overflows} of {len(jobs)}"


@cocotb.test()
async def beats_wait_for_their_job(dut):
    bench, rng = await begin(dut), np.random.default_rng(4)
    for index in range(8):
        job = Job.draw(rng, f"job {index}")
        none = {name: 0 * getattr(job.gaps, name) for name in ("weights", "activations")}
        job = Job(job.program, Gaps(**none, results=job.gaps.results))
        offer(bench, job)
        for _ in range(index):
            await bench.next_cycle()
        await finish(bench, job, await bench.job(**job.counts))
        await bench.next_cycle()


@cocotb.test()
async def reset_in_the_middle_of_a_job(dut):
    bench, rng = await begin(dut), np.random.default_rng(2)
    for index in range(25):
        broken, clean = (Job.draw(rng, f"{kind} job {index}") for kind in ("broken", "clean"))
        await bench.job(**broken.counts)
        gaps = broken.gaps.results.tolist()
        tasks = [*offer(bench, broken), cocotb.start_soon(bench.accept(len(gaps), gaps))]
        total = simulate_gemm(MACHINE, broken.program.shape, broken.gaps).total_cycles
        for _ in range(int(rng.integers(total))):
            await bench.next_cycle()
        assert int(dut.busy.value) == 1, "the reset would come after the job"
        for task in tasks:
            task.cancel()
        await bench.reset(int(rng.integers(1, 4)))
        accepted = await bench.job(**clean.counts)
        offer(bench, clean)
        await finish(bench, clean, accepted)
        await bench.next_cycle()


@cocotb.test()
async def wrong_packet_ends_are_reported(dut):
    bench, rng = await begin(dut), np.random.default_rng(3)
    for index in range(16):
        job, name = Job.draw(rng, f"job {index}"), (WEIGHTS, ACTIVATIONS)[index % 2]
        last = job.beats(name)[1]
        ends = [beat for beat, end in enumerate(last) if end]
        missing = index % 4 < 2  # otherwise any beat, mostly one that ends its packet early
        flip = (name, int(rng.choice(ends)) if missing else int(rng.integers(len(last))))
        for current, flipped in ((job, flip), (Job.draw(rng, f"job after {index}"), None)):
            accepted = await bench.job(**current.counts)
            offer(bench, current, flipped)
            await finish(bench, current, accepted, flipped=flipped is not None)
            await bench.next_cycle()
