"""Layers on machines with floating-point activations, fast enough for whole models.

:func:`aligned_sums` gives the bits of :func:`sw.golden.floating.float_gemm`: by numba where it is
installed, else by that function itself.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw import compiled
from sw.compile.activations import machine_activations
from sw.compile.floating import FloatWidths
from sw.compile.layer import MachineLayer
from sw.compile.machine import Machine
from sw.compile.scales import scale_parts
from sw.formats import float_layout

from . import aligned_loops
from .floating import (
    Int64,
    Sums,
    exact_float32_codes,
    float32_codes,
    float_gemm,
    inner_rule,
    outer_rule,
)
from .gemm import golden_gemm
from .rescale import rescale

#: whether numba does the work; may be set to False
COMPILED = compiled.njit is not None
#: no integer of the loops may need more bits, sign included
_MOST_BITS = 60
#: integers that float64 holds, and how they are cut for a second product
_FLOAT64_BITS, _LOW_BITS = 53, 26


@dataclass(frozen=True, kw_only=True, eq=False)
class Operands:
    """Weights of a layer in the order in which a machine's lanes take them.

    Chunks that lack inputs are filled with digits 0. They hold for every machine with the same
    lanes, terms and alignment, whatever its widths and its rounding.

    Attributes
    ----------
    digits : (chunks, slots, lanes, N), the smallest integers that fit; with alignment in the row
        times ``2**(exponent + base shift)``.
    exponents : int8, the same shape; empty with alignment in the row.
    inputs : int64 (chunks, lanes), input of each lane, -1 where there is none.
    groups : int64 (chunks,), group of each chunk.
    multipliers, shifts : int64 (groups, N), scales.
    """

    digits: NDArray[np.signedinteger]
    exponents: NDArray[np.int8]
    inputs: Int64
    groups: Int64
    multipliers: Int64
    shifts: Int64


def operands(layer: MachineLayer, machine: Machine) -> Operands:
    """Weights of ``layer`` as ``machine`` takes them."""
    array, terms = machine.accelerator, machine.terms
    inputs = _chunk_inputs(layer.levels.shape[1], layer.group_size, array.lanes)
    digits, exponents = terms.digits(layer.levels)
    in_pe = machine.floating.in_pe
    if not in_pe:
        digits = digits << exponents + np.array(terms.base_shifts)[:, None, None]
    multipliers, shifts = scale_parts(array.scale, layer.scale_codes)
    return Operands(
        digits=_narrowed(_by_chunk(digits, inputs)),
        exponents=_by_chunk(exponents, inputs).astype(np.int8)
        if in_pe
        else np.zeros((0, 0, 0, 0), np.int8),
        inputs=inputs,
        groups=np.maximum(inputs[:, 0], 0) // layer.group_size,
        multipliers=np.ascontiguousarray(multipliers.T),
        shifts=np.ascontiguousarray(shifts.T),
    )


def _chunk_inputs(k: int, group_size: int, lanes: int) -> Int64:
    """Input of every (chunk, lane), -1 where a chunk is padded; groups start new chunks."""
    parts = []
    for start in range(0, k, group_size):
        group = np.arange(start, min(k, start + group_size))
        padded = np.full(-(-len(group) // lanes) * lanes, -1, dtype=np.int64)
        padded[: len(group)] = group
        parts.append(padded.reshape(-1, lanes))
    return np.concatenate(parts)


def _by_chunk(fields: Int64, inputs: Int64) -> Int64:
    """(slots, N, K) to (chunks, slots, lanes, N), with 0 where there is no input."""
    taken = np.where(inputs >= 0, fields[:, :, inputs], 0)
    return np.ascontiguousarray(taken.transpose(2, 0, 3, 1))


def _narrowed(values: Int64) -> NDArray[np.signedinteger]:
    """The same in one byte each where they fit; two kinds, since each is compiled by itself."""
    fits = np.abs(values).max(initial=0) <= np.iinfo(np.int8).max
    return values.astype(np.int8) if fits else values


def _reach(widths: FloatWidths) -> int:
    """Places below an operand beyond which another one only decides how it is rounded."""
    return max(widths.addend_bits, widths.inner_bits) + 2


def _fits(widths: FloatWidths, full: bool) -> bool:
    """Whether the loops' integers hold everything."""
    inner = max(widths.addend_bits, widths.inner_bits)
    if full:
        inner += _reach(widths) + 3
    return max(inner, widths.product_sum_bits, widths.outer_bits) < _MOST_BITS


