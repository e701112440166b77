"""What the longest path of a component may pass: the amounts that its delay is a sum over.

A path is a dictionary of counts. ``paths`` is 1 (a flip-flop at its start, another at its end);
``adders`` in series; ``carry_levels`` and ``carry_bits``, the binary logarithms of their
widths and the widths themselves; ``full_adders`` of
compressors in series; ``mux_levels``; ``gate_levels``; ``loads``, the binary logarithm of how many
gates the signal with the most loads drives.
"""

from collections.abc import Callable

from costmodel.dequant import rotating_scale_bits
from costmodel.floating import aligns_inside, layout_of
from costmodel.pe import sum_bits
from hw.array.parts import inner_sum, outer_sum
from hw.pe import FloatSum
from hw.pe.base import PART_LANES
from hw.pe.serial import CHAIN_LANES
from sw.compile import Machine

Passed = dict[str, float]


def paths(component: str, machine: Machine) -> list[Passed]:
    """Candidates for the longest path of one component of a machine."""
    return [path | {"paths": 1} for path in _PATHS[component](machine)]


def _levels(count: int) -> int:
    """Binary logarithm, rounded up."""
    return max(0, count - 1).bit_length()


def _joined(*parts: Passed) -> Passed:
    """One path behind the other."""
    total: Passed = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


def _adder(bits: int) -> Passed:
    return {"adders": 1, "carry_levels": _levels(bits), "carry_bits": bits}


def _mux(levels: int, loads: int = 1) -> Passed:
    return {"mux_levels": levels, "loads": _levels(loads) if levels else 0}


def _gates(levels: int) -> Passed:
    return {"gate_levels": levels}


def _compressor(operands: int, bits: int) -> Passed:
    """Every three rows become two, until an adder joins the last two."""
    levels = 0
    while operands > 2:
        operands -= operands // 3
        levels += 1
    return _joined({"full_adders": levels}, _adder(bits) if operands > 1 else {})


def _cut(pipeline: tuple[str, ...], *steps: tuple[str, Passed]) -> list[Passed]:
    """Steps in series, cut behind those whose name is a register of the pipeline, or ``always``."""
    found: list[Passed] = []
    current: Passed = {}
    for name, step in steps:
        current = _joined(current, step)
        if name in pipeline or name == "always":
            found.append(current)
            current = {}
    return [*found, current]


def _pe(machine: Machine) -> list[Passed]:
    """Product, sums of parts, lane sum, base shift, accumulation."""
    array = machine.accelerator
    parts, total = _sums(machine)
    shifts = len(set(machine.terms.base_shifts))
    shift = _mux(_levels(shifts), sum_bits(machine, array.lanes))
    return _cut(
        array.pipeline,
        ("products", _product(machine)),
        ("sums", parts),
        ("always", total),
        ("shift", shift),
        ("end", _inner(machine)),
    )


def _product(machine: Machine) -> Passed:
    """Of one lane; with floating-point activations up to the exponent of the lane."""
    terms = machine.terms
    bits = layout_of(machine).significand_bits if aligns_inside(machine) else machine.value_shape[0]
    shift = _mux(terms.exponent_bits, bits)
    if terms.digit_bits > 1:
        rows = min(bits, terms.digit_bits)
        product = _joined(_compressor(rows, bits + terms.digit_bits), _gates(1))
    else:
        product = _gates(2)
    if aligns_inside(machine):
        return _joined(product, _adder(machine.floating.addend_exponent_bits))
    return _joined(product, shift)


