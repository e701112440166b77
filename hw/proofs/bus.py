"""What stands at the edge of the accelerator: guards, result port, registers, job control."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, ResetSignal, Signal, Value

from configs.timing import COUNTER_BITS
from hw.bus import JobControl, ResultPort, StreamGuard
from sw.compile.registers import CONTROL_BITS, SHAPE

from .checks import Checks
from .streams import keeps_offer


def _fault(m: Module, checks: Checks, stop: Value, may_clear: Value) -> tuple[Signal, Value]:
    """State between the stop of a job and its clearance, and the cycle of the clearance."""
    fault = Signal(name="fault")
    clear = checks.any_input("wish_to_clear", 1) & fault & may_clear
    m.d.sync += fault.eq(Mux(stop, 1, fault & ~clear))
    return fault, clear


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The stream guard in front of jobs that are stopped and cleared at any time.

    A job never begins inside a packet, and only words that no job wants are dropped.

    Parameters
    ----------
    stream_bits : width of the stream.
    told : the guard hears of the clearance; without it the claim is false.
    """

    stream_bits: int
    told: bool = True

    def build(self, m: Module) -> Checks:
        """Any words, any packets, flushes at any time."""
        checks = Checks(m)
        m.submodules.guard = guard = StreamGuard(stream_bits=self.stream_bits)
        stop = checks.any_input("wish_to_stop", 1)
        fault, clear = _fault(m, checks, stop, Const(1))
        m.d.comb += [
            guard.words.valid.eq(checks.any_input("valid", 1)),
            guard.words.payload.eq(checks.any_input("payload", self.stream_bits)),
            guard.last.eq(checks.any_input("last", 1)),
            guard.through.ready.eq(checks.any_input("ready", 1)),
            guard.flush.eq(checks.any_input("flush", 1)),
            guard.discard.eq(fault),
            guard.clear.eq(clear if self.told else 0),
        ]
        outside = Signal()  # a packet is open where words come from
        inside = Signal()  # and in the job
        accepted = guard.words.valid & guard.words.ready
        with m.If(accepted):
            m.d.sync += outside.eq(~guard.last)
        with m.If(guard.flush):
            m.d.sync += outside.eq(0)
        with m.If(guard.passed):
            m.d.sync += inside.eq(~guard.last)
        with m.If(fault | stop):
            m.d.sync += inside.eq(0)
        unwanted = fault | guard.draining
        offered = Cat(guard.through.payload, guard.through_last)
        same = offered == Cat(guard.words.payload, guard.last)
        checks.always("packet", checks.observe("guard.in_packet", 1) == outside)
        checks.always("only the rest of a packet is dropped", ~guard.draining | outside)
        checks.always("a job is inside what is open", unwanted | ~outside | inside)
        checks.always("no job begins inside a packet", ~guard.passed | ~outside | inside)
        checks.always("what passes was offered", ~guard.through.valid | (guard.words.valid & same))
        checks.always("nothing unwanted passes", ~unwanted | ~guard.through.valid)
        checks.always("everything else passes", unwanted | (accepted == guard.passed))
        checks.always("unwanted words do not wait", ~unwanted | guard.words.ready)
        taken = guard.through.valid & guard.through.ready
        checks.always("passed", guard.passed == taken)
        drained = Signal()
        m.d.sync += drained.eq(drained | (guard.draining & accepted & guard.last))
        checks.reachable("a packet after a drained one", drained & guard.passed)
        checks.reachable("draining is given up", guard.draining & guard.flush)
        return checks


@dataclass(frozen=True, kw_only=True)
class ResultWords:
    """The result port under jobs that are stopped at any time.

    Parameters
    ----------
    row_bits, stream_bits : as in :class:`hw.bus.ResultPort`.
    told : the port hears that the job was stopped; without it the claim is false.
    """

    row_bits: int
    stream_bits: int
    told: bool = True

    def build(self, m: Module) -> Checks:
        """Any rows, any back-pressure."""
        return _ResultHarness(self, m).checks


