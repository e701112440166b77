"""What the designed sample varies: the axes of every component and their choices.

An axis that begins with an underscore has several settings in each choice. The first axis of a
component is the one whose choices are kept when a combination is refused.
"""

from collections.abc import Sequence
from typing import Any

Axes = dict[str, Sequence[Any]]

_LANES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
_GROUPS = (16, 32, 64, 128)
_INPUTS = (256, 1024, 4096, 16384)
_MODES = ("wrap", "saturate", "flag")
_SPECIAL = ("bitmod_fp4", "bitmod_fp3", "bitmod_fp4_er", "bitmod_fp3_ea")
_NARROW = ("int2", "int3", "int4", "ternary", "binary", "ant3", "flint3s", "nf3", "denseshift3")
_MIDDLE = (
    *("int4_full", "uint4", "int4_asym", "ant4", "flint4s", "float4_e2m1fn", "pot4", "apot4"),
    *("minifloat_e3m0", "posit4_es0", "dybit4s", "nf4", "iq4_nl", "adaptivfloat4_e2", "post4"),
)
_WIDE = (
    *("int5", "int6", "int7", "int8", "int8_full", "flint5s", "minifloat_e2m2", "minifloat_e3m1"),
    *("float6_e2m3fn", "float6_e3m2fn", "dynamic_tree8", "float8_e3m4", "flint8s", "posit8_es0"),
)
_PAIRS = ("olive4", "olive4_flint")
_FORMATS = (*_SPECIAL, *_NARROW, *_MIDDLE, *_WIDE, *_PAIRS)
_FLOAT_FORMATS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_PIPELINES: tuple[tuple[str, ...], ...] = (
    (),
    ("products",),
    ("sums",),
    ("shift",),
    ("products", "shift"),
    ("products", "sums", "shift"),
)
_WHOLE_PIPELINES = (
    (),
    ("products",),
    ("operands", "shift"),
    ("control", "products"),
    ("operands", "products", "sums", "shift", "control"),
)
_INTEGERS = tuple(
    {"activation_bits": bits, "activation_signed": is_signed}
    for bits in (4, 5, 6, 7, 8)
    for is_signed in (True, False)
)
_EXACT = tuple(
    {"activation_format": name, "floating": {"datapath": "exact"}}
    for name in ("float16", "float8_e4m3fn")
)
_ACCUMULATORS = (
    *({"mode": mode} for mode in _MODES),
    *({"bits": bits, "mode": mode} for bits in (12, 16, 20, 24) for mode in _MODES),
)
_OUTER = (
    *({"mode": mode} for mode in _MODES),
    *({"bits": bits, "mode": mode} for bits in (20, 26, 32, 40, 48) for mode in _MODES),
)
_SCALES = (
    {"format": "uint8"},
    {"format": "e4m3", "shift": "serial"},
    {"format": "e4m3", "shift": "barrel"},
    *(
        {"format": "e8m0", "shift": shift, "binades": binades}
        for shift in ("serial", "barrel")
        for binades in (3, 7, 15)
    ),
)
_ALIGNED = tuple(
    {
        "floating": {
            "alignment": alignment,
            "normalization": normalization,
            "rounding": rounding,
            "guard_bits": guard,
        }
    }
    for alignment in ("row", "pe")
    for normalization in ("right", "full")
    for rounding in ("truncate", "nearest_even")
    for guard in (0, 2, 3, 6)
)
_MANTISSAS = tuple(
    {"mantissa_bits": inner, "outer_mantissa_bits": outer}
    for inner, outer in ((8, 12), (10, 16), (12, 20), (14, 25), (16, 25), (20, 28), (24, 32))
)
_KINDS = (
    {"pe": "serial"},
    {"pe": "serial", "adders": "compressor"},
    {"pe": "serial", "programmable": True},
    {"pe": "multiplier"},
)
_STREAMS = tuple(
    {"streams": {"weight_bits": bits, "activation_bits": bits}} for bits in ("auto", 8, 16, 32, 64)
)
_BUFFERS = tuple(
    {"buffers": {"weight_beats": beats, "activation_beats": beats, "stationary": stationary}}
    for beats in (16, 50, 128, 500, 1024)
    for stationary in ("weights", "activations")
)
_BUFFER: Axes = {
    "_buffers": _BUFFERS,
    "_streams": _STREAMS,
    "format": ("int4", "bitmod_fp4", "int8", "ternary"),
    "rows": (1, 2, 3, 4),
    "cols": (1, 2, 3, 4),
    "lanes": (2, 4, 8),
    "activation_bits": (4, 6, 8),
    "requantizer": (None, None, None, {}),
}
_DATAPATHS = (
    *({"pe": "serial"},) * 3,
    {"pe": "serial", "adders": "compressor"},
    {"pe": "serial", "programmable": True, "format": "bitmod_fp4"},
    {"pe": "serial", "zero_point_bits": 4, "format": "int4_asym"},
    {"pe": "multiplier"},
    {"activation_format": "float16"},
    {"activation_format": "float8_e4m3fn", "floating": {"alignment": "pe"}},
    {"activation_format": "bfloat16", "floating": {"rounding": "truncate"}},
)
_ARRAY: Axes = {
    "_datapath": _DATAPATHS,
    "rows": (1, 2, 3),
    "cols": (1, 2, 3),
    "lanes": (1, 2, 4),
    "format": ("int4", "bitmod_fp4", "bitmod_fp3", "int8", "ternary", "ant4", "nf4", "int6"),
    "lane_exponent_bits": (1, 2, 3),
    "activation_bits": (4, 6, 8),
    "pipeline": _WHOLE_PIPELINES,
    "scale": _SCALES,
    "inner_accumulator": _ACCUMULATORS[:3],
    "outer_accumulator": _OUTER[:3],
    "rows_per_dequantizer": (1, 1, 1, 2),
    "group_size": _GROUPS,
    "inputs": _INPUTS,
}
_REQUANTIZERS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"requantizer": {"multiplier_bits": 8, "shift_bits": 4}, "scale": {"format": "uint8"}},
)

