"""The complete accelerator: whole jobs under any back-pressure, stopped jobs, packet errors."""

import cocotb
import numpy as np
from accelerators import layer_programs
from axi_bench import Bench

from bitsmith.verify import random_program
from sw.compile import GemmProgram


def draw(bench: Bench, rng: np.random.Generator) -> GemmProgram:
    """A job that is ragged in every dimension and fits into every buffer."""
    m, n, k, group_size = (int(rng.integers(1, high)) for high in (7, 8, 21, 9))
    return random_program(bench.machine, m, n, k, max(group_size, 3), rng)


@cocotb.test()
@cocotb.parametrize(after=[0, 30, 150, 600])
async def reset_in_the_middle(dut, after):
    """Every test begins with a reset; this one leaves a job under way for the next."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(after)
    await bench.run(draw(bench, rng))
    bench.pauses["results"].held = True
    await bench.start(draw(bench, rng))
    await bench.cycles(after)
    await bench.status("busy")


@cocotb.test()
async def layers_of_the_model(dut):
    bench = await Bench.begin(dut)
    if bench.name != "layers":
        return
    rng = np.random.default_rng(1)
    for program in layer_programs(bench.machine):
        await bench.run(program)
        bench.pressure(rng)


@cocotb.test()
async def random_jobs_back_to_back(dut):
    """Shapes, rests and special values change from job to job; no reset between them."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(2)
    for index in range(8 if bench.name == "layers" else 20):
        bench.pressure(rng if index > 3 else None)
        await bench.run(draw(bench, rng))
