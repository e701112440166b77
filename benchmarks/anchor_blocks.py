"""Blocks of our PEs by themselves, cut where the published tables cut theirs."""

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.array.parts import inner_sum
from hw.pe import PE, AligningPE
from sw.compile.machine import Machine


class _Stages(AligningPE):
    """The aligning PE's own stages, to be built without what lies behind them."""

    def __init__(self, machine: Machine) -> None:
        widths = machine.floating
        super().__init__(
            terms=machine.terms,
            lanes=machine.accelerator.lanes,
            significand_bits=widths.layout.significand_bits,
            place_bits=widths.place_bits,
            guard_bits=machine.accelerator.floating.guard_bits,
            sum_bits=widths.dot_bits,
            exponent_bits=widths.addend_exponent_bits,
            floating=inner_sum(machine),
        )

    def match(self, m: Module) -> tuple[list, Value]:
        """Lanes with their exponents, and the largest of these."""
        lanes = [self._lane(m, lane) for lane in range(self.lanes)]
        return lanes, self._largest(m, lanes)

    def total(self, m: Module, distances: data.View) -> Value:
        """Sum of the lanes' products moved right by the distances."""
        values: list[Value] = []
        for index in range(self.lanes):
            lane = self._lane(m, index)
            lane.exponent = Signal(self.exponent_bits, name=f"none_{index}")
            values += self._aligned(m, index, lane, distances[index])
        return sum(values, start=Value.cast(0))


class ExponentMatch(wiring.Component):
    """Stage 1 of BitMoD's PE: sums of exponents, the largest, distances to it, signs.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        Machine whose PEs align products.

    Members
    -------
    terms_in, activations
        As :class:`hw.pe.AligningPE`.
    largest : ``Out(exponent_bits)``
        Largest exponent.
    distances : ``Out(ArrayLayout(exponent_bits, lanes))``
        How far each lane's product lies below it.
    negative : ``Out(lanes)``
        Signs of the products.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.stages = _Stages(machine)
        bits, lanes = self.stages.exponent_bits, self.stages.lanes
        ports = self.stages.signature.members
        super().__init__(
            {
                "terms_in": ports["terms_in"],
                "activations": ports["activations"],
                "largest": Out(bits),
                "distances": Out(data.ArrayLayout(bits, lanes)),
                "negative": Out(lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [
            self.stages.terms_in.eq(self.terms_in),
            self.stages.activations.eq(self.activations),
        ]
        lanes, largest = self.stages.match(m)
        m.d.comb += self.largest.eq(largest)
        for index, lane in enumerate(lanes):
            m.d.comb += [
                self.distances[index].eq(largest - lane.exponent),
                self.negative[index].eq(lane.negative),
            ]
        return m


class MultiplyTree(wiring.Component):
    """Stage 2 of BitMoD's PE: bits times significands, alignment, signs, sum of the lanes.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        Machine whose PEs align products.

    Members
    -------
    terms_in, activations
        As :class:`hw.pe.AligningPE`; exponents are not used.
    distances : ``In(ArrayLayout(exponent_bits, lanes))``
        From :class:`ExponentMatch`.
    total : ``Out(signed(sum_bits))``
        Sum of the aligned products.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.stages = _Stages(machine)
        ports = self.stages.signature.members
        layout = data.ArrayLayout(self.stages.exponent_bits, self.stages.lanes)
        super().__init__(
            {
                "terms_in": ports["terms_in"],
                "activations": ports["activations"],
                "distances": In(layout),
                "total": Out(signed(self.stages.sum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [
            self.stages.terms_in.eq(self.terms_in),
            self.stages.activations.eq(self.activations),
            self.total.eq(self.stages.total(m, self.distances)),
        ]
        return m


class GroupAccumulate(PE):
    """Stage 3 of BitMoD's PE: base shift and floating-point accumulation.

    Timing
    ------
    As :class:`hw.pe.FloatAccumulator`.

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        Machine whose PEs align products.

    Members
    -------
    total : ``In(signed(sum_bits))``
        Sum of a slot's aligned products.
    exponent : ``In(exponent_bits)``
        Its exponent.
    last, shift_select, group_sum
        As :class:`hw.pe.AligningPE`.
    """

    def __init__(self, *, machine: Machine) -> None:
        widths = machine.floating
        super().__init__(
            terms=machine.terms,
            sum_bits=widths.dot_bits,
            negated=False,
            bits=machine.inner_bits,
            mode="wrap",
            floating=inner_sum(machine),
            exponent_bits=widths.addend_exponent_bits,
            pipeline=(),
            members={
                "total": In(signed(widths.dot_bits)),
                "exponent": In(widths.addend_exponent_bits),
            },
        )

    def lane_sum(self, m: Module) -> tuple[Signal, Value | None]:
        return self.total, self.exponent
