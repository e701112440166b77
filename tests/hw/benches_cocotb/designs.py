"""What the cocotb benches run on: blocks side by side in one top, and a small accelerator."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out

from configs.schema import AcceleratorConfig, AccumulatorConfig
from hw.dequant import SerialDequantizer
from hw.pe import SerialPE
from hw.terms import TermDecoder
from sw.compile import Machine
from sw.formats import FormatFamily, NumberFormat, families, family_terms, get_family

TERNARY = FormatFamily(
    name="ternary",
    members=(NumberFormat(name="ternary", bits=2, levels=(0, 1, None, -1), source="one slot"),),
)
THREE = FormatFamily(name="three", members=get_family("bitmod_fp3").members[:3])

#: parameters of the dequantizers; the register is wider, narrower and as wide as the product
DEQUANTIZER = {"group_bits": 10, "scale_bits": 8}
DEQUANTIZERS = {
    "saturate": DEQUANTIZER | {"bits": 20, "mode": "saturate"},
    "wrap": DEQUANTIZER | {"bits": 12, "mode": "wrap"},
    "flag": DEQUANTIZER | {"bits": 18, "mode": "flag"},
}


def decoder_cases() -> dict[str, tuple[FormatFamily, int]]:
    """Port prefix -> family and lane exponent width of every decoder in :class:`Blocks`."""
    listed = [*families().values(), TERNARY, THREE]
    return {f"{f.name}_{bits}": (f, bits) for f in listed for bits in (1, 2, 3)}


def pe_cases() -> dict[str, dict]:
    """Port prefix -> parameters of every PE in :class:`Blocks`."""
    fp4, int8, fp3 = (family_terms(get_family(n)) for n in ("bitmod_fp4", "int8", "bitmod_fp3"))
    return {
        "fp4": {"terms": fp4, "lanes": 4, "activation_bits": 8, "bits": 14, "mode": "saturate"},
        "int8": {"terms": int8, "lanes": 3, "activation_bits": 8, "bits": 17, "mode": "flag"},
        "fp3": {"terms": fp3, "lanes": 1, "activation_bits": 4, "bits": 6, "mode": "wrap"},
    }


class Blocks(wiring.Component):
    """Decoders (sharing their inputs), PEs and dequantizers, each with its own ports."""

    def __init__(self) -> None:
        self.decoders = {
            name: TermDecoder(family=f, terms=family_terms(f, lane_exponent_bits=bits))
            for name, (f, bits) in decoder_cases().items()
        }
        self.units = {f"pe_{name}": SerialPE(**case) for name, case in pe_cases().items()}
        self.units |= {f"dq_{n}": SerialDequantizer(**case) for n, case in DEQUANTIZERS.items()}
        members = {"code": In(8), "format_id": In(2), "slot": In(2)}
        members |= {f"{n}_term": Out(d.term.shape()) for n, d in self.decoders.items()}
        for name, unit in self.units.items():
            members |= {f"{name}_{port}": m for port, m in unit.signature.members.items()}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, decoder in self.decoders.items():
            m.submodules[name] = decoder
            inputs = [port for port in decoder.signature.members if port != "term"]
            m.d.comb += [getattr(decoder, port).eq(getattr(self, port)) for port in inputs]
            m.d.comb += getattr(self, f"{name}_term").eq(decoder.term)
        for name, unit in self.units.items():
            m.submodules[name] = unit
            for port, member in unit.signature.members.items():
                inner, outer = getattr(unit, port), getattr(self, f"{name}_{port}")
                m.d.comb += inner.eq(outer) if member.flow is Flow.In else outer.eq(inner)
        return m


def small_machine() -> Machine:
    """2 x 2 array whose accumulators overflow now and then in random jobs."""
    return Machine(
        accelerator=AcceleratorConfig(
            name="bench",
            rows=2,
            cols=2,
            lanes=2,
            inner_accumulator=AccumulatorConfig(bits=13, mode="saturate"),
            outer_accumulator=AccumulatorConfig(bits=21, mode="flag"),
        ),
        family=get_family("bitmod_fp4"),
        inner_bits=13,
        outer_bits=21,
    )
