"""The accumulator, exhaustively, in Amaranth's simulator; and what it refuses."""

import gc
import itertools
import warnings

import pytest
from amaranth.hdl import Fragment, Module, signed
from amaranth.sim import Simulator

from hw.pe import Accumulator
from hw.pe.accumulator import MODES

from ..benches_cocotb.integer_accumulator import Register


def signed_range(bits: int) -> range:
    """All two's complement numbers of ``bits``."""
    return range(-(1 << (bits - 1)), 1 << (bits - 1))


def outputs(ctx, accumulator, *, enable: int, clear: int, addend: int) -> tuple[int, int]:
    """``next`` and ``overflow`` under the given inputs."""
    ctx.set(accumulator.enable, enable)
    ctx.set(accumulator.clear, clear)
    ctx.set(accumulator.addend, addend)
    return ctx.get(accumulator.next), ctx.get(accumulator.overflow)


async def load(ctx, accumulator, value: int) -> None:
    """Bring the register to ``value``, in several steps where the addend is narrower."""
    addends = signed_range(len(accumulator.addend))
    clear, rest = 1, value
    while clear or rest:
        step = max(addends[0], min(addends[-1], rest))
        outputs(ctx, accumulator, enable=1, clear=clear, addend=step)
        await ctx.tick()
        clear, rest = 0, rest - step


@pytest.mark.parametrize(("bits", "addend_bits"), [(4, 5), (5, 3), (4, 4), (1, 2)])
@pytest.mark.parametrize("mode", MODES)
def test_every_step(bits, addend_bits, mode):
    accumulator = Accumulator(bits=bits, addend_bits=addend_bits, mode=mode)
    model = Register(bits, mode)
    cases = itertools.product(signed_range(bits), signed_range(addend_bits), (0, 1))

    async def bench(ctx):
        for start, addend, clear in cases:
            where = f"{start} + {addend}, clear {clear}"
            await load(ctx, accumulator, start)
            idle = outputs(ctx, accumulator, enable=0, clear=clear, addend=addend)
            assert idle[1] == 0, f"{where}: overflow without a step"
            await ctx.tick()
            model.value = start
            overflow = model.step(addend, bool(clear))
            got = outputs(ctx, accumulator, enable=1, clear=clear, addend=addend)
            assert got == (model.value, overflow), where
            await ctx.tick()
            got = outputs(ctx, accumulator, enable=0, clear=0, addend=0)
            assert got == (model.value, 0), f"{where}: register"

    m = Module()
    m.submodules.accumulator = accumulator
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert min(model.left) > 0, "no sum left the range on one of its sides"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 0}, "widths must be at least 1 bit, not 0 and 5"),
        ({"addend_bits": -1}, "widths must be at least 1 bit, not 4 and -1"),
        ({"mode": "clip"}, "mode must be one of wrap, saturate, flag, not 'clip'"),
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
        "enable": 1,
        "clear": 1,
        "addend": signed(5),
        "next": signed(4),
        "overflow": 1,
    }
