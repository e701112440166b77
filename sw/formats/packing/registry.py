"""Every packing by name: adding one means adding an entry here."""

from functools import cache

from configs.errors import unknown_name

from .base import Packing, ScaleField
from .bits import DensePacking, PlanePacking
from .lanes import LanePacking, PairPacking, RowLanePacking
from .ternary import PairTablePacking, TripleTablePacking, TritPacking

GGML = "ggml block layouts (ggml-common.h), llama.cpp"
BITNET = "bitnet.cpp (arXiv:2502.11880), ggml-bitnet-mad.cpp and the weight converter"
FP6_LLM = "FP6-LLM (arXiv:2401.14112), weight prepacking"
TL2_TILE = 96


def plane_packing(widths: tuple[int, ...], *, name: str, source: str) -> PlanePacking:
    """A split of codes into fields of ``widths`` bits, the most significant first."""
    return PlanePacking(name=name, symbols=1 << sum(widths), widths=widths, source=source)


def _bit_packings() -> list[Packing]:
    dense: list[Packing] = [
        DensePacking(name=f"dense{b}", symbols=1 << b, bits=b, source="little-endian bit stream")
        for b in range(1, 9)
    ]
    planes = [
        plane_packing((1,) * b, name=f"any_precision{b}", source="Any-Precision (arXiv:2402.10517)")
        for b in range(2, 9)
    ]
    splits = [
        plane_packing((2, 4), name="fp6_2_4", source=FP6_LLM),
        plane_packing((4, 2), name="fp6_4_2", source="ZeroQuant(4+2) (arXiv:2312.08583)"),
        plane_packing((1, 4), name="fp5_1_4", source=FP6_LLM),
    ]
    return [*dense, *planes, *splits]


def _ggml_packings() -> list[Packing]:
    return [
        LanePacking(
            name="mxfp4",
            symbols=16,
            bits=4,
            stride=16,
            row_multiple=32,
            scale=ScaleField(dtype="u1", block=32, place="before"),
            source=GGML,
        ),
        LanePacking(
            name="nvfp4",
            symbols=16,
            bits=4,
            stride=8,
            row_multiple=64,
            scale=ScaleField(dtype="u1", block=64, count=4, place="before"),
            source=GGML,
        ),
        LanePacking(
            name="tq2_0",
            symbols=3,
            bits=2,
            stride=32,
            row_multiple=256,
            scale=ScaleField(dtype="<f2", block=256, place="after"),
            source=GGML,
        ),
        TritPacking(
            name="tq1_0",
            symbols=3,
            segments=((5, 32), (5, 16), (4, 4)),
            scaled=True,
            row_multiple=256,
            scale=ScaleField(dtype="<f2", block=256, place="after"),
            source=GGML,
        ),
    ]


def _bitnet_packings() -> list[Packing]:
    tail = ScaleField(dtype="<f4", block=None, place="after", filler_bytes=28)
    blocks: list[Packing] = [
        LanePacking(
            name=name,
            symbols=3,
            bits=2,
            stride=stride,
            high_first=True,
            row_multiple=4 * stride,
            scale=tail,
            source=BITNET,
        )
        for name, stride in (("i2_s", 32), ("i2_s_arm", 16))
    ]
    rows = RowLanePacking(
        name="i2_s_rows4", symbols=3, bits=2, high_first=True, scale=tail, source=BITNET
    )
    return [
        *blocks,
        rows,
        PairTablePacking(name="tl1", symbols=3, source=BITNET),
        TripleTablePacking(name="tl2", symbols=3, tile=TL2_TILE, source=BITNET),
        TritPacking(name="base243", symbols=3, source="five trits per byte, 3**5 = 243"),
    ]


@cache
def packings() -> dict[str, Packing]:
    """Every packing by name."""
    pairs = PairPacking(
        name="olive4",
        symbols=16,
        bits=4,
        stride=1,
        row_multiple=2,
        source="OliVe (ISCA 2023), outlier-victim pairs",
    )
    listed = [*_bit_packings(), *_ggml_packings(), *_bitnet_packings(), pairs]
    return {packing.name: packing for packing in listed}


def get_packing(name: str) -> Packing:
    """The packing called ``name``.

    Raises
    ------
    InputError : there is none; the message has the nearest name.
    """
    known = packings()
    if name not in known:
        raise unknown_name("packing", name, known)
    return known[name]
