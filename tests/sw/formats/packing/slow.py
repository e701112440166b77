"""Slow packers, one weight at a time, written from the layouts and not from the package."""

import numpy as np


def bit_string(codes, bits: int) -> str:
    """All codes as one string, each most significant bit first."""
    return "".join(format(int(c), f"0{bits}b") for c in np.ravel(codes))


def high_first(text: str) -> list[int]:
    """Bytes of a bit string whose first bit is the top bit of the first byte."""
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def dense(codes, bits: int) -> list[int]:
    """One big integer, code i shifted by i * bits, as little-endian bytes."""
    flat = np.ravel(codes)
    total = sum(int(c) << (i * bits) for i, c in enumerate(flat))
    return list(total.to_bytes(-(-len(flat) * bits // 8), "little"))


def planes(codes, widths: tuple[int, ...]) -> list[int]:
    """Fields of the binary spelling of each code, plane by plane."""
    spelled = [format(int(c), f"0{sum(widths)}b") for c in np.ravel(codes)]
    data, begin = [], 0
    for width in widths:
        data += high_first("".join(text[begin : begin + width] for text in spelled))
        begin += width
    return data


def i2_s(codes, stride: int) -> list[int]:
    """Element e of a block goes to byte e % stride, from the top bits down."""
    flat = np.ravel(codes)
    data = [0] * (len(flat) // 4)
    for i, code in enumerate(flat):
        block, element = divmod(i, 4 * stride)
        data[block * stride + element % stride] |= int(code) << (6 - 2 * (element // stride))
    return data


def i2_s_rows4(codes) -> list[int]:
    """One byte per column and four rows."""
    data = []
    for first in range(0, len(codes), 4):
        for column in range(codes.shape[1]):
            a, b, c, d = (int(codes[first + row, column]) for row in range(4))
            data.append(a * 64 + b * 16 + c * 4 + d)
    return data


def base243(codes) -> list[int]:
    """Five trits per byte, rows filled with the code of weight 0."""
    data = []
    for row in codes:
        trits = [int(c) for c in row] + [1] * (-len(row) % 5)
        data += [int("".join(map(str, trits[i : i + 5])), 3) for i in range(0, len(trits), 5)]
    return data


def tl1(codes) -> list[int]:
    """Pairs as two-digit base-3 numbers, two per byte."""
    digits = []
    for row in codes:
        trits = [int(c) for c in row] + [1] * (len(row) % 2)
        digits += [3 * trits[i] + trits[i + 1] for i in range(0, len(trits), 2)]
    digits += [0] * (len(digits) % 2)
    return [16 * digits[i] + digits[i + 1] for i in range(0, len(digits), 2)]


def tl2(codes, tile: int) -> list[int]:
    """Indices, signs, and what the tile leaves over as TL1."""
    whole = codes.shape[1] // tile * tile
    sums = []
    for row in codes[:, :whole]:
        weights = [int(c) - 1 for c in row]
        sums += [9 * weights[i] + 3 * weights[i + 1] + weights[i + 2] for i in range(0, whole, 3)]
    index = [abs(s) for s in sums] + [0] * (len(sums) % 2)
    data = [16 * index[i] + index[i + 1] for i in range(0, len(index), 2)]
    signs = [int(s < 0) for s in sums] + [0] * (-len(sums) % 16)
    for i in range(0, len(signs), 16):
        word = sum(sign << (15 - j) for j, sign in enumerate(signs[i : i + 16]))
        data += [word & 255, word >> 8]
    return data + (tl1(codes[:, whole:]) if whole < codes.shape[1] else [])
