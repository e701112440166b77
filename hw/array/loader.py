"""Input streams into queues: header and chunk beats of weights, chunk beats of activations."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from configs.timing import HEADER_QUEUE_GROUPS, PARAMETER_QUEUE_TILES

from .queue import Queue
from .walker import Walker, job_layout


def _queue(m: Module, name: str, width: int, depth: int, payload, out) -> Queue:
    """Add a queue of beats whose head is offered on ``out``."""
    m.submodules[name] = queue = Queue(width=width, depth=depth)
    m.d.comb += [
        queue.words.payload.eq(payload),
        out.payload.eq(queue.head.payload),
        out.valid.eq(queue.head.valid),
        queue.head.ready.eq(out.ready),
    ]
    return queue


class WeightLoader(wiring.Component):
    """Split the weight stream into group headers and chunks.

    A tile is one packet: per group one header beat, then the group's chunk beats; in front of all,
    for a requantizer, one parameter beat.

    Timing
    ------
    A beat accepted in one cycle can be read from its queue in the next. One beat per cycle.

    Parameters
    ----------
    header_bits, chunk_bits : int
        Used bits of the two kinds of beat.
    parameter_bits : int
        Used bits of a parameter beat; 0 without them.
    beat_bits : int
        Width of the stream.
    depth : int
        Chunks that fit into the queue; headers have room for ``HEADER_QUEUE_GROUPS``, parameters
        for ``PARAMETER_QUEUE_TILES``.

    Members
    -------
    job, start : ``In(job_layout())``, ``In(1)``
        As in :class:`hw.array.Walker`.
    beats : ``In(stream.Signature(beat_bits))``
        The weight stream.
    last : ``In(1)``
        The offered beat ends a packet.
    parameters : ``Out(stream.Signature(parameter_bits))``
        Parameters of the oldest tile not yet finished; absent without them.
    header : ``Out(stream.Signature(header_bits))``
        Header of the oldest group not yet finished.
    chunk : ``Out(stream.Signature(chunk_bits))``
        Oldest chunk not yet finished.
    error : ``Out(1)``
        An accepted beat's ``last`` did not match the job.
    """

    def __init__(
        self,
        *,
        header_bits: int,
        chunk_bits: int,
        parameter_bits: int,
        beat_bits: int,
        depth: int,
    ) -> None:
        self.header_bits = header_bits
        self.chunk_bits = chunk_bits
        self.parameter_bits = parameter_bits
        self.depth = depth
        members = {
            "job": In(job_layout()),
            "start": In(1),
            "beats": In(stream.Signature(beat_bits)),
            "last": In(1),
            "header": Out(stream.Signature(header_bits)),
            "chunk": Out(stream.Signature(chunk_bits)),
            "error": Out(1),
        }
        if parameter_bits:
            members["parameters"] = Out(stream.Signature(parameter_bits))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walker = walker = Walker()
        beat = self.beats.payload
        header = _queue(m, "headers", self.header_bits, HEADER_QUEUE_GROUPS, beat, self.header)
        chunk = _queue(m, "chunks", self.chunk_bits, self.depth, beat, self.chunk)
        header_next = Signal(init=1)
        parameters_next = Signal(init=int(self.parameter_bits > 0))
        accepted = self.beats.valid & self.beats.ready
        chunk_next = ~header_next & ~parameters_next
        chunk_accepted = accepted & chunk_next
        tile_end = walker.last_chunk & walker.last_group
        room = Signal()
        m.d.comb += [
            walker.job.eq(self.job),
            walker.start.eq(self.start),
            walker.advance.eq(chunk_accepted),
            header.words.valid.eq(accepted & header_next & ~parameters_next),
            chunk.words.valid.eq(chunk_accepted),
            room.eq(Mux(header_next, header.words.ready, chunk.words.ready)),
            self.beats.ready.eq(walker.active & room),
            self.error.eq(accepted & (self.last != (chunk_next & tile_end))),
        ]
        with m.If(accepted & ~parameters_next):
            m.d.sync += header_next.eq(chunk_accepted & walker.last_chunk)
        if self.parameter_bits:
            depth = PARAMETER_QUEUE_TILES
            parameters = _queue(m, "parameters", self.parameter_bits, depth, beat, self.parameters)
            m.d.comb += parameters.words.valid.eq(accepted & parameters_next)
            with m.If(parameters_next):
                m.d.comb += room.eq(parameters.words.ready)
            with m.If(accepted):
                m.d.sync += parameters_next.eq(chunk_accepted & tile_end)
        return m


class ActivationLoader(wiring.Component):
    """Queue the activation stream, one beat per chunk; a tile is one packet.

    Timing
    ------
    A beat accepted in one cycle can be read from the queue in the next. One beat per cycle.

    Parameters
    ----------
    chunk_bits : int
        Used bits of a beat.
    beat_bits : int
        Width of the stream.
    depth : int
        Chunks that fit into the queue.

    Members
    -------
    job, start : ``In(job_layout())``, ``In(1)``
        As in :class:`hw.array.Walker`.
    beats : ``In(stream.Signature(beat_bits))``
        The activation stream.
    last : ``In(1)``
        The offered beat ends a packet.
    chunk : ``Out(stream.Signature(chunk_bits))``
        Oldest chunk not yet finished.
    error : ``Out(1)``
        An accepted beat's ``last`` did not match the job.
    """

    def __init__(self, *, chunk_bits: int, beat_bits: int, depth: int) -> None:
        self.chunk_bits = chunk_bits
        self.depth = depth
        super().__init__(
            {
                "job": In(job_layout()),
                "start": In(1),
                "beats": In(stream.Signature(beat_bits)),
                "last": In(1),
                "chunk": Out(stream.Signature(chunk_bits)),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walker = walker = Walker()
        chunk = _queue(m, "chunks", self.chunk_bits, self.depth, self.beats.payload, self.chunk)
        accepted = self.beats.valid & self.beats.ready
        m.d.comb += [
            walker.job.eq(self.job),
            walker.start.eq(self.start),
            walker.advance.eq(accepted),
            chunk.words.valid.eq(accepted),
            self.beats.ready.eq(walker.active & chunk.words.ready),
            self.error.eq(accepted & (self.last != (walker.last_chunk & walker.last_group))),
        ]
        return m
