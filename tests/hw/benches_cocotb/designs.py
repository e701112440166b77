"""What the cocotb benches run on: blocks side by side in one top, and a small accelerator."""

import contextlib
from functools import cache

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out

from configs.errors import InputError
from configs.schema import AcceleratorConfig, AccumulatorConfig
from hw.dequant import SerialDequantizer
from hw.emit import to_verilog
from hw.pe import SerialPE
from hw.terms import TermDecoder
from sw.compile import Machine
from sw.formats import (
    FormatFamily,
    NumberFormat,
    family_terms,
    fitting_terms,
    get_family,
    serial_families,
)

#: the decoder's corner cases: one slot, and a format id that names no member
TERNARY = FormatFamily(
    name="one_slot",
    members=(NumberFormat(name="one_slot", bits=2, levels=(0, 1, None, -1), source="one slot"),),
)
THREE = FormatFamily(name="three", members=get_family("bitmod_fp3").members[:3])

#: group sum and scale of the dequantizers; the product has their widths together
GROUP_BITS, SCALE_BITS = 10, 8
#: dequantizers by mode; the register is wider, narrower and as wide as the product
DEQUANTIZER_BITS = {"saturate": 20, "wrap": 12, "flag": 18}


def lane_exponent_bits(family: FormatFamily) -> int:
    """Width with which a family fits."""
    return fitting_terms(family).lane_exponent_bits


@cache
def fitting() -> tuple[FormatFamily, ...]:
    """Every family that some PE forms in the slots it has."""
    found = []
    for family in serial_families().values():
        with contextlib.suppress(InputError):
            fitting_terms(family)
            found.append(family)
    return tuple(found)


@cache
def decoder_cases() -> dict[str, tuple[FormatFamily, int]]:
    """Output prefix -> family and lane exponent width of every decoder in :class:`Blocks`."""
    cases = {f"{f.name}_{lane_exponent_bits(f)}": (f, lane_exponent_bits(f)) for f in fitting()}
    cases |= {f"{family.name}_2": (family, 2) for family in (TERNARY, THREE)}
    fp4 = get_family("bitmod_fp4")
    return cases | {"bitmod_fp4_1": (fp4, 1), "bitmod_fp4_3": (fp4, 3), "one_slot_1": (TERNARY, 1)}


def pe_cases() -> dict[str, dict]:
    """Port prefix -> parameters of every PE in :class:`Blocks`."""
    fp4, int8 = (family_terms(get_family(name)) for name in ("bitmod_fp4", "int8"))
    narrow = family_terms(get_family("int8"), lane_exponent_bits=1)
    return {
        "fp4": {"terms": fp4, "lanes": 4, "activation_bits": 8, "bits": 14, "mode": "saturate"},
        "int8": {"terms": int8, "lanes": 3, "activation_bits": 8, "bits": 17, "mode": "flag"},
        "narrow": {"terms": narrow, "lanes": 1, "activation_bits": 4, "bits": 9, "mode": "wrap"},
    }


class Blocks(wiring.Component):
    """Decoders and dequantizers, each kind sharing its inputs, and PEs with ports of their own."""

    def __init__(self) -> None:
        self.units: dict[str, wiring.Component] = {}
        #: (unit, its port, port of this component)
        self.links: list[tuple[wiring.Component, str, str]] = []
        self.members = {"code": In(8), "format_id": In(2), "slot": In(2)}
        for name, (family, bits) in decoder_cases().items():
            terms = family_terms(family, lane_exponent_bits=bits)
            self._add(name, TermDecoder(family=family, terms=terms), inputs="")
        for name, case in pe_cases().items():
            self._add(name, SerialPE(**case), inputs=f"{name}_")
        for mode, bits in DEQUANTIZER_BITS.items():
            unit = SerialDequantizer(
                group_bits=GROUP_BITS, scale_bits=SCALE_BITS, bits=bits, mode=mode
            )
            self._add(mode, unit, inputs="dequantizer_")
        super().__init__(self.members)

    def _add(self, name: str, unit: wiring.Component, *, inputs: str) -> None:
        """Give ``unit`` ports: outputs ``<name>_<port>``, inputs ``<inputs><port>``."""
        self.units[name] = unit
        for port, member in unit.signature.members.items():
            own = inputs + port if member.flow is Flow.In else f"{name}_{port}"
            self.links.append((unit, port, own))
            if member.flow is Flow.Out:
                self.members[own] = Out(member.shape)
            else:
                self.members.setdefault(own, In(member.shape))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, unit in self.units.items():
            m.submodules[name] = unit
        for unit, port, own in self.links:
            inner, outer = getattr(unit, port), getattr(self, own)
            inward = unit.signature.members[port].flow is Flow.In
            m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        return m


@cache
def blocks_verilog() -> str:
    """Verilog of :class:`Blocks`, top module ``blocks``."""
    return to_verilog(Blocks(), "blocks")


def small_machine() -> Machine:
    """2 x 2 array whose accumulators overflow now and then in random jobs."""
    return Machine(
        accelerator=AcceleratorConfig(
            name="bench",
            rows=2,
            cols=2,
            lanes=2,
            inner_accumulator=AccumulatorConfig(bits=13, mode="saturate"),
            outer_accumulator=AccumulatorConfig(bits=19, mode="flag"),
        ),
        family=get_family("bitmod_fp4"),
        inner_bits=13,
        outer_bits=19,
    )
