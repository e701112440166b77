"""How an SRAM is laid out, and the actions of one access that energy is charged for.

The organisation follows from the published CACTI energies themselves: reading and writing the same
word differ by 23, 18.5, 9.4 or -17.5 pJ, whatever the width, which fits bitlines of 1024 to 2047
columns in a stripe of subarrays, and stripes twice as tall for words above 512 bits. Reading swings
every column of the stripe a little, writing swings the columns of the word fully.

All functions take numbers or numpy arrays, in bits, and broadcast.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: the published points: 512 KiB
REFERENCE_BITS = 512 * 1024 * 8
#: columns of a stripe, up to the next power of two
STRIPE_COLUMNS = 1024
#: cells of a stripe at the reference capacity: an access wakes one of four stripes
REFERENCE_STRIPE_BITS = REFERENCE_BITS // 4
#: words above this width have stripes twice as tall
TALL_ABOVE_BITS = 512

#: names of the terms, in the order of the fitted coefficients, and what they count
TERMS = {
    "bus_pj_per_bit_mm": "data bits times the side of the memory: bus between edge and stripe",
    "write_driver_pj_per_bit": "data bits written",
    "decoder_pj": "stripes that the address reaches, 1 at 512 KiB",
    "stripe_bus_pj_per_bit": "data bits times stripes passed, 1 at 512 KiB",
    "read_bitline_pj": "cells of the stripe that is read, 1 at 512 KiB",
    "write_bitline_pj": "bits written times rows of their stripe, 1 at 512 KiB with 1024 bits",
}


def side_mm(area_um2: ArrayLike) -> Floats:
    """Side of a square of that area, in mm."""
    return np.sqrt(np.asarray(area_um2, dtype=float)) / 1000


def area_um2(
    bits: ArrayLike, width_bits: ArrayLike, banks: ArrayLike, cell_um2: float, edge_um2: float
) -> Floats:
    """Cells with their share of the periphery, and an edge for every bank's port, in um2."""
    cells = np.asarray(bits, dtype=float) * cell_um2
    return cells + np.asarray(banks, dtype=float) * np.asarray(width_bits, dtype=float) * edge_um2


def column_mux(width_bits: ArrayLike) -> Floats:
    """Columns that share a sense amplifier: the stripe's columns over the word, a power of two."""
    width = np.asarray(width_bits, dtype=float)
    fitting = np.floor(np.log2((2 * STRIPE_COLUMNS - 1) / width))
    return np.asarray(2.0 ** np.maximum(fitting, 0))


def access_terms(
    bits: ArrayLike, width_bits: ArrayLike, side: ArrayLike, pitch: float, write: bool
) -> Floats:
    """What one access counts of every term, last axis in the order of ``TERMS``.

    The number of stripes that costs least grows with the root of the capacity, as the energy of
    reaching them grows with their number and that of the bitlines with their size; below 32 KiB one
    stripe is the whole memory.

    Parameters
    ----------
    side : of the memory, in mm.
    pitch : of the cells, over the pitch of those of the published points.
    """
    bits, width, side = np.broadcast_arrays(
        np.asarray(bits, dtype=float), np.asarray(width_bits, dtype=float), np.asarray(side)
    )
    root = np.sqrt(bits / REFERENCE_BITS)
    tall = np.where(width > TALL_ABOVE_BITS, 2.0, 1.0)
    stripe = np.minimum(tall * root, bits / REFERENCE_STRIPE_BITS)
    stripes = pitch * root / np.maximum(stripe / root, 1.0)
    zero = np.zeros_like(width)
    return np.stack(
        [
            width * side,
            width if write else zero,
            stripes,
            width * stripes,
            zero if write else pitch * stripe,
            pitch * stripe / column_mux(width) if write else zero,
        ],
        axis=-1,
    )


def octaves_from_reference(bits: ArrayLike) -> Floats:
    """Doublings between a capacity and that of the published points, whichever way."""
    return np.asarray(np.abs(np.log2(np.asarray(bits, dtype=float) / REFERENCE_BITS)))


def energy_pj(
    bits: ArrayLike,
    width_bits: ArrayLike,
    side: ArrayLike,
    pitch: float,
    coefficients: ArrayLike,
    write: bool,
) -> Floats:
    """Energy of one access in pJ.

    A word of more than 512 bits costs at least one of 512: an organisation that would be cheaper
    for the wider word would be taken for the narrower one as well.
    """
    weights = np.asarray(coefficients, dtype=float)
    energy = access_terms(bits, width_bits, side, pitch, write) @ weights
    narrow = np.minimum(np.asarray(width_bits, dtype=float), TALL_ABOVE_BITS)
    return np.asarray(
        np.maximum(energy, access_terms(bits, narrow, side, pitch, write) @ weights), dtype=float
    )


def log_spread(bits: ArrayLike, at_reference: float, per_octave: float) -> Floats:
    """Half width of the interval, as natural logarithm."""
    return np.asarray(math.log1p(at_reference) + per_octave * octaves_from_reference(bits))