def aligned_sums(
    layer: MachineLayer,
    machine: Machine,
    activations: Int64,
    *,
    prepared: Operands | None = None,
    use_numba: bool | None = None,
) -> Sums:
    """Outer sums (M, N) of an aligned machine, the bits of its golden model.

    Parameters
    ----------
    activations : codes int64 (M, K).
    prepared : :func:`operands` of this layer and a machine like this one, if they are at hand.
    use_numba : rather than numpy; None: :data:`COMPILED`.

    Raises
    ------
    InputError : a layer that the machine cannot run.
    """
    layer.program(machine, "layer", activations[:1])  # refuses what cannot run
    inner, outer = inner_rule(machine.floating), outer_rule(machine.floating)
    wanted = COMPILED if use_numba is None else use_numba
    if not (wanted and _fits(machine.floating, inner.full)):
        return float_gemm(layer.program(machine, "layer", activations))[0]
    found = prepared if prepared is not None else operands(layer, machine)
    array = machine.accelerator
    parts = float_layout(array.activation_format).take_apart(activations)
    signed = np.where(parts.negative, -parts.significand, parts.significand)
    missing = found.inputs < 0
    lanes = (
        np.where(missing, 0, signed[:, found.inputs]) << array.floating.guard_bits,
        np.where(missing, 0, parts.place[:, found.inputs]),
    )
    bases = np.array(machine.terms.base_shifts, dtype=np.int64)
    weights = (found.digits, found.exponents, found.groups, bases, machine.floating.in_pe)
    rules = (
        1 << inner.bits - 1,
        1 << outer.bits - 1,
        int(inner.rounding == "nearest_even"),
        _reach(machine.floating) if inner.full else -1,
    )
    shape = len(activations), layer.levels.shape[0]
    out = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    def run(tokens: tuple[int, int]) -> None:
        scales = (found.multipliers, found.shifts)
        aligned_loops.sums(tokens, lanes, weights, scales, rules, out)

    _in_parts(run, shape[0])
    return Sums(*out)


def _in_parts(run, tokens: int) -> None:  # type: ignore[no-untyped-def]
    """``run`` on ranges of tokens, one a core."""
    workers = min(tokens, len(os.sched_getaffinity(0)))
    ends = np.linspace(0, tokens, workers + 1).astype(int).tolist()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, itertools.pairwise(ends)))


def exact_codes(layer: MachineLayer, machine: Machine, activations: Int64) -> Int64:
    """Results (M, N) of a machine with the exact datapath: bits of float32 numbers.

    The golden model's, where accumulators hold every sum. Sums of a group are float64 products
    where these are exact; for formats with too many exponents the golden model does the work.
    """
    layout = float_layout(machine.accelerator.activation_format)
    largest = int(np.abs(layer.levels).max()) * min(layer.group_size, layer.levels.shape[1])
    if (layout.largest_integer * largest).bit_length() > _FLOAT64_BITS:
        return golden_gemm(layer.program(machine, "layer", activations)).outputs
    parts = layout.take_apart(activations)
    values = np.ldexp(parts.significand.astype(np.float64), parts.place.astype(np.int32))
    values = np.where(parts.negative, -values, values)
    levels = layer.levels.astype(np.float64)
    high = np.zeros((len(values), len(levels)), dtype=np.int64)
    low = np.zeros_like(high)
    for group, scale in enumerate(layer.scales.T):
        part = slice(group * layer.group_size, (group + 1) * layer.group_size)
        sums = (values[:, part] @ levels[:, part].T).astype(np.int64)
        high += (sums >> _LOW_BITS) * scale
        low += (sums & (1 << _LOW_BITS) - 1) * scale
    return _rounded_pairs(high, low, layout.unit_exponent)


def _rounded_pairs(high: Int64, low: Int64, unit_exponent: int) -> Int64:
    """``high * 2**26 + low`` in units, rounded once to float32.

    float64 takes 53 bits and one that stands for all that is lost (rounding to odd), from which
    rounding to 24 bits gives what it would give from the number itself.
    """
    high = high + (low >> _LOW_BITS)
    low = low & (1 << _LOW_BITS) - 1
    if np.abs(high).max(initial=0) >> 62 - _LOW_BITS == 0:
        small = (high << _LOW_BITS) + low
        drop = np.where(np.abs(small) >> _FLOAT64_BITS - 1 > 0, np.int64(10), 0)
        odd = small >> drop | (small & (1 << drop) - 1 != 0)
        return float32_codes(Sums(odd, drop), unit_exponent)
    whole: NDArray[Any] = high.astype(object) * (1 << _LOW_BITS) + low
    return exact_float32_codes(whole, unit_exponent)


def machine_outputs(
    layer: MachineLayer,
    machine: Machine,
    x: NDArray[np.float32],
    *,
    prepared: Operands | None = None,
    use_numba: bool | None = None,
) -> NDArray[np.float32]:
    """What the host gets for real inputs ``x`` (M, K): encoded, run on the machine, rescaled.

    Returns
    -------
    float32 (M, N).

    Raises
    ------
    InputError : a machine with integer activations, or inputs that are not finite.
    """
    array = machine.accelerator
    if not array.has_floats:
        raise InputError(f"accelerator '{array.name}' takes integer activations")
    codes, scales = machine_activations(x, array)
    if array.is_aligned:
        sums = aligned_sums(layer, machine, codes, prepared=prepared, use_numba=use_numba)
        assert machine.float_exponents is not None
        bits = float32_codes(sums, machine.float_exponents[1])
    else:
        bits = exact_codes(layer, machine, codes)
    results: NDArray[Any] = bits.astype(np.int32).view(np.float32)
    return rescale(
        results,
        channel_scales=layer.channel_factors,
        unit=layer.family.unit,
        activation_scales=scales,
    )
