"""Latency of every stage of the machine, in cycles: the one place that states them.

``docs/timing.md`` explains each; tests measure the RTL's real depth against these numbers, and
the simulator adds them up. Nothing here was fitted to RTL output.
"""

#: slot issued -> terms and activations registered beside the PEs
DECODE_CYCLES = 1
#: lane products and adder tree, registered
DOT_CYCLES = 1
#: inner accumulation; at a group's end the sum is latched in the same cycle
INNER_CYCLES = 1
#: the outer accumulation after the last scale bit; at a tile's end the result is latched
OUTER_CYCLES = 1
#: a beat accepted into an input queue can be used in the next cycle
QUEUE_CYCLES = 1
#: job accepted -> streams are read and slots may issue
START_CYCLES = 1

#: groups whose header may wait between the weight stream and the array
HEADER_QUEUE_GROUPS = 2
#: what a busy cycle is spent on; a cycle that several things hold back counts for the first
CAUSES = ("output", "dequantizer", "weights", "activations", "compute")
#: widths of the job port's counters
TILE_COUNT_BITS = 24
GROUP_COUNT_BITS = 16


def dequantizer_cycles(scale_bits: int) -> int:
    """Cycles for which a group sum occupies the dequantizer: one scale bit each."""
    return scale_bits


def result_cycles(scale_bits: int) -> int:
    """From the cycle that issues a tile's last slot to the first in which its result is offered."""
    return DECODE_CYCLES + DOT_CYCLES + INNER_CYCLES + dequantizer_cycles(scale_bits) + OUTER_CYCLES
