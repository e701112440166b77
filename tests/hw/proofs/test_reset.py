"""A reset of one cycle is enough, whatever was under way."""

import pytest

from configs.accelerator import AcceleratorConfig
from hw.proofs import missing_solver, search
from hw.proofs.reset import QuietReset
from sw.compile import Machine
from sw.formats import get_family

pytestmark = pytest.mark.skipif(missing_solver() is not None, reason=missing_solver() or "")


@pytest.mark.parametrize("cycles", [1, 2, 5])
@pytest.mark.parametrize("pipeline", [(), ("operands", "products", "shift")])
def test_accumulators_stay_0(pipeline, cycles):
    config = AcceleratorConfig(
        name="small", rows=1, cols=2, lanes=1, activation_bits=4, pipeline=pipeline
    )
    machine = Machine(
        accelerator=config, family=get_family("bitmod_fp4"), inner_bits=12, outer_bits=20
    )
    verdict = search(QuietReset(machine=machine, cycles=cycles), depth=cycles + 8)
    assert (verdict.status, verdict.cycle, verdict.failed) == ("holds", None, ())
