"""The PE array: decoders per column, PEs, dequantizers, and the control that runs beside them."""

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.dequant import SerialDequantizer
from hw.pe import SerialPE, shift_select_bits
from hw.terms import PairDecoder, TermDecoder, term_layout
from sw.compile.machine import Machine

from .sequencer import issue_layout


class PEArray(wiring.Component):
    """``rows x cols`` outputs of ``lanes`` products per slot.

    Weights enter by column, activations by row. All PEs do the same slot in the same cycle.

    Timing
    ------
    A slot issued in cycle 0 has its terms registered beside the PEs in cycle 1
    (``DECODE_CYCLES``), its dot product in cycle 2 (``DOT_CYCLES``), its group sum in cycle 3
    (``INNER_CYCLES``); the dequantizer takes cycles 3 to 2 + scale_bits, the outer
    accumulation the next, in which ``results`` is valid if the slot ended a tile.

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        Shape, formats and widths.

    Members
    -------
    issue : ``In(issue_layout(slots))``
        The slot of this cycle.
    header : ``In(machine.header_bits)``
        Scales and format ids of the slot's group.
    weights : ``In(machine.chunk_bits)``
        Codes of the slot's chunk, column by column.
    activations : ``In(rows * lanes * activation_bits)``
        Activations of the slot's chunk, row by row.
    clear_overflow : ``In(1)``
        Clear the sticky overflow bits.
    results : ``Out(ArrayLayout(signed(outer_bits), rows * cols))``
        Outer sums, row by row.
    results_valid : ``Out(1)``
        ``results`` is a finished tile.
    results_job_end : ``Out(1)``
        The finished tile is the job's last.
    inner_overflow, outer_overflow : ``Out(cols)``
        Sticky, per column: a step's exact sum left the range (modes saturate and flag).
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        array = machine.accelerator
        super().__init__(
            {
                "issue": In(issue_layout(machine.terms.slots)),
                "header": In(machine.header_bits),
                "weights": In(machine.chunk_bits),
                "activations": In(array.rows * array.lanes * array.activation_bits),
                "clear_overflow": In(1),
                "results": Out(
                    data.ArrayLayout(signed(machine.outer_bits), array.rows * array.cols)
                ),
                "results_valid": Out(1),
                "results_job_end": Out(1),
                "inner_overflow": Out(array.cols),
                "outer_overflow": Out(array.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        array = self.machine.accelerator
        rows = [self._activation_registers(m, row) for row in range(array.rows)]
        cols = [self._term_registers(m, col) for col in range(array.cols)]
        issue_1 = Signal(self.issue.shape())  # beside the terms
        issue_2 = Signal(self.issue.shape())  # beside the dot product
        m.d.sync += [issue_1.eq(self.issue), issue_2.eq(issue_1)]
        group_done = Signal()
        m.d.comb += group_done.eq(issue_2.valid & issue_2.group_end)
        step = {
            "accumulate": issue_2.valid,
            "clear": issue_2.group_start,
            "latch": group_done,
        } | self._shift_select(m, issue_2.slot)
        dequantize = self._dequantizer_control(m, issue_2, group_done)
        scale_bits = [self._scale_bit(m, col, group_done) for col in range(array.cols)]
        for col in range(array.cols):
            overflows = [
                self._cell(m, row, col, rows[row], cols[col], step, dequantize, scale_bits[col])
                for row in range(array.rows)
            ]
            for sticky, events in zip(
                (self.inner_overflow[col], self.outer_overflow[col]),
                zip(*overflows, strict=True),
                strict=True,
            ):
                with m.If(self.clear_overflow):
                    m.d.sync += sticky.eq(0)
                with m.Elif(sum(events[1:], start=events[0]) != 0):
                    m.d.sync += sticky.eq(1)
        return m

    def _activation_registers(self, m: Module, row: int) -> Signal:
        """Cycle 0: activations of one row, registered and broadcast along it."""
        array = self.machine.accelerator
        layout = data.ArrayLayout(signed(array.activation_bits), array.lanes)
        register = Signal(layout, name=f"activations_{row}", reset_less=True)
        chunk = self.activations.word_select(row, array.lanes * array.activation_bits)
        m.d.sync += register.as_value().eq(chunk)
        return register

    def _term_registers(self, m: Module, col: int) -> Signal:
        """Cycle 0: terms of one column, decoded, registered and broadcast down it."""
        machine, array = self.machine, self.machine.accelerator
        layout = data.ArrayLayout(term_layout(array.lane_exponent_bits), array.lanes)
        register = Signal(layout, name=f"terms_{col}", reset_less=True)
        ids = self.header[array.cols * array.scale_bits :]
        codes = self._codes(m, col)
        for lane in range(array.lanes):
            decoder = TermDecoder(family=machine.family, terms=machine.terms)
            m.submodules[f"decoder_{col}_{lane}"] = decoder
            m.d.comb += decoder.code.eq(codes.word_select(lane, machine.family.bits))
            if machine.family.id_bits:
                m.d.comb += decoder.format_id.eq(ids.word_select(col, machine.family.id_bits))
            if machine.terms.slots > 1:
                m.d.comb += decoder.slot.eq(self.issue.slot)
            m.d.sync += register[lane].eq(decoder.term)
        return register

    def _codes(self, m: Module, col: int):
        """Codes of one column's chunk; stored pairs go through pair decoders."""
        machine, lanes = self.machine, self.machine.accelerator.lanes
        stored = self.weights.word_select(col, lanes * machine.family.stored_bits)
        if not machine.family.pairs:
            return stored
        codes = Signal(lanes * machine.family.bits, name=f"codes_{col}")
        for pair in range(lanes // 2):
            decoder = PairDecoder(bits=machine.family.stored_bits)
            m.submodules[f"pair_{col}_{pair}"] = decoder
            m.d.comb += [
                decoder.stored.eq(stored.word_select(pair, 2 * machine.family.stored_bits)),
                codes.word_select(pair, 2 * machine.family.bits).eq(decoder.codes),
            ]
        return codes

    def _scale_bit(self, m: Module, col: int, group_done):
        """One column's scale: kept from the group's last slot, then shifted out, high bit first."""
        bits = self.machine.accelerator.scale_bits
        kept = Signal(bits, name=f"scale_{col}", reset_less=True)
        shifting = Signal(bits, name=f"scale_bits_{col}", reset_less=True)
        with m.If(self.issue.valid & self.issue.group_end):
            m.d.sync += kept.eq(self.header.word_select(col, bits))
        m.d.sync += shifting.eq(shifting << 1)
        with m.If(group_done):
            m.d.sync += shifting.eq(kept)
        return shifting[-1]

    def _dequantizer_control(self, m: Module, issue_2, group_done) -> dict[str, Signal]:
        """Count the scale bits of a group, then accumulate; the same for all PEs."""
        bits = self.machine.accelerator.scale_bits
        remaining = Signal(range(bits + 1))
        group = Signal(issue_2.shape())
        outer = Signal(issue_2.shape())
        accumulate = Signal()
        with m.If(group_done):
            m.d.sync += [remaining.eq(bits), group.eq(issue_2)]
        with m.Elif(remaining != 0):
            m.d.sync += remaining.eq(remaining - 1)
        m.d.sync += [accumulate.eq(remaining == 1), outer.eq(group)]
        m.d.comb += [
            self.results_valid.eq(accumulate & outer.tile_end),
            self.results_job_end.eq(outer.job_end),
        ]
        return {
            "multiply": remaining != 0,
            "first": remaining == bits,
            "accumulate": accumulate,
            "clear": outer.tile_start,
        }

    def _cell(self, m: Module, row, col, activations, terms, step, dequantize, scale_bit):
        """PE and dequantizer of one output; returns their overflow events."""
        machine, array = self.machine, self.machine.accelerator
        pe = SerialPE(
            terms=machine.terms,
            lanes=array.lanes,
            activation_bits=array.activation_bits,
            bits=machine.inner_bits,
            mode=array.inner_accumulator.mode,
        )
        dequantizer = SerialDequantizer(
            group_bits=machine.inner_bits,
            scale_bits=array.scale_bits,
            bits=machine.outer_bits,
            mode=array.outer_accumulator.mode,
        )
        m.submodules[f"pe_{row}_{col}"] = pe
        m.submodules[f"dequantizer_{row}_{col}"] = dequantizer
        m.d.comb += [
            pe.terms_in.eq(terms),
            pe.activations.eq(activations),
            dequantizer.group_sum.eq(pe.group_sum),
            dequantizer.scale_bit.eq(scale_bit),
            self.results[row * array.cols + col].eq(dequantizer.result),
        ]
        m.d.comb += [getattr(dequantizer, name).eq(value) for name, value in dequantize.items()]
        m.d.comb += [getattr(pe, name).eq(value) for name, value in step.items()]
        return pe.overflow, dequantizer.overflow

    def _shift_select(self, m: Module, slot) -> dict[str, Signal]:
        """Slot number to index among the distinct base shifts; empty if there is only one."""
        terms = self.machine.terms
        if not shift_select_bits(terms):
            return {}
        select = Signal(shift_select_bits(terms))
        distinct = sorted(set(terms.base_shifts))
        with m.Switch(slot):
            for number, shift in enumerate(terms.base_shifts):
                with m.Default() if number == terms.slots - 1 else m.Case(number):
                    m.d.comb += select.eq(distinct.index(shift))
        return {"shift_select": select}
