"""Area and energy: what must hold whatever the figures are, and the structure against synthesis."""

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from configs.errors import InputError
from configs.schema import AcceleratorConfig, AccumulatorConfig, load_axis
from costmodel import cost, job_energy, machine_area, machine_blocks
from costmodel.decoder import decision_nodes, truth_table
from hw.dequant import SerialDequantizer
from hw.emit import run_yosys, to_rtlil
from hw.pe import SerialPE
from hw.top import Accelerator
from sim import Activity, Gaps, gemm_activity, simulate_gemm
from sw.compile import GemmShape, Machine
from sw.formats import fitting_terms, get_family

#: one, two and four members, one to four slots, up to six lane exponent bits
FEW = ("ant4", "binary", "bitmod_fp3", "bitmod_fp4", "float8_e5m2", "int4", "int6", "int8")
TECHNOLOGIES = ("sg13g2_130nm", "generic_28nm")


def make(name: str = "bitmod_fp4", *, inner: int = 20, outer: int = 34, **array) -> Machine:
    """A small machine."""
    accelerator = AcceleratorConfig(**{"name": "test", "rows": 2, "cols": 3, "lanes": 4} | array)
    return Machine(
        accelerator=accelerator, family=get_family(name), inner_bits=inner, outer_bits=outer
    )


def run(machine: Machine, gaps: Gaps | None = None, **shape: int) -> Activity:
    """Activity of a simulated GEMM."""
    gemm = GemmShape(**{"m": 5, "n": 7, "k": 100, "group_size": 32} | shape)
    return gemm_activity(machine, gemm, simulate_gemm(machine, gemm, gaps))


@pytest.fixture(params=TECHNOLOGIES)
def technology(request):
    return load_axis("technology", request.param)


def totals_pj(machine, activity, technology) -> dict[str, float]:
    return {a.action: a.total_pj for a in job_energy(machine, activity, technology)}


def test_energy_is_additive(technology):
    machine = make()
    a, b = run(machine), run(machine, m=1, k=333)
    parts = [totals_pj(machine, activity, technology) for activity in (a, b)]
    for action, total in totals_pj(machine, a + b, technology).items():
        assert total == pytest.approx(parts[0][action] + parts[1][action], rel=1e-12)
    assert totals_pj(machine, a.times(3), technology) == pytest.approx(
        {action: 3 * total for action, total in parts[0].items()}
    )


def test_every_count_of_the_activity_costs_energy(technology):
    machine, activity = make(), run(make())
    before = sum(totals_pj(machine, activity, technology).values())
    # slots are charged as pe_slots, and products asked for cost what the slots cost
    for field in {f.name for f in fields(Activity)} - {"slots", "macs"}:
        more = replace(activity, **{field: 2 * getattr(activity, field)})
        assert sum(totals_pj(machine, more, technology).values()) > before, field


def test_report_adds_up(technology):
    machine, activity = make(clock_mhz=250.0), run(make())
    report = cost(machine, activity, technology)
    assert report.area_um2 == pytest.approx(sum(b.count * b.area_um2 for b in report.blocks))
    assert report.energy_pj == pytest.approx(sum(a.count * a.energy_pj for a in report.actions))
    assert report.energy_pj == report.on_chip_energy_pj + report.dram_energy_pj
    assert report.time_s == pytest.approx(activity.busy_cycles * 4e-9)
    assert report.power_mw == pytest.approx(report.on_chip_energy_pj * 1e-12 / report.time_s * 1e3)
    assert report.energy_per_mac_pj == pytest.approx(report.energy_pj / (5 * 7 * 100))
    bits = activity.weight_bits + activity.activation_bits + activity.result_bits
    per_bit = technology.figures["dram_energy_pj_per_bit"].value
    assert report.dram_energy_pj == pytest.approx(bits * per_bit)


