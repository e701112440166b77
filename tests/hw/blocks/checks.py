"""The batch check that every block's test runs."""

from collections import Counter
from functools import cache

import pytest

from configs.errors import InputError
from hw.benches.toolchain import compiler, verilator_root

from .batch import Batch
from .block import Block
from .recording import Recording, listed_recording, random_recording
from .registry import blocks_by_kind

#: random cycles per kind of block, at least; shared by its variants
CYCLES = 100_000
#: and per variant with a clock; the others are tried exhaustively
_CYCLES_PER_VARIANT = 10_000
#: how often each event of ``must_see`` has to happen
_EVENTS = 20


@cache
def batch(kind: str) -> Batch:
    """All variants of a kind, Verilated once; skips without the tools."""
    try:
        verilator_root()
        compiler()
    except InputError as missing:
        pytest.skip(str(missing))
    return Batch(blocks_by_kind()[kind])


def recordings(block: Block) -> list[Recording]:
    """What the batch check replays: random cycles, and the listed and exhaustive ones."""
    share = -(-CYCLES // len(blocks_by_kind()[block.kind]))
    cycles = max(share, _CYCLES_PER_VARIANT) if block.clocked else share
    found = [random_recording(block, cycles=cycles), listed_recording(block)]
    return [recording for recording in found if len(recording) > 2]


def check_block(kind: str) -> Counter[str]:
    """Replay every variant of a kind; returns what its models have seen in all.

    Raises
    ------
    AssertionError : an output was wrong (with cycle, port and the inputs before), or the stimulus
        did not reach what it has to reach.
    """
    total: Counter[str] = Counter()
    for block in blocks_by_kind()[kind]:
        replayed = recordings(block)
        for recording in replayed:
            mismatch = batch(kind).replay(recording)
            assert mismatch is None, str(mismatch)
            total += recording.model.seen + Counter(cycles=len(recording))
        seen = replayed[0].model.seen
        short = {event: seen[event] for event in block.must_see if seen[event] < _EVENTS}
        assert not short, f"{block.name}: the stimulus did not get there: {short}"
    return total
