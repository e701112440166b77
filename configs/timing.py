"""Latency of every stage of the machine, in cycles: the one place that states them.

``docs/timing.md`` explains each; tests measure the RTL's real depth against these numbers, and
the simulator adds them up. Nothing here was fitted to RTL output.
"""

from .accelerator import AcceleratorConfig

#: slot issued -> terms and activations registered beside the PEs
DECODE_CYCLES = 1
#: lane products and adder tree, registered
DOT_CYCLES = 1
#: inner accumulation; at a group's end the sum is latched in the same cycle
INNER_CYCLES = 1
#: outer accumulation of an aligned floating-point machine, behind the whole product
OUTER_CYCLES = 1
#: conversion of a floating-point machine's results to float32
ENCODER_CYCLES = 1
#: product, then rounding and clipping of the optional requantizer
REQUANTIZER_CYCLES = 2
#: a beat accepted into an input queue can be used in the next cycle
QUEUE_CYCLES = 1
#: job accepted -> streams are read and slots may issue
START_CYCLES = 1

#: last word of a beat accepted into a tile buffer -> the beat is offered to the array
BUFFER_CYCLES = 3
#: start bit written over AXI4-Lite -> job accepted
REGISTER_CYCLES = 2

#: groups whose header may wait between the weight stream and the array
HEADER_QUEUE_GROUPS = 2
#: tiles whose requantizer parameters may wait
PARAMETER_QUEUE_TILES = 2
#: what a busy cycle is spent on; a cycle that several things hold back counts for the first
CAUSES = ("output", "dequantizer", "weights", "activations", "compute")
#: widths of the job port's counters
TILE_COUNT_BITS = 24
GROUP_COUNT_BITS = 16
#: width of the cycle counters
COUNTER_BITS = 40


def decode_cycles(array: AcceleratorConfig) -> int:
    """From a slot's issue to its terms and activations beside the PEs."""
    return DECODE_CYCLES + ("operands" in array.pipeline)


def dot_cycles(array: AcceleratorConfig) -> int:
    """From terms and activations to the lane sum."""
    return DOT_CYCLES + ("products" in array.pipeline) + ("sums" in array.pipeline)


def inner_cycles(array: AcceleratorConfig) -> int:
    """From the lane sum to the inner accumulator, and at a group's end to the group sum."""
    return INNER_CYCLES + ("shift" in array.pipeline)


def dequantizer_cycles(array: AcceleratorConfig) -> int:
    """Cycles for which the sums of a group occupy a dequantizer, all its rows together."""
    return array.rows_per_dequantizer * array.scale_pass_cycles


def result_cycles(array: AcceleratorConfig) -> int:
    """From the cycle that issues a tile's last slot to the first in which its result is offered."""
    inner = decode_cycles(array) + dot_cycles(array) + inner_cycles(array)
    outer = dequantizer_cycles(array) + (OUTER_CYCLES if array.is_aligned else 0)
    return inner + outer + output_cycles(array)


def output_cycles(array: AcceleratorConfig) -> int:
    """From the result buffer to the output port."""
    if array.has_floats:
        return ENCODER_CYCLES
    return REQUANTIZER_CYCLES if array.requantizer else 0
