"""The harness itself: every block is in it, cocotb replays it, and what is wrong is found."""

import itertools

import pytest

from hw.emit import to_verilog

from ..test_members import CLASSES
from .accumulator import AccumulatorBlock
from .batch import Batch
from .block import RESET
from .bundle import bundle_verilog
from .recording import Recorder, random_recording
from .registry import blocks_by_kind, cocotb_blocks

#: components that are made of blocks, tested whole
_COMPOSED = {"Accelerator", "BoardTop", "Core", "PEArray"}
#: what talks to a host byte by byte: tests/hw/bus has benches of its own for them
_HOST_LINK = {"Bridge", "UartReceiver", "UartTransmitter"}


def test_every_block_is_described() -> None:
    described = {type(blocks[0].component()).__name__ for blocks in blocks_by_kind().values()}
    assert described == {cls.__name__ for cls in CLASSES} - _COMPOSED - _HOST_LINK
    assert {block.kind for block in cocotb_blocks()} == set(blocks_by_kind())


@pytest.mark.rtl
def test_random_transactions_in_cocotb(run_bench) -> None:
    blocks = cocotb_blocks()
    passed = run_bench(bundle_verilog(blocks, "blocks"), "blocks", "bench_blocks")
    assert len(passed) == len(blocks)


@pytest.mark.rtl
def test_a_wrong_block_is_found_with_its_cycle() -> None:
    block = AccumulatorBlock(8, 5, "saturate")
    recording = random_recording(block, cycles=2000)
    right = bundle_verilog([block], Batch.TOP)
    assert Batch([block], verilog=right).replay(recording) is None
    assert " - " in right
    wrong = Batch([block], verilog=right.replace(" - ", " + ")).replay(recording)
    assert wrong is not None
    assert f"cycle {wrong.cycle} of {len(recording)}: next expected" in str(wrong)
    got = recording.unpack(wrong.got, output=True)["next"]
    assert got != recording.unpack(recording.expected[wrong.cycle], output=True)["next"]


@pytest.mark.rtl
def test_outputs_without_a_meaning_are_not_compared() -> None:
    block = AccumulatorBlock(8, 5, "wrap")
    recorder = Recorder(block)
    recorder.cycle({"clear": 0, "addend": 3})
    recorder.cycle({})
    recording = recorder.recording
    recording.expected[-1] ^= 0xFF
    recording.care[-1] = 0
    batch = Batch([block])
    assert batch.replay(recording) is None
    recording.expected[-2] ^= 1
    found = batch.replay(recording)
    assert found is not None and found.cycle == len(recording) - 2


def test_recordings_are_the_same_every_time() -> None:
    for blocks in blocks_by_kind().values():
        first, second = (random_recording(blocks[-1], cycles=300) for _ in range(2))
        assert (first.inputs, first.expected) == (second.inputs, second.expected)


def test_resets_come_in_the_middle() -> None:
    for blocks in blocks_by_kind().values():
        if not blocks[0].clocked:
            continue
        recording = random_recording(blocks[0], cycles=20_000)
        reset = [recording.unpack(row, output=False)[RESET] for row in recording.inputs]
        rising = sum(b > a for a, b in itertools.pairwise(reset))
        assert rising >= 3, blocks[0].name


def test_an_input_that_does_not_exist_is_refused() -> None:
    recorder = Recorder(AccumulatorBlock(4, 4, "wrap"))
    with pytest.raises(AssertionError, match=r"no such input: \['enabel'\]"):
        recorder.cycle({"enabel": 1})
    assert "module" in to_verilog(AccumulatorBlock(4, 4, "wrap").component(), "accumulator")
