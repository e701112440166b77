"""Points of a class at once: exactly what each takes alone; reasons of those that cannot be."""

from typing import Any

import numpy as np
import pytest

from bitsmith.explore.alone import metrics_alone
from bitsmith.explore.evaluate import SHARED, TOO_FAST, Evaluator
from bitsmith.explore.quality import Quality
from bitsmith.explore.space import VECTOR, Space
from bitsmith.explore.table import Table
from bitsmith.job import Job
from bitsmith.steps import cost_report
from configs.schema import load_axis
from costmodel.fpga import find_target
from costmodel.fpga.predict import predict

from .spaces import LANES, ROWS, space_of
from .spaces import SHARED as PER_DEQUANTIZER

COLS, QUEUE, CLOCK = "accelerator.cols", "accelerator.queue_beats", "accelerator.clock_mhz"
#: a transformer of which the shapes are known, small enough to be simulated at once
SHAPES = {
    "architecture": {
        "model_type": "llama",
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1.0e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    },
    "prefill_tokens": 20,
    "decode_tokens": 4,
    "evaluation_bytes": 0,
}
ENCODER = {
    "architecture": {
        "model_type": "bert",
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
    },
    "prefill_tokens": 20,
    "decode_tokens": 4,
    "evaluation_bytes": 0,
}
BASE = {
    "workload": SHAPES,
    "quantization": "bitmod_fp4_g32",
    "accelerator": "tiny_4x4x4",
    "technology": "generic_28nm",
    "memory": "lpddr4",
}
VALUES = {ROWS: [1, 2, 6, 9], COLS: [1, 3, 8], QUEUE: [2, 4]}
CASES: dict[str, dict[str, Any]] = {
    "serial": {},
    "no memory": {"memory": None},
    "sram": {"memory": "bitmod_ddr4"},
    "batch of 4": {"workload": SHAPES | {"batch": 4}},
    "encoder": {"workload": ENCODER},
    "attention": {"workload": SHAPES | {"attention": "array"}},
    "multiplier": {"accelerator": "int_mac_8x8x4", "quantization": "int8_w8a8"},
    "floats": {"accelerator": "fp16_bitmod_8x8x4"},
    "buffers": {"accelerator": "ecp5_6x8x8", "memory": "bitmod_ddr4"},
    "zero points": {"accelerator": "asym_8x8x4", "quantization": "int4_w4a8"},
}


def evaluated(space: Space, quality: Any = None) -> Table:
    """All points of a space."""
    evaluator = Evaluator(space, quality)
    return Table.joined([evaluator.run(chunk) for chunk in space.chunks()])


def alone(space: Space, number: int) -> dict[str, float]:
    """Metrics of one point by itself."""
    job = Job(config=space.config(space.settings(number)))
    report = cost_report(job)
    ranges = {
        "area_mm2": report.area.times(1e-6),
        "energy_j": report.energy.times(1e-12),
        "on_chip_j": report.energy_at("on_chip").times(1e-12),
        "max_mhz": report.logic_fmax,
    }
    found = metrics_alone(job, job)
    for name, estimate in ranges.items():
        found |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    machine = job.machine
    return found | {"inner_bits": machine.inner_bits, "outer_bits": machine.outer_bits}


@pytest.mark.parametrize("case", CASES)
def test_every_point_has_the_metrics_that_it_has_alone(case: str) -> None:
    base = BASE | CASES[case]
    array = load_axis("accelerator", base["accelerator"])
    space = space_of(VALUES | {PER_DEQUANTIZER: [1, 3]}, base=base)
    table = evaluated(space)
    assert set(table.reasons) <= {"", SHARED} and table.feasible.any()
    rows, shared = (space.columns(table.numbers)[path] for path in (ROWS, PER_DEQUANTIZER))
    assert (table.feasible == (rows % shared == 0)).all()
    for place in np.random.default_rng(1).permutation(np.flatnonzero(table.feasible))[:6]:
        for name, value in alone(space, int(table.numbers[place])).items():
            got = table.metrics[name][place]
            if np.isnan(got):
                assert not value and name.startswith("prefill")
            else:
                assert got == pytest.approx(value, rel=1e-12, abs=0), (array.name, name)


