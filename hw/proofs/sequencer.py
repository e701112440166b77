"""The tile controller keeps the distances that the blocks behind it rely on."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal

from hw.array import Sequencer

from .checks import Checks
from .jobs import Job


@dataclass(frozen=True, kw_only=True)
class Interlocks:
    """The sequencer, with operands that come and go and results that leave at any time.

    What is proved: two group ends are at least ``dequantizer_cycles`` apart; no tile ends before
    the last result beat of the tile before was accepted; slots come in order, with the right ends
    marked, only where their operands are there, and as soon as all of this allows.

    Assumed: a tile is done only while one is pending, and a job starts only when the one before has
    been sent, both of which the result drain and the top level see to.

    Parameters
    ----------
    slots, dequantizer_cycles : as in :class:`hw.array.Sequencer`.
    """

    slots: int
    dequantizer_cycles: int

    def build(self, m: Module) -> Checks:
        """Any jobs, any operands."""
        checks, cycles = Checks(m), self.dequantizer_cycles
        block = Sequencer(slots=self.slots, dequantizer_cycles=cycles)
        m.submodules.sequencer = block
        job, issue = Job(m, checks), block.issue
        slot = Signal(range(max(2, self.slots)))  # next to issue
        pending = Signal()  # a tile has ended and its results have not all left
        since = Signal(range(cycles + 1), init=cycles)  # cycles since a group ended, or more
        names = ("header_valid", "weights_valid", "activations_valid")
        m.d.comb += [getattr(block, name).eq(checks.any_input(name, 1)) for name in names]
        m.d.comb += [
            block.job.eq(job.seen),
            block.start.eq(job.start),
            block.tile_done.eq(checks.any_input("sent", 1) & pending),
        ]
        last_slot = slot == self.slots - 1
        job.run(issue.valid & last_slot, idle=~pending, walker="sequencer.walker")
        group_end = issue.valid & issue.group_end
        tile_end = issue.valid & issue.tile_end
        with m.If(issue.valid):
            m.d.sync += slot.eq(Mux(last_slot, 0, slot + 1))
        m.d.sync += since.eq(Mux(group_end, 1, Mux(since == cycles, cycles, since + 1)))
        m.d.sync += pending.eq(tile_end | (pending & ~block.tile_done))

        checks.always("group ends are apart", ~group_end | (since >= cycles))
        checks.always("one tile at a time", ~tile_end | ~pending)
        operands = Cat(getattr(block, name) for name in names).all()
        checks.always("operands are there", ~issue.valid | operands)
        checks.always("slots in order", ~issue.valid | (job.active & (issue.slot == slot)))
        ends = {"group_end": last_slot & job.last_chunk}
        ends["tile_end"] = ends["group_end"] & job.last_group
        ends["job_end"] = ends["tile_end"] & (job.tiles == 1)
        for name, end in ends.items():
            marked = ~issue.valid | (issue[name] == end)
            checks.always(f"{name.replace('_', ' ')} is marked", marked)
        pops = (block.chunk_done == (issue.valid & last_slot)) & (block.group_done == group_end)
        checks.always("operands leave with their last slot", pops)
        self._state(checks, job, slot, pending, since)
        self._progress(m, checks, block, job, operands, since, pending)
        checks.reachable(
            "a group end as soon as allowed", group_end & (since == cycles) & job.active
        )
        checks.reachable("a tile end waits for the output", issue.tile_end & pending & job.active)
        checks.reachable("last slot of a job", tile_end & issue.job_end)
        return checks

    def _state(self, checks: Checks, job: Job, slot, pending, since) -> None:
        """What the registers hold."""
        cycles = self.dequantizer_cycles
        see = checks.observe
        own_slot = see("sequencer.slot", range(max(2, self.slots)))
        checks.always("slot", (own_slot == slot) & (slot < self.slots))
        checks.always("between jobs", job.active | (slot == 0))
        busy = see("sequencer.dequantizer_busy", range(max(2, cycles)))
        checks.always("time since a group end", (since <= cycles) & (since != 0))
        checks.always("dequantizer is busy", busy == cycles - since)
        checks.always("tile is pending", see("sequencer.tile_pending", 1) == pending)

    def _progress(
        self, m: Module, checks: Checks, block, job: Job, operands, since, pending
    ) -> None:
        """With operands and a free output, a slot issues as soon as the dequantizer is free."""
        free = job.active & operands & ~pending
        ready = free & ((since == self.dequantizer_cycles) | ~block.issue.group_end)
        checks.always("busy while there is work", block.busy == (job.active | pending))
        checks.always("issues when it can", ~ready | block.issue.valid)