def test_leakage_follows_area_and_time(technology):
    machine, activity = make(clock_mhz=100.0), run(make())
    report = cost(machine, activity, technology)
    density_mw = technology.figures["leakage_power_mw_per_mm2"].value
    leakage_j = density_mw * 1e-3 * report.area_um2 * 1e-6 * report.time_s
    assert totals_pj(machine, activity, technology)["leakage"] == pytest.approx(leakage_j * 1e12)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ({"lanes": 4}, {"lanes": 5}),
        ({"lanes": 7}, {"lanes": 8}),
        ({"rows": 2}, {"rows": 3}),
        ({"cols": 3}, {"cols": 4}),
        ({"inner": 20}, {"inner": 21}),
        ({"outer": 34}, {"outer": 41}),
        ({"activation_bits": 7}, {"activation_bits": 8}),
        ({"queue_beats": 4}, {"queue_beats": 5}),
        ({}, {"inner_accumulator": AccumulatorConfig(mode="flag")}),
        (
            {"outer_accumulator": AccumulatorConfig(mode="flag")},
            {"outer_accumulator": AccumulatorConfig(mode="saturate")},
        ),
    ],
)
def test_larger_machines_cost_more(technology, small, large):
    areas, prices = [], []
    for options in (small, large):
        machine = make(**options)
        blocks = machine_area(machine, technology)
        areas.append(sum(block.total_um2 for block in blocks))
        actions = job_energy(machine, Activity(), technology)
        prices.append({a.action: a.energy_pj for a in actions})
    assert areas[1] > areas[0]
    assert prices[1]["clock"] >= prices[0]["clock"]
    for action in prices[0]:
        if action.startswith(("pe.", "dequantizer.")):
            assert prices[1][action] >= prices[0][action]


def test_wider_accumulators_make_no_job_cheaper(technology):
    widths = [(20, 34), (21, 34), (21, 40), (21, 41), (30, 64)]
    totals = []
    for inner, outer in widths:
        machine = make(inner=inner, outer=outer)
        totals.append(sum(totals_pj(machine, run(machine), technology).values()))
    assert totals == sorted(totals)


def test_idle_pes_are_charged(technology):
    machine = make(rows=4)
    full, one = run(machine, m=4), run(machine, m=1)
    energies = [totals_pj(machine, activity, technology) for activity in (full, one)]
    assert one.macs * 4 == full.macs
    assert energies[0] == energies[1]


def test_a_stall_costs_clock_and_leakage(technology):
    machine = make()
    late = Gaps(weights=np.array([50]))
    a, b = (totals_pj(machine, run(machine, gaps), technology) for gaps in (None, late))
    assert {action for action in a if b[action] > a[action]} == {"clock", "leakage", "control"}
    assert all(b[action] == a[action] for action in a.keys() - {"clock", "leakage", "control"})


def test_json_is_strict_and_documented(technology):
    machine = make()
    report = cost(machine, run(machine), technology)
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content == report.to_dict()
    documented = type(report).to_dict.__doc__
    for key in (*content, *content["blocks"][0], *content["actions"][0]):
        assert f"``{key}``" in documented, key
    assert content["figures"]["gate_area_um2"] == asdict(technology.figures["gate_area_um2"])
    assert {b["block"] for b in content["blocks"]} >= {"pe.tree", "decoder", "drain", "sequencer"}


@pytest.mark.parametrize("activity", [Activity(), Activity(busy_cycles=5), Activity(macs=5)])
def test_a_job_that_did_not_run_is_refused(technology, activity):
    with pytest.raises(InputError, match="needs a job that ran"):
        cost(make(), activity, technology)


@pytest.mark.parametrize("name", FEW)
def test_truth_table_spells_every_level(name):
    family = get_family(name)
    terms = fitting_terms(family)
    table = np.array(truth_table(family, terms))
    by_slot = table.reshape(-1, 1 << family.id_bits, 1 << family.bits)[: terms.slots]
    exponents = by_slot >> 2
    values = (by_slot & 1) * (1 - (by_slot & 2)) << exponents
    levels = (values << np.array(terms.base_shifts)[:, None, None]).sum(axis=0)
    assert np.array_equal(levels[: len(family.members)], family.level_table)