@pytest.mark.parametrize("workload", ["scribe", SHAPES])
@pytest.mark.parametrize("lanes", [2, 8])
def test_what_a_class_differs_in_changes_no_width(workload: Any, lanes: int) -> None:
    """One machine stands for all points of a class: rows, columns, queues, shared dequantizers."""
    base = BASE | {"workload": workload}
    values = {ROWS: [2, 6], COLS: [1, 8], QUEUE: [2, 64], PER_DEQUANTIZER: [1, 2]}
    assert set(values) == set(VECTOR)
    space = space_of({LANES: [2, 8], **values}, base=base)
    wanted = [number for number in range(space.size) if space.settings(number)[LANES] == lanes]
    quantized, found = None, set()
    for number in (wanted[0], wanted[-1]):
        job = Job(config=space.config(space.settings(number)))
        if job.has_weights:
            vars(job)["quantized"] = quantized = job.quantized if quantized is None else quantized
        machine = job.machine
        found.add((machine.inner_bits, machine.outer_bits, machine.slots, machine.result_bits))
    table = Evaluator(space).run(space.group(wanted)[0])
    assert found == {
        (
            table.metrics["inner_bits"][0],
            table.metrics["outer_bits"][0],
            machine.slots,
            machine.result_bits,
        )
    }


def test_classes_of_one_model_have_their_own_widths() -> None:
    """The quantized model is kept between classes, bounds only where they are the same."""
    space = space_of({"quantization": ["bitmod_fp4_g32", "int6"], CLOCK: [100, 200]})
    table = evaluated(space)
    for number in range(space.size):
        machine = Job(config=space.config(space.settings(number))).machine
        assert table.metrics["inner_bits"][number] == machine.inner_bits
        assert table.metrics["outer_bits"][number] == machine.outer_bits
    assert len(set(table.metrics["inner_bits"].tolist())) == 2


def test_a_clock_may_be_as_high_as_the_critical_path_might_allow() -> None:
    path = evaluated(space_of({ROWS: [4]}, base=BASE)).metrics
    value, high = (float(path[name][0]) for name in ("max_mhz", "max_mhz_high"))
    space = space_of({CLOCK: [value - 1, (value + high) / 2, high + 1]}, base=BASE)
    table = evaluated(space)
    assert np.array(table.reasons)[table.reason].tolist() == ["", "", TOO_FAST]


def quality(config: Any) -> Quality:
    """Worse for fewer bits."""
    bits = {"int4": 4, "int6": 6}[config.quantization.format]
    return Quality(
        bits_per_byte=None,
        perplexity=10.0 - bits,
        error=0.0,
        float_bits_per_byte=None,
        float_perplexity=3.5,
        quoted=True,
        source="made up",
    )


def test_the_first_reason_that_holds() -> None:
    """Of constraints on axes, classes, areas and times; later metrics are not computed."""
    space = space_of(
        {
            "quantization": ["int4", "int6"],
            ROWS: [2, 4, 8],
            COLS: [2, 4, 8, 16],
            CLOCK: [100, 5000],
        },
        base=BASE | {"memory": None},
        objectives=["prefill_s", "area_mm2", "perplexity"],
        constraints=[
            "prefill_s * 1e6 <= 1000",
            "perplexity <= 1.2 * fp16",
            "accelerator.rows * accelerator.cols <= 64 and quantization in [int4, int6]",
            "area_mm2_high <= 0.05",
        ],
    )
    evaluator = Evaluator(space, quality)
    assert evaluator.needs == {"machine", "timing", "cost", "quality"}
    table = evaluated(space, quality)
    columns = space.columns(table.numbers)
    reasons = np.array(table.reasons)[table.reason]
    expected = []
    for place in range(len(table)):
        rows, cols = columns[ROWS][place], columns[COLS][place]
        job = Job(config=space.config(space.settings(int(table.numbers[place]))))
        report = cost_report(job)
        clock = job.config.accelerator.clock_mhz
        if rows * cols > 64:
            expected.append(
                "accelerator.rows * accelerator.cols <= 64 and quantization in [int4, int6]"
            )
        elif columns["quantization"][place] == "int4":
            expected.append("perplexity <= 1.2 * fp16")
        elif clock > report.logic_fmax.high:
            expected.append(TOO_FAST)
        elif report.area.high > 0.05e6:
            expected.append("area_mm2_high <= 0.05")
        elif job.timing.prefill_cycles / clock > 1000:
            expected.append("prefill_s * 1e6 <= 1000")
        else:
            expected.append("")
            assert table.metrics["energy_j"][place] == pytest.approx(report.energy_pj * 1e-12)
    assert reasons.tolist() == expected and len(set(expected)) == 6
    early = np.isin(reasons, ["perplexity <= 1.2 * fp16", TOO_FAST, "area_mm2_high <= 0.05"])
    assert np.isnan(table.metrics["energy_j"][early]).all()
    assert np.isfinite(table.metrics["energy_j"][reasons == "prefill_s * 1e6 <= 1000"]).all()


