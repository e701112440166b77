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

    Timing
    ------
    ``start`` puts the walker on the first chunk in the next cycle; ``advance`` moves it on in the
    next cycle; ``active`` falls after the last chunk of the last tile was passed.

    Members
    -------
    job : ``In(job_layout())``
        Must hold while ``active``.
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
        tile = Signal(TILE_COUNT_BITS)
        group = Signal(GROUP_COUNT_BITS)
        chunk = Signal(GROUP_COUNT_BITS)
        chunks = Mux(self.last_group, self.job.last_chunks, self.job.chunks)
        m.d.comb += [
            self.last_chunk.eq(chunk + 1 == chunks),
            self.last_group.eq(group + 1 == self.job.groups),
            self.last_tile.eq(tile + 1 == self.job.tiles),
        ]
        with m.If(self.advance):
            m.d.sync += chunk.eq(chunk + 1)
            with m.If(self.last_chunk):
                m.d.sync += [chunk.eq(0), group.eq(group + 1)]
                with m.If(self.last_group):
                    m.d.sync += [group.eq(0), tile.eq(tile + 1)]
                    with m.If(self.last_tile):
                        m.d.sync += [tile.eq(0), self.active.eq(0)]
        with m.If(self.start):
            m.d.sync += self.active.eq(1)
        return m
