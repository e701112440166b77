"""Inner loops of :mod:`sw.golden.aligned`, compiled by numba: the bits of the golden model.

All integers are int64, as there. A step acts on all output channels of a token, which become vector
instructions; rows of ``state`` are mantissas and exponents of the inner accumulators, then of the
outer ones. Shifts beyond 62 places leave what 62 leave, since no operand reaches 2**61.
"""

from typing import Any

import numpy as np

from sw.compiled import inner_loop, outer_loop

#: more places than any operand has
FAR = 62
_ONE = np.int64(1)


@inner_loop
def _shifted(value: Any, places: Any, nearest: Any) -> Any:
    """``value / 2**places`` rounded down, or to the nearest with ties to even."""
    bias = ((_ONE << places) >> 1) - 1 + (value >> places & 1)
    return value + max(bias, 0) * nearest >> places


@inner_loop
def _fitted(total: Any, half: Any, nearest: Any) -> Any:
    """Least shift after which ``total`` fits, both rounded down and rounded; and what it leaves."""
    places = np.int64(0)
    while True:
        value = _shifted(total, places, nearest)
        if -half <= total >> places and value < half:
            return value, places
        places += 1


@inner_loop
def _add_right(addends, exponents, state, half, nearest):  # type: ignore[no-untyped-def]
    """One step with normalization ``right`` of all channels."""
    mantissas, places = state[0], state[1]
    over = 0
    for n in range(len(mantissas)):
        largest = max(places[n], exponents[n])
        total = _shifted(addends[n], min(largest - exponents[n], FAR), nearest)
        total += _shifted(mantissas[n], min(largest - places[n], FAR), nearest)
        mantissas[n], places[n] = total, largest
        over += (total >= half) | (total < -half)
    if over:
        # mostly one place does, and steps without branches become vector instructions
        over = 0
        for n in range(len(mantissas)):
            total = mantissas[n]
            far = (total >= half) | (total < -half)
            value = _shifted(total, far, nearest)
            fits = (value < half) & (total >> far >= -half)
            mantissas[n] = value if fits else total
            places[n] += far & fits
            over += not fits
    if over:
        for n in range(len(mantissas)):
            if mantissas[n] >= half or mantissas[n] < -half:
                mantissas[n], more = _fitted(mantissas[n], half, nearest)
                places[n] += more


@inner_loop
def _bit_length(magnitude: Any) -> Any:
    """Bits of a magnitude, or one more; of 0 far below 0."""
    return (np.float64(magnitude).view(np.int64) >> 52) - 1022


@inner_loop
def _add_full(addends, exponents, state, half, nearest, reach):  # type: ignore[no-untyped-def]
    """One step with normalization ``full`` of all channels: the exact sum, rounded once.

    Sums are formed two places below the lower operand, or ``reach`` below the higher one, whatever
    is higher: then nothing cancels any more, and what lies further down becomes the lowest bit
    (sticky), which decides between below, at and above halfway.
    """
    mantissas, places = state[0], state[1]
    bits = _bit_length(half)
    for n in range(len(mantissas)):
        if addends[n] == 0:
            continue
        addend, place, other, below = addends[n], exponents[n], mantissas[n], places[n]
        if place < below:
            addend, place, other, below = other, below, addend, place
        lowest = max(place - reach, below)
        lost = min(lowest - below, FAR)
        wide = other << 2
        total = addend << place - lowest + 2
        total += wide >> lost | (wide & (_ONE << lost) - 1 != 0)
        result = max(lowest - 2 + _bit_length(abs(total)) - 1 - bits, 0)
        value = total
        while total != 0:
            drop = result - lowest + 2
            value = _shifted(total, drop, nearest) if drop > 0 else total << -drop
            if -half <= (total >> drop if drop > 0 else value) and value < half:
                break
            result += 1
        mantissas[n], places[n] = value, result


