"""Area and energy: what must hold whatever the figures are."""

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from configs.accelerator import (
    AcceleratorConfig,
    AccumulatorConfig,
    BufferConfig,
    RequantizerConfig,
    ScaleConfig,
)
from configs.errors import InputError
from configs.schema import load_axis
from costmodel import Technology, cost, job_energy, machine_area, machine_blocks
from sim import Activity, Gaps, Traffic, gemm_activity, simulate_gemm
from sw.compile import GemmShape, Machine
from sw.formats import get_family

TECHNOLOGIES = ("sg13g2_130nm", "generic_28nm")


#: a tile of K = 100 in groups of 32 takes 29 beats of weights, 25 of activations
BUFFERS = BufferConfig(weight_beats=30, activation_beats=30)


def make(name: str = "bitmod_fp4", *, inner: int = 20, outer: int = 34, **array) -> Machine:
    """A small machine."""
    accelerator = AcceleratorConfig(**{"name": "test", "rows": 2, "cols": 3, "lanes": 4} | array)
    return Machine(
        accelerator=accelerator,
        family=get_family(name),
        inner_bits=inner,
        outer_bits=outer,
        group_inputs=32 if accelerator.zero_point_bits else 0,
    )


def run(machine: Machine, gaps: Gaps | None = None, **shape: int) -> Activity:
    """Activity of a simulated GEMM."""
    gemm = GemmShape(**{"m": 5, "n": 7, "k": 100, "group_size": 32} | shape)
    return gemm_activity(machine, gemm, simulate_gemm(machine, gemm, gaps))


@pytest.fixture(params=TECHNOLOGIES)
def technology(request):
    return Technology.of(load_axis("technology", request.param))


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
    machine = make(buffers=BUFFERS)
    activity = run(machine)
    before = sum(totals_pj(machine, activity, technology).values())
    # slots are charged as pe_slots, products asked for cost what the slots cost, and what buffers
    # take in is what crosses the streams
    for field in {f.name for f in fields(Activity)} - {"slots", "macs", "buffered_bits"}:
        more = replace(activity, **{field: 2 * getattr(activity, field)})
        assert sum(totals_pj(machine, more, technology).values()) > before, field


def test_buffers_save_traffic_and_cost_area(technology):
    plain, buffered = make(), make(buffers=BUFFERS)
    without, within = run(plain), run(buffered)
    # 3 row tiles and 3 column tiles of M = 5, N = 7: weights cross their stream once
    assert within.streamed_weight_bits * 3 == without.streamed_weight_bits
    assert within.streamed_activation_bits == without.streamed_activation_bits
    assert (within.weight_bits, within.activation_bits) == (
        without.weight_bits,
        without.activation_bits,
    )
    bits = 2 * 30 * (buffered.weight_beat_bits + buffered.activation_beat_bits)
    blocks = [
        {b.block: b for b in cost(m, a, technology).blocks}
        for m, a in ((plain, without), (buffered, within))
    ]
    macros = {f"sram.tiles.{name}" for name in ("weights", "activations")}
    control = {f"buffer_control.{name}" for name in ("weights", "activations")}
    assert blocks[1].keys() - blocks[0].keys() == macros | control
    assert sum(blocks[1][name].structure.sram_bits for name in macros) == bits
    found = actions(buffered, within, technology)
    for way, counted in (
        ("write", within.buffered_bits),
        ("read", within.weight_bits + within.activation_bits),
    ):
        assert sum(found[f"{macro}.{way}"].count for macro in macros) == counted
        assert all(found[f"{macro}.{way}"].total_pj > 0 for macro in macros)
    assert not any(name.startswith("sram.") for name in actions(plain, without, technology))


