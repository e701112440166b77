"""Energy as the simulator of the BitMoD artifact (HPCA 2025) counts it, and what it leaves out.

The figures of synthesis are those of the paper's Table X and of the artifact's spreadsheet, 28 nm,
1 GHz: a power in mW is an energy in pJ per cycle.
"""

import math
from dataclasses import dataclass

from sim.published.bitmod_hpca25 import (
    GROUP_SIZE,
    Operation,
    OperationTiming,
    PointTiming,
)
from sim.published.modelling import Modelling
from sim.published.points import Point

#: place and route, over synthesis
LAYOUT_FACTOR = 1.5
#: PEs as synthesised: the bit-serial one, and the FP16 x INT8 one that ANT and OliVe are given
BIT_SERIAL_PE_PJ = 0.586
INTEGER_WEIGHT_PE_PJ = 0.613
#: Table X: the encoder of a tile of 64 PEs takes 1.86 mW
ENCODER_PJ_PER_PE = 1.86 / 64
#: FP16 adder and multiplier
ADDITION_PJ, MULTIPLICATION_PJ = 0.28, 0.49
#: weights of fewer bits are quantized, and their outputs scaled
FLOAT_BITS = 16


@dataclass(frozen=True, kw_only=True)
class PointEnergy:
    """Energies of a point in pJ.

    Attributes
    ----------
    pe_pj : the PEs, with their term encoders where the modelling counts them.
    scaling_pj : additions of scaled groups and scaling of outputs; 0 where they do not count.
    sram_read_pj, sram_write_pj, dram_pj : the two buffers, and the DRAM.
    """

    pe_pj: float
    scaling_pj: float
    sram_read_pj: float
    sram_write_pj: float
    dram_pj: float

    @property
    def onchip_uj(self) -> float:
        """PEs and SRAM, in uJ."""
        return (self.pe_pj + self.scaling_pj + self.sram_read_pj + self.sram_write_pj) / 1e6

    @property
    def total_uj(self) -> float:
        """With the DRAM, in uJ."""
        return self.onchip_uj + self.dram_pj / 1e6


def point_energy(point: Point, timing: PointTiming, modelling: Modelling) -> PointEnergy:
    """Energy of the operations of ``timing`` on the accelerator of ``point``."""
    cycles = steps_pj = writes = dram_bits = scaling = 0.0
    for each in timing.operations:
        count = each.operation.count
        cycles += count * each.compute_cycles
        steps_pj += count * each.steps * _step_read_pj(point, each.operation, modelling)
        writes += count * _write_pj(point, each)
        dram_bits += count * 8 * each.dram_bytes
        if modelling.accumulators:
            scaling += count * _scaling_pj(point, each)
    pe_pj = LAYOUT_FACTOR * _pe_pj(point, modelling)
    return PointEnergy(
        pe_pj=pe_pj * point.rows * point.cols * cycles,
        scaling_pj=LAYOUT_FACTOR * scaling,
        sram_read_pj=steps_pj,
        sram_write_pj=writes,
        dram_pj=dram_bits / point.dram_bits * point.dram_pj,
    )


def _pe_pj(point: Point, modelling: Modelling) -> float:
    """Energy of a PE in a cycle, idle or not, with its share of the encoder."""
    energy = point.pe_pj
    if modelling.synthesised_pe and point.bit_serial:
        energy = BIT_SERIAL_PE_PJ
    elif modelling.synthesised_pe and point.weight_bits < FLOAT_BITS:
        energy = INTEGER_WEIGHT_PE_PJ
    if modelling.encoder and point.bit_serial:
        energy += ENCODER_PJ_PER_PE
    return energy


def _step_read_pj(point: Point, operation: Operation, modelling: Modelling) -> float:
    """What a step of the array reads from both buffers: an access each, or all that it needs."""
    weights, inputs = point.weight_buffer, point.activation_buffer
    if not modelling.full_width:
        return weights.read_pj + inputs.read_pj
    # elements lie in fields of whole nibbles, as the released buffer widths have it
    element = 4 * math.ceil(operation.element_bits / 4)
    weight_reads = math.ceil(point.lanes * point.rows * element / weights.width_bits)
    input_reads = math.ceil(point.lanes * point.cols * FLOAT_BITS / inputs.width_bits)
    return weight_reads * weights.read_pj + input_reads * inputs.read_pj


def _write_pj(point: Point, timing: OperationTiming) -> float:
    """Filling the buffers from DRAM as often as it is read, and storing the outputs."""
    operation = timing.operation
    weights = timing.weight_fetches * operation.weights.buffer_words
    inputs = timing.input_fetches * operation.inputs.buffer_words
    activations = inputs + operation.outputs.buffer_words
    return weights * point.weight_buffer.write_pj + activations * point.activation_buffer.write_pj


def _scaling_pj(point: Point, timing: OperationTiming) -> float:
    """What quantized weights cost after the PE, for every output that the array computes.

    All: a multiplication by the channel's scale. BitMoD also: an addition per group, in the
    column's shared accumulator (the multiplication by the group's scale is in its PE).
    """
    operation = timing.operation
    if point.weight_bits >= FLOAT_BITS:
        return 0.0
    chunks = -(-operation.k // point.lanes)
    outputs = timing.steps // chunks * point.rows * point.cols
    additions = -(-operation.k // GROUP_SIZE) if point.bit_serial else 0
    return outputs * (additions * ADDITION_PJ + MULTIPLICATION_PJ)