def _sums(machine: Machine) -> tuple[Passed, Passed]:
    """Up to the sums of parts, and from there to the lane sum."""
    array, bits = machine.accelerator, sum_bits(machine, machine.accelerator.lanes)
    lanes, before = array.lanes, {}
    if aligns_inside(machine) and lanes > 1:
        exponent = machine.floating.addend_exponent_bits
        largest = _joined(_gates(_levels(exponent)), _mux(1, exponent))
        levels = _levels(lanes)
        before = _joined(
            *[largest] * levels, _adder(exponent), _mux(exponent, machine.floating.product_bits)
        )
    if "sums" in array.pipeline:
        part = _joined(before, _adder(bits) if lanes > 1 else {})
        operands = -(-lanes // PART_LANES)
    else:
        part, operands = before, lanes
    if array.pe == "serial" and array.adders == "chain" and not aligns_inside(machine):
        series = min(operands, CHAIN_LANES) - 1 + _levels(-(-operands // CHAIN_LANES))
        chain = _joined({"chained_adders": max(0, series)}, _adder(bits) if operands > 1 else {})
        return part, chain
    return part, _compressor(operands + 1, bits)


def _inner(machine: Machine) -> Passed:
    array = machine.accelerator
    if array.is_aligned:
        width = sum_bits(machine, array.lanes) + max(machine.terms.base_shifts)
        return _float_sum(inner_sum(machine), width)
    return _bounded(machine.inner_bits, array.inner_accumulator.mode)


def _bounded(bits: int, mode: str) -> Passed:
    return _joined(_adder(bits), _gates(1 + (mode != "wrap")), _mux(int(mode == "saturate"), bits))


def _float_sum(floating: FloatSum, addend: int) -> Passed:
    """Exponents, alignment, sum, leading place, move, rounding."""
    full, nearest = floating.normalization == "full", floating.rounding == "nearest_even"
    bits, exponent = floating.bits, floating.exponent_bits
    width = max(addend, bits)
    # the sum moves left, too, by up to all of its places
    guard = floating.guard_places(addend) if full else 0
    places = width + guard if full else max(2, width + 2 - bits)
    return _joined(
        _adder(exponent),
        _mux(1 + min(exponent, _levels(width)), width),
        # what rounds the smaller operand is a third one
        {"full_adders": 1} if nearest and not full else {},
        _adder(width + 1),
        _mux(_levels(places)) if full else {},
        _mux(_levels(places), width + guard),
        _joined(_adder(bits), _mux(1, bits)) if nearest else {},
    )


def _dequantizer(machine: Machine) -> list[Passed]:
    array = machine.accelerator
    if array.is_aligned:
        width = machine.floating.product_sum_bits
        product = _joined(_gates(2), _adder(machine.inner_bits + 1))
        return [product, _float_sum(outer_sum(machine), width)]
    shift = _mux(array.scale.barrel_shift.bit_length(), machine.outer_bits)
    turn = _mux(int(array.rows_per_dequantizer > 1), machine.outer_bits)
    outer = _joined(shift, turn, _bounded(machine.outer_bits, array.outer_accumulator.mode))
    correction = _joined(_gates(3), _adder(machine.corrected_bits), _mux(2))
    return [outer, correction] if array.zero_point_bits else [outer]


def _column(machine: Machine) -> list[Passed]:
    family, terms, array = machine.family, machine.terms, machine.accelerator
    inputs = family.bits + family.id_bits + _levels(terms.slots)
    special = family.special_code is not None
    decoded = _joined(
        {"table_inputs": inputs, "loads": _levels(array.lanes)}, _mux(int(special)), _gates(1)
    )
    negatives = array.adders == "compressor" and array.pe == "serial"
    return [_joined(decoded, _compressor(array.lanes, 2) if negatives else {})]


def _column_scale(machine: Machine) -> list[Passed]:
    """Exponent of E4M3, a serial scale's shift, and what loads or rotates all registers."""
    array, scale = machine.accelerator, machine.accelerator.scale
    parts: list[Passed] = []
    if scale.format == "e4m3":
        # its four bits are less 1, or 0
        parts.append(_mux(3))
    if scale.largest_shift and not scale.barrel_shift:
        # a single 1 is only decoded
        levels = scale.largest_shift.bit_length()
        parts.append(_mux(levels) if scale.significand_bits > 1 else _gates(levels))
    rotating = rotating_scale_bits(machine) + array.zero_point_bits
    held = rotating + scale.barrel_shift.bit_length()
    return [_joined(*parts, _mux(1 + (rotating > 0), held))]


def _activations(machine: Machine) -> list[Passed]:
    array, layout = machine.accelerator, layout_of(machine)
    places = layout.largest_place.bit_length()
    fields = _joined(_gates(2 + _levels(layout.exponent_bits)), _adder(layout.exponent_bits))
    if aligns_inside(machine):
        return [fields]
    if not array.is_aligned:
        return [_joined(fields, _mux(places, layout.fixed_bits), _adder(layout.fixed_bits))]
    if array.lanes == 1:
        # nothing is aligned, the sign only is brought in
        return [_joined(fields, _adder(layout.significand_bits))]
    bits = layout.significand_bits + array.floating.guard_bits
    nearest = array.floating.rounding == "nearest_even"
    return [
        _joined(
            fields,
            {"chained_largest": array.lanes - 1},
            _adder(places),
            _mux(places, bits),
            _adder(bits) if nearest else {},
            _adder(bits),
        )
    ]


def _drain(machine: Machine) -> list[Passed]:
    array = machine.accelerator
    bits = machine.outer_bits
    selected = _mux(_levels(array.rows), array.cols * bits)
    if array.requantizer is not None:
        multiplier, shift = array.requantizer.multiplier_bits, array.requantizer.shift_bits
        product = _compressor(multiplier, bits + multiplier)
        move = _joined(_mux(shift, bits + multiplier), _adder(bits + multiplier), _gates(4))
        return [_joined(selected, _gates(1), product), move]
    if array.has_floats:
        assert machine.float_exponents is not None
        _, unit = machine.float_exponents
        move = _joined(_gates(_levels(bits)), _mux(2 * _levels(bits), bits))
        # results below the normal ones move back, then are rounded
        normal = unit + 126 >= 0
        back = {} if normal else _joined(_adder(9), _mux(_levels(bits), bits))
        rounded = {} if normal and bits <= 24 else _adder(24)
        return [_joined(selected, _adder(bits), move, back, rounded)]
    return [selected, _joined(_gates(2), {"loads": _levels(array.rows * array.cols * bits)})]


def _queue(machine: Machine) -> list[Passed]:
    depth, width = machine.accelerator.queue_beats, machine.chunk_bits
    return [_mux(_levels(depth), width), _joined(_gates(2 + _levels(depth)), {"loads": 0})]


def _control(machine: Machine) -> list[Passed]:
    return [_joined(_gates(4), _adder(40))]


def _buffer(machine: Machine) -> list[Passed]:
    return [_joined(_gates(4), _adder(24), _mux(2, 24))]


def _sums_of_activations(machine: Machine) -> list[Passed]:
    array, bits = machine.accelerator, machine.activation_sum_bits
    return [_joined(_compressor(array.lanes, bits)), _joined(_adder(bits), _gates(2))]


_PATHS: dict[str, Callable[[Machine], list[Passed]]] = {
    "serial_pe": _pe,
    "multiplier_pe": _pe,
    "float_pe": _pe,
    "dequantizer": _dequantizer,
    "float_dequantizer": _dequantizer,
    "column": _column,
    "column_scale": _column_scale,
    "activation_sums": _sums_of_activations,
    "activations": _activations,
    "queue": _queue,
    "drain": _drain,
    "control": _control,
    "weight_buffer": _buffer,
    "activation_buffer": _buffer,
}