class _ResultHarness:
    """A result port, and the row that it is given."""

    def __init__(self, spec: ResultWords, m: Module) -> None:
        self.row_bits, self.stream_bits = spec.row_bits, spec.stream_bits
        self.checks = checks = Checks(m)
        port = ResultPort(row_bits=spec.row_bits, stream_bits=spec.stream_bits)
        m.submodules.port = port
        row = Signal(spec.row_bits)
        row_last = Signal()
        pending = Signal()
        stop = checks.any_input("wish_to_stop", 1)
        stopped, _ = _fault(m, checks, stop, ~port.closing)
        close = stop & ~stopped
        ready = checks.any_input("ready", 1)
        noise = checks.any_input("noise", 1) & port.closing
        m.d.comb += [
            port.rows.payload.eq(row),
            port.rows_last.eq(row_last),
            port.rows.valid.eq(Mux(port.closing, noise, pending)),
            port.close.eq(close if spec.told else 0),
            port.words.ready.eq(ready),
        ]
        wish = checks.any_input("wish_to_offer", 1)
        with m.If(~pending | (port.rows.valid & port.rows.ready)):
            m.d.sync += [
                pending.eq(wish & ~stopped),
                row.eq(checks.any_input("new_row", spec.row_bits)),
                row_last.eq(checks.any_input("new_last", 1)),
            ]
        with m.If(stop):
            m.d.sync += pending.eq(0)
        checks.always("no row after the stop", ~stopped | ~pending)
        checks.always("closing after a stop", ~port.closing | stopped)
        self._words(m, checks, port, row, row_last & pending, pending & ~port.closing)
        self._end(m, checks, port, close)
        offer = Cat(port.words.payload, port.keep, port.last)
        keeps_offer(m, checks, "words", port.words.valid, ready, offer)
        checks.always("ended when it is at rest", ~stopped | port.closing | ~self.open)

    def _words(self, m: Module, checks: Checks, port, row, ends_job, offers) -> None:
        """Every word of every row, in order."""
        size, count = self.stream_bits, -(-self.row_bits // self.stream_bits)
        sent = Signal(range(max(2, count)))
        self.open = Signal(name="open")
        self.accepted = port.words.valid & port.words.ready
        final = sent == count - 1
        with m.If(self.accepted):
            m.d.sync += self.open.eq(~port.last)
            with m.If(~port.closing):
                m.d.sync += sent.eq(Mux(final, 0, sent + 1))
        with m.If(port.close | port.closing):
            m.d.sync += sent.eq(0)
        rest = self.row_bits - (count - 1) * size
        padded = Cat(row, Const(0, count * size - self.row_bits))
        word = Array(padded[size * i : size * (i + 1)] for i in range(count))[sent]
        keep = Mux(final, (1 << rest // 8) - 1, (1 << size // 8) - 1)
        right = Cat(port.words.payload == word, port.keep == keep, port.last == (ends_job & final))
        checks.always(
            "words sent", (checks.observe("port.word", len(sent)) == sent) & (sent < count)
        )
        checks.always("no row while closing", ~port.closing | (sent == 0))
        checks.always("packet", checks.observe("port.open_", 1) == self.open)
        checks.always("a word with its row", port.closing | (port.words.valid == offers))
        checks.always("word in its turn", ~offers | right.all())
        done = port.rows.ready & port.rows.valid
        checks.always("a row leaves with its last word", done == (self.accepted & offers & final))
        checks.always("inside a row its packet is open", (sent == 0) | self.open | port.closing)
        checks.reachable("a packet is complete", self.accepted & port.last & ~port.closing)

    def _end(self, m: Module, checks: Checks, port, close) -> None:
        """After the stop: the offered word, then an empty one if that leaves a packet open."""
        owed = Signal(range(3))
        waits = port.words.valid & ~port.words.ready
        open_after = Mux(port.words.valid, ~port.last, self.open)
        with m.If(close):
            m.d.sync += owed.eq(waits + open_after)
        with m.Elif(self.accepted & port.closing):
            m.d.sync += owed.eq(owed - 1)
        names = ("holding", "ending", "held_last")
        holding, ending, held_last = (checks.observe(f"port.{name}", 1) for name in names)
        word = Cat(port.words.payload, port.keep, port.last)
        kept = Signal(len(word))
        m.d.sync += kept.eq(word)
        checks.always("an offered word stays", ~holding | (word == kept))
        checks.always("one thing at a time", ~(holding & ending))
        checks.always("words owed", owed == Mux(holding, 2 - held_last, ending))
        checks.always("closing while words are owed", port.closing == (owed != 0))
        no_bytes = (port.keep == 0) & (port.words.payload == 0) & port.last
        checks.always("the empty word", ~ending | (no_bytes & self.open))
        empty = port.words.valid & (port.keep == 0)
        checks.always("an empty word ends what is open", ~empty | (self.open & port.last))
        checks.reachable("an offered word, then an empty one", (owed == 2) & self.accepted)
        checks.reachable("an empty word", empty & self.accepted)
        checks.reachable("stopped between packets", close & ~waits & ~open_after & ~ResetSignal())


@dataclass(frozen=True, kw_only=True)
class States:
    """Job control with a core that runs after a start and is stopped by a fault.

    Assumed: errors of loading come only while a job runs.

    Parameters
    ----------
    told : the control sees that the inputs drain; without it the claim is false.
    """

    told: bool = True

    def build(self, m: Module) -> Checks:
        """Any writes, any errors, streams that are busy at any time."""
        checks = Checks(m)
        m.submodules.job_control = control = JobControl()
        running = Signal()
        draining = checks.any_input("draining", 2)
        wish = {name: control.control[place] for place, name in enumerate(CONTROL_BITS)}
        inputs = ("control", "closing", "irq_status_clear", "irq_enable")
        for name in (*inputs, *SHAPE):
            port = getattr(control, name)
            m.d.comb += port.eq(checks.any_input(f"any_{name}", len(port)))
        m.d.comb += [
            control.running.eq(running),
            control.errors_of_loading.eq(Mux(running, checks.any_input("errors", 6), 0)),
            control.draining.eq(draining if self.told else 0),
        ]
        ends = checks.any_input("job_ends", 1) | control.fault
        m.d.sync += running.eq(control.start | (running & ~ends))
        busy = (running | control.start) & ~control.fault
        at_rest = ~busy & ~running & ~control.fault & (draining == 0) & ~control.closing
        possible = Cat(getattr(control, name) != 0 for name in SHAPE).all()
        possible &= control.inner_tiles <= control.tiles
        accepted = wish["start"] & at_rest & possible
        begins = Signal()
        m.d.sync += begins.eq(accepted)
        checks.always("a start only at rest, and every one", control.start == begins)
        checks.always("nothing else at a start", ~control.start | ~(running | control.fault))
        checks.always("refused otherwise", control.refuse == (wish["start"] & ~at_rest))
        checks.always("clear only in fault", ~control.clear | (wish["clear"] & control.fault))
        checks.always("no start and stop", ~(control.start & control.stop))
        asked = Signal(name="asked_to_abort")
        m.d.sync += asked.eq(wish["abort"] & busy)
        checks.always("abort is kept", checks.observe("job_control.abort", 1) == asked)
        abort = asked & busy
        checks.always("abort stops", ~abort | control.stop)
        loading = control.errors_of_loading.any() & ~control.fault
        checks.always("results end", control.close == (abort | loading))
        checks.always("errors of loading stop", ~loading | control.stop)
        bad = wish["start"] & at_rest & ~possible
        checks.always("only errors stop", ~control.stop | abort | loading | bad)
        was_fault = self._sticky(m, checks, control, wish, accepted)
        cycles = Signal(COUNTER_BITS)
        with m.If(control.start):
            m.d.sync += cycles.eq(0)
        with m.Elif(running & ~control.fault):
            m.d.sync += cycles.eq(cycles + 1)
        checks.always("cycles of the job", control.busy_cycles == cycles)
        checks.reachable("a job after a fault", control.start & was_fault)
        checks.reachable("done", control.irq_status[0])
        return checks

    def _sticky(self, m: Module, checks: Checks, control, wish, accepted) -> Signal:
        """What stays, and what alone takes it away; returns whether there was a fault."""
        was_fault = Signal()
        m.d.sync += was_fault.eq(was_fault | control.fault)
        before = Signal()
        left = Signal()
        m.d.sync += [before.eq(control.fault), left.eq(wish["clear"])]
        checks.always("only clear leaves fault", ~before | control.fault | left)
        checks.always("clear leaves fault", ~(before & left) | ~control.fault)
        stopped = Signal()
        m.d.sync += stopped.eq(control.stop)
        entered = control.fault & ~before
        checks.always("fault after a stop", (entered == stopped) & ~(stopped & before))
        errors = Signal(len(control.errors))
        kept = Signal()
        m.d.sync += [errors.eq(control.errors), kept.eq(~(wish["clear"] | accepted))]
        checks.always("errors stay", ~kept | ((errors & ~control.errors) == 0))
        irq = Signal(2)
        cleared = Signal(2)
        m.d.sync += [irq.eq(control.irq_status), cleared.eq(control.irq_status_clear)]
        ended = Signal()
        m.d.sync += ended.eq((control.running | control.start) & ~control.fault)
        over = Signal()
        m.d.sync += over.eq(ended & ~control.running & ~control.fault)
        was_busy = checks.observe("job_control.was_busy", 1)
        checks.always("busy before", was_busy == ended)
        told = (irq & ~cleared) | Cat(over, stopped)
        checks.always("interrupts tell what happened", control.irq_status == told)
        return was_fault
