"""Cycles of the published simulator: its 60 figures, hand-made cases, a second implementation."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sim.published import CORRECTED, VARIANTS, Modelling, published_rows
from sim.published.bitmod_hpca25 import time_generation, time_point, weight_bits
from sim.published.points import point_of
from sim.published.shapes import model_shape

from .second import evaluate

ROOT = Path(__file__).resolve().parents[3]
GIVEN = ROOT.parent / "shared" / "data" / "bitmod_hpca25_published.json"
ROWS = published_rows()
MODELS = ("opt-1.3b", "phi-2", "yi-6b", "llama-2-7b", "llama-3-8b", "gemma-2b", "smollm2-135m")


def ids(row) -> str:
    return f"{row.point.accelerator}-{row.point.phase}-{row.point.model.name}"


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_published_cycles(row) -> None:
    assert time_point(row.point, VARIANTS["2024"]).total_cycles == row.cycles


def test_all_sixty_are_there() -> None:
    assert len({(r.point.accelerator, r.point.phase, r.model_name) for r in ROWS}) == 60


@pytest.mark.skipif(not GIVEN.is_file(), reason="the published tables are not beside the project")
def test_the_packaged_rows_are_the_given_ones() -> None:
    packaged = json.loads((ROOT / "configs" / "published" / "bitmod_hpca25.json").read_text())
    assert packaged["rows"] == json.loads(GIVEN.read_text())["rows"]


def of(accelerator: str, phase: str, model: str = "llama-2-7b"):
    (point,) = (
        row.point
        for row in ROWS
        if (row.point.accelerator, row.point.phase, row.point.model.name)
        == (accelerator, phase, model)
    )
    return point


def test_share_of_attention() -> None:
    """Llama-2-7B, prefill: 12 % and 25 % of the cycles in 2024, 1.3 % and 2.3 % in 2025."""
    shares = {}
    for variant, modelling in VARIANTS.items():
        for name in ("fp16", "bitmod-lossy"):
            timing = time_point(of(name, "prefill"), modelling)
            shares[variant, name] = 100 * timing.attention_cycles / timing.total_cycles
    assert round(shares["2024", "fp16"]) == 12
    assert round(shares["2024", "bitmod-lossy"]) == 25
    assert round(shares["2025", "fp16"], 1) == 1.3
    assert round(shares["2025", "bitmod-lossy"], 1) == 2.3


@pytest.mark.parametrize(
    ("accelerator", "phase", "compute", "total"),
    [
        ("bitmod-lossy", "prefill", 25_296_896, 27_773_184),
        ("bitmod-lossy", "decode", 1_581_056, 3_216_400),
        ("fp16", "prefill", 69_566_464, 85_307_392),
        ("fp16", "decode", 3_162_112, 12_653_328),
    ],
)
def test_the_released_simulator(accelerator: str, phase: str, compute: int, total: int) -> None:
    """Linear layers of a block of Llama-2-7B, BitMoD at 4.0625 bits: what the release printed."""
    point = of(accelerator, phase)
    point = replace(point, weight_bits=4.0625 if point.bit_serial else 16)
    block = time_point(point, VARIANTS["2025"]).operations[:-3]
    assert sum(each.compute_cycles for each in block) == compute
    assert sum(each.total_cycles for each in block) == 32 * total


def test_one_layer_by_hand() -> None:
    """o_proj of Llama-2-7B, 256 tokens, BitMoD at 4.0625 bits on 32 x 32 PEs of 4 lanes."""
    timing = time_point(of("bitmod-lossy", "prefill"), VARIANTS["2024"])
    (o,) = (t for t in timing.operations if t.operation.name == "o")
    assert o.operation.count == 32
    assert o.steps == 1024 * 128 * 8
    assert o.compute_cycles == 2 * 1024 * 128 * 8
    weight_bytes, input_bytes = 4096 * 2080, 256 * 4096 * 2  # 16.25 and 4 times 512 KiB
    assert (o.weight_fetches, o.input_fetches) == (4, 1)  # 4 W + I = 36 MB < 17 I + W = 44 MB
    assert o.dram_bytes == 4 * weight_bytes + input_bytes + 256 * 4096 * 2
    assert o.dram_cycles == o.dram_bytes * 8 // 256


def test_attention_by_hand() -> None:
    """Yi-6B, one token after 256: 4 heads of keys, shared by 8 query heads each."""
    point = replace(of("bitmod-lossy", "decode", "yi-6b"), batch=3)
    scores, values = time_point(point, VARIANTS["2025"]).operations[-2:]
    assert scores.operation.products == values.operation.products == 3 * 4
    assert scores.steps == 12 * (128 // 4) * (256 // 64) * 1
    assert values.steps == 12 * (256 // 4) * (128 // 64) * 1
    assert scores.compute_cycles == 4 * scores.steps  # INT8: four terms
    keys = 12 * 256 * 128
    assert scores.dram_bytes == keys + 2 * 12 * 8 * 128 + 2 * 12 * 8 * 256
    assert values.dram_bytes == keys + 2 * 12 * 8 * 256 + 2 * 12 * 8 * 128


def test_batches_share_the_weights() -> None:
    point = of("ant", "decode")
    one, many = (time_point(replace(point, batch=b), VARIANTS["2025"]) for b in (1, 16))
    assert [t.steps for t in one.operations[:-2]] == [t.steps for t in many.operations[:-2]]
    assert many.operations[-1].steps == 16 * one.operations[-1].steps
    with pytest.raises(InputError, match="field 'batch' is 16, the 2024 variant"):
        time_point(replace(point, batch=16), VARIANTS["2024"])


@pytest.mark.parametrize(
    ("bits", "cycles"), [(3, 2), (3.0625, 2), (4.9, 2), (5, 3), (6.0625, 3), (8, 4), (1.5, 1)]
)
def test_two_bits_a_cycle_without_fractions(bits: float, cycles: int) -> None:
    point = replace(of("bitmod-lossy", "prefill"), weight_bits=bits)
    for timing in time_point(point, VARIANTS["2024"]).operations:
        assert timing.compute_cycles == cycles * timing.steps
    parallel = replace(point, bit_serial=False)
    assert all(t.operation.latency == 1 for t in time_point(parallel, VARIANTS["2025"]).operations)


def test_refetch_only_above_512_kib() -> None:
    """(n, k) = (512, 512): exactly 512 KiB of 16-bit weights; 512 tokens: as many inputs."""
    shape = {"hidden_size": 512, "intermediate_size": 512, "num_hidden_layers": 1}
    shape |= {"num_attention_heads": 1, "vocab_size": 513, "gated_mlp": False}
    model = model_shape(shape, "shape", Path())
    point = replace(of("fp16", "prefill"), model=model, context=513)
    fetches = {
        t.operation.name: (t.weight_fetches, t.input_fetches)
        for t in time_point(point, VARIANTS["2025"]).operations[:-2]
    }
    assert fetches["q"] == (1, 1)
    assert fetches["lm_head"] == (1, 2)  # both a row more, a tie: inputs are fetched again
    small = time_point(replace(point, context=512), VARIANTS["2025"])
    assert {(t.weight_fetches, t.input_fetches) for t in small.operations} == {(1, 1)}


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("per_head", [False, True])
def test_a_generation_is_its_steps(growing: bool, per_head: bool) -> None:
    modelling = Modelling(per_head=per_head, growing=growing, decode_steps=9)
    for point in (of("olive", "decode", "llama-3-8b"), of("bitmod-lossy", "decode")):
        contexts = range(257, 266) if growing else [256] * 9
        each = [time_point(replace(point, context=c), modelling).total_cycles for c in contexts]
        assert time_generation(point, modelling).total_cycles == sum(each)
        assert len(set(each)) == (9 if growing else 1)


def test_metadata_of_groups_with_special_values() -> None:
    lossy, lossless = of("bitmod-lossy", "decode"), of("bitmod-lossless", "decode")
    assert weight_bits(lossy, CORRECTED) == 3 + 10 / 128
    assert weight_bits(lossy, VARIANTS["2024"]) == 3.0625
    assert weight_bits(lossless, CORRECTED) == 6.0625
    assert weight_bits(of("ant", "decode"), CORRECTED) == 5


@st.composite
def rows(draw) -> dict:
    """Rows like the published ones with other precisions, arrays, contexts, batches, models."""
    base = json.loads((ROOT / "configs" / "published" / "bitmod_hpca25.json").read_text())["rows"]
    row = draw(st.sampled_from(base))
    config = {
        **row["config"],
        "w_prec": draw(st.sampled_from([1.58, 2, 3, 3.0625, 3.875, 4.078125, 5.5, 6, 8, 16])),
        "kv": draw(st.sampled_from([3, 4, 6, 8, 16])),
        "bs": draw(st.booleans()),
        "dp": draw(st.sampled_from([1, 2, 3, 4, 8])),
        "dim": [draw(st.integers(1, 80)), draw(st.integers(1, 80))],
    }
    context, batch = draw(st.integers(1, 3000)), draw(st.integers(1, 9))
    model = draw(st.sampled_from(MODELS))
    return {**row, "config": config, "context": context, "batch": batch, "model": model}


@settings(max_examples=150, deadline=None)
@given(row=rows(), variant=st.sampled_from(["2024", "2025"]))
def test_equals_a_second_implementation(row: dict, variant: str) -> None:
    if variant == "2024":
        row["batch"] = 1
    point = point_of(row, "row", Path())
    cycles, _, _ = evaluate(row, point.model, variant)
    assert time_point(point, VARIANTS[variant]).total_cycles == cycles