def test_unknown_quality_is_no_quality() -> None:
    space = space_of({ROWS: [2, 4]}, objectives=["perplexity"], constraints=["perplexity <= 9"])
    for none in (None, lambda config: None):
        table = evaluated(space, none)
        assert table.reasons[1:] == ("perplexity <= 9",) and not table.feasible.any()
        assert np.isnan(table.metrics["perplexity"]).all()


def test_quality_is_not_asked_for_in_vain() -> None:
    def never(config: Any) -> Quality:
        raise AssertionError

    assert evaluated(space_of({ROWS: [2, 4]}), never).feasible.all()


def test_refused_configurations_say_why() -> None:
    """The loader's words for a class, and the class beside it goes on."""
    space = space_of({"accelerator.zero_point_bits": [0, 4], ROWS: [1, 2]}, base=BASE | {
        "accelerator": "fp16_bitmod_8x8x4"})  # fmt: skip
    table = evaluated(space)
    assert table.feasible.tolist() == [True, True, False, False]
    assert "zero_point_bits" in table.reasons[1] and len(table.reasons) == 2
    assert np.isnan(table.metrics["area_mm2"][2:]).all()


def test_a_class_whose_first_rows_cannot_share_dequantizers() -> None:
    array = load_axis("accelerator", "ecp5_6x8x8")
    space = space_of({ROWS: [2, 3, 6]}, base=BASE | {"accelerator": "ecp5_6x8x8"})
    assert array.rows_per_dequantizer == 3
    table = evaluated(space)
    assert table.feasible.tolist() == [False, True, True] and table.reasons == ("", SHARED)


def test_gemms_that_do_not_fit() -> None:
    beats = "accelerator.buffers.activation_beats"
    space = space_of({beats: [4, 512], ROWS: [3, 6]}, base=BASE | {"accelerator": "ecp5_6x8x8"})
    table = evaluated(space)
    assert table.feasible.tolist() == [False, False, True, True]
    assert table.reasons[1] == "a buffer is too small for a tile"
    assert np.isfinite(table.metrics["area_mm2"]).all()
    assert np.isnan(table.metrics["latency_s"]).tolist() == [True, True, False, False]


def test_cells_of_a_device() -> None:
    space = space_of(
        {ROWS: [2, 4, 8, 16], COLS: [2, 16]},
        objectives=["luts"],
        constraints=[{"fits": "ice40-up5k"}],
        base=BASE | {"accelerator": "ice40_2x2x2", "workload": SHAPES},
    )
    table = evaluated(space)
    assert Evaluator(space).needs == {"machine", "timing", "cost", "fpga"}
    available = find_target("ice40-up5k").available
    for place in range(len(table)):
        job = Job(config=space.config(space.settings(int(table.numbers[place]))))
        one = predict(job.machine, "ice40")
        found = {name: column[place] for name, column in table.metrics.items()}
        assert found["luts"] == one.lut.value and found["dsps"] == one.dsp
        assert found["flip_flops"] == one.flip_flops.value and found["block_rams"] == one.bram
        assert found["luts_high"] == one.lut.high
        held = (
            one.lut.value <= available.lut
            and one.flip_flops.value <= available.flip_flops
            and one.bram <= available.bram
            and one.dsp <= available.dsp
        )
        assert table.feasible[place] == held
    assert 0 < table.feasible.sum() < len(table)
    assert table.reasons[1] == "fits ice40-up5k"


def test_stored_bits() -> None:
    """Of shapes always, of a model where it is quantized anyway or asked for."""
    shapes = evaluated(space_of({ROWS: [2]}, base=BASE))
    # codes of 4 bits; 8 bits of scale and 2 of format for 32 weights
    assert shapes.metrics["bits_per_weight"].tolist() == [4 + (8 + 2) / 32]
    scribe = BASE | {"workload": "scribe"}
    fixed = {"accelerator.inner_accumulator.bits": [30], "accelerator.outer_accumulator.bits": [40]}
    assert np.isnan(evaluated(space_of(fixed, base=scribe)).metrics["bits_per_weight"]).all()
    asked = space_of(fixed, base=scribe, objectives=["bits_per_weight"])
    job = Job(config=asked.config(asked.settings(0)))
    found = evaluated(asked).metrics["bits_per_weight"].tolist()
    assert found == [job.quantized.bits_per_weight]
    proved = evaluated(space_of({ROWS: [2, 4]}, base=scribe)).metrics["bits_per_weight"]
    assert proved.tolist() == found * 2
