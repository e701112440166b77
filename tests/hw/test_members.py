"""Every component's docstring against its signature, found by walking ``hw``."""

import importlib
import inspect
import pkgutil
import re

import pytest
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow

import hw
from configs.schema import AcceleratorConfig
from sw.compile import Machine
from sw.formats import family_terms, get_family

from .benches_cocotb.designs import TERNARY, small_machine

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
    ]
    return sorted(found, key=lambda c: (c.__module__, c.__name__))


def samples() -> list[dict]:
    """Values of constructor parameters: with every optional port, and with none."""
    smallest = Machine(
        accelerator=AcceleratorConfig(name="smallest", rows=1, cols=1, lanes=1),
        family=TERNARY,
        inner_bits=16,
        outer_bits=24,
    )
    common = {"activation_bits": 8, "bits": 20, "mode": "wrap", "addend_bits": 12, "scale_bits": 8}
    common |= {"group_bits": 20, "result_bits": 24, "header_bits": 20, "chunk_bits": 32}
    common |= {"beat_bits": 32, "depth": 4}
    full = {"machine": small_machine(), "rows": 2, "cols": 3, "lanes": 2, "slots": 2}
    # one exponent bit: three slots of two base shifts, so that shift_select exists
    terms = family_terms(get_family("bitmod_fp4"), lane_exponent_bits=1)
    full |= {"family": get_family("bitmod_fp4"), "terms": terms}
    least = {"machine": smallest, "rows": 1, "cols": 1, "lanes": 1, "slots": 1}
    least |= {"family": TERNARY, "terms": family_terms(TERNARY)}
    return [common | full, common | least]


def build(cls: type[wiring.Component], values: dict) -> wiring.Component:
    """Make a ``cls`` from the values that its constructor takes; elaborated, so no warning."""
    parameters = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
    missing = [p for p in parameters if p not in values]
    assert not missing, f"no sample value for {missing} of {cls.__name__}: add one to samples()"
    component = cls(**{name: values[name] for name in parameters})
    Fragment.get(component, None)
    return component


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


CLASSES = component_classes()


def test_the_walk_finds_the_blocks():
    names = {cls.__name__ for cls in CLASSES}
    assert names >= {"TermDecoder", "SerialPE", "SerialDequantizer", "PEArray", "Accelerator"}


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
        flows = flows * len(names) if len(flows) == 1 else flows or [None] * len(names)
        assert len(flows) == len(names), f"{names}: {kind}"
        documented |= dict(zip(names, flows, strict=True))
        optional |= set(names) if "absent" in description else set()
    always = set(documented) - optional
    for values in samples():
        members = build(cls, values).signature.members
        actual = {name: "In" if m.flow is Flow.In else "Out" for name, m in members.items()}
        assert always <= set(actual) <= set(documented), sorted(set(actual) ^ set(documented))
        wrong = [n for n, flow in actual.items() if documented[n] not in (None, flow)]
        assert not wrong, f"direction of {wrong}"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_optional_members_are_sometimes_there(cls):
    documented = {name for names, *_ in entries(sections(cls)["Members"]) for name in names}
    seen: set[str] = set()
    for values in samples():
        seen |= set(build(cls, values).signature.members)
    assert seen == documented
