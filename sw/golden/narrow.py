"""Layers on accumulators of any width, fast enough for whole models, and what went wrong there.

:func:`narrow_matmul` gives the bits of :func:`sw.golden.gemm.golden_gemm` for integer activations.
A wrapping register needs only final sums. A saturating or flagging one is stepped by numba, or by
numpy where that is not installed, but only in the channels and groups whose proved range leaves
the register: nowhere else can anything happen.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from sw import compiled
from sw.accumulators import Mode
from sw.accumulators.checks import check_word, integer

from . import narrow_loops
from .gemm import bounded
from .narrow_layer import MOST_BITS, Int64, NarrowLayer

#: whether numba does the work; may be set to False
COMPILED = compiled.njit is not None
#: tokens that are simulated side by side
BLOCK_TOKENS = 512


@dataclass(frozen=True, kw_only=True)
class Registers:
    """Accumulator widths, two's complement, and what happens to a sum outside them.

    Parameters
    ----------
    inner_bits, outer_bits : P_I and P_O; None is unlimited.
    inner_mode, outer_mode : ``wrap``, ``saturate`` or ``flag``.

    Raises
    ------
    InputError : a width below 1, or an unknown mode.
    """

    inner_bits: int | None = None
    inner_mode: Mode = "wrap"
    outer_bits: int | None = None
    outer_mode: Mode = "wrap"

    def __post_init__(self) -> None:
        for stage, bits, mode in (
            ("inner", self.inner_bits, self.inner_mode),
            ("outer", self.outer_bits, self.outer_mode),
        ):
            check_word(f"{stage} accumulator mode", mode, Mode)
            if bits is not None:
                integer(bits, f"{stage} accumulator bits", least=1)


#: no register that could be left
UNLIMITED = Registers()


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """What went wrong in one layer, by output channel; int64 (N,) each.

    Attributes
    ----------
    tokens, groups : how much was run: one latched group sum per token, group and channel.
    inner_steps, outer_steps : additions whose exact sum left the register; None where a register
        wraps, which counts nothing.
    inner_wrong : latched group sums that differ from exact ones.
    outputs_wrong : outputs that differ from those of unlimited registers.
    """

    tokens: int
    groups: int
    inner_steps: Int64 | None
    inner_wrong: Int64
    outer_steps: Int64 | None
    outputs_wrong: Int64

    def __add__(self, other: "Events") -> "Events":
        """Both of them: of the same layer with the same registers, on other tokens."""
        return Events(
            tokens=self.tokens + other.tokens,
            groups=self.groups,
            inner_steps=_added(self.inner_steps, other.inner_steps),
            inner_wrong=self.inner_wrong + other.inner_wrong,
            outer_steps=_added(self.outer_steps, other.outer_steps),
            outputs_wrong=self.outputs_wrong + other.outputs_wrong,
        )

    @property
    def outputs(self) -> int:
        """Outputs that were computed."""
        return self.tokens * len(self.outputs_wrong)

    def totals(self) -> dict[str, int | None]:
        """Sums over channels as JSON values, by attribute, and ``outputs``, ``latched``."""
        return {
            "inner_steps": None if self.inner_steps is None else int(self.inner_steps.sum()),
            "inner_wrong": int(self.inner_wrong.sum()),
            "outer_steps": None if self.outer_steps is None else int(self.outer_steps.sum()),
            "outputs_wrong": int(self.outputs_wrong.sum()),
            "latched": self.outputs * self.groups,
            "outputs": self.outputs,
        }


def _added(left: Int64 | None, right: Int64 | None) -> Int64 | None:
    return None if left is None or right is None else left + right


@dataclass(frozen=True, kw_only=True, eq=False)
class NarrowResult:
    """Outer accumulators at the end, int64 (M, N), and what went wrong on the way."""

    outputs: Int64
    events: Events


def in_blocks(run: Any, tokens: int) -> list[Any]:
    """``run(first, last)`` on blocks of tokens, on all cores; results in order."""
    workers = min(-(-tokens // 16), len(os.sched_getaffinity(0)))
    size = min(BLOCK_TOKENS, -(-tokens // workers))
    ends = [*range(0, tokens, size), tokens]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda pair: run(*pair), itertools.pairwise(ends)))


def narrow_matmul(
    layer: NarrowLayer,
    activations: Int64,
    registers: Registers,
    *,
    use_numba: bool | None = None,
) -> NarrowResult:
    """``layer`` on accumulators of given widths, the golden model's bits, with event counts.

    Parameters
    ----------
    activations : integers (M, K) inside the layer's input range.
    use_numba : rather than numpy; None: :data:`COMPILED`.

    Raises
    ------
    InputError : activations of another shape or outside the range.
    """
    layer.check_activations(activations)
    wanted = COMPILED if use_numba is None else use_numba

    def run(first: int, last: int) -> NarrowResult:
        return _block(layer, activations[first:last], registers, wanted)

    blocks = in_blocks(run, len(activations))
    events = blocks[0].events
    for block in blocks[1:]:
        events += block.events
    return NarrowResult(outputs=np.concatenate([b.outputs for b in blocks]), events=events)


def _block(layer: NarrowLayer, x: Int64, registers: Registers, use_numba: bool) -> NarrowResult:
    """:func:`narrow_matmul` of a few tokens."""
    channels = len(layer.levels)
    inner_steps, inner_wrong, outer_steps = (np.zeros(channels, np.int64) for _ in range(3))
    outer, exact = (np.zeros((len(x), channels), np.int64) for _ in range(2))
    bits, mode = registers.outer_bits, registers.outer_mode
    for group in range(len(layer.parts)):
        exact_sums = layer.exact_sums(group, x)
        sums = _inner(layer, group, x, exact_sums, registers, inner_steps, use_numba)
        inner_wrong += (sums != exact_sums).sum(axis=0)
        addend = layer.scaled(group, exact_sums, x)
        exact += addend
        outer += addend if sums is exact_sums else layer.scaled(group, sums, x)
        if bits is not None and bits < MOST_BITS:
            outer, overflow = bounded(outer, bits, mode)
            outer_steps += overflow.sum(axis=0)
    events = Events(
        tokens=len(x),
        groups=len(layer.parts),
        inner_steps=None if registers.inner_mode == "wrap" else inner_steps,
        inner_wrong=inner_wrong,
        outer_steps=None if mode == "wrap" else outer_steps,
        outputs_wrong=(outer != exact).sum(axis=0),
    )
    return NarrowResult(outputs=outer, events=events)


def _inner(
    layer: NarrowLayer,
    group: int,
    x: Int64,
    exact: Int64,
    registers: Registers,
    events: Int64,
    use_numba: bool,
) -> Int64:
    """Latched sums of one group (M, N); ``exact`` itself where no register can be left."""
    bits, mode = registers.inner_bits, registers.inner_mode
    if bits is None:
        return exact
    chosen = np.flatnonzero(layer.ranges[group].bits(mode) > bits)
    if not len(chosen):
        return exact
    sums = exact.copy()
    if mode == "wrap":
        sums[:, chosen] = bounded(exact[:, chosen], bits, mode)[0]
        return sums
    stepped = _stepped if use_numba else _stepped_plainly
    sums[:, chosen], left = stepped(layer, group, chosen, x, bits, mode)
    events[chosen] += left
    return sums


def _stepped(
    layer: NarrowLayer, group: int, chosen: Int64, x: Int64, bits: int, mode: Mode
) -> tuple[Int64, Int64]:
    """Latched sums (M, chosen) and counts of steps that left the register, (chosen,)."""
    steps = layer.operands(group, chosen, x)
    kind = steps[0].dtype.type
    sums, left = np.empty((len(chosen), len(x)), kind), np.zeros(len(chosen), np.int64)
    half = 1 << bits - 1
    narrow_loops.bounded_sums(steps, kind(-half), kind(half - 1), mode == "saturate", sums, left)
    return sums.T.astype(np.int64), left


def _stepped_plainly(
    layer: NarrowLayer, group: int, chosen: Int64, x: Int64, bits: int, mode: Mode
) -> tuple[Int64, Int64]:
    """:func:`_stepped` by numpy."""
    inputs, places, table, lanes = layer.operands(group, chosen, x)
    register = np.zeros((len(x), len(chosen)), np.int64)
    left = np.zeros(len(chosen), np.int64)
    for first in range(0, len(inputs), lanes):
        part = slice(first, first + lanes)
        for terms in table:
            addend = inputs[part].T.astype(np.int64) @ terms[places[:, part]].T.astype(np.int64)
            register, overflow = bounded(register + addend, bits, mode)
            left += overflow.sum(axis=0)
    return register, left
