"""The table of stalls in docs/timing.md says what the simulator counts."""

import re
from pathlib import Path

import pytest

from configs.schema import load_axis
from sim import JOB_GAP_CYCLES, STALLS, memory_rates, simulate_gemm, simulate_workload
from sw.compile import GemmShape, Machine
from sw.formats import get_family
from sw.workloads import Gemm, Workload

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "timing.md").read_text()
TABLE = PAGE.split("### Where the cycles go\n")[1]


def test_every_stall_is_defined_in_order() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \| ", TABLE, re.M)) == STALLS


@pytest.mark.parametrize("m, k", [(64, 256), (3, 40), (200, 8)])
def test_definitions_are_those_of_the_table(m: int, k: int) -> None:
    array = load_axis("accelerator", "bitmod_32x32x4")
    built = Machine(
        accelerator=array, family=get_family("bitmod_fp4"), inner_bits=24, outer_bits=40
    )
    shape, memory = GemmShape(m=m, n=64, k=k, group_size=8), load_axis("memory", "lpddr4")
    free = simulate_gemm(built, shape)
    slow = simulate_gemm(built, shape, memory_rates(built, shape, memory))
    said = dict(re.findall(r"^\| `(\w+)` \| `?([^`:,|]+)", TABLE, re.M))
    known = {
        "causes": free.causes,
        **{name: name for name in free.causes},
        "fill": free.fill,
        "drain": free.drain,
        "first": free.fill + 1,
        "last": free.total_cycles - free.drain,
        "total_cycles": free.total_cycles,
        "JOB_GAP_CYCLES": JOB_GAP_CYCLES,
    }
    expected = {name: eval(text, known) for name, text in said.items() if name != "dram"}
    expected["dram"] = slow.total_cycles - free.total_cycles
    workload = Workload(name="one", prefill=(Gemm(name="a", m=m, n=64, k=k),))
    timing = simulate_workload(built, workload, group_size=8, memory=memory)
    assert timing.stalls() == expected
    assert sum(expected.values()) == timing.total_cycles and expected["dram"] > 0
