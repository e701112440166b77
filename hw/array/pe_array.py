"""The PE array: decoders per column, PEs, dequantizers, and the control that runs beside them."""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from configs.timing import decode_cycles, dequantizer_cycles, dot_cycles, inner_cycles
from hw.dequant import ActivationSums, ColumnScale, DequantizerControl, SerialDequantizer
from hw.pe import SerialPE, activation_shape, shift_select_bits
from hw.terms import ColumnTerms, SpecialValues, special_ports
from sw.compile.machine import Machine

from .sequencer import issue_layout


class PEArray(wiring.Component):
    """``rows x cols`` outputs of ``lanes`` products per slot.

    Weights enter by column, activations by row. All PEs do the same slot in the same cycle.

    Timing
    ------
    A slot issued in cycle 0 has its terms registered beside the PEs ``decode_cycles`` later, its
    dot product another ``dot_cycles``, its group sum another ``inner_cycles``; the dequantizers
    take the following ``dequantizer_cycles``, in the last of which ``results`` is valid if the slot
    ended a tile (:mod:`configs.timing`).

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        Shape, formats and widths.

    Members
    -------
    issue : ``In(issue_layout(slots))``
        The slot of this cycle.
    header : ``In(machine.header_bits)``
        Scales, format ids and zero points of the slot's group.
    weights : ``In(machine.chunk_bits)``
        Codes of the slot's chunk, column by column.
    activations : ``In(rows * lanes * activation_bits)``
        Activations of the slot's chunk, row by row.
    clear_overflow : ``In(1)``
        Clear the sticky overflow bits.
    special_write, special_index, special_value
        ``In``, as in :class:`hw.terms.SpecialValues`; not while slots are issued; absent if the
        machine is not programmable.
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
        #: cycles after the issue: terms are decoded, terms are registered, dot product is
        #: registered, inner accumulation
        self.decode_at = decode_cycles(array) - 1
        self.terms_at = decode_cycles(array)
        self.dot_at = self.terms_at + dot_cycles(array)
        self.inner_at = self.dot_at + inner_cycles(array) - 1
        members = {
            "issue": In(issue_layout(machine.terms.slots)),
            "header": In(machine.header_bits),
            "weights": In(machine.chunk_bits),
            "activations": In(machine.activation_chunk_bits),
            "clear_overflow": In(1),
            "results": Out(data.ArrayLayout(signed(machine.outer_bits), array.rows * array.cols)),
            "results_valid": Out(1),
            "results_job_end": Out(1),
            "inner_overflow": Out(array.cols),
            "outer_overflow": Out(array.cols),
        }
        if array.programmable:
            ports = special_ports(machine.family, machine.terms)
            members |= {f"special_{name}": member for name, member in ports.items()}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        array = self.machine.accelerator
        # the slot in every later cycle up to its inner accumulation
        issues = [self.issue]
        for cycle in range(1, self.inner_at + 1):
            issues.append(Signal(self.issue.shape(), name=f"issue_{cycle}"))
            m.d.sync += issues[cycle].eq(issues[cycle - 1])
        header, weights, chunk = self._operands(m)
        rows = [self._activation_registers(m, row, chunk) for row in range(array.rows)]
        decoded = issues[self.decode_at]
        values = self._special_values(m)
        cols = [
            self._column_terms(m, col, header, weights, decoded, values)
            for col in range(array.cols)
        ]

        inner = issues[self.inner_at]
        control = self._control(m, inner)
        flushing = self._flushing(m)
        step = {"last": control.load | flushing} | self._shift_select(m, issues[self.dot_at].slot)
        sums = self._activation_sums(m, rows, inner, control)
        scales = [self._column_scale(m, col, header, issues, control) for col in range(array.cols)]
        overflows = [
            [
                self._cell(m, group, col, rows, cols[col], step, control, scales[col], sums)
                for group in range(array.rows // array.rows_per_dequantizer)
            ]
            for col in range(array.cols)
        ]
        for col, of_column in enumerate(overflows):
            events = [list(stage) for stage in zip(*of_column, strict=True)]
            inner_events = Cat(e for part in events[0] for e in part).any() & ~flushing
            self._sticky(m, self.inner_overflow[col], inner_events)
            self._sticky(m, self.outer_overflow[col], Cat(*events[1]).any())
        return m

    def _operands(self, m: Module):
        """Header, weights and activations of the slot that is decoded."""
        operands = (self.header, self.weights, self.activations)
        if not self.decode_at:
            return operands
        names = ("header_register", "weights_register", "chunk_register")
        registers = [
            Signal(len(o), name=name, reset_less=True)
            for o, name in zip(operands, names, strict=True)
        ]
        m.d.sync += [r.eq(o) for r, o in zip(registers, operands, strict=True)]
        return registers

    def _activation_registers(self, m: Module, row: int, chunk) -> Signal:
        """Activations of one row, registered and broadcast along it."""
        array = self.machine.accelerator
        shape = activation_shape(array.activation_bits, is_signed=array.activation_signed)
        layout = data.ArrayLayout(shape, array.lanes)
        register = Signal(layout, name=f"activations_{row}", reset_less=True)
        width = array.lanes * array.activation_bits
        m.d.sync += register.as_value().eq(chunk.word_select(row, width))
        return register

    def _special_values(self, m: Module):
        """Special values written at run time, or None."""
        machine = self.machine
        if not machine.accelerator.programmable:
            return None
        values = SpecialValues(family=machine.family, terms=machine.terms)
        m.submodules.special_values = values
        for name in special_ports(machine.family, machine.terms):
            m.d.comb += getattr(values, name).eq(getattr(self, f"special_{name}"))
        return values.terms

    def _column_terms(self, m: Module, col: int, header, weights, issue, values) -> ColumnTerms:
        """Terms of one column, broadcast down it."""
        machine, array = self.machine, self.machine.accelerator
        family = machine.family
        m.submodules[f"terms_{col}"] = terms = ColumnTerms(
            family=family,
            terms=machine.terms,
            lanes=array.lanes,
            programmable=array.programmable,
            count_negatives=array.adders == "compressor",
        )
        ids = header[array.cols * array.scale.code_bits :]
        m.d.comb += [
            terms.codes.eq(weights.word_select(col, array.lanes * family.stored_bits)),
            terms.valid.eq(issue.valid),
        ]
        if family.id_bits:
            m.d.comb += terms.format_id.eq(ids.word_select(col, family.id_bits))
        if machine.terms.slots > 1:
            m.d.comb += terms.slot.eq(issue.slot)
        if array.programmable:
            m.d.comb += terms.values.eq(values)
        return terms

    def _control(self, m: Module, inner) -> DequantizerControl:
        """Passes of the dequantizers, from the inner accumulation of a group's last slot."""
        array = self.machine.accelerator
        m.submodules.control = control = DequantizerControl(
            zero_point_bits=array.zero_point_bits,
            scale_bits=array.scale.serial_bits,
            rows=array.rows_per_dequantizer,
        )
        m.d.comb += [
            control.load.eq(inner.valid & inner.group_end),
            control.tile_end.eq(inner.tile_end),
            control.job_end.eq(inner.job_end),
            self.results_valid.eq(control.results_valid),
            self.results_job_end.eq(control.results_job_end),
        ]
        return control

    def _activation_sums(self, m: Module, rows, inner, control) -> list:
        """Multiples of the activation sums, one per dequantizer row; none without zero points."""
        machine, array = self.machine, self.machine.accelerator
        if not array.zero_point_bits:
            return []
        multiples, shared = [], array.rows_per_dequantizer
        for group in range(array.rows // shared):
            m.submodules[f"activation_sums_{group}"] = sums = ActivationSums(
                rows=shared,
                lanes=array.lanes,
                activation_bits=array.activation_bits,
                activation_signed=array.activation_signed,
                bits=machine.activation_sum_bits,
                zero_point_bits=array.zero_point_bits,
                delay=self.inner_at - self.terms_at,
            )
            m.d.comb += [
                Cat(sums.activations).eq(Cat(*rows[group * shared : (group + 1) * shared])),
                sums.accumulate.eq(inner.valid & (inner.slot == 0)),
                sums.load.eq(control.load),
                sums.correct.eq(control.correct),
            ]
            if shared > 1:
                m.d.comb += sums.last.eq(control.last)
            multiples.append(sums.multiple)
        return multiples

    def _column_scale(self, m: Module, col: int, header, issues, control) -> ColumnScale:
        """One column's scale and zero point, kept from the header of the group."""
        machine, array = self.machine, self.machine.accelerator
        # the next group's header comes dequantizer_cycles later at the least
        keep_at = [self.decode_at]
        while self.inner_at - keep_at[-1] > dequantizer_cycles(array):
            keep_at.append(keep_at[-1] + dequantizer_cycles(array))
        m.submodules[f"scale_{col}"] = scale = ColumnScale(
            scale=array.scale, zero_point_bits=array.zero_point_bits, stages=len(keep_at)
        )
        zero_points = header[array.cols * (array.scale.code_bits + machine.family.id_bits) :]
        keeps = [issues[cycle].valid & issues[cycle].group_end for cycle in keep_at]
        m.d.comb += [
            scale.code.eq(header.word_select(col, array.scale.code_bits)),
            scale.keep.eq(Cat(*keeps)),
            scale.load.eq(control.load),
            scale.multiply.eq(control.multiply),
        ]
        if array.zero_point_bits:
            m.d.comb += [
                scale.zero_point.eq(zero_points.word_select(col, array.zero_point_bits)),
                scale.correct.eq(control.correct),
            ]
        return scale

    def _cell(self, m: Module, group: int, col: int, rows, terms, step, control, scale, sums):
        """PEs and dequantizer of some rows of a column; returns their overflow events."""
        array, shared = self.machine.accelerator, self.machine.accelerator.rows_per_dequantizer
        dequantizer = self._dequantizer(m, group, col, control, scale)
        if sums:
            m.d.comb += dequantizer.multiple.eq(sums[group])
        overflows = []
        for turn in range(shared):
            row = group * shared + turn
            pe = self._pe(m, row, col)
            m.d.comb += [
                pe.terms_in.eq(terms.terms_out),
                pe.activations.eq(rows[row]),
                dequantizer.group_sums[turn].eq(pe.group_sum),
                self.results[row * array.cols + col].eq(dequantizer.results[turn]),
            ]
            m.d.comb += [getattr(pe, name).eq(value) for name, value in step.items()]
            if array.adders == "compressor":
                m.d.comb += pe.negatives.eq(terms.negatives)
            overflows.append(pe.overflow)
        return overflows, dequantizer.overflow

    def _pe(self, m: Module, row: int, col: int) -> SerialPE:
        machine, array = self.machine, self.machine.accelerator
        m.submodules[f"pe_{row}_{col}"] = pe = SerialPE(
            terms=machine.terms,
            lanes=array.lanes,
            activation_bits=array.activation_bits,
            activation_signed=array.activation_signed,
            bits=machine.inner_bits,
            mode=array.inner_accumulator.mode,
            adders=array.adders,
            pipeline=array.pipeline,
        )
        return pe

    def _dequantizer(self, m: Module, group: int, col: int, control, scale) -> SerialDequantizer:
        """One dequantizer under the shared control, with its column's scale."""
        machine, array = self.machine, self.machine.accelerator
        dequantizer = SerialDequantizer(
            group_bits=machine.inner_bits,
            corrected_bits=machine.corrected_bits,
            activation_sum_bits=machine.activation_sum_bits,
            zero_point_bits=array.zero_point_bits,
            scale_bits=array.scale.serial_bits,
            barrel_shift=array.scale.barrel_shift,
            bits=machine.outer_bits,
            mode=array.outer_accumulator.mode,
            rows=array.rows_per_dequantizer,
        )
        m.submodules[f"dequantizer_{group}_{col}"] = dequantizer
        m.d.comb += dequantizer.clear.eq(control.results_valid)
        shared = ("load", "correct", "negative", "last")
        own = ("scale_bit", "zero_point_bit", "shift")
        for source, names in ((control, shared), (scale, own)):
            for name in (n for n in names if n in dequantizer.signature.members):
                m.d.comb += getattr(dequantizer, name).eq(getattr(source, name))
        return dequantizer

    def _flushing(self, m: Module):
        """Whether a slot that was under way before reset may still be in the PEs' registers.

        Those are not reset, and the accumulators behind them add in every cycle.
        """
        depth = self.inner_at - self.terms_at
        flush = Signal(depth, init=(1 << depth) - 1)
        m.d.sync += flush.eq(flush >> 1)
        return flush[0]

    def _sticky(self, m: Module, bit, event) -> None:
        """Set ``bit`` by an event, until the next job."""
        with m.If(self.clear_overflow):
            m.d.sync += bit.eq(0)
        with m.Elif(event):
            m.d.sync += bit.eq(1)

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
