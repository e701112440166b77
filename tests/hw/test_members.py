"""Every component's docstring against its signature, found by walking ``hw``."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import pytest
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow

import hw
from configs.accelerator import (
    AcceleratorConfig,
    BufferConfig,
    RequantizerConfig,
    ScaleConfig,
    StreamConfig,
)
from hw.boards import BoardTop, LinkConfig
from hw.bus import JobControl, RegisterFile
from hw.pe import AligningPE, FloatAccumulator, FloatSum, MultiplierPE
from sw.compile import Machine
from sw.compile.registers import SHAPE, register_map
from sw.compile.transfers import activation_port, weight_port
from sw.formats import (
    FormatFamily,
    NumberFormat,
    family_terms,
    float_layout,
    get_family,
    multiplier_terms,
)

from .benches_cocotb.designs import TERNARY

SECTIONS = ("Timing", "Parameters", "Members", "Raises")


def component_classes() -> list[type[wiring.Component]]:
    """Public components of all modules below ``hw``, each where it is defined."""
    modules = [m.name for m in pkgutil.walk_packages(hw.__path__, "hw.")]
    found = [
        value
        for name in modules
        for value in vars(importlib.import_module(name)).values()
        if inspect.isclass(value) and issubclass(value, wiring.Component)
        if value.__module__ == name and not value.__name__.startswith("_")
        if not inspect.isabstract(value)
    ]
    return sorted(found, key=lambda c: (c.__module__, c.__name__))


def samples() -> list[dict]:
    """Values of constructor parameters: with every optional port, with none, and in between."""
    smallest = Machine(
        accelerator=AcceleratorConfig(name="smallest", rows=1, cols=1, lanes=1),
        family=TERNARY,
        inner_bits=16,
        outer_bits=24,
    )
    programmable = AcceleratorConfig(name="all", rows=2, cols=1, lanes=1, programmable=True)
    bitmod = get_family("bitmod_fp4")
    largest = dataclasses.replace(smallest, accelerator=programmable, family=bitmod)
    common = {"activation_bits": 8, "activation_signed": True, "bits": 20, "mode": "wrap"}
    common |= {"addend_bits": 12, "scale_bits": 8, "group_bits": 20, "result_bits": 24}
    common |= {"header_bits": 20, "chunk_bits": 32, "beat_bits": 32, "dequantizer_cycles": 8}
    common |= {"corrected_bits": 22, "activation_sum_bits": 18, "stages": 2, "delay": 1}
    common |= {"multiplier_bits": 16, "shift_bits": 6, "subtract": False, "pipeline": ()}
    common |= {"inner": FLOATING, "outer": FLOATING, "addend_exponent_bits": 4}
    common |= {"exponent_bits": 5, "unit_exponent": -24, "floating": None}
    common |= {"significand_bits": 11, "place_bits": 5, "guard_bits": 3, "sum_bits": 18}
    common |= {"layout": float_layout("float16"), "target": "parts", "rounding": "truncate"}
    common |= {"float_exponents": None, "row_bits": 24, "stream_bits": 16}
    common |= {
        "width": 8,
        "divisor": 8,
        "link": LinkConfig(divisor=8, timeout_cycles=200),
        "address_bits": 7,
    }
    common |= {"weight_bytes": 8, "activation_bytes": 8, "result_bytes": 8, "timeout_cycles": 200}
    full = {"machine": largest, "rows": 2, "cols": 3, "lanes": 2, "slots": 2, "depth": 2}
    full |= {"zero_point_bits": 4, "barrel_shift": 14, "parameter_bits": 66, "programmable": True}
    full |= {"scale": ScaleConfig(format="e4m3", shift="barrel"), "adders": "compressor"}
    full |= {"requantizer": RequantizerConfig(), "count_negatives": True}
    # one exponent bit: three slots of two base shifts, so that shift_select exists
    full |= {"family": bitmod, "terms": family_terms(bitmod, lane_exponent_bits=1)}
    least = {"machine": smallest, "rows": 1, "cols": 1, "lanes": 1, "slots": 1, "depth": 1}
    least |= {"zero_point_bits": 0, "barrel_shift": 0, "parameter_bits": 0, "programmable": False}
    least |= {"scale": ScaleConfig(), "adders": "chain", "requantizer": None}
    least |= {"family": TERNARY, "terms": family_terms(TERNARY), "count_negatives": False}
    full |= {"registers": register_map(largest), "port": weight_port(largest)}
    least |= {"registers": register_map(smallest), "port": activation_port(smallest)}
    several = {"family": get_family("ant4"), "terms": family_terms(get_family("ant4"))}
    one_slot = {"family": ONE_SLOT_PAIR, "terms": family_terms(ONE_SLOT_PAIR)}
    aligned = AcceleratorConfig(name="floats", rows=2, cols=1, lanes=2, activation_format="float16")
    floats = {"machine": dataclasses.replace(smallest, accelerator=aligned, outer_bits=25)}
    floats |= {"floating": FLOATING, "target": "aligned"}
    return [
        common | full,
        common | least,
        common | least | several,
        common | full | one_slot,
        common | least | floats,
    ]


#: a machine that a board's bridge fits
BYTEWISE = Machine(
    accelerator=AcceleratorConfig(
        name="bytewise",
        rows=1,
        cols=1,
        lanes=1,
        buffers=BufferConfig(weight_beats=4, activation_beats=4),
        streams=StreamConfig(weight_bits=8, activation_bits=8, result_bits=8),
    ),
    family=TERNARY,
    inner_bits=16,
    outer_bits=24,
)
#: any floating-point sum
FLOATING = FloatSum(bits=8, exponent_bits=5, rounding="nearest_even")
#: two formats with a special value, in one slot
ONE_SLOT_PAIR = FormatFamily(
    name="one_slot_pair",
    members=tuple(
        NumberFormat(name=f"special_{level}", bits=2, levels=(0, 1, level, -1), source="one slot")
        for level in (2, 4)
    ),
)


def build(cls: type[wiring.Component], values: dict) -> wiring.Component:
    """Make a ``cls`` from the values that its constructor takes; elaborated, so no warning."""
    parameters = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
    missing = [p for p in parameters if p not in values]
    assert not missing, f"no sample value for {missing} of {cls.__name__}: add one to samples()"
    if "family" in parameters and needs_special(cls) and values["family"].special_code is None:
        values = values | {"family": ONE_SLOT_PAIR, "terms": family_terms(ONE_SLOT_PAIR)}
    if cls in (FloatAccumulator, AligningPE):
        values = values | {"floating": FLOATING}
    if cls is MultiplierPE:
        values = values | {"terms": multiplier_terms(values["family"], "signed")}
    if cls is BoardTop:
        values = values | {"machine": BYTEWISE}
    component = cls(**{name: values[name] for name in parameters})
    Fragment.get(component, None)
    return component


def needs_special(cls: type[wiring.Component]) -> bool:
    """Whether a component is only for families with a special value."""
    return cls.__name__.startswith("Special")


def sections(cls: type) -> dict[str, str]:
    """Text of each section of the docstring."""
    text = inspect.cleandoc(cls.__doc__ or "")
    parts = re.split(rf"^({'|'.join(SECTIONS)})\n-+\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> list[tuple[list[str], str, str]]:
    """Names, type and description of every entry of a section.

    In a list of names, one that starts with ``_`` continues the first up to its last ``_``.
    """
    listed = []
    for block in re.split(r"\n(?=\S)", section.strip()):
        head, _, description = block.partition("\n")
        names, _, kind = head.partition(" : ")
        first, *rest = [name.strip() for name in names.split(",")]
        stem = first.rpartition("_")[0]
        full = [first, *(stem + name if name.startswith("_") else name for name in rest)]
        listed.append((full, kind, description))
    return listed


def stands_for(component: wiring.Component) -> dict[str, dict[str, str]]:
    """What a name in angle brackets stands for: names and directions, by the rule of its text."""
    if isinstance(component, JobControl):
        return {"<shape>": dict.fromkeys(SHAPE, "In")}
    if not isinstance(component, RegisterFile):
        return {}
    access = {r.name.lower(): r.access for r in component.map.registers if r.value is None}
    flows = {"ro": "In", "w1c": "In", "rw": "Out", "wo": "Out"}
    return {
        "<name>": {name: flows[kind] for name, kind in access.items()},
        "<name>_clear": {f"{name}_clear": "Out" for name, a in access.items() if a == "w1c"},
        "<name>_written": {f"{name}_written": "Out" for name, a in access.items() if a == "wo"},
    }


def written_out(names: set[str], component: wiring.Component) -> set[str]:
    """Names, with those behind every name in angle brackets."""
    families = stands_for(component)
    return {real for name in names for real in families.get(name, {name: ""})}


CLASSES = component_classes()


def test_the_walk_finds_the_blocks():
    names = {cls.__name__ for cls in CLASSES}
    assert names >= {
        "TermDecoder",
        "SerialPE",
        "SerialDequantizer",
        "PEArray",
        "Core",
        "Accelerator",
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_docstring_matches_signature(cls):
    found = sections(cls)
    parameters = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
    needed = {"Timing", "Members"} | ({"Parameters"} if parameters else set())
    assert needed <= set(found), f"{cls.__name__} lacks {sorted(needed - set(found))}"
    assert all(text.strip() for text in found.values()), "a section is empty"
    if parameters:
        documented = [name for names, *_ in entries(found["Parameters"]) for name in names]
        assert sorted(documented) == sorted(parameters)

    documented, optional = {}, set()
    for names, kind, description in entries(found["Members"]):
        flows = re.findall(r"\b(In|Out)\b", kind)
        if names[0].startswith("<") or not flows:  # what the name stands for says it
            flows = [None]
        flows = flows * len(names) if len(flows) == 1 else flows
        assert len(flows) == len(names), f"{names}: {kind}"
        documented |= dict(zip(names, flows, strict=True))
        optional |= set(names) if "absent" in description else set()
    always = set(documented) - optional
    for values in samples():
        component = build(cls, values)
        members, families = component.signature.members, stands_for(component)
        actual = {name: "In" if m.flow is Flow.In else "Out" for name, m in members.items()}
        assert families.keys() <= documented.keys(), f"{cls.__name__}: {sorted(families)}"
        told = {n: flow for n, flow in documented.items() if n not in families}
        told |= {n: flow for family in families.values() for n, flow in family.items()}
        needed = written_out(always, component)
        assert needed <= set(actual) <= set(told), sorted(set(actual) ^ set(told))
        wrong = [n for n, flow in actual.items() if told[n] not in (None, flow)]
        assert not wrong, f"direction of {wrong}"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_optional_members_are_sometimes_there(cls):
    documented = {name for names, *_ in entries(sections(cls)["Members"]) for name in names}
    seen: set[str] = set()
    named: set[str] = set()
    for values in samples():
        component = build(cls, values)
        seen |= set(component.signature.members)
        named |= written_out(documented, component)
    assert seen == named
