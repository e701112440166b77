"""Every block with its variants."""

from functools import cache

from . import (
    accumulator,
    activation_sums,
    aligning,
    column_terms,
    control,
    decoders,
    dequantizer,
    drain,
    float_accumulator,
    float_activations,
    float_dequantizer,
    float_encoder,
    job_control,
    loaders,
    multiplier,
    queue,
    register_file,
    requantizer,
    result_port,
    scales,
    sequencer,
    serial,
    special,
    stream_guard,
    tile_buffer,
    walker,
)
from .block import Block

#: in the order in which data passes them
_MODULES = (
    *(register_file, job_control, stream_guard, tile_buffer),
    *(loaders, queue, walker, sequencer, decoders, special, column_terms, float_activations),
    *(serial, multiplier, aligning, accumulator, float_accumulator),
    *(scales, control, activation_sums, dequantizer, float_dequantizer),
    *(requantizer, float_encoder, drain, result_port),
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
    *("register_file__sparse", "register_file__largest", "job_control", "stream_guard__40"),
    *("tile_buffer__8_9_words_5_2_4", "tile_buffer__32_1_words_1"),
    *("weight_loader__40_5_parameters", "activation_loader__32_4", "walker", "queue__40_4"),
    *("sequencer__2_8", "sequencer__1_1", "term_decoder__int8_2", "term_decoder__bitmod_fp4_1"),
    *("pair_decoder__4", "special_values__three", "special_terms__three_slots"),
    *("term_decoder__float16_magnitude", "column_terms__pairs_signed"),
    *("column_terms__fp4", "column_terms__pairs", "serial_pe__fp4"),
    *("float_activations__float16_4_nearest_even_3", "float_activations__float8_e5m2_fixed"),
    *("serial_pe__float_nearest_even_right", "multiplier_pe__int8", "multiplier_pe__float_one"),
    *("aligning_pe__serial_nearest_even_right", "aligning_pe__float16_nearest_even_full"),
    *("serial_pe__staged_compressor", "accumulator__saturate_9_8_2", "accumulator__flag_12_20"),
    *("float_accumulator__nearest_even_full_10_14_3", "float_accumulator__truncate_right_12_22"),
    *("scale_decoder__e4m3_barrel_15", "column_scale__e4m3_barrel_0_2"),
    *("dequantizer_control__3_2_3", "activation_sums__unsigned_3_2_2"),
    *("serial_dequantizer__zero_points", "serial_dequantizer__e4m3", "requantizer__2_20_16_6"),
    *("float_dequantizer__e4m3_nearest_even_right", "float_dequantizer__e8m0_truncate_full"),
    *("float_encoder__bfloat16_wide", "float_encoder__exact"),
    *("result_drain__2x3_13", "result_drain__3x2_18_requantized"),
    *("result_drain__2x3_31_float_6_27", "result_port__40_16", "result_port__8_8"),
)


def block(name: str) -> Block:
    """A block by its name."""
    return next(b for blocks in blocks_by_kind().values() for b in blocks if b.name == name)


def cocotb_blocks() -> list[Block]:
    """The variants that also run in cocotb; every kind has one."""
    return [block(name) for name in _IN_COCOTB]
