"""Golden model: what the machine must output, from levels and plain integers.

In mode ``wrap`` the order of additions cannot matter, and nothing but levels is read. Modes
``saturate`` and ``flag`` act on every step, so the steps are part of what is specified: there
the schedule's terms are read too, after a check that they add up to the levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.compile.program import GemmProgram
from sw.compile.scales import scale_integers
from sw.compile.stages import RequantizerParameters

from .floating import exact_float32_codes, float32_codes, float_gemm


@dataclass(frozen=True, kw_only=True, eq=False)
class GoldenResult:
    """Expected outputs and sticky overflow bits.

    Attributes
    ----------
    outputs : int64 (M, N), outer accumulator at the end of each tile, requantized if the machine
        has a requantizer.
    group_sums : (groups, M, N), inner accumulator at the end of each group: int64, Python integers
        of exact floating-point machines, mantissas of aligned ones.
    inner_overflow, outer_overflow : bool (cols,), per array column.
    invalid_activations : bool (rows,), per array row: an activation was Inf or NaN.

    Outputs of floating-point machines are the bits of float32 numbers, as signed integers.
    """

    outputs: NDArray[np.int64]
    group_sums: NDArray[Any]
    inner_overflow: NDArray[np.bool_]
    outer_overflow: NDArray[np.bool_]
    invalid_activations: NDArray[np.bool_]


def wrap(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Keep the low ``bits`` of each value, as two's complement."""
    if values.dtype == object:
        half = 1 << bits - 1
        return (values + half) % (2 * half) - half
    spare = 64 - bits
    return values << spare >> spare


