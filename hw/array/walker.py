"""Counters that walk through a job: tile, group, chunk (innermost)."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from configs.timing import GROUP_COUNT_BITS, TILE_COUNT_BITS


def job_layout() -> data.StructLayout:
    """Shape of a job, every count at least 1.

    ``tiles`` tile passes (column tiles x row tiles), ``groups`` per tile, ``chunks`` in a full
    group and ``last_chunks`` in the last group.
    """
    return data.StructLayout(
        {
            "tiles": unsigned(TILE_COUNT_BITS),
            "groups": unsigned(GROUP_COUNT_BITS),
            "chunks": unsigned(GROUP_COUNT_BITS),
            "last_chunks": unsigned(GROUP_COUNT_BITS),
        }
    )


class Walker(wiring.Component):
    """Position inside a job.

    Every output is a flip-flop: where the walk goes next is worked out a step ahead.

    Timing
    ------
    ``start`` puts the walker on the first chunk in the next cycle; ``advance`` moves it on in the
    next cycle; ``active`` falls after the last chunk of the last tile was passed.

    Members
    -------
    job : ``In(job_layout())``
        Must hold from ``start`` on, while ``active``.
    start : ``In(1)``
        Begin a job.
    advance : ``In(1)``
        Leave the current chunk.
    active : ``Out(1)``
        The position is valid.
    last_chunk : ``Out(1)``
        Last chunk of its group.
    last_group : ``Out(1)``
        Last group of its tile.
    last_tile : ``Out(1)``
        Last tile of the job.
    """

    def __init__(self) -> None:
        flags = ("active", "last_chunk", "last_group", "last_tile")
        super().__init__(
            {
                "job": In(job_layout()),
                "start": In(1),
                "advance": In(1),
                **{flag: Out(1) for flag in flags},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        job = self.job
        # how far the one after the next is: chunk, group, tile, counted from 1
        chunk = Signal(GROUP_COUNT_BITS, init=2)
        group = Signal(GROUP_COUNT_BITS, init=3)
        tile = Signal(TILE_COUNT_BITS, init=2)
        #: the group after this one is the last of its tile
        group_nears = Signal()
        facts = {
            "one_chunk": job.chunks == 1,
            "one_last_chunk": job.last_chunks == 1,
            "one_group": job.groups == 1,
            "two_groups": job.groups == 2,
        }
        known = {name: Signal(name=name) for name in facts}
        m.d.sync += [known[name].eq(value) for name, value in facts.items()]
        self._advance(m, chunk, group, tile, group_nears, known)
        with m.If(self.start):
            first = Mux(facts["one_group"], facts["one_last_chunk"], facts["one_chunk"])
            m.d.sync += [
                self.active.eq(1),
                chunk.eq(2),
                group.eq(3),
                tile.eq(2),
                self.last_chunk.eq(first),
                self.last_group.eq(facts["one_group"]),
                group_nears.eq(facts["one_group"] | facts["two_groups"]),
                self.last_tile.eq(job.tiles == 1),
            ]
        return m

    def _advance(self, m: Module, chunk, group, tile, group_nears, known) -> None:
        """One chunk on."""
        job = self.job
        with m.If(self.advance):
            m.d.sync += chunk.eq(chunk + 1)
            chunks_end = Mux(self.last_group, chunk == job.last_chunks, chunk == job.chunks)
            m.d.sync += self.last_chunk.eq(chunks_end)
            first = Mux(group_nears, known["one_last_chunk"], known["one_chunk"])
            with m.If(self.last_chunk):
                m.d.sync += [
                    chunk.eq(2),
                    self.last_chunk.eq(first),
                    self.last_group.eq(group_nears),
                    group.eq(group + 1),
                    group_nears.eq(Mux(group_nears, known["one_group"], group == job.groups)),
                ]
                with m.If(self.last_group):
                    m.d.sync += [
                        group.eq(3),
                        group_nears.eq(known["one_group"] | known["two_groups"]),
                        tile.eq(tile + 1),
                        self.last_tile.eq(tile == job.tiles),
                    ]
                    with m.If(self.last_tile):
                        m.d.sync += self.active.eq(0)