@pytest.mark.parametrize(
    ("table", "output_bits", "nodes"),
    [
        ([0, 0, 0, 0], 1, (0, 0)),
        ([0, 1, 0, 1], 1, (0, 0)),  # an input itself
        ([0, 0, 0, 1], 1, (0, 1)),  # and
        ([0, 1, 1, 0], 1, (1, 0)),  # exclusive or
        ([0, 2, 2, 1], 2, (1, 1)),  # and; exclusive or
        ([0, 3, 3, 0], 2, (1, 0)),  # equal outputs are built once
        ([0, 0, 0, 1, 0, 0, 0, 1], 1, (0, 1)),  # the first input does not matter
    ],
)
def test_decision_nodes(table, output_bits, nodes):
    assert decision_nodes(table, output_bits) == nodes


def synthesized_flip_flops(component, folder) -> int:
    """Flip-flops that Yosys keeps, queue storage included."""
    (folder / "design.il").write_text(to_rtlil(component, "top"))
    run_yosys(
        f"read_rtlil {folder}/design.il\n"
        "synth -flatten -noabc -top top\n"
        f"tee -q -o {folder}/stat.json stat -json\n"
    )
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return sum(count for cell, count in cells.items() if "DFF" in cell)


def modelled_flip_flops(machine: Machine, prefix: str) -> int:
    """The same count in one instance of each block whose name begins with ``prefix``."""
    blocks = [b for b in machine_blocks(machine) if b.block.startswith(prefix)]
    return sum(b.structure.flip_flop_bits for b in blocks)


MACHINES = {
    "bitmod_fp4": make(),
    "int8": make("int8", inner=23, outer=37, lanes=3),
    "saturate": make(inner_accumulator=AccumulatorConfig(mode="saturate"), activation_bits=5),
}


@pytest.mark.rtl
@pytest.mark.parametrize("name", MACHINES)
def test_pe_flip_flops_are_exact(name, tmp_path):
    machine = MACHINES[name]
    array = machine.accelerator
    pe = SerialPE(
        terms=machine.terms,
        lanes=array.lanes,
        activation_bits=array.activation_bits,
        bits=machine.inner_bits,
        mode=array.inner_accumulator.mode,
    )
    assert synthesized_flip_flops(pe, tmp_path) == modelled_flip_flops(machine, "pe.")


@pytest.mark.rtl
@pytest.mark.parametrize("mode", ["wrap", "flag"])
def test_dequantizer_flip_flops_are_exact(mode, tmp_path):
    machine = make(inner=17, outer=29, outer_accumulator=AccumulatorConfig(mode=mode))
    dequantizer = SerialDequantizer(
        group_bits=machine.inner_bits,
        scale_bits=machine.accelerator.scale_bits,
        bits=machine.outer_bits,
        mode=mode,
    )
    found = synthesized_flip_flops(dequantizer, tmp_path)
    assert found == modelled_flip_flops(machine, "dequantizer.")


@pytest.mark.rtl
@pytest.mark.parametrize(
    "machine",
    [
        make(rows=1, cols=2, lanes=2),
        make("int8", inner=23, outer=37, rows=3, cols=1, queue_beats=5),
        make("int6", rows=2, cols=1, lanes=2, inner_accumulator=AccumulatorConfig(mode="flag")),
    ],
    ids=["wrap", "int8", "flag"],
)
def test_machine_flip_flops_are_exact(machine, tmp_path):
    modelled = sum(
        block.count * (block.structure.flip_flop_bits + block.structure.memory_bits)
        for block in machine_blocks(machine)
    )
    assert synthesized_flip_flops(Accelerator(machine=machine), tmp_path) == modelled
