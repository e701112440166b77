"""The inner accumulator of a PE stays in its proved interval, whatever the activations are.

The intervals come from :func:`sw.accumulators.schedule.step_ranges`, the numbers that choose
accumulator widths. The proof is by induction over steps. With ``start`` the exact sum at the start
of a chunk, ``x`` the chunk's activations and ``V`` the partial values of its weights that earlier
steps of the chunk have added, the invariant is

    low <= start <= high    and    register = start + V . x

with the interval at the start of the chunk, from which follows the interval of every step of the
chunk. Intervals alone would not do: with 7 = 8 - 1 the second slot takes back a part of what the
first one added.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Array, Cat, Module, Mux, ResetSignal, Signal, Value, signed
from amaranth.lib import data

from hw.pe import SerialPE, activation_shape, shift_select_bits
from hw.terms import term_layout
from sw.accumulators.schedule import (
    Schedule,
    StepRanges,
    exact_dtype,
    largest_product,
    step_ranges,
)
from sw.accumulators.width import signed_width
from sw.formats import Term, TermTable

from .checks import Checks
from .lanes import count_negatives, lane_products
from .netlist import place


@dataclass(frozen=True, kw_only=True)
class GroupOfWeights:
    """One group of weights on one PE, and every activation in a range.

    What is proved: every sum that the register takes lies in the interval of its step, the group's
    sum is that of the weights, and no step overflows. That the PE adds up its lanes rightly is
    assumed here and proved, for all terms at once, by :class:`hw.proofs.lanes.LaneSum`.

    Parameters
    ----------
    terms : term table of the weights' family.
    levels : the weights, levels of the table, (K,).
    lanes, activation_bits, activation_signed, bits, mode, adders : as in
        :class:`hw.pe.SerialPE`.
    activations : smallest and largest activation, both inclusive.
    pipeline : as in :class:`hw.pe.SerialPE`. With stages, the PE's inputs are free and only what
        its accumulator is given is tied to the step, which is what ``LaneSum`` proves of it.
    netlist : Verilog to prove instead of the component, see :mod:`hw.proofs.netlist`.
    """

    terms: TermTable
    levels: tuple[int, ...]
    lanes: int
    activation_bits: int
    activation_signed: bool
    activations: tuple[int, int]
    bits: int
    mode: str
    adders: str = "chain"
    pipeline: tuple[str, ...] = ()
    netlist: str = ""

    @property
    def schedule(self) -> Schedule:
        """Chunks and slots of the group."""
        length = len(self.levels)
        return Schedule(length=length, group_size=length, lanes=self.lanes, terms=self.terms)

    @property
    def steps(self) -> int:
        """Steps of the group."""
        return self.schedule.chunks * self.schedule.slots

    def ranges(self) -> StepRanges:
        """Interval of the sum after every step."""
        levels = np.array([self.levels], dtype=np.int64)
        bound = largest_product(self.schedule, levels, *self.activations)
        return step_ranges(levels, self.schedule, *self.activations, exact_dtype(bound))

    def needed_bits(self) -> int:
        """Smallest register: for final sums in mode ``wrap``, else for those of every step."""
        ranges = self.ranges()
        if self.mode == "wrap":
            return signed_width(int(ranges.group_low.min()), int(ranges.group_high.max()))
        return signed_width(int(ranges.low.min()), int(ranges.high.max()))

    def step_terms(self, step: int) -> list[Term]:
        """Term of each lane; lanes beyond a ragged end have the terms of level 0."""
        chunk, slot = divmod(step, self.terms.slots)
        levels = self.levels[chunk * self.lanes : (chunk + 1) * self.lanes]
        padded = (*levels, *[0] * (self.lanes - len(levels)))
        return [self.terms.terms[level][slot] for level in padded]

    def gains(self, step: int) -> list[int]:
        """What each lane's weight gains in ``step``."""
        shift = self.terms.base_shifts[step % self.terms.slots]
        return [term.value << shift for term in self.step_terms(step)]

    def partials(self, step: int) -> list[int]:
        """What each lane's weight has gained in its chunk before ``step``."""
        gains = [self.gains(s) for s in range(step - step % self.terms.slots, step)]
        return [sum(lane) for lane in zip(*gains, strict=True)] or [0] * self.lanes

    @property
    def is_late(self) -> bool:
        """Whether the PE has registers between its lanes and the accumulator beside the first."""
        return bool({"products", "sums", "shift"} & set(self.pipeline))

    def pe(self) -> SerialPE:
        """The component."""
        return SerialPE(
            terms=self.terms,
            lanes=self.lanes,
            activation_bits=self.activation_bits,
            activation_signed=self.activation_signed,
            bits=self.bits,
            mode=self.mode,
            adders=self.adders,
            pipeline=self.pipeline,
        )

    def build(self, m: Module) -> Checks:
        """The PE, fed with this group over and over, in any rhythm."""
        return _PEHarness(self, m).checks


