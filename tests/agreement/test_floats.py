"""RTL = golden = simulator for floating-point activations and for the baselines."""

import numpy as np
import pytest

from bitsmith.verify import verify
from hw.benches.batch import accelerator_verilog
from sw.golden import golden_gemm

from ..sampled import sampled
from .float_machines import FLOATS, float_cases
from .test_broken_rtl import first_module

pytestmark = pytest.mark.rtl
SHAPES, MANY_SHAPES = 4, 24


def check(name: str, shapes: int) -> None:
    built = FLOATS[name]
    cases = float_cases(built, shapes, np.random.default_rng(len(name)))
    results = verify(built, cases)
    failures = [f"{result.name}: {result.failure}" for result in results if result.failure]
    assert not failures, failures[0]
    assert len(results) == len(cases)


@pytest.mark.parametrize("name", sampled(FLOATS, every=2))
def test_every_kind_of_activation(name: str) -> None:
    check(name, SHAPES)


@pytest.mark.agreement
@pytest.mark.parametrize("name", FLOATS)
def test_many_shapes(name: str) -> None:
    check(name, MANY_SHAPES)


def test_jobs_reach_what_they_are_meant_to() -> None:
    """Inf and NaN are flagged in some rows, other jobs have none; sums do not all vanish."""
    built = FLOATS["aligned in the row"]
    cases = float_cases(built, SHAPES, np.random.default_rng(1))
    flags = [golden_gemm(case.program).invalid_activations for case in cases]
    assert any(f.any() for f in flags)
    assert not all(f.any() for f in flags)
    outputs = np.concatenate([golden_gemm(case.program).outputs.ravel() for case in cases])
    assert len(np.unique(outputs)) > 100


@pytest.mark.parametrize(
    ("block", "old", "new", "where"),
    [
        # the published defect: an addend with the smaller exponent is not moved
        (
            "pe_0_0__accumulator",
            "= { 1'h0, exponent } >= ring",
            "= 1'h1 | { 1'h0, exponent } >= ring",
            "inner",
        ),
        ("pe_0_0__accumulator", "exponent } - { 1'h0, ring", "exponent } + { 1'h0, ring", "inner"),
        ("dequantizer_0_0", "upper }) + ", "upper }) - ", "outer"),
        ("activations_0", "? parts_1[16:12] :", "? parts_0[16:12] :", "inner"),
    ],
)
def test_a_broken_machine_is_found_and_located(block: str, old: str, new: str, where: str) -> None:
    built = FLOATS["aligned in the row"]
    verilog = accelerator_verilog(built)
    start, end = first_module(verilog, block)
    assert old in verilog[start:end]
    broken = verilog[:start] + verilog[start:end].replace(old, new, 1) + verilog[end:]
    cases = float_cases(built, 3, np.random.default_rng(3))
    result = verify(built, cases, verilog=broken)[-1]
    assert f"{where} accumulator" in result.failure
    assert " * 2**" in result.failure
