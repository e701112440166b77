"""Registers by order of addition, on weights small enough to know the answer."""

import numpy as np

from benchmarks.orders import order_row


def test_minus_one_bit_by_bit_needs_more_on_the_way() -> None:
    """64 weights of -1 end between -8128 and 8192; bit by bit each passes through 7."""
    levels = [np.full((1, 64), -1), np.ones((1, 64), dtype=int)]
    plain = order_row(levels, "parallel", 4)
    assert plain == {"wrap": 15, "saturate": 15, "wider": 0, "at_most": 0}
    serial = order_row(levels, "weight_lsb", 4)
    assert (serial["wrap"], serial["saturate"], serial["wider"]) == (15, 17, 1)
    assert order_row(levels, "weight_sign_magnitude", 4) == plain
