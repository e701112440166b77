"""Group scales as the machine sees them: unsigned integers behind short codes."""

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import ScaleConfig
from configs.errors import InputError
from sw.quantize import QuantizedMatrix
from sw.quantize.matrix import E4M3_CODE_MAX

#: value of the least significant bit of an E4M3 scale
_E4M3_UNIT = 2.0**-9
_E8M0_BIAS = 127


def scale_integers(scale: ScaleConfig, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The integer by which the dequantizer multiplies, for scale codes of any shape."""
    wide = codes.astype(np.int64)
    if scale.format == "e8m0":
        return np.int64(1) << wide
    if scale.format == "e4m3":
        exponent, mantissa = wide >> 3 & 15, wide & 7
        return np.where(exponent > 0, mantissa + 8 << np.maximum(exponent - 1, 0), mantissa)
    return wide


def scale_parts(
    scale: ScaleConfig, codes: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Multiplier and shift of scale codes of any shape, as the dequantizer splits them."""
    integers = scale_integers(scale, codes)
    if not scale.barrel_shift:
        return integers, np.zeros_like(integers)
    wide = codes.astype(np.int64)
    shifts = wide if scale.format == "e8m0" else np.maximum((wide >> 3 & 15) - 1, 0)
    return integers >> shifts, shifts


def largest_scale(scale: ScaleConfig) -> int:
    """Largest integer scale."""
    if scale.format == "e8m0":
        return 1 << scale.binades
    return (1 << scale.integer_bits) - 1


def largest_code(scale: ScaleConfig) -> int:
    """Largest scale code; the codes of E4M3 beyond it are NaN or negative."""
    return {"uint8": 255, "e8m0": scale.binades, "e4m3": E4M3_CODE_MAX}[scale.format]


def machine_scales(
    matrix: QuantizedMatrix, scale: ScaleConfig
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Scale codes (N, groups) and the float32 factor of every output channel (N,).

    ``scale_integers(codes) * factor`` is the matrix' effective scale; for ``uint8`` after rounding
    to second-level scales (:meth:`QuantizedMatrix.with_uint8_scales`), else exactly.

    Raises
    ------
    InputError : the matrix has other scales than the machine, or a channel spans too many binades.
    """
    if scale.format == "uint8":
        matrix = matrix.with_uint8_scales()
    codes, factors = matrix.scale_codes, matrix.channel_scales
    if codes is None or factors is None or matrix.scale_format != scale.format:
        raise InputError(
            f"the machine takes {scale.format} scales, the weights have {matrix.scale_format} "
            "ones: choose a block format with such scales, or scale format uint8"
        )
    if scale.format == "e4m3":
        return codes, (factors * np.float32(_E4M3_UNIT)).astype(np.float32)
    if scale.format == "uint8":
        return codes, factors
    used = matrix.used_groups
    lowest = np.where(used, codes, 255).min(axis=1)
    lowest = np.where(used.any(axis=1), lowest, _E8M0_BIAS)
    shifts = np.where(used, codes - lowest[:, None], 0)
    if shifts.max() > scale.binades:
        channel = int(shifts.max(axis=1).argmax())
        raise InputError(
            f"the scales of output channel {channel} span {shifts.max()} binades, "
            f"the machine's dequantizer {scale.binades}: raise 'binades'"
        )
    units = np.ldexp(np.float32(1), lowest.astype(np.int32) - _E8M0_BIAS)
    return shifts.astype(np.uint8), (units * factors).astype(np.float32)
