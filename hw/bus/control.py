"""Starts jobs, stops them, and remembers what went wrong."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from configs.timing import COUNTER_BITS, TILE_COUNT_BITS
from sw.compile.registers import CONTROL_BITS, ERROR_BITS, IRQ_BITS, SHAPE, STATUS_BITS

#: errors that loading can run into, by name
LOAD_ERRORS = tuple(name for name in ERROR_BITS if name.startswith(("weights", "activations")))


class JobControl(wiring.Component):
    """State of the accelerator: ready, busy, fault.

    A job starts if nothing is left of the one before; otherwise START is refused, and nothing but
    an error bit tells of it. A shape that cannot be, an error of a loader and an abort lead to
    *fault*: the core and the buffers are held in reset, the inputs discard what arrives, the result
    stream ends its packet. ``clear`` leads back.

    Timing
    ------
    ``start`` is high in the cycle after the one in which ``control`` holds its bit. Errors act in
    the next cycle, an abort one later, if the job still runs.

    Members
    -------
    control : ``In(4)``
        Bits of the CONTROL register, each for one cycle.
    <shape> : ``In``
        Of every shape register.
    running : ``In(1)``
        The core is busy.
    errors_of_loading : ``In(6)``
        One bit per ``LOAD_ERRORS``.
    draining, closing : ``In(2)``, ``In(1)``
        Streams that are not at rest: weights, activations, results.
    start : ``Out(1)``
        A job starts.
    stop : ``Out(1)``
        *fault* is entered in the next cycle.
    close : ``Out(1)``
        A running job is stopped: the packet of results is to be ended.
    fault : ``Out(1)``
        Hold core and buffers in reset, discard input.
    clear, flush : ``Out(1)``
        For the stream guards.
    refuse : ``Out(1)``
        The write of CONTROL asked for something impossible.
    status, errors, irq_status : ``Out``
        Register values.
    irq_status_clear, irq_enable : ``In(2)``
        From the registers.
    interrupt : ``Out(1)``
        An enabled bit of ``irq_status`` is set.
    inner, single : ``Out(24)``, ``Out(1)``
        Of the job under way: passes of the inner loop; there is one only.
    busy_cycles : ``Out(40)``
        Cycles of the job.
    """

    def __init__(self) -> None:
        shape = {name: In(bits) for name, (bits, _) in SHAPE.items()}
        super().__init__(
            {
                "control": In(len(CONTROL_BITS)),
                **shape,
                "running": In(1),
                "errors_of_loading": In(len(LOAD_ERRORS)),
                "draining": In(2),
                "closing": In(1),
                "start": Out(1),
                "stop": Out(1),
                "close": Out(1),
                "fault": Out(1),
                "clear": Out(1),
                "flush": Out(1),
                "refuse": Out(1),
                "status": Out(len(STATUS_BITS)),
                "errors": Out(len(ERROR_BITS)),
                "irq_status": Out(len(IRQ_BITS)),
                "irq_status_clear": In(len(IRQ_BITS)),
                "irq_enable": In(len(IRQ_BITS)),
                "interrupt": Out(1),
                "inner": Out(TILE_COUNT_BITS),
                "single": Out(1),
                "busy_cycles": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wish = dict(zip(CONTROL_BITS, self.control, strict=True))
        busy = Signal()
        ready = Signal()
        abort = Signal()  # a register: no path from the bus to the result port
        asked = Signal()
        accepted = Signal()
        impossible = Cat(getattr(self, name) == 0 for name in SHAPE).any()
        errors = {
            **dict(zip(LOAD_ERRORS, self.errors_of_loading, strict=True)),
            "bad_shape": asked & (impossible | (self.inner_tiles > self.tiles)),
            "aborted": busy & abort,
            "start_refused": wish["start"] & ~ready,
        }
        found = Cat(errors[name] for name in ERROR_BITS)
        stopping = Cat(errors[name] for name in ERROR_BITS if name != "start_refused").any()
        m.d.sync += [abort.eq(busy & wish["abort"]), self.start.eq(accepted)]
        m.d.comb += [
            busy.eq((self.start | self.running) & ~self.fault),
            ready.eq(~Cat(busy, self.fault, self.draining, self.closing).any()),
            asked.eq(wish["start"] & ready),
            accepted.eq(asked & ~errors["bad_shape"]),
            self.stop.eq(stopping & ~self.fault),
            self.close.eq((self.errors_of_loading.any() | errors["aborted"]) & ~self.fault),
            self.clear.eq(wish["clear"] & self.fault),
            self.flush.eq(wish["flush"] & ~busy),
            self.refuse.eq(errors["start_refused"]),
            self.status.eq(Cat(busy, self.fault, self.draining, self.closing)),
            self.interrupt.eq((self.irq_status & self.irq_enable).any()),
        ]
        with m.If(wish["clear"] | accepted):
            m.d.sync += self.errors.eq(found)
        with m.Else():
            m.d.sync += self.errors.eq(self.errors | found)
        with m.If(self.stop):
            m.d.sync += self.fault.eq(1)
        with m.Elif(self.clear):
            m.d.sync += self.fault.eq(0)
        self._interrupts(m, busy)
        self._job(m, busy)
        return m

    def _interrupts(self, m: Module, busy) -> None:
        """Sticky bits of what has happened."""
        was_busy = Signal()
        m.d.sync += was_busy.eq(busy)
        happened = Cat(was_busy & ~self.running & ~self.fault, self.stop)
        m.d.sync += self.irq_status.eq((self.irq_status & ~self.irq_status_clear) | happened)

    def _job(self, m: Module, busy) -> None:
        """What outlasts the shape registers, and the time."""
        with m.If(busy):
            m.d.sync += self.busy_cycles.eq(self.busy_cycles + 1)
        with m.If(self.start):
            m.d.sync += [
                self.inner.eq(self.inner_tiles),
                self.single.eq(self.inner_tiles == 1),
                self.busy_cycles.eq(0),
            ]
