"""The complete accelerator on the bus models of cocotbext-axi, which know nothing of this project.

The bench finds out from the design's fingerprint which machine it is. It checks outputs against
the golden model, cycles and every counter against the simulator for the rests that it saw, and
AXI's own rules in every cycle.
"""

import importlib.util
import re
import sys

import pytest

from hw.benches.batch import TOP, accelerator_verilog
from sw.compile.registers import fingerprint

from .cocotb_runner import BENCHES

JOBS = {"reset_in_the_middle", "layers_of_the_model", "random_jobs_back_to_back"}
STOPS = {
    "aborted_jobs",
    "an_aborted_packet_is_given_up",
    "packets_that_end_too_early_or_too_late",
    "tiles_that_do_not_fit",
}
REGISTERS = {
    "fuzzing",
    "shape_registers_written_while_busy",
    "shapes_that_cannot_be",
    "special_values_are_taken_only_while_ready",
    "interrupts",
    "no_output_follows_an_input_within_a_cycle",
}
TESTS = {"bench_accelerator": JOBS, "bench_stops": STOPS, "bench_registers": REGISTERS}


def machines() -> dict:
    """The machines that the bench knows."""
    spec = importlib.util.spec_from_file_location("accelerators", BENCHES / "accelerators.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.MACHINES


MACHINES = machines()
#: every bench on machines of each kind, the others only run jobs
RUNS = [(name, bench) for name in list(MACHINES)[:3] for bench in TESTS]
RUNS += [(name, "bench_accelerator") for name in list(MACHINES)[3:]]
#: of those, what only the full sweep runs
SWEPT = {
    (name, bench) for name in list(MACHINES)[1:3] for bench in ("bench_registers", "bench_stops")
}


@pytest.mark.rtl
@pytest.mark.parametrize(
    "name, bench",
    [pytest.param(*run, marks=pytest.mark.agreement if run in SWEPT else ()) for run in RUNS],
)
def test_accelerator(name: str, bench: str, run_bench) -> None:
    passed = run_bench(accelerator_verilog(MACHINES[name]), TOP, bench)
    assert {test.partition("/")[0] for test in passed} == TESTS[bench]


def test_the_machines_are_of_every_kind() -> None:
    arrays = [built.accelerator for built in MACHINES.values()]
    buffers = {None if a.buffers is None else a.buffers.stationary for a in arrays[:3]}
    assert buffers == {None, "weights", "activations"}
    assert any(a.requantizer and a.zero_point_bits for a in arrays[:3])
    assert any(a.programmable and a.buffers for a in arrays[:3]) and arrays[0].programmable
    assert any(a.has_floats for a in arrays)
    assert len({fingerprint(built) for built in MACHINES.values()}) == len(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_every_register_has_a_value_at_power_up(name: str) -> None:
    """No X can reach an output; Verilator, which has none, could not tell.

    Left out are output registers of block RAM, which are not looked at before the first read.
    """
    verilog = accelerator_verilog(MACHINES[name])
    written = re.findall(r"^\s*(\w+)(?:\[[^\]]*\])*\s*<= (.*)$", verilog, re.MULTILINE)
    initial = set(re.findall(r"^\s*initial (\w+)\s*=", verilog, re.MULTILINE))
    initial |= set(re.findall(r"^\s*(\w+)\[\d+\] = ", verilog, re.MULTILINE))
    without = {(target, value) for target, value in written if target not in initial}
    assert len(written) > 50
    assert all(re.fullmatch(r"memory\[.*\];", value) for _, value in without), without
