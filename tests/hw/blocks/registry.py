"""Every block with its variants."""

from functools import cache

from . import (
    accumulator,
    activation_sums,
    column_terms,
    control,
    decoders,
    dequantizer,
    drain,
    loaders,
    pe,
    requantizer,
    scales,
    sequencer,
    special,
    walker,
)
from .block import Block

#: in the order in which data passes them
_MODULES = (
    *(loaders, walker, sequencer, decoders, special, column_terms, pe, accumulator),
    *(scales, control, activation_sums, dequantizer, requantizer, drain),
)


@cache
def blocks_by_kind() -> dict[str, list[Block]]:
    """Kind -> variants."""
    kinds: dict[str, list[Block]] = {}
    for module in _MODULES:
        for block in module.BLOCKS:
            kinds.setdefault(block.kind, []).append(block)
    return kinds


#: variants that also run in cocotb, where building is slow and every cycle too
_IN_COCOTB = (
    *("weight_loader__40_5_parameters", "activation_loader__32_4", "walker"),
    *("sequencer__2_8", "sequencer__1_1", "term_decoder__int8_2", "term_decoder__bitmod_fp4_1"),
    *("pair_decoder__4", "special_values__three", "special_terms__three_slots"),
    *("column_terms__fp4", "column_terms__pairs", "serial_pe__fp4"),
    *("serial_pe__staged_compressor", "accumulator__saturate_9_8_2", "accumulator__flag_12_20"),
    *("scale_decoder__e4m3_barrel_15", "column_scale__e4m3_barrel_0_2"),
    *("dequantizer_control__3_2_3", "activation_sums__unsigned_3_2_2"),
    *("serial_dequantizer__zero_points", "serial_dequantizer__e4m3", "requantizer__2_20_16_6"),
    *("result_drain__2x3_13", "result_drain__3x2_18_requantized"),
)


def block(name: str) -> Block:
    """A block by its name."""
    return next(b for blocks in blocks_by_kind().values() for b in blocks if b.name == name)


def cocotb_blocks() -> list[Block]:
    """The variants that also run in cocotb; every kind has one."""
    return [block(name) for name in _IN_COCOTB]
