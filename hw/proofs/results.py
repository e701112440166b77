"""The result drain and the requantizer send every row once, in order, as what it must become."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from configs.accelerator import RequantizerConfig
from hw.array import ResultDrain
from hw.dequant import Requantizer

from .checks import Checks
from .streams import Passage, Place, follow_tokens, keeps_offer, progresses

OUTPUT_BITS = 8


def requantized(product: Value, shift: Value) -> Value:
    """``floor(product / 2**shift + 1/2)``, clipped to INT8: add half, then shift."""
    half = (1 << shift) >> 1
    rounded = (product + half) >> shift
    low, high = -(1 << (OUTPUT_BITS - 1)), (1 << (OUTPUT_BITS - 1)) - 1
    return Mux(rounded < low, low, Mux(rounded > high, high, rounded))[:OUTPUT_BITS]


@dataclass(frozen=True, kw_only=True)
class RequantizerPipeline:
    """The requantizer between two streams, with any multipliers and shifts that do not change.

    Parameters
    ----------
    cols, bits : as in :class:`hw.dequant.Requantizer`.
    config : widths of multiplier and shift.
    """

    cols: int
    bits: int
    config: RequantizerConfig

    def build(self, m: Module) -> Checks:
        """Any rows, any back-pressure."""
        checks, config = Checks(m), self.config
        m.submodules.requantizer = block = Requantizer(
            cols=self.cols,
            bits=self.bits,
            multiplier_bits=config.multiplier_bits,
            shift_bits=config.shift_bits,
        )
        token = checks.any_input("token", self.cols * self.bits + 2)
        m.d.comb += [
            block.multipliers.eq(checks.any_constant("multipliers", len(block.multipliers))),
            block.shifts.eq(checks.any_constant("shifts", len(block.shifts))),
            Cat(block.values.payload.as_value(), block.marks).eq(token),
            block.values.valid.eq(checks.any_input("valid", 1)),
            block.beats.ready.eq(checks.any_input("ready", 1)),
        ]
        passage = self._passage(checks, block, token)
        underway = follow_tokens(m, checks, passage)
        progresses(m, checks, "offers", underway != 0, block.beats.valid, cycles=2)
        keeps_offer(m, checks, "rows", block.beats.valid, block.beats.ready, passage.result)
        wanted = block.beats.ready & block.values.valid
        progresses(m, checks, "accepts", wanted, block.values.ready, cycles=1)
        return checks

    def _passage(self, checks: Checks, block: Requantizer, token: Value) -> Passage:
        """Rows with their marks, which become products, then results."""
        config, columns = self.config, range(self.cols)

        def product(value: Value, col: int) -> Value:
            number = value.word_select(col, self.bits).as_signed()
            return number * block.multipliers.word_select(col, config.multiplier_bits)

        def products(value: Value) -> Value:
            width = self.bits + config.multiplier_bits
            return Cat(*(product(value, col)[:width] for col in columns), value[-2:])

        def results(value: Value) -> Value:
            shifts = [block.shifts.word_select(col, config.shift_bits) for col in columns]
            rows = (requantized(product(value, col), shifts[col]) for col in columns)
            return Cat(*rows, value[-2:])

        sent = Cat(block.beats.payload.as_value(), block.beats_marks)
        stage = _first_stage(checks, "requantizer", cols=self.cols, bits=self.bits, config=config)
        return Passage(
            name="rows",
            enter=block.values.valid & block.values.ready,
            token=token,
            leave=block.beats.valid & block.beats.ready,
            result=sent,
            expected=results,
            places=[
                Place(occupied=block.beats.valid, content=sent, stored=results),
                Place(occupied=stage[0], content=Cat(*stage[1:]), stored=products),
            ],
        )


def _first_stage(
    checks: Checks, path: str, *, cols: int, bits: int, config: RequantizerConfig
) -> list[Value]:
    """Registers of the requantizer's first stage: valid, products, marks."""
    width = bits + config.multiplier_bits
    return [
        checks.observe(f"{path}.product_valid", 1),
        *(checks.observe(f"{path}.product_{col}", signed(width)) for col in range(cols)),
        checks.observe(f"{path}.product_marks", 2),
    ]


@dataclass(frozen=True, kw_only=True)
class Drain:
    """The result drain, loaded with any tile whenever the one before has been sent.

    Parameters
    ----------
    rows, cols, bits, result_bits, requantizer : as in :class:`hw.array.ResultDrain`.
    """

    rows: int
    cols: int
    bits: int
    result_bits: int
    requantizer: RequantizerConfig | None = None

    def build(self, m: Module) -> Checks:
        """Any tiles, any back-pressure."""
        return _DrainHarness(self, m).checks