def test_report_adds_up(technology):
    machine, activity = make(clock_mhz=250.0), run(make())
    report = cost(machine, activity, technology)
    assert report.area_um2 == pytest.approx(sum(b.count * b.area_um2 for b in report.blocks))
    assert report.energy_pj == pytest.approx(sum(a.count * a.energy_pj for a in report.actions))
    assert report.energy_pj == report.on_chip_energy_pj + report.dram_energy_pj
    assert report.time_s == pytest.approx(activity.busy_cycles * 4e-9)
    assert report.power_mw == pytest.approx(report.on_chip_energy_pj * 1e-12 / report.time_s * 1e3)
    assert report.energy_per_mac_pj == pytest.approx(report.energy_pj / (5 * 7 * 100))
    streamed = ("weight", "activation", "result")
    bits = sum(getattr(activity, f"streamed_{port}_bits") for port in streamed)
    per_bit = technology.dram_pj_per_bit.value
    assert report.dram_energy_pj == pytest.approx(bits * per_bit)


def test_leakage_follows_area_and_time(technology):
    machine, activity = make(clock_mhz=100.0), run(make())
    report = cost(machine, activity, technology)
    density_mw = technology.leakage_mw_per_mm2.value
    leakage_j = density_mw * 1e-3 * report.area_um2 * 1e-6 * report.time_s
    assert totals_pj(machine, activity, technology)["leakage.cells"] == pytest.approx(
        leakage_j * 1e12
    )


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
        ({}, {"pipeline": ("operands",)}),
        ({}, {"pipeline": ("products",)}),
        ({}, {"pipeline": ("shift",)}),
        ({}, {"activation_signed": False}),
        ({}, {"programmable": True}),
        ({}, {"requantizer": RequantizerConfig(multiplier_bits=4)}),
        ({"zero_point_bits": 3}, {"zero_point_bits": 4}),
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
    assert prices[1]["clock.slots"] >= prices[0]["clock.slots"]
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
    more = {"clock.stalls", "leakage.cells", "control"}
    assert {action for action in a if b[action] > a[action]} == more
    assert all(b[action] == a[action] for action in a.keys() - more)


def test_json_is_strict_and_documented(technology):
    machine = make()
    report = cost(machine, run(machine), technology)
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content == report.to_dict()
    documented = type(report).to_dict.__doc__
    for key in (*content, *content["blocks"][0], *content["actions"][0]):
        assert f"``{key}``" in documented, key
    assert content["figures"]["stream_mm"] == asdict(technology.config.figures["stream_mm"])
    assert content["intervals"].keys() < content.keys()
    for name, limits in content["intervals"].items():
        assert limits["low"] <= content[name] <= limits["high"], name
    total = sum(cause["energy_pj"] for cause in content["causes"].values())
    assert total == pytest.approx(content["energy_pj"])
    assert {b["block"] for b in content["blocks"]} >= {
        "pe.lane_sum",
        "decoder",
        "drain",
        "sequencer",
    }


@pytest.mark.parametrize("activity", [Activity(), Activity(busy_cycles=5), Activity(macs=5)])
def test_a_job_that_did_not_run_is_refused(technology, activity):
    with pytest.raises(InputError, match="needs a job that ran"):
        cost(make(), activity, technology)


def actions(machine, activity, technology) -> dict:
    return {a.action: a for a in job_energy(machine, activity, technology)}


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ({"zero_point_bits": 3}, {"dequantizer.correction": 3, "activation_sums.multiples": 1 / 3}),
        ({"scale": ScaleConfig(format="e4m3", shift="barrel")}, {"dequantizer.shifter": 4}),
        ({"scale": ScaleConfig(format="e8m0", shift="barrel")}, {"dequantizer.shifter": 1}),
        ({"scale": ScaleConfig(format="e8m0")}, {}),
    ],
)
def test_dequantizer_actions_are_counted_per_group(technology, options, added):
    base, machine = make("int4"), make("int4", **options)
    activity = run(machine)
    found = actions(machine, activity, technology)
    groups = activity.group_dequantizations
    more = found.keys() - actions(base, run(base), technology).keys() - {"activation_sums.chunks"}
    counts = {name: found[name].count for name in more}
    # a row's activation sum is one for its three columns
    assert counts == {name: round(count * groups) for name, count in added.items()}
    steps = {"uint8": 8, "e4m3": 4, "e8m0": 1}[machine.accelerator.scale.format]
    assert found["dequantizer.outer_accumulator"].count == steps * groups
    assert all(found[name].total_pj > 0 for name in more)


