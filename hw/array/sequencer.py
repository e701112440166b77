"""Tile controller: decides in which cycle each slot is issued, and counts why not."""

from amaranth import Const, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from configs.timing import CAUSES, COUNTER_BITS

from .walker import Walker, job_layout


def issue_layout(slots: int) -> data.StructLayout:
    """What a slot is: its number and the ends it lies on."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "slot": unsigned(max(1, (slots - 1).bit_length())),
            "group_end": unsigned(1),
            "tile_end": unsigned(1),
            "job_end": unsigned(1),
        }
    )


class Sequencer(wiring.Component):
    """Issue the slots of a job in order: tile, group, chunk, slot (innermost).

    A slot is held back, in this order of priority, while

    - it ends a tile and the previous tile's results have not all been accepted (*output*),
    - it ends a group and the dequantizer is still busy with the one before (*dequantizer*),
    - its header or weights are not there (*weights*), its activations are not there
      (*activations*).

    After the last slot, cycles count as *output* until the last result beat is accepted.

    Timing
    ------
    The first slot can issue in the cycle after ``start``; the operands' queues are popped with
    the last slot of a chunk or group.

    Parameters
    ----------
    slots : int
        Cycles per chunk.
    dequantizer_cycles : int
        How long a group occupies the dequantizer.

    Members
    -------
    job, start : ``In(job_layout())``, ``In(1)``
        As in :class:`hw.array.Walker`.
    header_valid, weights_valid, activations_valid : ``In(1)``
        An operand is at the head of its queue.
    tile_done : ``In(1)``
        The last result beat of a tile is accepted.
    issue : ``Out(issue_layout(slots))``
        The slot of this cycle.
    chunk_done, group_done : ``Out(1)``
        Pop the operands of the chunk, the header of the group.
    busy : ``Out(1)``
        From the cycle after ``start`` to the one that accepts the last result beat.
    counts : ``Out(ArrayLayout(unsigned(COUNTER_BITS), len(CAUSES)))``
        Busy cycles by cause, cleared by ``start``.
    """

    def __init__(self, *, slots: int, dequantizer_cycles: int) -> None:
        self.slots = slots
        self.dequantizer_cycles = dequantizer_cycles
        super().__init__(
            {
                "job": In(job_layout()),
                "start": In(1),
                "header_valid": In(1),
                "weights_valid": In(1),
                "activations_valid": In(1),
                "tile_done": In(1),
                "issue": Out(issue_layout(slots)),
                "chunk_done": Out(1),
                "group_done": Out(1),
                "busy": Out(1),
                "counts": Out(data.ArrayLayout(unsigned(COUNTER_BITS), len(CAUSES))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walker = walker = Walker()
        slot = Signal(range(max(2, self.slots)))
        last_slot = slot == self.slots - 1
        chunk_end = Signal()
        group_end = Signal()
        tile_end = Signal()
        tile_pending = Signal()
        dequantizer_busy = Signal(range(max(2, self.dequantizer_cycles)))

        m.d.comb += [
            walker.job.eq(self.job),
            walker.start.eq(self.start),
            walker.advance.eq(self.chunk_done),
            chunk_end.eq(last_slot),
            group_end.eq(last_slot & walker.last_chunk),
            tile_end.eq(group_end & walker.last_group),
        ]
        self._causes(m, walker.active, tile_end & tile_pending, group_end & dequantizer_busy.any())

        m.d.comb += [
            self.issue.slot.eq(slot),
            self.issue.group_end.eq(group_end),
            self.issue.tile_end.eq(tile_end),
            self.issue.job_end.eq(tile_end & walker.last_tile),
            self.chunk_done.eq(self.issue.valid & chunk_end),
            self.group_done.eq(self.issue.valid & group_end),
        ]
        with m.If(self.issue.valid):
            m.d.sync += slot.eq(slot + 1)
        with m.If(self.chunk_done):
            m.d.sync += slot.eq(0)

        # the next group may end dequantizer_cycles after this one
        with m.If(self.group_done):
            m.d.sync += dequantizer_busy.eq(self.dequantizer_cycles - 1)
        with m.Elif(dequantizer_busy.any()):
            m.d.sync += dequantizer_busy.eq(dequantizer_busy - 1)

        with m.If(self.tile_done):
            m.d.sync += [tile_pending.eq(0), self.busy.eq(walker.active)]
        with m.If(self.issue.valid & tile_end):
            m.d.sync += tile_pending.eq(1)
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        return m

    def _causes(self, m: Module, active, output_blocked, dequantizer_blocked) -> None:
        """Issue the slot or find the one cause that holds it back, and count it."""
        conditions = {
            "output": ~active | output_blocked,
            "dequantizer": dequantizer_blocked,
            "weights": ~self.header_valid | ~self.weights_valid,
            "activations": ~self.activations_valid,
            "compute": Const(1),
        }
        cause = Signal(range(len(CAUSES)))
        with m.If(conditions[CAUSES[0]]):
            m.d.comb += cause.eq(0)
        for index, name in enumerate(CAUSES[1:], start=1):
            with m.Elif(conditions[name]):
                m.d.comb += cause.eq(index)
        m.d.comb += self.issue.valid.eq(self.busy & (cause == CAUSES.index("compute")))
        with m.If(self.busy):
            for index in range(len(CAUSES)):
                with m.If(cause == index):
                    m.d.sync += self.counts[index].eq(self.counts[index] + 1)
        with m.If(self.start):
            m.d.sync += self.counts.as_value().eq(0)
