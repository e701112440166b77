"""The accumulator: exhaustively where it is narrow, at random where not; and what it refuses."""

import gc
import warnings

import pytest
from amaranth.hdl import Fragment, signed

from hw.pe import Accumulator

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    seen = check_block("accumulator")
    assert seen["cycles"] >= CYCLES and min(seen["too high"], seen["too low"]) >= 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 0}, "widths must be at least 1 bit, not 0 and 5"),
        ({"addend_bits": -1}, "widths must be at least 1 bit, not 4 and -1"),
        ({"mode": "clip"}, "mode must be one of wrap, saturate, flag, not 'clip'"),
        ({"depth": 0}, "depth must be at least 1, not 0"),
        ({"mode": None}, "mode must be one of wrap, saturate, flag, not None"),
    ],
)
def test_bad_arguments(arguments, message):
    assert refusal(**{"bits": 4, "addend_bits": 5, "mode": "wrap"} | arguments) == message


def refusal(**arguments) -> str | None:
    """Message of the ValueError.

    The refused component refers to itself and would warn, when collected, that it was not used.
    """
    message = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Accumulator(**arguments)
        except ValueError as error:
            message = str(error)
        gc.collect()
    return message


def test_attributes():
    accumulator = Accumulator(bits=4, addend_bits=5, mode="flag")
    Fragment.get(accumulator, None)
    assert (accumulator.bits, accumulator.mode) == (4, "flag")
    members = accumulator.signature.members
    assert {name: member.shape for name, member in members.items()} == {
        "clear": 1,
        "addend": signed(5),
        "next": signed(4),
        "overflow": 1,
    }