def test_longer_scales_cost_energy_for_every_bit(technology):
    prices = []
    for binades in (7, 15):
        machine = make(scale=ScaleConfig(format="e8m0", binades=binades))
        prices.append(actions(machine, run(machine), technology))
    for action in ("dequantizer.group_sums", "column_scale"):
        assert prices[1][action].energy_pj > 1.9 * prices[0][action].energy_pj


def test_activation_sums_and_requantizer_are_charged(technology):
    # 2 x 3 PEs of four lanes: M = 5 in 3 row tiles, N = 7 in 3 column tiles, K = 100 in 25 chunks
    machine = make("int4", zero_point_bits=4, requantizer=RequantizerConfig())
    found = actions(machine, run(machine), technology)
    assert found["activation_sums.chunks"].count == 9 * 25 * 2
    assert found["requantizer"].count == 9 * 2 * 3
    assert found["requantizer"].energy_pj > found["dequantizer.outer_accumulator"].energy_pj


def test_programmable_values_and_operand_registers_are_charged(technology):
    machine = make(programmable=True, pipeline=("operands",))
    activity = run(machine)
    found, plain = (actions(m, activity, technology) for m in (machine, make()))
    assert found["special_terms"].count == activity.slots * 3
    assert found["special_terms"].energy_pj > plain["special_terms"].energy_pj
    bits = activity.weight_bits + activity.activation_bits
    assert found["registers.operands"].count == bits
    assert found["registers.operands"].total_pj > 0
    assert found["clock.slots"].energy_pj > plain["clock.slots"].energy_pj


def test_every_block_has_an_action(technology):
    """Blocks that work once per cycle, or between jobs, are summed up."""
    machine = make(
        programmable=True,
        zero_point_bits=3,
        rows_per_dequantizer=2,
        pipeline=("operands", "products", "shift"),
        adders="compressor",
        scale=ScaleConfig(format="e4m3", shift="barrel"),
        requantizer=RequantizerConfig(),
    )
    found = actions(machine, run(machine), technology)
    blocks = {b.block for b in machine_blocks(machine)}
    summed = {"walker", "sequencer", "dequantizer_control", "special_values", "activation_sums"}
    queues = {block for block in blocks if block.startswith("queue.")}
    assert blocks - found.keys() == summed | queues | {"drain"}
    idle = {"clock.stalls"}
    assert all(found[a].count > 0 and found[a].total_pj > 0 for a in found.keys() - idle)


def test_a_memory_counts_what_crosses_it(technology):
    machine, memory = make(), load_axis("memory", "bitmod_ddr4")
    activity = run(machine)
    traffic = Traffic(weight_bytes=10, kv_bytes=3, activation_bytes=7, result_bytes=5)
    report = cost(machine, activity, technology, memory=memory, traffic=traffic)
    found = {a.action: a for a in report.actions}
    assert [found[f"dram.{p}"].count for p in ("weights", "activations", "results")] == [
        104, 56, 40,
    ]  # fmt: skip
    assert found["dram.weights"].energy_pj == memory.dram.energy_pj_per_bit.value
    assert found["sram.weights.write"].count == 104
    assert found["sram.weights.read"].count == activity.streamed_weight_bits
    assert found["sram.activations.read"].count == activity.streamed_activation_bits
    bits = {b.block: b.structure.sram_bits for b in report.blocks if b.component == "sram"}
    assert bits == {"sram.weights": 512 * 8192, "sram.activations": 512 * 8192}
    assert report.area_um2 > 1e5 + cost(machine, activity, technology).area_um2
    assert "leakage.sram" in found and found["leakage.sram"].total_pj > 0


def test_idle_pes_are_a_cause_of_their_own(technology):
    machine = make(rows=4)
    full, one = (cost(machine, run(machine, m=m, k=96), technology) for m in (4, 1))
    compute = [report.causes["compute"].value for report in (full, one)]
    assert compute[0] == pytest.approx(4 * compute[1])
    whole = [report.causes[n].value for report in (full, one) for n in ("compute", "idle")]
    assert whole[0] + whole[1] == pytest.approx(whole[2] + whole[3])
