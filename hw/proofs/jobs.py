"""Jobs of any shape, and where in the job a block with a walker must be."""

from amaranth.hdl import Cat, Module, Mux, Signal

from configs.timing import GROUP_COUNT_BITS, TILE_COUNT_BITS
from hw.array import job_layout

from .checks import Checks

_COUNTS = ("tiles", "groups", "chunks", "last_chunks")


class Job:
    """Jobs of any shape, one after another; counts down what is left of the present one.

    Attributes
    ----------
    shape : the job, as the block sees it.
    start : the job begins.
    active, tiles, groups, chunks : what is left, the present chunk included.
    """

    def __init__(self, m: Module, checks: Checks) -> None:
        self.m, self.checks = m, checks
        #: the job under way, and as the block sees it: the next one while there is none
        self.shape = Signal(job_layout())
        self.seen = Signal(job_layout())
        fresh = Signal(job_layout())
        m.d.comb += fresh.as_value().eq(checks.any_input("fresh_job", len(fresh.as_value())))
        checks.assume("counts of a job", Cat(fresh[name] != 0 for name in _COUNTS).all())
        self.tiles = Signal(TILE_COUNT_BITS)
        self.groups = Signal(GROUP_COUNT_BITS)
        self.chunks = Signal(GROUP_COUNT_BITS)
        self.active = self.tiles != 0
        self.last_group = self.groups == 1
        self.last_chunk = self.chunks == 1
        self.start = Signal()
        self.fresh = fresh
        m.d.comb += self.seen.eq(Mux(self.active, self.shape, fresh))

    def run(self, advance, *, idle, walker: str) -> None:
        """Run jobs, and compare with the block, whose walker counts up.

        Parameters
        ----------
        advance : the block leaves a chunk.
        idle : a job may start, unless one is active.
        walker : hierarchical name of the block's walker.
        """
        m, checks, shape, fresh = self.m, self.checks, self.shape, self.fresh
        m.d.comb += self.start.eq(checks.any_input("wish_to_start", 1) & idle & ~self.active)
        with m.If(advance):
            m.d.sync += self.chunks.eq(self.chunks - 1)
            with m.If(self.last_chunk):
                next_is_last = Mux(self.last_group, shape.groups == 1, self.groups == 2)
                m.d.sync += [
                    self.groups.eq(Mux(self.last_group, shape.groups, self.groups - 1)),
                    self.chunks.eq(Mux(next_is_last, shape.last_chunks, shape.chunks)),
                    self.tiles.eq(self.tiles - self.last_group),
                ]
        with m.If(self.start):
            m.d.sync += [
                shape.eq(fresh),
                self.tiles.eq(fresh.tiles),
                self.groups.eq(fresh.groups),
                self.chunks.eq(Mux(fresh.groups == 1, fresh.last_chunks, fresh.chunks)),
            ]
        self._follows(walker)

    def first_chunk(self):
        """No chunk of the group has been passed."""
        return self.chunks == Mux(self.last_group, self.shape.last_chunks, self.shape.chunks)

    def _follows(self, walker: str) -> None:
        """The walker's position and this one add up to the job."""
        checks, shape, active = self.checks, self.shape, self.active
        see = checks.observe
        tile, group = (
            see(f"{walker}.tile", TILE_COUNT_BITS),
            see(f"{walker}.group", GROUP_COUNT_BITS),
        )
        chunk = see(f"{walker}.chunk", GROUP_COUNT_BITS)
        limit = Mux(self.last_group, shape.last_chunks, shape.chunks)
        # the counters are two and three places ahead
        on_the_way = Cat(
            (tile + self.tiles - 2)[:TILE_COUNT_BITS] == shape.tiles,
            (group + self.groups - 3)[:GROUP_COUNT_BITS] == shape.groups,
            (chunk + self.chunks - 2)[:GROUP_COUNT_BITS] == limit,
            self.groups != 0,
            self.chunks != 0,
            self.groups <= shape.groups,
            self.chunks <= limit,
            self.tiles <= shape.tiles,
        ).all()
        nears = Mux(self.last_group, shape.groups == 1, self.groups == 2)
        flags = Cat(
            see(f"{walker}.last_chunk", 1) == self.last_chunk,
            see(f"{walker}.last_group", 1) == self.last_group,
            see(f"{walker}.last_tile", 1) == (self.tiles == 1),
            see(f"{walker}.group_nears", 1) == nears,
            see(f"{walker}.one_chunk", 1) == (shape.chunks == 1),
            see(f"{walker}.one_last_chunk", 1) == (shape.last_chunks == 1),
            see(f"{walker}.one_group", 1) == (shape.groups == 1),
            see(f"{walker}.two_groups", 1) == (shape.groups == 2),
        ).all()
        counts = Cat(shape[name] != 0 for name in _COUNTS).all()
        checks.always("counts stay", ~active | counts)
        checks.always("walker is active", see(f"{walker}.active", 1) == active)
        checks.always("walker is where it must be", ~active | on_the_way)
        checks.always("walker knows what comes next", ~active | flags)