#: configurations and axes of every component
AXES: dict[str, tuple[int, Axes]] = {
    "serial_pe": (
        56,
        {
            "format": _FORMATS,
            "lanes": _LANES,
            "lane_exponent_bits": (1, 2, 3),
            "_activations": (*_INTEGERS, *_EXACT),
            "inner_accumulator": _ACCUMULATORS,
            "adders": ("chain", "compressor"),
            "pipeline": _PIPELINES,
            "group_size": _GROUPS,
        },
    ),
    "multiplier_pe": (
        24,
        {
            "format": ("int4", "int6", "int8", "uint8", "ant4", "olive4", "bitmod_fp4", "nf4"),
            "pe": ("multiplier",),
            "lanes": (1, 2, 3, 4, 6, 8, 12, 16),
            "_activations": (*_INTEGERS, _EXACT[1]),
            "inner_accumulator": _ACCUMULATORS,
            "pipeline": _PIPELINES,
            "group_size": _GROUPS,
        },
    ),
    "float_pe": (
        34,
        {
            "_settings": _ALIGNED,
            "pe": ("serial", "multiplier"),
            "_mantissas": _MANTISSAS,
            "activation_format": _FLOAT_FORMATS,
            "format": ("int4", "bitmod_fp4", "int8", "float16", "bfloat16", "ant4", "bitmod_fp3"),
            "lanes": (1, 2, 3, 4, 6, 8),
            "lane_exponent_bits": (1, 2, 3),
            "adders": ("chain", "compressor"),
            "pipeline": _PIPELINES,
        },
    ),
    "dequantizer": (
        34,
        {
            "scale": _SCALES,
            "rows_per_dequantizer": (1, 2, 4),
            "zero_point_bits": (0, 0, 0, 2, 4, 8),
            "inner_accumulator": _ACCUMULATORS,
            "outer_accumulator": _OUTER,
            "format": ("int4", "bitmod_fp4", "int8", "ternary"),
            "activation_bits": (4, 6, 8),
            "group_size": _GROUPS,
            "inputs": _INPUTS,
        },
    ),
    "float_dequantizer": (
        22,
        {
            "_settings": _ALIGNED,
            "scale": _SCALES,
            "rows_per_dequantizer": (1, 2, 4),
            "_mantissas": _MANTISSAS,
            "activation_format": _FLOAT_FORMATS,
            "format": ("int4", "bitmod_fp4", "int8"),
            "lanes": (1, 4, 8),
        },
    ),
    "column": (
        64,
        {
            "_kind": _KINDS,
            "format": _FORMATS,
            "lanes": _LANES,
            "lane_exponent_bits": (1, 2, 3),
        },
    ),
    "column_scale": (
        10,
        {
            "scale": _SCALES,
            "zero_point_bits": (0, 2, 4, 8),
            "pipeline": _WHOLE_PIPELINES,
        },
    ),
    "activation_sums": (
        14,
        {
            "zero_point_bits": (2, 3, 4, 6, 8),
            "rows_per_dequantizer": (1, 2, 4),
            "lanes": _LANES,
            "_activations": _INTEGERS,
            "pipeline": _WHOLE_PIPELINES,
            "group_size": _GROUPS,
        },
    ),
    "activations": (
        22,
        {
            "_settings": (*_ALIGNED, *({"floating": {"datapath": "exact"}},) * 10),
            "activation_format": _FLOAT_FORMATS,
            "lanes": (1, 2, 3, 4, 6, 8),
        },
    ),
    "queue": (
        14,
        {
            "queue_beats": (2, 3, 4, 5, 6, 8, 12, 16),
            "cols": (1, 2, 3),
            "lanes": (2, 4, 8),
            "format": ("int4", "ternary", "int8", "bitmod_fp3"),
        },
    ),
    "drain": (
        24,
        {
            "_results": (
                {},
                {"requantizer": {"multiplier_bits": 8, "shift_bits": 4}},
                {"requantizer": {"multiplier_bits": 12, "shift_bits": 5}},
                # mapping the products of wider sums takes many minutes
                {
                    "requantizer": {"multiplier_bits": 16, "shift_bits": 6},
                    "outer_accumulator": {"bits": 20},
                    "cols": 1,
                },
                {"activation_format": "float8_e4m3fn", "floating": {"datapath": "exact"}},
                *({"activation_format": name} for name in _FLOAT_FORMATS),
            ),
            "rows": (1, 2, 3),
            "cols": (1, 2, 3),
            "outer_accumulator": ({}, *({"bits": bits} for bits in (20, 26, 32))),
            "_mantissas": ({}, *_MANTISSAS),
            "format": ("int4", "bitmod_fp4", "int8"),
            "inputs": (256, 1024),
        },
    ),
    "control": (
        6,
        {"scale": _SCALES, "format": ("int2", "int4", "int6", "int8")},
    ),
    "weight_buffer": (9, _BUFFER),
    "activation_buffer": (9, _BUFFER),
    "array": (24, _ARRAY),
    "core": (18, _ARRAY | {"queue_beats": (2, 4), "_requantizer": _REQUANTIZERS}),
}

#: further configurations, with axes that lie outside of those above
BEYOND: dict[str, tuple[int, Axes]] = {
    "serial_pe": (4, {"lanes": (24, 32)}),
    "multiplier_pe": (2, {"lanes": (24, 32)}),
    "float_pe": (3, {"lanes": (12, 16)}),
    "dequantizer": (2, {"outer_accumulator": ({"bits": 56}, {"bits": 64})}),
    "float_dequantizer": (2, {"_mantissas": ({"mantissa_bits": 30, "outer_mantissa_bits": 40},)}),
    "column": (4, {"lanes": (24, 32)}),
    "activation_sums": (1, {"lanes": (24,)}),
    "activations": (2, {"lanes": (12, 16)}),
    "queue": (2, {"queue_beats": (24, 32)}),
    "drain": (2, {"rows": (5, 6)}),
    "weight_buffer": (1, {"lanes": (16,), "cols": (8,)}),
    "array": (2, {"rows": (4,), "cols": (3,), "lanes": (4,)}),
    "core": (2, {"rows": (3,), "cols": (4,), "lanes": (4,)}),
}
