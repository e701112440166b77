"""Block formats by name: MX, NVFP4, NVINT4, RaZeR, block floating point."""

import re
from dataclasses import replace
from fractions import Fraction
from functools import cache

from configs.errors import InputError, unknown_name

from .blocks import BlockFormat, Rounding
from .tables import get_family

OCP = "OCP Microscaling Formats v1.0, section 5"
NVFP4 = "NVFP4: blocks of 16 with E4M3 and tensor scales; decoding as in ggml"
RAZER = "RaZeR (arXiv:2501.04052): redundant zero remapping of MXFP4 and NVFP4"
BITMOD = "MX-FP3 and MX-FP4 as the release of BitMoD (HPCA 2025) compares with them"
BFP_NAME = re.compile(r"bfp([2-8])_b([1-9]\d{0,5})")

#: elements of formats that are for comparison only
COMPARED = {"mxfp3_bitmod": "minifloat_e2m0", "mxfp4_bitmod": "float4_e2m1fn"}
MX_ELEMENTS = {
    "mxfp8_e4m3": "float8_e4m3fn",
    "mxfp8_e5m2": "float8_e5m2",
    "mxfp6_e2m3": "float6_e2m3fn",
    "mxfp6_e3m2": "float6_e3m2fn",
    "mxfp4": "float4_e2m1fn",
}


def bfp(mantissa_bits: int, block_size: int) -> BlockFormat:
    """Block floating point: two's complement mantissas under the exponent of the largest value.

    e = floor(log2 amax), q = round(v * 2**(m - 2 - e)) within +-(2**(m - 1) - 1), value
    q * 2**(e - m + 2); e is stored as an E8M0 code. ``bfp8_b32`` is MXINT8. One block per tensor is
    dynamic fixed point.

    Parameters
    ----------
    mantissa_bits : 2 to 8, sign included.
    block_size : values per block, at least 1.
    """
    if mantissa_bits not in range(2, 9):
        raise InputError(f"block floating point has 2 to 8 mantissa bits, not {mantissa_bits!r}")
    return BlockFormat(
        name=f"bfp{mantissa_bits}_b{block_size}",
        element=f"int{mantissa_bits}_full",
        block_size=block_size,
        scale_format="e8m0",
        rule="floor_emax",
        element_unit=Fraction(1, 1 << (mantissa_bits - 2)),
        symmetric=True,
        source="block floating point; MX element INT8 of OCP Microscaling v1.0 for 8 bits",
    )


def _bitmod_mx(name: str, element: str) -> BlockFormat:
    """MX as BitMoD's release quantizes it: the scale is 2**floor(log2 amax), the largest element 2.

    So nothing clips, but the unit of an element need not be a power of two (an FP4 element of 0.5
    is 1/6 of the scale). Ties go to the lower value.
    """
    largest = get_family(element).members[0].max_magnitude * get_family(element).unit
    return BlockFormat(
        name=name,
        element=element,
        block_size=32,
        scale_format="e8m0",
        rule="floor_amax",
        rounding="lower",
        element_unit=2 / largest,
        source=BITMOD,
    )


def _two_level(name: str, element: str, source: str) -> BlockFormat:
    return BlockFormat(
        name=name,
        element=element,
        block_size=16,
        scale_format="e4m3",
        rule="amax",
        two_level=True,
        provisional=True,
        source=source,
    )


@cache
def block_formats() -> dict[str, BlockFormat]:
    """The listed block formats by name; :func:`get_block_format` knows ``bfp{m}_b{k}`` besides."""
    listed = [
        BlockFormat(
            name=name,
            element=element,
            block_size=32,
            scale_format="e8m0",
            rule="floor_emax",
            source=OCP,
        )
        for name, element in MX_ELEMENTS.items()
    ]
    mxfp4 = listed[-1]
    listed += [
        replace(bfp(8, 32), name="mxint8", source=OCP),
        _two_level("nvfp4", "float4_e2m1fn", NVFP4),
        _two_level("nvint4", "int4", "NVINT4 of INT v.s. FP (arXiv:2510.25602), recalled"),
        replace(
            mxfp4,
            name="razer_mxfp4",
            element="bitmod_fp4",
            scale_reference="float4_e2m1fn",
            provisional=True,
            source=RAZER,
        ),
        _two_level("razer_nvfp4", "bitmod_fp4", RAZER),
    ]
    return {block.name: block for block in listed}


def get_block_format(
    name: str,
    *,
    rule: str | None = None,
    rounding: Rounding | None = None,
) -> BlockFormat:
    """The block format called ``name``: a listed one, ``bfp{m}_b{k}``, or one of
    :data:`COMPARED`, which repeat what others measured.

    RaZeR writes +-5 or +-8 with the code of -0, chosen per block. ``razer_nvfp4`` takes each
    choice with its own scale, amax / 6 or amax / 8, as the release does; but its scale stays E4M3
    and the two bits of the choice are counted beside it, where the release narrows the scale to
    E3M3 and hides them in the bits saved. ``razer_mxfp4`` keeps the scale of ``mxfp4``, which
    leaves room up to 8.

    Parameters
    ----------
    rule : scale rule for E8M0 scales instead of the format's own; ``ceil_noclip`` is recalled, so
        provisional.
    rounding : of elements, ``even``, ``away`` or ``lower``, instead of the format's own.

    Raises
    ------
    InputError : no such format (the nearest name is given), rule or rounding.
    """
    known = block_formats()
    if match := BFP_NAME.fullmatch(name):
        found = bfp(int(match[1]), int(match[2]))
    elif name in known:
        found = known[name]
    elif name in COMPARED:
        found = _bitmod_mx(name, COMPARED[name])
    else:
        raise unknown_name("block format", name, [*known, *COMPARED, "bfp{2..8}_b{block}"])
    rule, rounding = rule or found.rule, rounding or found.rounding
    provisional = found.provisional or rule == "ceil_noclip"
    return replace(found, rule=rule, rounding=rounding, provisional=provisional)