class _Inputs:
    """Terms and activations of a step, shaped as the PE's."""

    def __init__(self, pe: SerialPE) -> None:
        self.terms_in = Signal(data.ArrayLayout(term_layout(pe.terms), pe.lanes))
        shape = activation_shape(pe.activation_bits, is_signed=pe.activation_signed)
        self.activations = Signal(data.ArrayLayout(shape, pe.lanes))


class _PEHarness:
    """A PE, a table of the group's terms that feeds it, and the exact sum beside it."""

    def __init__(self, group: GroupOfWeights, m: Module) -> None:
        self.group = group
        self.m = m
        self.checks = Checks(m)
        self.pe = group.pe()
        self.added = place(m, self.checks, self.pe, group.netlist)
        # what the step hands to the lanes; behind pipeline stages the PE's own inputs came earlier
        self.inputs: SerialPE | _Inputs = self.pe
        if group.is_late:
            self.inputs = _Inputs(self.pe)
            self._free_inputs()
        else:
            count_negatives(m, self.pe)
        ranges = group.ranges()
        # by step: chunk-major, as the steps come
        self.low = ranges.low[:, 0, :, 0].T.reshape(-1).tolist()
        self.high = ranges.high[:, 0, :, 0].T.reshape(-1).tolist()
        widest = max(abs(end) for end in (*self.low, *self.high))
        self.shape = signed(max(widest.bit_length() + 3, len(self.pe.accumulator.addend)))
        self._issue()
        self._accumulate()
        self._model()
        self._state()

    def _free_inputs(self) -> None:
        """Anything at those ports of the PE whose effect comes later."""
        for name in ("terms_in", "activations", "negatives", "shift_select"):
            if name in self.pe.signature.members:
                port = Value.cast(getattr(self.pe, name))
                self.m.d.comb += port.eq(self.checks.any_input(f"free_{name}", len(port)))

    def _issue(self) -> None:
        """Offer a step in any cycle, and anything without a meaning in the others."""
        m, group, pe, checks = self.m, self.group, self.inputs, self.checks
        self.step = Signal(range(max(2, group.steps)))
        shape = activation_shape(group.activation_bits, is_signed=group.activation_signed)
        layout = data.ArrayLayout(shape, group.lanes)
        self.held = Signal(layout)  # activations of the latest step
        self.issue = Signal()
        # absent terms in reset: the PE's first registers are not reset
        m.d.comb += self.issue.eq(checks.any_input("offered", 1) & ~ResetSignal())
        active = Signal(layout)
        fresh = checks.any_input("fresh", group.lanes * group.activation_bits)
        starts_chunk = Signal()
        m.d.comb += [
            starts_chunk.eq(self._slot(self.step) == 0),
            active.as_value().eq(Mux(starts_chunk | ~self.issue, fresh, self.held)),
            pe.activations.eq(active),
            pe.terms_in.as_value().eq(checks.any_input("no_meaning", len(pe.terms_in.as_value()))),
        ]
        checks.assume("activations in range", ~self.issue | self._in_range(active))
        for lane in range(group.lanes):
            m.d.comb += pe.terms_in[lane].present.eq(0)
        with m.If(self.issue):
            self._feed_terms()
            m.d.sync += self.held.eq(active)
            m.d.sync += self.step.eq(Mux(self.step == group.steps - 1, 0, self.step + 1))

    def _feed_terms(self) -> None:
        """The terms of the step."""
        with self.m.Switch(self.step):
            for step in range(self.group.steps):
                with self.m.Case(step):
                    for lane, term in enumerate(self.group.step_terms(step)):
                        fields = self.inputs.terms_in[lane]
                        self.m.d.comb += [
                            fields.present.eq(term.present),
                            fields.negative.eq(term.negative),
                            fields.exponent.eq(term.exponent),
                        ]

    def _accumulate(self) -> None:
        """One cycle after a step was offered it is accumulated."""
        m, group, pe = self.m, self.group, self.pe
        self.now = Signal(range(max(2, group.steps)))  # next step to accumulate
        self.issued = Signal()
        self.last = Signal()
        m.d.sync += self.issued.eq(self.issue)
        before = Mux(self.step == 0, group.steps - 1, self.step - 1)
        m.d.comb += [
            self.now.eq(Mux(self.issued, before, self.step)),
            self.last.eq(self.issued & (self.now == group.steps - 1)),
            pe.last.eq(self.last),
        ]
        if shift_select_bits(group.terms) and not group.is_late:
            shifts = group.terms.base_shifts
            with m.Switch(self._slot(self.now)):
                for slot, shift in enumerate(shifts):
                    with m.Case(slot):
                        m.d.comb += pe.shift_select.eq(sorted(set(shifts)).index(shift))

    def _model(self) -> None:
        """The exact sum: at the start of the chunk, and what each lane has added since."""
        m, group, shape = self.m, self.group, self.shape
        start = Signal(shape)
        self.start = Signal(shape)
        self.done = [Signal(shape, name=f"done_{lane}") for lane in range(group.lanes)]
        self.partial = self._products("partial", group.partials)
        self.gain = self._products("gain", group.gains)
        self.after = self._products("after", lambda s: _sums(group.partials(s), group.gains(s)))
        cut = self.checks.cut
        m.d.comb += self.start.eq(Mux(self.now == 0, 0, start))
        self.sums = {
            "done": self._done_sums(),
            "gain": self._chain("gain", self.gain),
            "after": self._chain("after", self.after),
        }
        self.before = cut("before", self.start + self.sums["done"][-1], shape)
        self.gained = self.sums["gain"][-1]
        self.reached = cut("reached", self.start + self.sums["after"][-1], shape)
        ends_chunk = self._slot(self.now) == group.terms.slots - 1
        with m.If(self.issued):
            m.d.sync += start.eq(Mux(ends_chunk, self.reached, self.start))
            for done, after in zip(self.sums["done"], self.sums["after"], strict=True):
                m.d.sync += done.eq(Mux(ends_chunk, 0, after))

    def _done_sums(self) -> list[Signal]:
        """Sums of what the lanes have added, in registers: the latest of ``after``."""
        sums = [Signal(self.shape, name=f"done_sum_{lane}") for lane in range(1, self.group.lanes)]
        return [*self.done, *sums]

    def _chain(self, name: str, values: list[Signal]) -> list[Signal]:
        """``values``, then the sums of the first two, three ... of them."""
        nodes = list(values)
        for lane in range(1, len(values)):
            before = nodes[0] if lane == 1 else nodes[-1]
            nodes.append(self.checks.cut(f"{name}_sum_{lane}", before + values[lane], self.shape))
        return nodes

    def _products(self, name: str, factors: Callable[[int], list[int]]) -> list[Signal]:
        """Per lane, ``factors(now)[lane]`` times the held activation, by plain multiplication."""
        m, group = self.m, self.group
        products = []
        for lane in range(group.lanes):
            by_step = [factors(step)[lane] for step in range(group.steps)]
            distinct = sorted(set(by_step))
            which = self._table(f"{name}_which_{lane}", [distinct.index(v) for v in by_step])
            product = Signal(self.shape, name=f"{name}_{lane}")
            with m.Switch(which):
                for index, value in enumerate(distinct):
                    with m.Case(index):
                        m.d.comb += product.eq(self.held[lane] * value)
            products.append(self.checks.cut(f"{name}_cut_{lane}", product, self.shape))
        return products

    def _table(self, name: str, values: list[int]) -> Signal:
        """``values[now]``."""
        entry = Signal(signed(max(v.bit_length() for v in values) + 1), name=name)
        with self.m.Switch(self.now):
            for step, value in enumerate(values):
                with self.m.Case(step):
                    self.m.d.comb += entry.eq(value)
        return entry

    def _state(self) -> None:
        """The invariant, in an order in which each part helps with the next."""
        group, checks, pe, slots = self.group, self.checks, self.pe, self.group.terms.slots
        starts = [step - step % slots for step in range(group.steps)]
        low = self._table("start_low", [self.low[s - 1] if s else 0 for s in starts])
        high = self._table("start_high", [self.high[s - 1] if s else 0 for s in starts])
        step_low, step_high = self._table("low", self.low), self._table("high", self.high)
        lanes = range(group.lanes)

        checks.always("step exists", self.step < group.steps)
        used = self.issued | (self._slot(self.now) != 0)
        checks.always("held activations in range", ~used | self._in_range(self.held))
        checks.always("start in range", (low <= self.start) & (self.start <= high))
        checks.always(
            "step in range",
            ~self._in_range(self.held) | (step_low <= self.reached) & (self.reached <= step_high),
        )
        for lane in lanes:
            checks.always(f"done {lane}", self.done[lane] == self.partial[lane])
        for lane in range(1, group.lanes):
            sums = self.sums["done"]
            earlier = sums[0] if lane == 1 else sums[group.lanes + lane - 2]
            total = self._low_bits(earlier + self.done[lane])
            checks.always(f"done sum {lane}", sums[group.lanes + lane - 1] == total)
        for node, parts in enumerate(zip(*self.sums.values(), strict=True)):
            done, gain, after = parts
            enough = self._nodes_below(node)
            checks.always(f"sum {node}", self._low_bits(done + gain) == after, enough)
        whole = f"sum {len(self.sums['gain']) - 1}"
        checks.always(
            "lanes together",
            self._low_bits(self.before + self.gained) == self.reached,
            ("cut before", "cut reached", whole),
        )
        self._lane_sum()
        register = checks.observe("pe.accumulator.ring", signed(group.bits))
        checks.always("register", register == self._kept(self.before))
        wanted = Mux(self.issued, self.reached, self.before)
        checks.always("next", pe.group_sum == self._kept(wanted))
        checks.always("group sum", ~self.last | (pe.group_sum == self.reached))
        checks.always("no overflow", ~pe.overflow)
        checks.reachable("a group is finished", self.last)
        checks.reachable("a step after a pause", self.issue & ~self.issued & (self.now != 0))

    def _nodes_below(self, node: int) -> tuple[str, ...]:
        """What a sum of lanes follows from; the lanes come first, then sums of two, three ..."""
        lane = node - self.group.lanes + 1
        if lane < 1:
            return ()
        below = 0 if lane == 1 else node - 1
        cuts = (f"cut {name} sum {lane}" for name in ("gain", "after"))
        return (f"sum {below}", f"sum {lane}", f"done sum {lane}", *cuts)

    def _lane_sum(self) -> None:
        """What the PE adds: the gain of the step, or nothing."""
        checks, issued, lanes = self.checks, self.issued, range(self.group.lanes)
        shift = Array(self.group.terms.base_shifts)[self._slot(self.now)]
        products = [self._low_bits(p << shift) for p in lane_products(self.m, self.inputs)]
        for lane, product in enumerate(products):
            checks.always(f"product {lane}", product == Mux(issued, self.gain[lane], 0))
        total = self._chain("product", products)[-1]
        checks.assume("lane sum", total == self.added)
        chains = [f"cut {name} sum {n}" for name in ("product", "gain") for n in lanes[1:]]
        enough = (*(f"product {lane}" for lane in lanes), *chains)
        checks.always("gain", total == Mux(issued, self.gained, 0), enough)

    def _kept(self, exact):
        """Saturating and flagging registers hold the sum itself, wrapping ones its low bits."""
        return exact[: self.group.bits].as_signed() if self.group.mode == "wrap" else exact

    def _low_bits(self, value):
        return value[: self.shape.width].as_signed()

    def _slot(self, step: Signal):
        return step % self.group.terms.slots if self.group.terms.slots > 1 else 0 * step

    def _in_range(self, activations):
        low, high = self.group.activations
        lanes = [activations[lane] for lane in range(self.group.lanes)]
        return Cat((low <= a) & (a <= high) for a in lanes).all()


def _sums(first: list[int], second: list[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)]
