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
        self.shape = Signal(job_layout())
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
        idle = (tile == 0) & (group == 0) & (chunk == 0)
        on_the_way = Cat(
            tile + self.tiles == shape.tiles,
            group + self.groups == shape.groups,
            chunk + self.chunks == limit,
            self.groups != 0,
            self.chunks != 0,
        ).all()
        counts = Cat(shape[name] != 0 for name in _COUNTS).all()
        checks.always("counts stay", ~active | counts)
        checks.always("walker is active", see(f"{walker}.active", 1) == active)
        checks.always("walker is where it must be", Mux(active, on_the_way, idle))
