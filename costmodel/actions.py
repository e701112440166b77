"""What the hardware does in a job: actions, how often, and which parts see new data in each.

Idle PEs are not free: a slot is an action of every PE, padded rows and columns included, and every
flip-flop is clocked in every busy cycle, stalls included (:mod:`costmodel.energy`).
"""

from sim.activity import Activity
from sw.compile import Machine

from . import floating
from .array import machine_blocks
from .calibration.components import component_of
from .dequant import (
    activation_multiples,
    column_scale,
    held_sum,
    multiple_bits,
    outer_accumulator,
    rotating_scale_bits,
    running_sum,
    waiting_sums,
)
from .structure import Structure, counter, enabled_register, register

#: counter bits that change in a step, on average: as four bits of random data
_COUNTER_STEP = 4


def action_counts(machine: Machine, activity: Activity) -> dict[str, int]:
    """How often each switching action takes place; those that the machine cannot do included."""
    array = machine.accelerator
    groups = activity.group_dequantizations
    queued_bits = activity.weight_bits + activity.activation_bits
    chunks = activity.slots // machine.slots
    rows = activity.result_bits // machine.result_beat_bits
    return {
        "pe.products": activity.pe_slots * array.lanes,
        "pe.alignment": activity.pe_slots * array.lanes,
        "pe.exponents": activity.pe_slots,
        "pe.lane_sum": activity.pe_slots,
        "pe.inner_accumulator": activity.pe_slots,
        "pe.signs": activity.slots * array.cols,
        "dequantizer.group_sums": groups,
        "dequantizer.correction": groups * array.zero_point_bits,
        "dequantizer.shifter": groups * array.scale.serial_bits,
        "dequantizer.product": groups * array.scale.serial_bits,
        # a floating-point product is added at once; bits of a scale that are 0 add nothing
        "dequantizer.outer_accumulator": groups
        * (1 if array.is_aligned else array.scale.significand_bits),
        # a column's groups are those of any of its rows
        "column_scale": groups // array.rows,
        "activation_sums.chunks": chunks * array.rows,
        "activation_sums.multiples": groups // array.cols,
        "decoder": activity.decoded_terms,
        "special_terms": activity.decoded_terms // array.lanes,
        "registers.terms": activity.decoded_terms,
        "negatives": activity.slots * array.cols,
        "registers.activations": activity.activation_bits,
        "activations": chunks * array.rows,
        "registers.exponents": chunks * array.rows,
        "registers.operands": queued_bits,
        "queue.write": queued_bits,
        "queue.read": queued_bits,
        "drain.load": rows // array.rows,
        "drain.select": rows,
        "requantizer": activity.result_bits // machine.result_bits,
        "encoder": activity.result_bits // machine.result_bits,
        "control": activity.busy_cycles,
    }


def action_parts(machine: Machine) -> dict[str, tuple[str, Structure]]:
    """Component and parts that see new data in one action, of all that ``machine`` can do."""
    blocks = {block.block: block.structure for block in machine_blocks(machine)}
    parts = {name: blocks[name] for name in _SAME if name in blocks}
    array = machine.accelerator
    if not array.has_floats:
        parts["registers.activations"] = register(1)
    if "registers.operands" in blocks:
        parts["registers.operands"] = register(1)
    levels = (array.queue_beats - 1).bit_length()
    parts["queue.write"] = enabled_register(1)
    parts["queue.read"] = Structure(mux2_bits=levels)
    # a tile is loaded once; every row sent passes one multiplexer of each level of the selection
    row_bits = array.cols * machine.outer_sum_bits
    parts["drain.load"] = blocks["drain"]
    if array.rows > 1:
        parts["drain.select"] = Structure(mux2_bits=(array.rows - 1).bit_length() * row_bits)
    # two counters step
    parts["control"] = counter(_COUNTER_STEP).times(2)
    parts |= _combined_parts(machine)
    return {
        action: (component_of(machine, _BLOCKS.get(action, action)), structure)
        for action, structure in parts.items()
    }


#: actions that are one pass of new data through one block
_SAME = (
    *("pe.products", "pe.alignment", "pe.exponents", "pe.lane_sum", "pe.inner_accumulator"),
    *("pe.signs", "dequantizer.correction", "dequantizer.shifter", "dequantizer.product"),
    *("dequantizer.group_sums", "dequantizer.outer_accumulator", "decoder", "special_terms"),
    *("registers.terms", "negatives", "activations", "registers.exponents", "requantizer"),
    "encoder",
)
#: blocks of actions that are named otherwise
_BLOCKS = {
    "queue.write": "queue.weights",
    "queue.read": "queue.weights",
    "drain.load": "drain",
    "drain.select": "drain",
    "activation_sums.chunks": "activation_sums",
    "activation_sums.multiples": "activation_sums",
}


def _combined_parts(machine: Machine) -> dict[str, Structure]:
    """What switches in actions that are not one pass through one block."""
    array = machine.accelerator
    sums = (
        {"dequantizer.outer_accumulator": floating.outer_accumulator(machine, 1)}
        if array.is_aligned
        else _integer_sums(machine)
    )
    # a group's header is taken once; its scale and zero point rotate once per bit, for every row
    rotating = (rotating_scale_bits(machine), array.zero_point_bits)
    rotated = [enabled_register(b).times(array.rows_per_dequantizer * b) for b in rotating]
    parts = sums | {"column_scale": column_scale(machine) + rotated[0] + rotated[1]}
    if array.zero_point_bits:
        parts["activation_sums.chunks"] = running_sum(machine)
        doublings = enabled_register(multiple_bits(machine)).times(array.zero_point_bits)
        parts["activation_sums.multiples"] = activation_multiples(machine) + doublings
    return parts


def _integer_sums(machine: Machine) -> dict[str, Structure]:
    """Group sums and the outer sum of ``SerialDequantizer``."""
    passes = machine.accelerator.scale_pass_cycles
    return {
        # the sum in turn is new in every cycle of a pass, the others move once
        "dequantizer.group_sums": held_sum(machine).times(passes) + waiting_sums(machine),
        "dequantizer.outer_accumulator": outer_accumulator(machine, 1),
    }
