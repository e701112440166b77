"""The accelerator: AXI4-Lite registers, AXI4-Streams, tile buffers and the core."""

from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Module,
    Mux,
    ResetInserter,
    ResetSignal,
    Signal,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from configs.timing import CAUSES
from hw.bus import JobControl, RegisterFile, ResultPort, StreamGuard
from hw.bus.control import LOAD_ERRORS
from hw.core import Core
from hw.memory import TileBuffer
from sw.compile.machine import Machine
from sw.compile.registers import SHAPE, register_map
from sw.compile.transfers import OperandPort, activation_port, result_stream_bits, weight_port

AXI_LITE_BITS = {
    "awvalid": 1,
    "awready": 1,
    "wdata": 32,
    "wstrb": 4,
    "wvalid": 1,
    "wready": 1,
    "bresp": 2,
    "bvalid": 1,
    "bready": 1,
    "arvalid": 1,
    "arready": 1,
    "rdata": 32,
    "rresp": 2,
    "rvalid": 1,
    "rready": 1,
}
_AXI_LITE_OUTPUTS = ("awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid")


class Accelerator(wiring.Component):
    """Top level, with the port names that FPGA tools expect.

    A job is described by the shape registers and begins with the start bit of CONTROL. Its tiles
    arrive as packets on the two input streams, and the results leave as one packet
    (:class:`sw.compile.transfers.Transfers` has the words and their order). Registers:
    :func:`sw.compile.registers.register_map`.

    Timing
    ------
    ``docs/timing.md``.

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        Shape, formats, widths, buffers.

    Members
    -------
    aclk, aresetn : ``In(1)``
        Clock, and synchronous reset, active low.
    s_axi_awaddr, _awvalid, _awready, _wdata, _wstrb, _wvalid, _wready, _bresp, _bvalid, _bready
        AXI4-Lite, writes.
    s_axi_araddr, _arvalid, _arready, _rdata, _rresp, _rvalid, _rready
        AXI4-Lite, reads.
    s_axis_weights_tdata, _tvalid, _tready, _tlast
        AXI4-Stream of weight words, one packet per tile.
    s_axis_activations_tdata, _tvalid, _tready, _tlast
        AXI4-Stream of activation words, one packet per tile.
    m_axis_results_tdata, _tkeep, _tvalid, _tready, _tlast
        AXI4-Stream of result words, one packet per job.
    interrupt : ``Out(1)``
        A job is done or was stopped, as IRQ_ENABLE wants.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        self.map = register_map(machine)
        self.weights, self.activations = weight_port(machine), activation_port(machine)
        members = {"aclk": In(1), "aresetn": In(1), "interrupt": Out(1)}
        for name in ("awaddr", "araddr"):
            members[f"s_axi_{name}"] = In(self.map.address_bits)
        for name, bits in AXI_LITE_BITS.items():
            members[f"s_axi_{name}"] = Out(bits) if name in _AXI_LITE_OUTPUTS else In(bits)
        for port in (self.weights, self.activations):
            members |= {
                f"s_axis_{port.name}_tdata": In(port.stream_bits),
                f"s_axis_{port.name}_tvalid": In(1),
                f"s_axis_{port.name}_tready": Out(1),
                f"s_axis_{port.name}_tlast": In(1),
            }
        self.result_bits = result_stream_bits(machine)
        members |= {
            "m_axis_results_tdata": Out(self.result_bits),
            "m_axis_results_tkeep": Out(self.result_bits // 8),
            "m_axis_results_tvalid": Out(1),
            "m_axis_results_tready": In(1),
            "m_axis_results_tlast": Out(1),
        }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.registers = registers = RegisterFile(registers=self.map)
        m.submodules.control = control = JobControl()
        core = Core(machine=self.machine)
        # a domain of its own, whose reset is also the fault
        m.submodules.core = DomainRenamer("core")(core)
        m.d.comb += [
            core.aclk.eq(self.aclk),
            core.aresetn.eq(self.aresetn & ~control.fault),
            self.interrupt.eq(control.interrupt),
        ]
        self._bus(m, registers)
        self._registers(m, registers, control, core)
        errors: dict = {}
        for port in (self.weights, self.activations):
            errors |= self._input(m, port, registers, control, core)
        # a register, which takes the first error only: no path from the loaders to the result port
        found = Cat(errors[name] for name in LOAD_ERRORS)
        first = ~control.errors_of_loading.any() & ~control.fault
        m.d.sync += control.errors_of_loading.eq(Mux(first, found, 0))
        self._results(m, registers, control, core)
        return m

    def _bus(self, m: Module, registers: RegisterFile) -> None:
        """AXI4-Lite names."""
        for name in ("awaddr", "araddr", *AXI_LITE_BITS):
            outer, inner = getattr(self, f"s_axi_{name}"), getattr(registers, name)
            m.d.comb += outer.eq(inner) if name in _AXI_LITE_OUTPUTS else inner.eq(outer)

    def _registers(self, m: Module, registers, control: JobControl, core: Core) -> None:
        """Registers to control and core, and what they show."""
        m.d.comb += [
            control.control.eq(registers.control),
            control.running.eq(core.busy),
            control.irq_enable.eq(registers.irq_enable),
            control.irq_status_clear.eq(registers.irq_status_clear),
            registers.refuse.eq(control.refuse),
            registers.status.eq(control.status),
            registers.errors.eq(control.errors),
            registers.irq_status.eq(control.irq_status),
            core.job_valid.eq(control.start),
        ]
        for name in SHAPE:
            m.d.comb += getattr(control, name).eq(getattr(registers, name))
            if name != "inner_tiles":
                m.d.comb += getattr(core, f"job_{name}").eq(getattr(registers, name))
        array = self.machine.accelerator
        shown = {f"count_{cause}": getattr(core, f"count_{cause}") for cause in CAUSES}
        shown |= {"count_busy": control.busy_cycles}
        shown |= {f"{s}_overflow": getattr(core, f"{s}_overflow") for s in ("inner", "outer")}
        if array.has_floats:
            shown["invalid_activations"] = core.invalid_activations
        for name, value in shown.items():
            for index, low in enumerate(range(0, len(value), 32)):
                m.d.comb += getattr(registers, f"{name}_{index}").eq(value[low : low + 32])
        self._counter(m, registers.count_tiles, core.tile_done, control.start)
        if array.programmable:
            refused = Signal()
            words = [r.name.lower() for r in self.map.registers if "SPECIAL_VALUE" in r.name]
            m.d.comb += [
                refused.eq(registers.special_write_written & (core.busy | control.fault)),
                registers.refuse.eq(control.refuse | refused),
                core.special_write.eq(registers.special_write_written & ~refused),
                core.special_index.eq(registers.special_write),
                core.special_value.eq(Cat(getattr(registers, name) for name in words)),
            ]

    def _counter(self, m: Module, shown: Signal, event, start) -> None:
        """Count ``event`` over a job."""
        count = Signal(len(shown))
        m.d.comb += shown.eq(count)
        m.d.sync += count.eq(Mux(start, 0, count + event))

    def _input(self, m: Module, port: OperandPort, registers, control, core: Core) -> dict:
        """One operand's stream to the core; its errors by name."""
        name = port.name
        guard = StreamGuard(stream_bits=port.stream_bits)
        m.submodules[f"{name}_guard"] = guard
        index = (self.weights, self.activations).index(port)
        m.d.comb += [
            guard.words.payload.eq(getattr(self, f"s_axis_{name}_tdata")),
            guard.words.valid.eq(getattr(self, f"s_axis_{name}_tvalid")),
            guard.last.eq(getattr(self, f"s_axis_{name}_tlast")),
            getattr(self, f"s_axis_{name}_tready").eq(guard.words.ready),
            guard.discard.eq(control.fault),
            guard.clear.eq(control.clear),
            guard.flush.eq(control.flush),
            control.draining[index].eq(guard.draining),
        ]
        counter = getattr(registers, f"count_{name.removesuffix('s')}_words")
        self._counter(m, counter, guard.passed, control.start)
        if not port.half_beats:
            m.d.comb += [
                getattr(core, f"s_axis_{name}_tdata").eq(guard.through.payload),
                getattr(core, f"s_axis_{name}_tvalid").eq(guard.through.valid),
                getattr(core, f"s_axis_{name}_tlast").eq(guard.through_last),
                guard.through.ready.eq(getattr(core, f"s_axis_{name}_tready")),
            ]
            error = getattr(core, f"{name}_error")
            long, short = error & ~guard.through_last, error & guard.through_last
            return {f"{name}_short": short, f"{name}_long": long, f"{name}_too_large": Const(0)}
        buffer = TileBuffer(port=port)
        m.submodules[f"{name}_buffer"] = ResetInserter(control.fault)(buffer)
        resident = Mux(control.single, core.job.tiles, 1)
        m.d.comb += [
            buffer.job.eq(core.job),
            buffer.start.eq(control.start),
            buffer.tiles.eq(registers.tiles),
            buffer.passes.eq(control.inner if port.stationary else resident),
            buffer.words.payload.eq(guard.through.payload),
            buffer.words.valid.eq(guard.through.valid),
            buffer.last.eq(guard.through_last),
            guard.through.ready.eq(buffer.words.ready),
            getattr(core, f"s_axis_{name}_tdata").eq(buffer.beats.payload),
            getattr(core, f"s_axis_{name}_tvalid").eq(buffer.beats.valid),
            buffer.beats.ready.eq(getattr(core, f"s_axis_{name}_tready")),
        ]
        return {f"{name}_{kind}": getattr(buffer, kind) for kind in ("short", "long", "too_large")}

    def _results(self, m: Module, registers, control: JobControl, core: Core) -> None:
        """Rows of the core to the result stream."""
        row_bits = self.machine.result_beat_bits
        port = ResultPort(row_bits=row_bits, stream_bits=self.result_bits)
        m.submodules.results = port
        m.d.comb += [
            port.rows.payload.eq(core.m_axis_results_tdata),
            port.rows.valid.eq(core.m_axis_results_tvalid & ~control.fault),
            port.rows_last.eq(core.m_axis_results_tlast),
            core.m_axis_results_tready.eq(port.rows.ready & ~control.fault),
            port.close.eq(control.close),
            control.closing.eq(port.closing),
            self.m_axis_results_tdata.eq(port.words.payload),
            self.m_axis_results_tkeep.eq(port.keep),
            self.m_axis_results_tvalid.eq(port.words.valid),
            self.m_axis_results_tlast.eq(port.last),
            port.words.ready.eq(self.m_axis_results_tready),
        ]
        sent = port.words.valid & port.words.ready & ~port.closing
        self._counter(m, registers.count_result_words, sent, control.start)
