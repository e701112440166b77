"""Recorded jobs and the diagrams drawn from them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from bitsmith.package.diagrams import job_streams, register_access
from bitsmith.package.identity import identity
from bitsmith.package.jobs import job_file, recorded_jobs
from bitsmith.verify import draw_gaps
from configs.accelerator import BufferConfig
from configs.errors import InputError
from configs.timing import REGISTER_CYCLES
from sim import simulate_gemm
from sim.words import word_cycles
from sw.compile.transfers import Transfers

from ...agreement.machines import BUFFERS, FAST
from .machines import SMALL, small_files

MACHINES = {"small": SMALL, **BUFFERS, "no buffers": FAST["4x4x4 bitmod_fp4"]}


@pytest.mark.parametrize("name", MACHINES)
def test_hard_shapes_are_among_them(name: str) -> None:
    machine = MACHINES[name]
    array = machine.accelerator
    jobs = {job.name: job for job in recorded_jobs(machine)}
    shape = jobs["ragged_k"].program.shape
    assert shape.k % shape.group_size
    assert array.lanes == 1 or shape.group_size % array.lanes
    assert jobs["decode"].program.shape.m == 1
    assert jobs["one_channel"].program.shape.n == 1
    assert jobs["many_tokens"].program.shape.m > 2 * array.rows
    assert not jobs["short_packet"].results
    for job in jobs.values():
        gaps = any(word.gap for word in (*job.weights, *job.activations, *job.results))
        assert gaps == (job.name != "one_tile")


@pytest.mark.parametrize("name", MACHINES)
def test_recording_changes_nothing(name: str) -> None:
    """Cycles of words come from the simulator that the RTL is proved against."""
    machine, rng = MACHINES[name], np.random.default_rng(3)
    for job in recorded_jobs(machine):
        gaps = draw_gaps(job.program, rng)
        report, cycles = word_cycles(job.program.machine, job.program.shape, gaps)
        assert report == simulate_gemm(machine, job.program.shape, gaps)
        counts = Transfers(program=job.program).stream_words
        assert [len(found) for found in cycles] == list(counts.values())
        assert cycles[2][-1] == report.total_cycles
        assert all(np.diff(found).min(initial=1) >= 1 for found in cycles)


def test_words_are_the_transfers() -> None:
    for job in recorded_jobs(SMALL):
        transfers = Transfers(program=job.program)
        packets, packet = [], b""
        for word in job.activations:
            packet += word.data
            if word.last:
                packets.append(packet)
                packet = b""
        assert packet == b""
        images = [image.astype("<u4").tobytes() for image in transfers.activations]
        for index, found in enumerate(packets):
            # one byte of each 32-bit word is used
            assert found == images[index % len(images)][::4]


def test_results_are_the_golden_ones() -> None:
    for job in recorded_jobs(SMALL):
        if not job.results:
            continue
        assert [word.last for word in job.results] == [False] * (len(job.results) - 1) + [True]
        # 2 results of 3 bytes a row, in words of 4 and 2 bytes
        assert {len(word.data) for word in job.results} == {4, 2}
        raw = np.zeros((len(job.results), 4), dtype=np.uint8)
        for row, word in zip(raw, job.results, strict=True):
            row[: len(word.data)] = list(word.data)
        outputs = Transfers(program=job.program).outputs(raw.view("<u4"))
        from sw.golden import golden_gemm

        assert (outputs == golden_gemm(job.program).outputs).all()
        assert outputs.any()


def test_job_file_format() -> None:
    who = identity(SMALL, "1")
    for job in recorded_jobs(SMALL):
        lines = job_file(job, SMALL, who).splitlines()
        assert lines[0] == "bitsmith-job 1"
        for line in lines[1:]:
            assert re.fullmatch(
                r"# .*|name \w+|text .*|(write|read) \d+ \d+ \w+|run \d+ \d+|interrupt [01]"
                r"|[war] \d+ [01] -?\d+ ([0-9a-f]{2})+",
                line,
            ), line


def test_k_is_cut_to_small_buffers_and_none_at_all_is_refused() -> None:
    """Room for one chunk is enough for a job; less is a machine that can do nothing."""
    array = SMALL.accelerator
    tight = replace(array, buffers=BufferConfig(weight_beats=2, activation_beats=1))
    jobs = recorded_jobs(replace(SMALL, accelerator=tight))
    assert {job.program.shape.k for job in jobs} == {2}
    from configs.accelerator import RequantizerConfig

    none = replace(tight, requantizer=RequantizerConfig())
    with pytest.raises(InputError, match="set it to 3 or more"):
        recorded_jobs(replace(SMALL, accelerator=none))


def test_diagram_shows_the_recorded_cycles() -> None:
    for machine in MACHINES.values():
        job = recorded_jobs(machine)[0]
        head, _, *rows = job_streams(job).splitlines()
        starts = [match.start() for match in re.finditer(r"\S+", head)]
        shown = {
            start: int(text) for start, text in zip(starts, head.split(), strict=True)
            if text.isdigit()
        }  # fmt: skip
        found = {}
        for row in rows:
            for match in re.finditer(r"([war])(\d+)(\*?)(?=\s|$)", row[20:]):
                found[match[1], int(match[2])] = (shown[20 + match.start()], bool(match[3]))
        for letter, words in (("w", job.weights), ("a", job.activations), ("r", job.results)):
            assert found[letter, 0][0] == words[0].cycle
            assert found[letter, len(words) - 1] == (words[-1].cycle, True)
            for index, word in enumerate(words):
                assert found.get((letter, index), (word.cycle, word.last)) == (
                    word.cycle,
                    word.last,
                )
        assert shown[max(shown)] == job.cycles
    assert job_streams(recorded_jobs(SMALL)[0]) in small_files()["README.md"]


def test_register_access_is_simulated() -> None:
    text = register_access(SMALL)
    assert text in small_files()["README.md"]
    head, *rows = text.splitlines()
    cycles = [int(word) for word in head.split()[1:]]
    levels = {
        row[:20].strip(): dict(
            zip(cycles, (row[22 + 5 * i] == "~" for i in range(len(cycles))), strict=True)
        )
        for row in rows
    }

    def high(name: str) -> list[int]:
        return [cycle for cycle, level in levels[name].items() if level]

    assert high("(the write acts)") == [0]
    assert high("s_axi_awvalid") == high("s_axi_wvalid") == [1 - REGISTER_CYCLES]
    assert high("s_axi_bvalid") == [1]
    assert high("s_axi_rvalid") == [0]
