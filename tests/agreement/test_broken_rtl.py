"""A broken machine is found, and the message says where."""

import re

import numpy as np
import pytest

from bitsmith.verify import random_cases, verify
from hw.benches.batch import accelerator_verilog

from .machines import FAST

pytestmark = pytest.mark.rtl
NAME = "4x4x4 bitmod_fp4"


def first_module(verilog: str, block: str) -> tuple[int, int]:
    """Start and end of the module whose name ends in ``block``."""
    start = verilog.index(re.search(rf"^module \S*{block}\(", verilog, re.MULTILINE)[0])
    return start, verilog.index("endmodule", start)


def flip_constant(verilog: str, block: str, number: int) -> str:
    """Invert the low bit of one hexadecimal constant on a right-hand side of a module."""
    start, end = first_module(verilog, block)
    body = verilog[start:end]
    found = list(re.finditer(r"(?<= = )(\d+)'h([0-9a-f]+)(?=;)", body))[number]
    changed = f"{found[1]}'h{int(found[2], 16) ^ 1:x}"
    return verilog[:start] + body[: found.start()] + changed + body[found.end() :] + verilog[end:]


def failure_of(verilog: str, waves=None) -> str:
    cases = random_cases(FAST[NAME], 20, np.random.default_rng(2))
    results = verify(FAST[NAME], cases, verilog=verilog, waves=waves)
    return results[-1].failure


def test_the_unbroken_machine_passes() -> None:
    assert failure_of(accelerator_verilog(FAST[NAME])) == ""


@pytest.mark.parametrize("number", [6, 11])
def test_one_bit_of_the_decoder(number: int, tmp_path) -> None:
    """A wrong term is located down to group, chunk and slot, with a waveform."""
    verilog = accelerator_verilog(FAST[NAME])
    broken = flip_constant(verilog, "decoder_0", number)
    assert broken != verilog
    message = failure_of(broken, waves=tmp_path)
    pattern = (
        r"outputs differ, first in tile \(column tile \d+, row tile \d+\), row \d+, column \d+ "
        r"\(token \d+, channel \d+\), group \d+, chunk \d+, slot \d+ "
        r"\(inner accumulator -?\d+ instead of -?\d+\).*: expected -?\d+, got -?\d+$"
    )
    assert re.search(pattern, message), message
    assert (tmp_path / "failing_tile.vcd").stat().st_size > 1000


@pytest.mark.parametrize(
    ("old", "new", "block"),
    [
        ("} - {", "} + {", "pe_0_0"),
        (") - ", ") + ", "pe_0_0__accumulator"),
        ("? held :", "? ~held :", "dequantizer_0_0"),
        ("} - {", "} + {", "dequantizer_0_0__accumulator"),
    ],
)
def test_one_wrong_operator(old: str, new: str, block: str) -> None:
    verilog = accelerator_verilog(FAST[NAME])
    start, end = first_module(verilog, block)
    assert old in verilog[start:end]
    changed = verilog[start:end].replace(old, new, 1)
    message = failure_of(verilog[:start] + changed + verilog[end:])
    assert "outputs differ" in message
    assert "in no step" not in message
    if "dequantizer" in block:
        assert "outer accumulator" in message


def test_one_wrong_cycle() -> None:
    """A dequantizer interlock that waits one cycle less is found by time or by value."""
    verilog = accelerator_verilog(FAST[NAME])
    start, end = first_module(verilog, "sequencer")
    body = verilog[start:end]
    assert "3'h7" in body
    message = failure_of(verilog[:start] + body.replace("3'h7", "3'h6") + verilog[end:])
    assert message