def bounded(values: NDArray[Any], bits: int, mode: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """One accumulator step's register value and whether the exact sum left the range."""
    half = 1 << (bits - 1)
    overflow = ((values >= half) | (values < -half)).astype(bool)
    if mode == "saturate":
        return np.clip(values, -half, half - 1), overflow
    return wrap(values, bits), overflow


def golden_gemm(program: GemmProgram) -> GoldenResult:
    """Outputs and overflow bits of ``program``, exactly as the machine defines them.

    Raises
    ------
    InputError : sums could leave 62 bits, beyond which this model's integers would not be exact.
    """
    machine, t = program.machine, program.tiling
    array = machine.accelerator
    if array.is_aligned:
        return _aligned_gemm(program)
    if not array.has_floats:
        _check_exact(program)
    inner_mode, outer_mode = array.inner_accumulator.mode, array.outer_accumulator.mode
    if inner_mode == "wrap":
        sums = wrap(_group_sums(program), machine.inner_bits)
        inner_events = np.zeros(sums.shape[1:], dtype=bool)
    else:
        sums, inner_events = _stepped_group_sums(program, inner_mode)

    scales = _padded_scales(program)
    corrected = sums - _zero_point_products(program)
    outer = np.zeros(sums.shape[1:], dtype=sums.dtype)
    outer_events = np.zeros_like(outer, dtype=bool)
    for group in range(t.groups):
        scaled = corrected[group] * scales[:, group]
        outer, overflow = bounded(outer + scaled, machine.outer_bits, outer_mode)
        outer_events |= overflow & (outer_mode != "wrap")
    outputs = outer[:, : t.shape.n]
    if program.requantizer is not None:
        outputs = requantize(outputs, program.requantizer)
    if machine.float_exponents is not None:
        outputs = exact_float32_codes(outputs, machine.float_exponents[1])
    return GoldenResult(
        outputs=outputs,
        group_sums=sums[..., : t.shape.n],
        inner_overflow=_by_column(inner_events, array.cols),
        outer_overflow=_by_column(outer_events, array.cols),
        invalid_activations=_invalid_rows(program),
    )


def _aligned_gemm(program: GemmProgram) -> GoldenResult:
    """Outputs of a machine whose sums are rounded; its accumulators cannot overflow."""
    machine, cols = program.machine, program.machine.accelerator.cols
    outer, groups = float_gemm(program)
    assert machine.float_exponents is not None
    return GoldenResult(
        outputs=float32_codes(outer, machine.float_exponents[1]),
        group_sums=groups.mantissa,
        inner_overflow=np.zeros(cols, dtype=bool),
        outer_overflow=np.zeros(cols, dtype=bool),
        invalid_activations=_invalid_rows(program),
    )


def _invalid_rows(program: GemmProgram) -> NDArray[np.bool_]:
    """Or over the tokens that run on each array row."""
    array = program.machine.accelerator
    if not array.has_floats:
        return np.zeros(array.rows, dtype=bool)
    tokens = np.asarray(program.activation_parts.invalid.any(axis=1))
    return _by_column(tokens[None, :], array.rows)


def _check_exact(program: GemmProgram) -> None:
    """Refuse programs whose sums might not fit this model's 64-bit integers."""
    machine = program.machine
    array = machine.accelerator
    level = program.family.max_magnitude + (1 << array.zero_point_bits)
    largest = max(abs(v) for v in array.integer_range) * level * program.shape.k
    if (
        array.requantizer is not None
        and machine.outer_bits + array.requantizer.multiplier_bits > 62
    ):
        raise InputError(
            f"{program.name}: outer sums of {machine.outer_bits} bits times multipliers of "
            f"{array.requantizer.multiplier_bits} are too wide for exact 64-bit products"
        )
    if (largest << array.scale.integer_bits + 2).bit_length() > 62:
        raise InputError(f"{program.name}: K = {program.shape.k} is too long for exact 64-bit sums")


def requantize(sums: NDArray[np.int64], parameters: RequantizerParameters) -> NDArray[np.int64]:
    """INT8 outputs of accumulators (M, N): ``(sum * multiplier + half) >> shift``, saturated.

    ``half`` is half of ``2**shift``, so halves round up; nothing is added for a shift of 0.
    """
    shifts = parameters.shifts
    half = np.where(shifts > 0, np.int64(1) << np.maximum(shifts - 1, 0), 0)
    products = sums * parameters.multipliers
    # a shift by 62 or 63 bits: half alone would overflow, the result is 0 or -1 rounded up to 0
    far = shifts > 61
    rounded = products + np.where(far, 0, half) >> np.where(far, 0, shifts)
    return np.where(far, 0, rounded).clip(-128, 127)


def _padded_scales(program: GemmProgram) -> NDArray[np.int64]:
    """Integer scales (N padded, groups); the headers of missing columns hold code 0."""
    missing = len(program.padded_levels) - program.shape.n
    codes = np.pad(program.scale_codes, ((0, missing), (0, 0)))
    return scale_integers(program.machine.accelerator.scale, codes)


def _zero_point_products(program: GemmProgram) -> NDArray[np.int64]:
    """Zero point times activation sum, (groups, M, N padded), or zeros of fewer axes."""
    if program.zero_points is None:
        return np.zeros((1, 1, 1), dtype=np.int64)
    edges = np.arange(0, program.shape.k, program.group_size)
    sums = np.add.reduceat(program.activations, edges, axis=1)
    missing = len(program.padded_levels) - program.shape.n
    zero_points = np.pad(program.zero_points, ((0, missing), (0, 0)))
    return np.asarray(sums.T[:, :, None] * zero_points.T[:, None, :])


def _group_sums(program: GemmProgram) -> NDArray[np.int64]:
    """Exact group sums (groups, M, N padded) from levels; float64 is exact below 2**53."""
    edges = np.arange(0, program.shape.k, program.group_size)
    weights, activations = program.padded_levels, program.activation_values
    exact = activations.dtype if activations.dtype == object else np.int64
    kind = object if exact is not np.int64 else float
    weights, activations = weights.astype(kind), activations.astype(kind)
    return np.array(
        [
            activations[:, e : e + program.group_size] @ weights[:, e : e + program.group_size].T
            for e in edges
        ]
    ).astype(exact)


def _stepped_group_sums(
    program: GemmProgram, mode: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Group sums (groups, M, N padded) with ``mode`` applied after every slot, and overflow.

    Missing columns take part: without a level 0 their sums can set a column's sticky bit.
    """
    kind = program.activation_values.dtype
    sums = np.zeros((program.tiling.groups, *_padded_shape(program)), dtype=kind)
    events = np.zeros(sums.shape[1:], dtype=bool)
    for step in inner_steps(program, mode):
        sums[step.group] = step.register
        events |= step.overflow
    return sums, events


@dataclass(frozen=True, kw_only=True, eq=False)
class InnerStep:
    """The inner accumulators after one slot: register int64 and overflow bool, (M, N padded)."""

    group: int
    chunk: int
    slot: int
    register: NDArray[np.int64]
    overflow: NDArray[np.bool_]


def inner_steps(program: GemmProgram, mode: str) -> Iterator[InnerStep]:
    """Every step of the schedule in order: group, chunk, slot (innermost).

    Raises
    ------
    AssertionError : the term table does not add up to the levels.
    """
    machine = program.machine
    partial = machine.terms.partial_levels(program.padded_levels)
    if not np.array_equal(partial[-1], program.padded_levels):
        raise AssertionError("the term table does not add up to the levels")
    values = program.activation_values
    # float64 is exact below 2**53
    kind = object if values.dtype == object else float
    steps = np.diff(partial, axis=0, prepend=0).astype(kind)
    activations = values.astype(kind)
    register = np.zeros(_padded_shape(program), dtype=values.dtype)
    group, chunk = -1, 0
    for inputs in program.chunk_inputs:
        inputs = inputs[inputs >= 0]
        chunk += 1
        if program.group_of[inputs[0]] != group:
            group, chunk, register = int(program.group_of[inputs[0]]), 0, np.zeros_like(register)
        for slot, step in enumerate(steps):
            dot = (activations[:, inputs] @ step[:, inputs].T).astype(values.dtype)
            register, overflow = bounded(register + dot, machine.inner_bits, mode)
            yield InnerStep(
                group=group, chunk=chunk, slot=slot, register=register, overflow=overflow
            )


def _padded_shape(program: GemmProgram) -> tuple[int, int]:
    """Tokens, and output channels in whole column tiles."""
    return program.shape.m, len(program.padded_levels)


def _by_column(events: NDArray[np.bool_], cols: int) -> NDArray[np.bool_]:
    """Or of (M, N) events over everything that runs on one array column."""
    padded = np.zeros((-(-events.shape[1] // cols), cols), dtype=bool)
    padded.reshape(-1)[: events.shape[1]] = events.any(axis=0)
    return np.asarray(padded.any(axis=0))
