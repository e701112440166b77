"""What the look-up tables of a component are spent on: amounts that predictors multiply.

Parts of the structural model by block (``pe.products.mux2_bits``), all blocks together
(``mux2_bits``), and what matters on FPGAs only: how many inputs the function of a bit has, and
which operands a carry chain takes in.
"""

from dataclasses import asdict
from functools import lru_cache

import numpy as np

from costmodel.array import machine_blocks, used_header_bits
from costmodel.calibration.components import COMPONENTS
from costmodel.decoder import is_taken_apart, term_bits, truth_table
from costmodel.dequant import multiple_bits, used_code_bits
from costmodel.floating import aligns_inside, layout_of
from costmodel.pe import sum_bits
from hw.array.parts import needs_negatives
from sw.compile import Machine
from sw.formats import FormatFamily, TermTable

from .memories import machine_memories

Amounts = dict[str, float]
#: inputs of a look-up table
LUT_INPUTS = {"ecp5": 4, "ice40": 4, "xc7": 6}
SMALL_LUT = 4
#: parts that look-up tables are not made of
_OTHERS = ("sram_bits",)


@lru_cache(maxsize=4096)
def component_amounts(component: str, machine: Machine, family: str) -> Amounts:
    """Amounts of one circuit of a component; storage of queues depends on the family."""
    if component == "queue":
        return queue_amounts(machine, family)["queue.weights"]
    found: Amounts = {"one": 1}
    for block, structure in COMPONENTS[component].parts(machine).items():
        for field, value in asdict(structure).items():
            if not value or field in _OTHERS:
                continue
            found[field] = found.get(field, 0) + value
            found[f"{block}.{field}"] = found.get(f"{block}.{field}", 0) + value
    if component.endswith("_pe"):
        found |= _pe_amounts(machine, LUT_INPUTS[family])
    elif component == "column":
        found |= _column_amounts(machine, LUT_INPUTS[family])
    elif component == "drain":
        found |= _drain_amounts(machine)
    elif component.endswith("dequantizer"):
        found |= _dequantizer_amounts(machine, LUT_INPUTS[family])
    elif component.endswith("_buffer"):
        memory = machine_memories(machine, family, alone=True)[
            f"buffer.{component.removesuffix('_buffer')}s"
        ]
        found |= {"ram_luts": memory.ram_luts}
    elif component == "column_scale":
        found |= _column_scale_amounts(machine, LUT_INPUTS[family])
    elif component == "activations":
        found |= _activation_amounts(machine, LUT_INPUTS[family])
    return {name: value for name, value in found.items() if value}


def queue_amounts(machine: Machine, family: str) -> dict[str, Amounts]:
    """Amounts of every queue of a machine, by the name of its block."""
    structures = {block.block: block.structure for block in machine_blocks(machine)}
    found = {}
    for name, memory in machine_memories(machine, family).items():
        if name.startswith("buffer"):
            continue
        structure = structures[name]
        amounts: Amounts = {
            "one": 1,
            "gates": structure.gates,
            "mux2_bits": structure.mux2_bits,
            "ram_luts": memory.ram_luts,
            # a word is chosen among those in flip-flops, and each of them has an enable
            "storage_bits": memory.flip_flops,
        }
        if memory.flip_flops:
            # a tree of two-to-one multiplexers
            amounts["selected_bits"] = memory.flip_flops - _width(machine, name)
        found[name] = {key: value for key, value in amounts.items() if value}
    return found


def _width(machine: Machine, queue: str) -> int:
    """Bits of a word of a queue."""
    return {
        "queue.headers": used_header_bits(machine),
        "queue.weights": machine.chunk_bits,
        "queue.activations": machine.activation_chunk_bits,
        "queue.parameters": machine.parameter_bits,
    }[queue]


