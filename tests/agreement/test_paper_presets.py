"""The presets of the iso-area comparison: every arithmetic of theirs in RTL, on a small sibling.

Arithmetic and options are the preset's own, only rows and columns are fewer: PEs are all alike.
"""

import dataclasses

import numpy as np
import pytest

from bitsmith.baselines import COMPARED, Competitor
from bitsmith.verify import random_cases, verify
from configs.accelerator import AcceleratorConfig
from configs.load import preset_names
from configs.schema import load_axis
from sw.compile import Machine, check_recipe_formats, resolve_machine, worst_case_widths
from sw.quantize.recipe import machine_family

COMPETITORS = [one for one in COMPARED if isinstance(one, Competitor)]
#: every array with every format that it is compared with
BUILT = sorted({(a, one.format) for one in COMPETITORS for a in (one.array, one.decode_array)})
#: sizes of a case of tests: ``random_cases`` draws up to these
LONGEST_GROUP, LONGEST_K = 50, 120


def preset(name: str) -> AcceleratorConfig:
    built: AcceleratorConfig = load_axis("accelerator", name)
    return built


def sibling(name: str, weights: str) -> Machine:
    """A 2 x 2 array with the arithmetic of preset ``name``."""
    array = dataclasses.replace(preset(name), rows=2, cols=2)
    check_recipe_formats(array, [weights])
    family = machine_family(weights)
    widths = worst_case_widths(array, family, group_size=LONGEST_GROUP, k=LONGEST_K)
    return resolve_machine(array, family, *widths)


def arithmetic(array: AcceleratorConfig) -> dict:
    """Everything but name and shape."""
    return {k: v for k, v in vars(array).items() if k not in ("name", "rows", "cols")}


def test_all_paper_presets_are_compared() -> None:
    used = {name for one in COMPETITORS for name in (one.array, one.decode_array)}
    assert {name for name in preset_names("accelerators") if name.startswith("paper_")} <= used


@pytest.mark.parametrize("one", COMPETITORS, ids=lambda one: f"{one.array}-{one.format}")
def test_decode_has_as_many_multipliers(one: Competitor) -> None:
    """Another shape, in which no row is added that one token would leave idle."""
    prefill, decode = preset(one.array), preset(one.decode_array)
    lanes = [array.rows * array.cols * array.lanes for array in (prefill, decode)]
    assert lanes[0] == lanes[1]
    assert decode.rows <= prefill.rows


def distinct() -> list[tuple[str, str]]:
    """One array for each arithmetic and format: shapes do not matter to a sibling."""
    found = {}
    for name, weights in BUILT:
        found.setdefault((repr(arithmetic(preset(name))), weights), (name, weights))
    return list(found.values())


@pytest.mark.rtl
@pytest.mark.parametrize(("name", "weights"), distinct())
def test_sibling_in_rtl(name: str, weights: str) -> None:
    """Outputs, cycles and counters of Verilog, golden model and simulator are equal."""
    machine = sibling(name, weights)
    results = verify(machine, random_cases(machine, 3, np.random.default_rng(7)))
    assert len(results) == 3 and sum(result.outputs for result in results) > 10
    for result in results:
        assert result.passed, result.failure
