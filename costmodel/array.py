"""Blocks of a whole machine: control, queues, registers and drain, as in ``hw/array/``."""

from functools import lru_cache

from configs.timing import (
    CAUSES,
    COUNTER_BITS,
    GROUP_COUNT_BITS,
    HEADER_QUEUE_GROUPS,
    PARAMETER_QUEUE_TILES,
    TILE_COUNT_BITS,
    decode_cycles,
    dequantizer_cycles,
    dot_cycles,
    inner_cycles,
)
from hw.array.parts import needs_negatives
from hw.pe import shift_select_bits
from sw.compile import Machine
from sw.compile.transfers import activation_port, weight_port

from .buffer import buffer_control
from .decoder import (
    constant_term_bits,
    special_terms,
    special_values,
    term_decoder,
    term_register_bits,
)
from .dequant import (
    activation_sums,
    column_scale,
    dequantizer_blocks,
    dequantizer_control,
    mark_bits,
    requantizer_column,
    requantizer_control,
    used_code_bits,
)
from .floating import activations, encoder_column, exponent_stages
from .pe import pe_blocks, sign_bits
from .structure import (
    COMPARE_GATES,
    Block,
    Structure,
    adder,
    counter,
    enabled_register,
    queue,
    register,
)


@lru_cache(maxsize=256)
def machine_blocks(machine: Machine) -> tuple[Block, ...]:
    """Every block of a machine, from the PE outwards; blocks that it lacks are left out."""
    array = machine.accelerator
    pes, lanes = array.rows * array.cols, array.lanes
    shared = array.rows_per_dequantizer
    blocks = [(name, pes * count, parts) for name, count, parts in pe_blocks(machine)]
    if sign_bits(machine):
        # kept once per column
        blocks.append(("pe.signs", array.cols, register(sign_bits(machine))))
    blocks += [(name, pes // shared, parts) for name, parts in dequantizer_blocks(machine)]
    blocks.append(("column_scale", array.cols, column_scale(machine)))
    if array.zero_point_bits:
        blocks.append(("activation_sums", array.rows // shared, activation_sums(machine)))
    blocks.append(("decoder", array.cols * lanes, term_decoder(machine)))
    if machine.family.special_code is not None:
        blocks.append(("special_terms", array.cols, special_terms(machine)))
    if array.programmable:
        blocks.append(("special_values", 1, special_values(machine)))
    blocks += _registers(machine) + _queues(machine)
    blocks += [
        ("walker", 3, walker()),
        ("sequencer", 1, sequencer(machine)),
        ("dequantizer_control", 1, dequantizer_control(machine)),
        ("control", 1, control(machine)),
        ("drain", 1, drain(machine)),
    ]
    blocks += _buffers(machine)
    if array.requantizer is not None:
        column = requantizer_column(array.requantizer, machine.outer_bits)
        blocks.append(("requantizer", array.cols, column))
    if array.has_floats:
        blocks.append(("encoder", array.cols, encoder_column(machine)))
    return tuple(Block(block=b, count=c, structure=s) for b, c, s in blocks)


def used_header_bits(machine: Machine) -> int:
    """Bits of a header beat that something reads."""
    array = machine.accelerator
    return array.cols * (used_code_bits(machine) + machine.family.id_bits + array.zero_point_bits)


def _registers(machine: Machine) -> list[tuple[str, int, Structure]]:
    """Registers between queues and PEs."""
    array = machine.accelerator
    lanes = array.cols * array.lanes
    blocks = [("registers.terms", lanes, register(term_register_bits(machine)))]
    if array.has_floats:
        blocks.append(("activations", array.rows, activations(machine)))
    else:
        bits = register(array.activation_bits)
        blocks.append(("registers.activations", array.rows * array.lanes, bits))
    exponents = exponent_stages(machine, dot_cycles(array) + inner_cycles(array) - 1)
    if exponents:
        blocks.append(("registers.exponents", array.rows, register(exponents)))
    if needs_negatives(machine) and array.lanes > 1:
        count = array.lanes.bit_length()
        negatives = register(count) + adder(array.lanes)
        blocks.append(("negatives", array.cols, negatives))
    if "operands" in array.pipeline:
        chunks = machine.chunk_bits + machine.activation_chunk_bits
        blocks.append(("registers.operands", 1, register(used_header_bits(machine) + chunks)))
    return blocks


def _buffers(machine: Machine) -> list[tuple[str, int, Structure]]:
    """What controls the tile buffers; their storage is apart, bus registers are not modelled."""
    if machine.accelerator.buffers is None:
        return []
    ports = (weight_port(machine), activation_port(machine))
    return [(f"buffer_control.{port.name}", 1, buffer_control(port)) for port in ports]


def _queues(machine: Machine) -> list[tuple[str, int, Structure]]:
    """Input queues."""
    depth = machine.accelerator.queue_beats
    blocks = [
        ("queue.headers", 1, queue(used_header_bits(machine), HEADER_QUEUE_GROUPS)),
        ("queue.weights", 1, queue(machine.chunk_bits, depth)),
        ("queue.activations", 1, queue(machine.activation_chunk_bits, depth)),
    ]
    if machine.parameter_bits:
        parameters = queue(machine.parameter_bits, PARAMETER_QUEUE_TILES)
        blocks.append(("queue.parameters", 1, parameters))
    return blocks


def walker() -> Structure:
    """``hw.array.Walker``: three counters, their comparisons, and ``active``."""
    counters = counter(TILE_COUNT_BITS) + counter(GROUP_COUNT_BITS).times(2)
    comparisons = counters.flip_flop_bits * COMPARE_GATES
    ends = Structure(gates=comparisons, mux2_bits=GROUP_COUNT_BITS)
    # active, the flags, what comes next
    return counters + ends + enabled_register(5)


def sequencer(machine: Machine) -> Structure:
    """``hw.array.Sequencer`` without its walker: slot, dequantizer timer, cause counters."""
    timer_bits = (max(2, dequantizer_cycles(machine.accelerator)) - 1).bit_length()
    small = _slot_bits(machine) + timer_bits
    return (
        counter(COUNTER_BITS).times(len(CAUSES))
        + counter(small)
        + Structure(gates=small * COMPARE_GATES)
        + enabled_register(2)
    )


def _slot_bits(machine: Machine) -> int:
    """Bits of a slot's number; a single slot has a bit, too."""
    return (max(2, machine.slots) - 1).bit_length()


def _slot_stages(machine: Machine) -> int:
    """Registers that a slot's number passes: up to the last stage that reads it."""
    array = machine.accelerator
    decode, dot = decode_cycles(array), dot_cycles(array)
    readers = [decode - 1 if machine.slots > 1 else 0]
    if shift_select_bits(machine.terms):
        readers.append(decode + dot)
    if array.zero_point_bits:
        readers.append(decode + dot + inner_cycles(array) - 1)
    return max(readers)


def control(machine: Machine) -> Structure:
    """Job port, loader state, and the pipeline of ``PEArray`` that all PEs share."""
    array = machine.accelerator
    # and what the walkers know of it, the same in all
    job = enabled_register(TILE_COUNT_BITS + 3 * GROUP_COUNT_BITS + 1) + register(4)
    # valid, group end, tile end, job end from the issue to the inner accumulation
    stages = decode_cycles(array) + dot_cycles(array) + inner_cycles(array) - 1
    pipeline = register(4 * stages + _slot_bits(machine) * _slot_stages(machine))
    if "control" in array.pipeline:
        pipeline += register(_control_outputs(machine))
    pipeline += register(constant_term_bits(machine))
    # what was under way before reset is flushed out of the PEs' registers
    pipeline += register(dot_cycles(array) + inner_cycles(array) - 1)
    loader = enabled_register(1 + (array.requantizer is not None))
    modes = (array.inner_accumulator.mode, array.outer_accumulator.mode)
    sticky = array.cols * sum(mode != "wrap" for mode in modes)
    flags = enabled_register(sticky) + Structure(gates=sticky * array.rows)
    if array.has_floats:
        flags += enabled_register(array.rows)
    if array.is_aligned:
        # results and their outer accumulation, a cycle behind the last bit of a pass
        pipeline += register(3)
    return job + pipeline + loader + flags


def _control_outputs(machine: Machine) -> int:
    """Registered outputs of the dequantizers' control, less the slot's bits that end before it."""
    array = machine.accelerator
    turns = array.rows_per_dequantizer > 1 or array.is_aligned
    # a pass of one bit: its only cycle is the last one
    single = array.scale_pass_cycles == 1
    outputs = ["load", "last of the PEs", "results_valid", "results_job_end", "multiply"]
    outputs += ["last"] if turns and not single else []
    outputs += ["correct", "negative"] if array.zero_point_bits else []
    # group, tile and job end are read a cycle earlier, so is valid unless zero points need it, and
    # the end of flushing unless an overflow in that time is to be ignored
    reports = not array.is_aligned and array.inner_accumulator.mode != "wrap"
    return len(outputs) - 3 - (not array.zero_point_bits) - (not reports)


def drain(machine: Machine) -> Structure:
    """``hw.array.ResultDrain``: a tile, the row that is selected of it, and the row counter."""
    array = machine.accelerator
    row_bits = array.cols * machine.outer_sum_bits
    held = enabled_register(array.rows * row_bits)
    selection = Structure(mux2_bits=(array.rows - 1) * row_bits)
    parts = held + selection + counter((array.rows - 1).bit_length()) + enabled_register(2)
    if array.has_floats:
        # control of ``FloatEncoder``
        return parts + enabled_register(mark_bits(machine))
    return parts + requantizer_control(machine) if array.requantizer else parts
