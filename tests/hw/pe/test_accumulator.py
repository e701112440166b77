"""The accumulator, exhaustively, in Amaranth's simulator; and what it refuses."""

import warnings

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hw.pe import Accumulator
from hw.pe.accumulator import MODES

from ..benches_cocotb.integer_accumulator import Register


def signed_range(bits: int) -> range:
    """All two's complement numbers of ``bits``."""
    return range(-(1 << (bits - 1)), 1 << (bits - 1))


@pytest.mark.parametrize(("bits", "addend_bits"), [(4, 5), (5, 3), (4, 4), (1, 2)])
@pytest.mark.parametrize("mode", MODES)
def test_every_step(bits, addend_bits, mode):
    accumulator, model = (
        Accumulator(bits=bits, addend_bits=addend_bits, mode=mode),
        Register(bits, mode),
    )
    m = Module()
    m.submodules.accumulator = accumulator
    m.d.sync += []
    starts = [v for v in signed_range(bits) if v in signed_range(addend_bits)]

    def outputs(ctx, enable: int, clear: int, addend: int) -> tuple[int, int]:
        ctx.set(accumulator.enable, enable)
        ctx.set(accumulator.clear, clear)
        ctx.set(accumulator.addend, addend)
        return ctx.get(accumulator.next), ctx.get(accumulator.overflow)

    async def bench(ctx):
        for start in signed_range(bits):
            for addend in signed_range(addend_bits):
                for clear in (0, 1):
                    await load(ctx, start)
                    where = f"{start} + {addend}, clear {clear}"
                    idle = outputs(ctx, 0, clear, addend)
                    assert idle[1] == 0, f"{where}: overflow without a step"
                    await ctx.tick()
                    model.value = start
                    overflow = model.step(addend, bool(clear))
                    assert outputs(ctx, 1, clear, addend) == (model.value, overflow), where
                    await ctx.tick()
                    assert outputs(ctx, 0, 0, 0) == (model.value, 0), f"{where}: register"

    async def load(ctx, value: int) -> None:
        """Bring the register to ``value`` in steps that stay in range."""
        low, high = starts[0], starts[-1]
        step = max(low, min(high, value))
        outputs(ctx, 1, 1, step)
        await ctx.tick()
        while step != value:
            more = max(low, min(high, value - step))
            outputs(ctx, 1, 0, more)
            await ctx.tick()
            step += more

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert mode == "wrap" or model.left[0] or model.left[1]


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
    good = {"bits": 4, "addend_bits": 5, "mode": "wrap"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the refused component is never elaborated
        with pytest.raises(ValueError) as refusal:
            Accumulator(**good | arguments)
        text = str(refusal.value)
        del refusal
    assert text == message


def test_attributes():
    accumulator = Accumulator(bits=4, addend_bits=5, mode="flag")
    m = Module()
    m.submodules.accumulator = accumulator
    Simulator(m)
    assert (accumulator.bits, accumulator.mode) == (4, "flag")
    shapes = {name: (len(p), p.shape().signed) for name, p in ports(accumulator)}
    assert shapes == {
        "enable": (1, False),
        "clear": (1, False),
        "addend": (5, True),
        "next": (4, True),
        "overflow": (1, False),
    }


def ports(component):
    """Name and signal of every port."""
    return [(name, getattr(component, name)) for name in component.signature.members]