@inner_loop
def _row_dot(values, digits, out):  # type: ignore[no-untyped-def]
    """Lanes' values times digits, summed."""
    for n in range(len(out)):
        out[n] = 0
    for lane in range(len(values)):
        value = values[lane]
        for n in range(len(out)):
            out[n] += value * digits[lane, n]


@inner_loop
def _align_row(significands, places, nearest, values):  # type: ignore[no-untyped-def]
    """Lanes aligned to the largest place of the chunk, which is returned."""
    largest = np.int64(0)
    for lane in range(len(values)):
        largest = max(largest, places[lane])
    for lane in range(len(values)):
        magnitude = _shifted(abs(significands[lane]), min(largest - places[lane], FAR), nearest)
        values[lane] = magnitude if significands[lane] > 0 else -magnitude
    return largest


@inner_loop
def _pe_dot(significands, places, digits, shifts, nearest, out, largest):  # type: ignore[no-untyped-def]
    """Products aligned in every PE and summed; the exponent of each goes to ``largest``."""
    for n in range(len(out)):
        out[n], largest[n] = 0, 0
    for lane in range(len(places)):
        place = places[lane]
        for n in range(len(out)):
            largest[n] = max(largest[n], (place + shifts[lane, n]) * (digits[lane, n] != 0))
    for lane in range(len(places)):
        place, significand = places[lane], significands[lane]
        for n in range(len(out)):
            product = significand * np.int64(digits[lane, n])
            away = min(max(largest[n] - place - shifts[lane, n], 0), FAR)
            magnitude = _shifted(abs(product), away, nearest)
            out[n] += magnitude if product > 0 else -magnitude


@outer_loop
def sums(tokens, activations, weights, scales, rules, out):  # type: ignore[no-untyped-def]
    """Outer sums of some tokens, see :func:`sw.golden.aligned.aligned_sums`.

    Parameters
    ----------
    tokens : first token and the one behind the last.
    activations : signed significands with guard places, and places, each (M, chunks, lanes).
    weights : digits and exponents (chunks, slots, lanes, N), group of each chunk (chunks,), base
        shift of each slot (slots,), whether products are aligned in the PE; with alignment in the
        row digits contain exponents and base shifts, and the exponents are empty.
    scales : multipliers and shifts, each (groups, N).
    rules : half the range of an inner and an outer mantissa, whether rounding is to the nearest,
        how far normalization ``full`` looks down, or -1.
    out : mantissas and exponents of the outer sums, each (M, N).
    """
    significands, places = activations
    digits, shifts, group_of, bases, in_pe = weights
    half, outer_half, nearest, reach = rules
    chunks, slots, lanes, channels = digits.shape
    values = np.empty(lanes, np.int64)
    dot, exponents = np.empty(channels, np.int64), np.empty(channels, np.int64)
    inner, outer = np.empty((2, channels), np.int64), np.empty((2, channels), np.int64)
    for token in range(tokens[0], tokens[1]):
        inner[:], outer[:] = 0, 0
        for chunk in range(chunks):
            at = significands[token, chunk], places[token, chunk]
            if not in_pe:
                exponents[:] = _align_row(at[0], at[1], nearest, values)
            for slot in range(slots):
                if in_pe:
                    _pe_dot(
                        at[0],
                        at[1],
                        digits[chunk, slot],
                        shifts[chunk, slot],
                        nearest,
                        dot,
                        exponents,
                    )
                    for n in range(channels):
                        dot[n] <<= bases[slot]
                else:
                    _row_dot(values, digits[chunk, slot], dot)
                if reach < 0:
                    _add_right(dot, exponents, inner, half, nearest)
                else:
                    _add_full(dot, exponents, inner, half, nearest, reach)
            group = group_of[chunk]
            if chunk + 1 == chunks or group_of[chunk + 1] != group:
                for n in range(channels):
                    dot[n] = inner[0, n] * scales[0][group, n]
                    exponents[n] = inner[1, n] + scales[1][group, n]
                _add_right(dot, exponents, outer, outer_half, nearest)
                inner[:] = 0
        out[0][token], out[1][token] = outer[0], outer[1]
