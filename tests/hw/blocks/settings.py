"""Enough random cycles of every setting of a floating-point block, not only of every block."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from typing import Any

from .block import Block
from .checks import CYCLES, batch
from .recording import Recorder
from .registry import blocks_by_kind


def check_settings(kind: str, setting_of: Callable[[Any], Hashable | None]) -> Counter[Hashable]:
    """Replay at least ``CYCLES`` random cycles of every setting; returns how many.

    ``setting_of`` a variant is what its cycles count for, None for nothing.

    Raises
    ------
    AssertionError : an output was wrong.
    """
    variants: defaultdict[Hashable, list[Block]] = defaultdict(list)
    for block in blocks_by_kind()[kind]:
        if (setting := setting_of(block)) is not None:
            variants[setting].append(block)
    cycles: Counter[Hashable] = Counter()
    for setting, blocks in variants.items():
        for block in blocks:
            recording = Recorder(block, seed=2).random(cycles=-(-CYCLES // len(blocks)))
            mismatch = batch(kind).replay(recording)
            assert mismatch is None, str(mismatch)
            cycles[setting] += len(recording)
    return cycles
