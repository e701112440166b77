"""The PE array: decoders per column, PEs, dequantizers, and the control that runs beside them."""

from types import SimpleNamespace

from amaranth import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from configs.timing import decode_cycles, dequantizer_cycles, dot_cycles, inner_cycles
from hw.dequant import ActivationSums, ColumnScale, DequantizerControl
from hw.pe import activation_shape, shift_select_bits
from hw.terms import ColumnTerms, SpecialValues, special_ports
from sw.compile.machine import Machine

from .parts import activation_decoder, inner_pe, make_dequantizer, needs_negatives
from .sequencer import issue_layout


class PEArray(wiring.Component):
    """``rows x cols`` outputs of ``lanes`` products per slot.

    Weights enter by column, activations by row. All PEs do the same slot in the same cycle.

    Timing
    ------
    A slot issued in cycle 0 has its terms registered beside the PEs ``decode_cycles`` later, its
    dot product another ``dot_cycles``, its group sum another ``inner_cycles``; the dequantizers
    take the following ``dequantizer_cycles``, in the last of which ``results`` is valid if the slot
    ended a tile, in the cycle after that where sums are aligned (:mod:`configs.timing`).

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
    activations : ``In(rows * lanes * activation_width)``
        Activations of the slot's chunk, row by row.
    clear_overflow : ``In(1)``
        Clear the sticky overflow bits.
    special_write, special_index, special_value
        ``In``, as in :class:`hw.terms.SpecialValues`; not while slots are issued; absent if the
        machine is not programmable.
    results : ``Out(ArrayLayout(signed(outer_sum_bits), rows * cols))``
        Outer sums, row by row; aligned ones with the mantissa in the low bits.
    results_valid : ``Out(1)``
        ``results`` is a finished tile.
    results_job_end : ``Out(1)``
        The finished tile is the job's last.
    inner_overflow, outer_overflow : ``Out(cols)``
        Sticky, per column: a step's exact sum left the range (modes saturate and flag).
    invalid_activations : ``Out(rows)``
        Sticky, per row: an activation was Inf or NaN; absent with integer activations.
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
        #: by how many cycles the control of PEs and dequantizers is ahead, to be registered
        self.ahead = int("control" in array.pipeline)
        #: outer accumulation of an aligned machine
        self.accumulate = Signal()
        depth = self.inner_at - self.terms_at
        #: cycles in which PEs may still hold what was under way before reset, this one lowest
        self.flush = Signal(depth, init=(1 << depth) - 1)
        outputs = array.rows * array.cols
        members = {
            "issue": In(issue_layout(machine.slots)),
            "header": In(machine.header_bits),
            "weights": In(machine.chunk_bits),
            "activations": In(machine.activation_chunk_bits),
            "clear_overflow": In(1),
            "results": Out(data.ArrayLayout(signed(machine.outer_sum_bits), outputs)),
            "results_valid": Out(1),
            "results_job_end": Out(1),
            "inner_overflow": Out(array.cols),
            "outer_overflow": Out(array.cols),
        }
        if array.has_floats:
            members["invalid_activations"] = Out(array.rows)
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
        decoded = issues[self.decode_at]
        rows = [self._row(m, row, chunk, decoded) for row in range(array.rows)]
        values = self._special_values(m)
        cols = [
            self._column_terms(m, col, header, weights, decoded, values)
            for col in range(array.cols)
        ]

        inner = issues[self.inner_at]
        control = self._control(m, issues)
        flushing = self._flushing(m)
        step = self._shift_select(m, issues[self.dot_at].slot)
        step["last"] = self._last(m, issues, control, flushing)
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

    def _row(self, m: Module, row: int, chunk, decoded) -> tuple:
        """Activations of one row, registered and broadcast along it, and their exponent.

        The exponent, None without one, comes with the inner accumulation.
        """
        machine, array = self.machine, self.machine.accelerator
        codes = chunk.word_select(row, array.lanes * machine.activation_width)
        if array.has_floats:
            return self._float_row(m, row, codes, decoded.valid)
        shape = activation_shape(array.activation_bits, is_signed=array.activation_signed)
        layout = data.ArrayLayout(shape, array.lanes)
        register = Signal(layout, name=f"activations_{row}", reset_less=True)
        m.d.sync += register.as_value().eq(codes)
        return register, None

    def _float_row(self, m: Module, row: int, codes, valid) -> tuple:
        """Floating-point activations of one row, taken apart, and their common exponent."""
        m.submodules[f"activations_{row}"] = decoder = activation_decoder(self.machine)
        m.d.comb += [decoder.codes.eq(codes), decoder.valid.eq(valid)]
        self._sticky(m, self.invalid_activations[row], decoder.invalid)
        if decoder.target != "aligned":
            return decoder.values, None
        exponent = decoder.exponent
        for cycle in range(self.terms_at, self.inner_at):
            following = Signal(len(exponent), name=f"exponent_{row}_{cycle}", reset_less=True)
            m.d.sync += following.eq(exponent)
            exponent = following
        return decoder.values, exponent

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
            count_negatives=needs_negatives(machine),
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

    def _control(self, m: Module, issues) -> SimpleNamespace:
        """Passes of the dequantizers, from the inner accumulation of a group's last slot.

        With stage ``control`` everything is worked out a cycle earlier and registered.
        """
        array = self.machine.accelerator
        inner = issues[self.inner_at - self.ahead]
        m.submodules.control = block = DequantizerControl(
            zero_point_bits=array.zero_point_bits,
            scale_bits=array.scale.serial_bits,
            rows=array.rows_per_dequantizer,
        )
        m.d.comb += [
            block.load.eq(inner.valid & inner.group_end),
            block.tile_end.eq(inner.tile_end),
            block.job_end.eq(inner.job_end),
        ]
        names = ("load", *(n for n, p in block.signature.members.items() if p.flow == Out))
        found = {name: getattr(block, name) for name in names}
        if self.ahead:
            registers = {name: Signal(name=f"control_{name}") for name in found}
            m.d.sync += [registers[name].eq(value) for name, value in found.items()]
            found = registers
        control = SimpleNamespace(**found)
        ends = [control.results_valid, control.results_job_end]
        if array.is_aligned:
            # the outer accumulation is a cycle behind the last bit of a pass
            m.d.sync += [
                self.results_valid.eq(ends[0]),
                self.results_job_end.eq(ends[1]),
                self.accumulate.eq(control.last),
            ]
        else:
            m.d.comb += [self.results_valid.eq(ends[0]), self.results_job_end.eq(ends[1])]
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
                Cat(sums.activations).eq(
                    Cat(*(values for values, _ in rows[group * shared : (group + 1) * shared]))
                ),
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
            values, exponent = rows[row]
            m.submodules[f"pe_{row}_{col}"] = pe = inner_pe(self.machine)
            result = Value.cast(dequantizer.results[turn])
            m.d.comb += [
                pe.terms_in.eq(terms.terms_out),
                pe.activations.eq(values),
                dequantizer.group_sums[turn].eq(pe.group_sum),
                self.results[row * array.cols + col].eq(result),
            ]
            m.d.comb += [getattr(pe, name).eq(value) for name, value in step.items()]
            if exponent is not None:
                m.d.comb += pe.exponent.eq(exponent)
            if "negatives" in pe.signature.members:
                m.d.comb += pe.negatives.eq(terms.negatives)
            if not array.is_aligned:
                overflows.append(pe.overflow)
        return overflows, Const(0) if array.is_aligned else dequantizer.overflow

    def _dequantizer(self, m: Module, group: int, col: int, control, scale):
        """One dequantizer under the shared control, with its column's scale."""
        m.submodules[f"dequantizer_{group}_{col}"] = dequantizer = make_dequantizer(self.machine)
        m.d.comb += dequantizer.clear.eq(self.results_valid)
        shared = ("load", "correct", "negative", "last")
        own = ("scale_bit", "zero_point_bit", "shift")
        for source, names in ((control, shared), (scale, own), (self, ("accumulate",))):
            for name in (n for n in names if n in dequantizer.signature.members):
                m.d.comb += getattr(dequantizer, name).eq(getattr(source, name))
        return dequantizer

    def _last(self, m: Module, issues, control, flushing):
        """Whether the inner accumulators start anew: a group ends, or they are flushed."""
        if not self.ahead:
            return control.load | flushing
        before = issues[self.inner_at - 1]
        last = Signal(init=1)
        m.d.sync += last.eq((before.valid & before.group_end) | self.flush[1:2].any())
        return last

    def _flushing(self, m: Module):
        """Whether a slot that was under way before reset may still be in the PEs' registers.

        Those are not reset, and the accumulators behind them add in every cycle.
        """
        m.d.sync += self.flush.eq(self.flush >> 1)
        return self.flush[0]

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