class _DrainHarness:
    """A drain, and the tile that it was given."""

    def __init__(self, spec: Drain, m: Module) -> None:
        self.spec, self.m, self.checks = spec, m, Checks(m)
        self.block = ResultDrain(
            rows=spec.rows,
            cols=spec.cols,
            bits=spec.bits,
            result_bits=spec.result_bits,
            requantizer=spec.requantizer,
        )
        m.submodules.drain = self.block
        self.stage: list[Value] = []
        if spec.requantizer is not None:
            path, config = "drain.requantizer", spec.requantizer
            self.stage = _first_stage(
                self.checks, path, cols=spec.cols, bits=spec.bits, config=config
            )
        self._feed()
        self._owes()
        self._state()

    def _feed(self) -> None:
        """Load a tile whenever none is pending; hold its parameters while it is."""
        m, checks, block = self.m, self.checks, self.block
        self.pending, self.job_end = Signal(), Signal()
        self.tile = Signal(len(block.results.as_value()))
        self.sent = Signal(range(self.spec.rows + 1))  # rows of the tile
        m.d.comb += [
            block.load.eq(checks.any_input("wish_to_load", 1) & ~self.pending),
            block.results.as_value().eq(checks.any_input("results", len(self.tile))),
            block.job_end.eq(checks.any_input("ends_job", 1)),
            block.beats.ready.eq(checks.any_input("ready", 1)),
        ]
        if self.spec.requantizer is not None:
            kept = Signal(len(block.parameters))
            fresh = checks.any_input("parameters", len(kept))
            m.d.comb += block.parameters.eq(Mux(self.pending, kept, fresh))
            m.d.sync += kept.eq(block.parameters)
        self.leaves = block.beats.valid & block.beats.ready
        with m.If(self.leaves):
            m.d.sync += self.sent.eq(self.sent + 1)
        with m.If(block.tile_done):
            m.d.sync += self.pending.eq(0)
        with m.If(block.load):
            m.d.sync += [
                self.pending.eq(1),
                self.sent.eq(0),
                self.tile.eq(block.results.as_value()),
                self.job_end.eq(block.job_end),
            ]

    def _owes(self) -> None:
        """Each row once, in order; the ends marked; nothing else."""
        m, checks, block, spec = self.m, self.checks, self.block, self.spec
        valid, last_row = block.beats.valid, self.sent == spec.rows - 1
        checks.always("rows of the tile only", ~valid | (self.pending & (self.sent < spec.rows)))
        row = Cat(*(self._result(self.sent, col) for col in range(spec.cols)))
        checks.always("row in its turn", ~valid | (block.beats.payload == row))
        checks.always("last", ~valid | (block.last == (self.job_end & last_row)))
        checks.always("tile done", block.tile_done == (self.leaves & last_row))
        offer = Cat(block.beats.payload, block.last)
        keeps_offer(m, checks, "rows", valid, block.beats.ready, offer)
        stages = 0 if spec.requantizer is None else 2
        waiting = progresses(m, checks, "offers", self.pending, valid, cycles=1 + stages)
        if stages:
            filled = self.stage[0] | valid
            checks.always("the pipeline fills", (waiting == 0) | filled & ((waiting == 1) | valid))
        checks.reachable("the last row of a job", self.leaves & block.last)
        again = Signal()
        m.d.sync += again.eq(again | block.tile_done)
        checks.reachable("a tile after another", again & block.tile_done)

    def _state(self) -> None:
        """What the registers hold while a tile is pending."""
        checks, spec = self.checks, self.spec
        pending = checks.observe("drain.pending", 1)
        index = checks.observe("drain.index", range(spec.rows)) if spec.rows > 1 else Const(0)
        held = checks.observe("drain.held", len(self.tile))
        ends_job = checks.observe("drain.ends_job", 1)
        taken = Mux(pending, index, spec.rows)
        inside: Value = Const(0)
        if spec.requantizer is not None:
            inside = self._inside(taken)
        checks.always("rows left", Mux(self.pending, self.sent < spec.rows, ~pending))
        checks.always("row exists", ~pending | (index < spec.rows))
        checks.always("rows taken", ~self.pending | (taken == self.sent + inside))
        checks.always("held rows", ~pending | (held == self.tile))
        checks.always("end of the job", ~self.pending | (ends_job == self.job_end))

    def _inside(self, taken: Value) -> Value:
        """Rows inside the requantizer, which hold what they must."""
        checks, spec, block = self.checks, self.spec, self.block
        occupied, *products, marks = self.stage
        place = Signal(range(spec.rows))  # the youngest row inside, if it is in the first stage
        self.m.d.comb += place.eq(taken - 1)
        wanted = Cat(place == spec.rows - 1, self.job_end & (place == spec.rows - 1))
        right = [p == self._product(place, col) for col, p in enumerate(products)]
        checks.always("first stage", ~occupied | Cat(*right, marks == wanted).all())
        sent_marks = checks.observe("drain.requantizer.beats_marks", 2)
        last_row = self.sent == spec.rows - 1
        wanted = Cat(last_row, self.job_end & last_row)
        checks.always("second stage", ~block.beats.valid | (sent_marks == wanted))
        checks.always("pipeline is empty", self.pending | ~(occupied | block.beats.valid))
        return occupied + block.beats.valid

    def _product(self, row: Value, col: int) -> Value:
        """A result times its multiplier."""
        spec = self.spec
        value = self.tile.word_select(row * spec.cols + col, spec.bits).as_signed()
        assert spec.requantizer is not None
        bits = spec.requantizer.multiplier_bits
        return value * self.block.parameters.word_select(col, bits)

    def _result(self, row: Value, col: int) -> Value:
        """A result as it must leave, in ``result_bits`` bits."""
        spec = self.spec
        value = self.tile.word_select(row * spec.cols + col, spec.bits).as_signed()
        if spec.requantizer is not None:
            config = spec.requantizer
            shifts = self.block.parameters[spec.cols * config.multiplier_bits :]
            shift = shifts.word_select(col, config.shift_bits)
            value = requantized(self._product(row, col), shift).as_signed()
        wide = Signal(signed(spec.result_bits))
        self.m.d.comb += wide.eq(value)
        return wide
