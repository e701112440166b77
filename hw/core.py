"""The core of an accelerator: streams, job port, array."""

from amaranth import ClockDomain, ClockSignal, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from configs.timing import (
    CAUSES,
    COUNTER_BITS,
    GROUP_COUNT_BITS,
    TILE_COUNT_BITS,
    dequantizer_cycles,
)
from hw.array import ActivationLoader, PEArray, ResultDrain, Sequencer, WeightLoader, job_layout
from hw.terms import special_ports
from sw.compile.machine import Machine

JOB_WIDTHS = {
    "tiles": TILE_COUNT_BITS,
    "groups": GROUP_COUNT_BITS,
    "chunks": GROUP_COUNT_BITS,
    "last_chunks": GROUP_COUNT_BITS,
}


class Core(wiring.Component):
    """Array, loaders and drain behind AXI4-Streams as wide as a beat, and a job port.

    A job is accepted when ``job_valid`` and ``job_ready`` are high; its tiles then arrive as
    packets on the two input streams (see :class:`sw.compile.machine.Machine` for the beats),
    column tile by column tile, row tile innermost, and the results leave as one packet.

    Timing
    ------
    ``docs/timing.md``.

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        Shape, formats and widths.

    Members
    -------
    aclk, aresetn : ``In(1)``
        Clock, and synchronous reset, active low.
    job_valid, job_ready : ``In(1)``, ``Out(1)``
        Handshake of the job port.
    job_tiles, job_groups, job_chunks, job_last_chunks : ``In``
        See :func:`hw.array.job_layout`.
    s_axis_weights_tdata, _tvalid, _tready, _tlast
        AXI4-Stream of weight beats, one packet per tile.
    s_axis_activations_tdata, _tvalid, _tready, _tlast
        AXI4-Stream of activation beats, one packet per tile.
    m_axis_results_tdata, _tkeep, _tvalid, _tready, _tlast
        AXI4-Stream of result rows, one packet per job.
    special_write, special_index, special_value
        ``In``, as in :class:`hw.terms.SpecialValues`; only while no job is running; absent if the
        machine is not programmable.
    busy : ``Out(1)``
        A job is running.
    count_output, count_dequantizer, count_weights, count_activations, count_compute : ``Out(40)``
        Busy cycles by cause; they add up to the job's time.
    inner_overflow, outer_overflow : ``Out(cols)``
        Sticky overflow bits of the job, per column and accumulator stage.
    invalid_activations : ``Out(rows)``
        Sticky, per row: an activation of the job was Inf or NaN; absent with integer activations.
    weights_error, activations_error : ``Out(1)``
        The accepted beat ends a packet where the job does not, or the other way round.
    protocol_error : ``Out(1)``
        Sticky: one of them was high; cleared by the next job.
    tile_done : ``Out(1)``
        The last result beat of a tile is accepted.
    job : ``Out(job_layout())``
        The job under way; while idle, what the ports say.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        cols = machine.accelerator.cols
        members = {"aclk": In(1), "aresetn": In(1), "job_valid": In(1), "job_ready": Out(1)}
        members |= {f"job_{name}": In(width) for name, width in JOB_WIDTHS.items()}
        for name, bits in (
            ("s_axis_weights", machine.weight_beat_bits),
            ("s_axis_activations", machine.activation_beat_bits),
        ):
            members |= {
                f"{name}_tdata": In(bits),
                f"{name}_tvalid": In(1),
                f"{name}_tready": Out(1),
                f"{name}_tlast": In(1),
            }
        members |= {
            "m_axis_results_tdata": Out(machine.result_beat_bits),
            "m_axis_results_tkeep": Out(machine.result_beat_bits // 8),
            "m_axis_results_tvalid": Out(1),
            "m_axis_results_tready": In(1),
            "m_axis_results_tlast": Out(1),
            "busy": Out(1),
            **{f"count_{cause}": Out(COUNTER_BITS) for cause in CAUSES},
            "inner_overflow": Out(cols),
            "outer_overflow": Out(cols),
            "weights_error": Out(1),
            "activations_error": Out(1),
            "protocol_error": Out(1),
            "tile_done": Out(1),
            "job": Out(job_layout()),
        }
        if machine.accelerator.has_floats:
            members["invalid_activations"] = Out(machine.accelerator.rows)
        if machine.accelerator.programmable:
            ports = special_ports(machine.family, machine.terms)
            members |= {f"special_{name}": member for name, member in ports.items()}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        machine, array = self.machine, self.machine.accelerator
        m.submodules.weight_loader = weights = self._weight_loader()
        m.submodules.activation_loader = activations = ActivationLoader(
            chunk_bits=machine.activation_chunk_bits,
            beat_bits=machine.activation_beat_bits,
            depth=array.queue_beats,
        )
        m.submodules.sequencer = sequencer = Sequencer(
            slots=machine.slots, dequantizer_cycles=dequantizer_cycles(array)
        )
        m.submodules.pe_array = pe_array = PEArray(machine=machine)
        m.submodules.drain = drain = self._drain()
        start = self._job_port(m, sequencer, weights, activations)
        self._connect_streams(m, weights, activations, drain)
        m.d.comb += [
            sequencer.header_valid.eq(weights.header.valid),
            sequencer.weights_valid.eq(weights.chunk.valid),
            sequencer.activations_valid.eq(activations.chunk.valid),
            sequencer.tile_done.eq(drain.tile_done),
            self.tile_done.eq(drain.tile_done),
            weights.header.ready.eq(sequencer.group_done),
            weights.chunk.ready.eq(sequencer.chunk_done),
            activations.chunk.ready.eq(sequencer.chunk_done),
            pe_array.issue.eq(sequencer.issue),
            pe_array.header.eq(weights.header.payload),
            pe_array.weights.eq(weights.chunk.payload),
            pe_array.activations.eq(activations.chunk.payload),
            pe_array.clear_overflow.eq(start),
            drain.results.eq(pe_array.results),
            drain.load.eq(pe_array.results_valid),
            drain.job_end.eq(pe_array.results_job_end),
            self.inner_overflow.eq(pe_array.inner_overflow),
            self.outer_overflow.eq(pe_array.outer_overflow),
        ]
        if array.has_floats:
            m.d.comb += self.invalid_activations.eq(pe_array.invalid_activations)
        if array.requantizer is not None:
            m.d.comb += [
                drain.parameters.eq(weights.parameters.payload),
                weights.parameters.ready.eq(drain.tile_done),
            ]
        if array.programmable:
            for name in ("special_write", "special_index", "special_value"):
                m.d.comb += getattr(pe_array, name).eq(getattr(self, name))
        return m

    def _weight_loader(self) -> WeightLoader:
        machine = self.machine
        return WeightLoader(
            header_bits=machine.header_bits,
            chunk_bits=machine.chunk_bits,
            parameter_bits=machine.parameter_bits,
            beat_bits=machine.weight_beat_bits,
            depth=machine.accelerator.queue_beats,
        )

    def _drain(self) -> ResultDrain:
        machine, array = self.machine, self.machine.accelerator
        return ResultDrain(
            rows=array.rows,
            cols=array.cols,
            bits=machine.outer_sum_bits,
            result_bits=machine.result_bits,
            requantizer=array.requantizer,
            float_exponents=machine.float_exponents,
        )

    def _job_port(self, m: Module, sequencer, weights, activations) -> Signal:
        """Take a job while idle; returns the start pulse."""
        start = Signal()
        kept, job = Signal(job_layout()), self.job
        for name in JOB_WIDTHS:
            # its walkers look a step ahead, so the job is there with ``start``
            port, register = getattr(self, f"job_{name}"), getattr(kept, name)
            m.d.comb += getattr(job, name).eq(Mux(self.busy, register, port))
        m.d.comb += [
            self.weights_error.eq(weights.error),
            self.activations_error.eq(activations.error),
            self.busy.eq(sequencer.busy),
            self.job_ready.eq(~self.busy),
            start.eq(self.job_valid & self.job_ready),
        ]
        with m.If(start):
            m.d.sync += kept.eq(job)
        for part in (sequencer, weights, activations):
            m.d.comb += [part.job.eq(job), part.start.eq(start)]
        for index, cause in enumerate(CAUSES):
            m.d.comb += getattr(self, f"count_{cause}").eq(sequencer.counts[index])
        with m.If(weights.error | activations.error):
            m.d.sync += self.protocol_error.eq(1)
        with m.If(start):
            m.d.sync += self.protocol_error.eq(0)
        return start

    def _connect_streams(self, m: Module, weights, activations, drain) -> None:
        """AXI4-Stream names to the internal valid/ready streams."""
        for name, loader in (("s_axis_weights", weights), ("s_axis_activations", activations)):
            m.d.comb += [
                loader.beats.payload.eq(getattr(self, f"{name}_tdata")),
                loader.beats.valid.eq(getattr(self, f"{name}_tvalid")),
                loader.last.eq(getattr(self, f"{name}_tlast")),
                getattr(self, f"{name}_tready").eq(loader.beats.ready),
            ]
        m.d.comb += [
            self.m_axis_results_tdata.eq(drain.beats.payload),
            self.m_axis_results_tkeep.eq(-1),
            self.m_axis_results_tvalid.eq(drain.beats.valid),
            self.m_axis_results_tlast.eq(drain.last),
            drain.beats.ready.eq(self.m_axis_results_tready),
        ]