def lut_count(inputs: int, lut_inputs: int) -> int:
    """Look-up tables of a function of some inputs that can be split at will."""
    return -(-(inputs - 1) // (lut_inputs - 1)) if inputs > 1 else 0


def _pe_amounts(machine: Machine, lut_inputs: int) -> Amounts:
    """What all PEs have: choice of a base shift in front of the accumulator; lanes."""
    array, terms = machine.accelerator, machine.terms
    shifts = sorted(set(terms.base_shifts))
    total = sum_bits(machine, array.lanes)
    found: Amounts = {"lanes": array.lanes}
    if len(shifts) > 1:
        limit = total + shifts[-1] if array.is_aligned else machine.inner_bits
        choice = (len(shifts) - 1).bit_length()
        found["shift_luts"] = sum(
            lut_count(len({min(p - s, total - 1) for s in shifts if p >= s}) + choice, lut_inputs)
            for p in range(min(total + shifts[-1], limit))
        )
    if array.pe == "multiplier":
        return found | _multiplier_amounts(machine, lut_inputs)
    if aligns_inside(machine):
        return found
    return found | _lane_amounts(machine, lut_inputs)


def _lane_amounts(machine: Machine, lut_inputs: int) -> Amounts:
    """Look-up tables of a bit-serial PE's lanes: shift, gate and inversion of an activation.

    Between them and a carry-save tree no register may lie; mapping for speed then copies what
    both outputs of a full adder take.
    """
    array, terms = machine.accelerator, machine.terms
    bits, _ = machine.value_shape
    width = min(bits + terms.largest_exponent, sum_bits(machine, array.lanes))
    exponents = range(1 << terms.exponent_bits) if terms.largest_exponent else range(1)
    chained, registered = array.adders == "chain", "products" in array.pipeline
    # the subtractor of a chain takes a lane's function in, if its look-up tables are large enough
    absorbs = chained and not registered and lut_inputs > SMALL_LUT
    luts = excess = 0
    for place in range(width):
        # an exponent moves this bit here, or the sign; gate and inversion
        sources = {min(place - e, bits - 1) for e in exponents if place >= e}
        inputs = len(sources) + (terms.exponent_bits if len(sources) > 1 else 0) + 2
        luts += lut_count(inputs + 1, lut_inputs) - 1 if absorbs else lut_count(inputs, lut_inputs)
        excess += max(0, inputs - lut_inputs)
    found: Amounts = {"lane_luts": array.lanes * luts, "lane_excess": array.lanes * excess}
    if not chained and not registered and "sums" not in array.pipeline:
        saved = COMPONENTS["serial_pe"].parts(machine)["pe.lane_sum"].full_adder_bits
        found |= {"unregistered_luts": array.lanes * luts, "unregistered_saved_bits": saved}
    return found


def _multiplier_amounts(machine: Machine, lut_inputs: int) -> Amounts:
    """Bits of the rows that a product is the sum of, sign extensions apart."""
    array, terms = machine.accelerator, machine.terms
    if aligns_inside(machine):
        bits, is_signed = machine.floating.layout.significand_bits, True
    else:
        bits, is_signed = machine.value_shape
    wide, narrow = sorted((bits + (not is_signed), terms.digit_bits), reverse=True)
    alone = "products" in array.pipeline or terms.exponent_bits > 0 or aligns_inside(machine)
    product = wide + narrow
    width = product if alone else sum_bits(machine, array.lanes)
    extension = sum(max(0, width - row - wide) for row in range(narrow))
    found: Amounts = {
        "partial_bits": array.lanes * wide * narrow,
        "saved_bits": array.lanes * wide * max(0, narrow - 2),
        "saved_twice_bits": array.lanes * wide * max(0, narrow - 2) * max(0, narrow - 4),
        "extension_bits": 0 if aligns_inside(machine) else array.lanes * extension,
        "product_bits": array.lanes * product,
    }
    if terms.exponent_bits:
        inputs = (1 << terms.exponent_bits) + terms.exponent_bits
        luts = lut_count(inputs, lut_inputs) * (product + terms.largest_exponent)
        found["shifter_luts"] = array.lanes * luts
    return found


def _dequantizer_amounts(machine: Machine, lut_inputs: int) -> Amounts:
    """Choice of the next group sum, shifter, gated addend and its accumulator."""
    array = machine.accelerator
    shared = array.rows_per_dequantizer > 1
    if array.is_aligned:
        parts = COMPONENTS["float_dequantizer"].parts(machine)["dequantizer.outer_accumulator"]
        turned = shared * array.rows_per_dequantizer * machine.outer_sum_bits
        return {"turned_bits": turned, "moved_bits": parts.mux2_bits - turned}
    wraps = array.outer_accumulator.mode == "wrap"
    held = min(machine.held_bits, machine.outer_bits) if wraps else machine.held_bits
    addend = held + array.scale.barrel_shift
    found: Amounts = {
        "held_bits": held,
        "waiting_bits": (array.rows_per_dequantizer - 1) * machine.inner_bits,
        "turned_bits": shared * machine.outer_bits,
        "outer_bits": machine.outer_bits,
        "saturated_bits": (array.outer_accumulator.mode == "saturate") * machine.outer_bits,
    }
    if array.zero_point_bits:
        found |= {"corrected_bits": held, "multiple_bits": multiple_bits(machine)}
    if array.scale.barrel_shift:
        shifts = range(array.scale.barrel_shift + 1)
        choice = array.scale.barrel_shift.bit_length()
        luts = 0
        for place in range(min(addend, machine.outer_bits) if wraps else addend):
            inputs = len({min(place - e, held - 1) for e in shifts if place >= e}) + choice + 1
            luts += lut_count(inputs, lut_inputs)
        found["shifter_luts"] = luts
    return found


def _column_scale_amounts(machine: Machine, lut_inputs: int) -> Amounts:
    """Multiplier bits that rotate or are loaded, and what decodes them."""
    scale = machine.accelerator.scale
    found: Amounts = {"rotating_bits": machine.accelerator.zero_point_bits}
    if scale.serial_bits > 1:
        found["rotating_bits"] += scale.serial_bits
    if scale.largest_shift and not scale.barrel_shift:
        # significand and shift of the scale, and the choice between rotating and loading
        inputs = used_code_bits(machine) + 2
        found["decoded_luts"] = scale.integer_bits * lut_count(inputs, lut_inputs)
    return found


def _activation_amounts(machine: Machine, lut_inputs: int) -> Amounts:
    """Look-up tables of the shifters in front of a row, which moves numbers right or left."""
    array, layout = machine.accelerator, layout_of(machine)
    lanes, places = array.lanes, layout.largest_place
    if aligns_inside(machine):
        return {"unpacked_lanes": lanes, "unpacked_bits": lanes * layout.exponent_bits}
    significand, choice = layout.significand_bits, places.bit_length()
    if array.is_aligned:
        width = significand + array.floating.guard_bits
        sources = [min(significand, width - place, places + 1) for place in range(width)]
    else:
        width = significand + places
        sources = [min(significand, place + 1, width - place) for place in range(width)]
    luts = sum(lut_count(count + choice, lut_inputs) for count in sources)
    kind = "aligned" if array.is_aligned else "fixed"
    return {
        f"{kind}_lanes": lanes,
        f"{kind}_luts": lanes * luts,
        f"{kind}_bits": lanes * width,
        "compared_bits": (lanes - 1) * choice if array.is_aligned else 0,
    }


def _drain_amounts(machine: Machine) -> Amounts:
    """Bits of a row, and of the product that a requantizer shifts."""
    array = machine.accelerator
    found: Amounts = {
        "row_bits": array.cols * machine.outer_sum_bits * (array.rows > 1),
        "selected_bits": (array.rows - 1) * array.cols * machine.outer_sum_bits,
        "cols": array.cols,
    }
    if array.requantizer is not None:
        width = machine.outer_sum_bits + array.requantizer.multiplier_bits
        found["multiplied_bits"] = array.cols * width
        found["shifted_bits"] = array.cols * width * array.requantizer.shift_bits
        found["partial_bits"] = (
            array.cols * machine.outer_sum_bits * array.requantizer.multiplier_bits
        )
    return found


def _column_amounts(machine: Machine, lut_inputs: int) -> Amounts:
    """Bits of the decoded terms: in a look-up table each, or in a tree of them."""
    lanes, family = machine.accelerator.lanes, machine.family
    found: Amounts = {"lanes": lanes}
    if is_taken_apart(family):
        return found
    small = trees = 0
    for inputs in _supports(family, machine.terms):
        small += 1 < inputs <= lut_inputs
        trees += 1 << (inputs - lut_inputs) if inputs > lut_inputs else 0
    if machine.accelerator.programmable:
        # mapping for speed chooses among the registers anew in every lane
        found["programmed_bits"] = lanes * term_bits(machine.terms)
    if needs_negatives(machine):
        found["counted_lanes"] = lanes
    return found | {"small_outputs": lanes * small, "tree_leaves": lanes * trees}


@lru_cache(maxsize=256)
def _supports(family: FormatFamily, terms: TermTable) -> list[int]:
    """How many inputs of the decoder each distinct bit of a term depends on."""
    table = np.array(truth_table(family, terms))
    inputs = (len(table) - 1).bit_length()
    columns = dict.fromkeys(tuple((table >> bit & 1).tolist()) for bit in range(term_bits(terms)))
    shaped = [np.array(column).reshape((2,) * inputs) for column in columns]
    found = []
    for number, bits in enumerate(shaped):
        needed = [bool((bits.take(0, n) != bits.take(1, n)).any()) for n in range(inputs)]
        if family.special_code is None:
            # a digit is that of no term while no slot is issued
            found.append(sum(needed) + (number < terms.digit_bits and any(needed)))
        elif any(needed):
            # all of the code says whether it is the special one, whose term comes from outside
            slots = inputs - family.bits - family.id_bits
            found.append(family.bits + sum(needed[:slots]) + 1)
    return found
