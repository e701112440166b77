"""Bytes over an asynchronous serial line: 8 data bits, no parity, 1 stop bit."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from configs.errors import InputError

#: clock cycles of a bit: the fewest with which a bit is still sampled near its middle
SMALLEST_DIVISOR = 4


def check_divisor(divisor: int) -> None:
    """Refuse a bit time that is too short.

    Raises
    ------
    InputError : less than ``SMALLEST_DIVISOR`` cycles.
    """
    if divisor < SMALLEST_DIVISOR:
        raise InputError(
            f"a bit of the serial line takes {divisor} clock cycles, it needs {SMALLEST_DIVISOR} "
            "or more: take a lower baud rate"
        )


class UartReceiver(wiring.Component):
    """Line to bytes.

    A start bit that is high again in its middle was noise and is forgotten. A byte whose stop bit
    is low is dropped, and the line must be high before the next start bit counts. A byte that
    is complete while the one before still waits is dropped too.

    Timing
    ------
    Two cycles of synchronization. A bit is sampled ``divisor // 2`` cycles after the edge that
    begins it; a byte is offered in the cycle after its stop bit was sampled. The next start bit may
    follow at once.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, 4 or more.

    Members
    -------
    line : ``In(1)``
        Serial line, high at rest; from another clock.
    bytes : ``Out(stream.Signature(8))``
        What was received.
    error : ``Out(1)``
        High for one cycle for every byte that is dropped.
    """

    def __init__(self, *, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__(
            {"line": In(1, init=1), "bytes": Out(stream.Signature(8)), "error": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.line, line, init=1)
        wait = Signal(range(self.divisor))
        sample = wait == 0
        places = Signal(range(8))
        shifted = Signal(8)
        m.d.sync += wait.eq(wait - 1)
        with m.If(self.bytes.ready):
            m.d.sync += self.bytes.valid.eq(0)
        with m.FSM():
            with m.State("idle"):
                m.d.sync += wait.eq(self.divisor // 2 - 1)
                with m.If(~line):
                    m.next = "start"
            with m.State("start"), m.If(sample):
                m.d.sync += [wait.eq(self.divisor - 1), places.eq(7)]
                with m.If(line):
                    m.next = "idle"
                with m.Else():
                    m.next = "data"
            with m.State("data"), m.If(sample):
                m.d.sync += [
                    wait.eq(self.divisor - 1),
                    shifted.eq(Cat(shifted[1:], line)),
                    places.eq(places - 1),
                ]
                with m.If(places == 0):
                    m.next = "stop"
            with m.State("stop"), m.If(sample):
                waiting = self.bytes.valid & ~self.bytes.ready
                m.d.comb += self.error.eq(~line | waiting)
                m.next = "idle"
                with m.If(~line):
                    m.next = "broken"
                with m.Elif(~waiting):
                    m.d.sync += [self.bytes.valid.eq(1), self.bytes.payload.eq(shifted)]
            with m.State("broken"), m.If(line):
                m.next = "idle"
        return m


class UartTransmitter(wiring.Component):
    """Bytes to line.

    Timing
    ------
    The start bit begins in the cycle after a byte is accepted. The next byte is accepted in the
    last cycle of the stop bit at the earliest, so that bytes follow each other without a pause.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, 4 or more.

    Members
    -------
    bytes : ``In(stream.Signature(8))``
        What to send.
    line : ``Out(1)``
        Serial line, high at rest.
    """

    def __init__(self, *, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__({"bytes": In(stream.Signature(8)), "line": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wait = Signal(range(self.divisor))
        places = Signal(range(10))  # bits after the one on the line
        shifted = Signal(9, init=(1 << 9) - 1)
        m.d.comb += self.bytes.ready.eq((places == 0) & (wait == 0))
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += [
                self.line.eq(0),
                shifted.eq(Cat(self.bytes.payload, Const(1, 1))),
                wait.eq(self.divisor - 1),
                places.eq(9),
            ]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(places != 0):
            m.d.sync += [
                self.line.eq(shifted[0]),
                shifted.eq(Cat(shifted[1:], Const(1, 1))),
                wait.eq(self.divisor - 1),
                places.eq(places - 1),
            ]
        return m
