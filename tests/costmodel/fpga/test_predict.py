"""FPGA predictions: against the committed rows, against synthesis, and by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.accelerator import AcceleratorConfig, BufferConfig
from configs.errors import InputError
from costmodel.calibration.components import COMPONENTS
from costmodel.fpga import map_cells
from costmodel.fpga import predict as module
from costmodel.fpga.amounts import component_amounts, lut_count, queue_amounts
from costmodel.fpga.calibrate import (
    CORE,
    LEAST_FITTED,
    REFERENCE,
    SAMPLES,
    calibrate_fpga,
    fit_model,
    fit_prices,
)
from costmodel.fpga.dsp import loses_products, machine_dsps
from costmodel.fpga.memories import machine_memories
from costmodel.fpga.predict import (
    PREDICTED,
    WITH_DSP,
    component_estimates,
    core_amounts,
    counted_flip_flops,
    flip_flop_estimate,
    has_models,
    load_fit,
    predict,
)
from costmodel.fpga.rows import Row, has_dsp, read_rows
from costmodel.fpga.terms import TERMS
from costmodel.linear import FitError, LinearModel
from hw.core import Core
from hw.emit import to_rtlil
from sw.compile import Machine
from sw.formats import get_family


def build(family: str = "int4", **options) -> Machine:
    settings = {"rows": 2, "cols": 2, "lanes": 4} | options
    return Machine(
        accelerator=AcceleratorConfig(name="test", **settings),
        family=get_family(family),
        inner_bits=18,
        outer_bits=30,
    )


def committed(family: str) -> list[Row]:
    return read_rows(SAMPLES / f"{family}.json")


@pytest.mark.parametrize("family", PREDICTED)
def test_points_are_enough_and_held_out(family):
    points = {json.dumps(row.to_json()["array"]) + row.point.component for row in committed(family)}
    rows = [row for row in committed(family) if not row.dsp]
    held_out = [row for row in rows if row.point.use == "held_out"]
    assert len(points) >= 60
    assert len(held_out) >= 20
    assert len(held_out) >= 0.3 * len(rows)
    assert {row.point.component for row in held_out} == set(TERMS) | {CORE}


@pytest.mark.parametrize("family", PREDICTED)
def test_committed_error_is_that_of_the_held_out_cores(family):
    fit = load_fit(family)
    errors = []
    for row in committed(family):
        known = has_models(row.point.machine, fit, dsp=row.dsp)
        if row.point.component == CORE and row.point.use == "held_out" and known:
            found = predict(row.point.machine, family, dsp=row.dsp).lut
            errors.append(abs(found.value / row.used.lut - 1) * 100)
            assert found.low <= row.used.lut * 1.0005 and row.used.lut * 0.9995 <= found.high
    assert np.mean(errors) == pytest.approx(fit.core.error.mean_percent, abs=0.01)
    assert max(errors) == pytest.approx(fit.core.error.worst_percent, abs=0.01)
    assert len(errors) == fit.core.error.held_out


@pytest.mark.parametrize("family", PREDICTED)
def test_committed_error_of_a_component(family):
    model = load_fit(family).components["serial_pe"]
    rows = [r for r in committed(family) if r.point.component == "serial_pe" and not r.dsp]
    errors = [
        abs(model.value(component_amounts("serial_pe", r.point.machine, family)) / r.used.lut - 1)
        for r in rows
        if r.point.use == "held_out"
    ]
    assert 100 * np.mean(errors) == pytest.approx(model.error.mean_percent, abs=0.01)


@pytest.mark.parametrize("family", PREDICTED)
def test_held_out_rows_do_not_move_a_fit(family):
    rows = [r for r in committed(family) if r.point.component == "queue"]
    amounts = [component_amounts("queue", r.point.machine, family) for r in rows]
    reference = None if family == REFERENCE else load_fit(REFERENCE).components["queue"]
    model = fit_model(amounts, rows, TERMS["queue"], reference)
    assert model.terms == load_fit(family).components["queue"].terms
    wrong = [
        replace(r, used=replace(r.used, lut=3 * r.used.lut)) if r.point.use == "held_out" else r
        for r in rows
    ]
    other = fit_model(amounts, wrong, TERMS["queue"], reference)
    assert other.terms == model.terms
    assert other.error.mean_percent > model.error.mean_percent


@pytest.mark.parametrize("family", PREDICTED)
def test_memories_and_multiplier_blocks_of_all_rows(family):
    for row in committed(family):
        machine, component = row.point.machine, row.point.component
        if row.dsp:
            blocks = machine_dsps(machine, family)
            wanted = sum(blocks.values()) if component == CORE else blocks[component]
            assert wanted == row.used.dsp
        if component == CORE:
            queues = machine_memories(machine, family).values()
            assert sum(memory.bram for memory in queues) == row.used.bram
    for row in committed(family):
        kind = row.point.component.removesuffix("_buffer")
        if kind != row.point.component:
            memory = machine_memories(row.point.machine, family, alone=True)[f"buffer.{kind}s"]
            assert memory.bram == row.used.bram


@pytest.mark.parametrize("family", PREDICTED)
def test_flip_flops_of_cores(family):
    fit = load_fit(family)
    rows = [row for row in committed(family) if row.point.component == CORE]
    exact = 0
    for row in rows:
        machine, blocks = row.point.machine, row.dsp
        found = flip_flop_estimate(machine, fit, dsp=blocks)
        assert found.low - 1 <= row.used.flip_flops <= found.high + 1
        exact += (
            not row.dsp and counted_flip_flops(row.point.machine, family) == row.used.flip_flops
        )
    assert exact == fit.flip_flops.exact


@pytest.mark.rtl
def test_a_new_core_against_synthesis():
    machine = build("bitmod_fp4", rows=1, lanes=2)
    used = map_cells(to_rtlil(Core(machine=machine), "top"), "ecp5", top="top")
    found = predict(machine, "ecp5", dsp=False)
    assert found.lut.low <= used["lut"] <= found.lut.high
    assert abs(found.flip_flops.value - used["flip_flops"]) <= 1
    assert (found.bram, found.dsp) == (used["bram"], used["dsp"]) == (0, 0)


def test_more_of_everything_takes_more():
    small, large = predict(build(), "ecp5"), predict(build(rows=4, cols=4), "ecp5")
    assert large.lut.value > 2 * small.lut.value
    one, four = small.components["serial_pe"], large.components["serial_pe"]
    assert (one.number, four.number) == (4, 16)
    assert four.lut.value == pytest.approx(4 * one.lut.value)


def test_components_add_up_to_what_a_core_is_predicted_from():
    machine, fit = build(), load_fit("ecp5")
    parts = component_estimates(machine, fit, dsp=False)
    amounts = core_amounts(machine, parts)
    assert amounts["pes"] == parts["serial_pe"].lut.value
    others = sum(part.lut.value for name, part in parts.items() if name != "serial_pe")
    assert amounts["others"] == pytest.approx(others)
    assert amounts["number_of_pes"] == 4
    assert parts["queue"].number == len(queue_amounts(machine, "ecp5")) == 3


def test_tile_buffers_are_added_to_the_core():
    plain = predict(build(), "ecp5")
    buffers = BufferConfig(weight_beats=512, activation_beats=512)
    whole = predict(build(buffers=buffers), "ecp5")
    added = [whole.components[name].lut.value for name in ("weight_buffer", "activation_buffer")]
    assert whole.lut.value == pytest.approx(plain.lut.value + sum(added))
    assert plain.bram == 0 < whole.bram


def test_multiplier_blocks_take_the_place_of_look_up_tables():
    machine = build("int8", pe="multiplier")
    without, blocks = predict(machine, "ecp5", dsp=False), predict(machine, "ecp5")
    assert (without.dsp, blocks.dsp) == (0, 16)
    assert blocks.lut.value < without.lut.value / 2
    assert blocks.flip_flops == without.flip_flops
    absorbed = predict(machine, "xc7").flip_flops
    assert absorbed.low < absorbed.value < absorbed.high


def test_amounts_of_a_serial_pe_by_hand():
    # 8 bits by 0 or 1: bits 0 and 8 have one source, the other seven two and a choice of them;
    # all are gated and inverted
    machine = build("int4", rows=1, cols=1, lane_exponent_bits=1)
    bits = machine.terms.largest_exponent + 8
    assert bits == 9
    amounts = component_amounts("serial_pe", machine, "ecp5")
    # bit 8 is the sign, moved or not: one source
    assert amounts["lane_luts"] == 4 * (2 * lut_count(3, 4) + 7 * lut_count(5, 4))
    assert [lut_count(n, 4) for n in (1, 2, 4, 5, 7, 8)] == [0, 1, 1, 2, 2, 3]
    assert [lut_count(n, 6) for n in (6, 7, 11, 12)] == [1, 2, 2, 3]


def test_a_carry_chain_of_large_look_up_tables_takes_in_its_lanes():
    plain, registered = build(), build(pipeline=("products",))
    taken = component_amounts("serial_pe", plain, "xc7").get("lane_luts", 0)
    assert taken < component_amounts("serial_pe", registered, "xc7")["lane_luts"]
    small = component_amounts("serial_pe", plain, "ecp5")["lane_luts"]
    assert small == component_amounts("serial_pe", registered, "ecp5")["lane_luts"]


def test_queues_of_ice40_are_made_of_flip_flops():
    machine = build()
    found = queue_amounts(machine, "ice40")["queue.weights"]
    assert found["storage_bits"] == 2 * 4 * 4 * 4
    # one of four words: three multiplexers a bit
    assert found["selected_bits"] == 2 * 4 * 4 * 3
    assert "ram_luts" not in found
    assert queue_amounts(machine, "ecp5")["queue.weights"]["ram_luts"] == 32
    assert component_amounts("queue", machine, "ice40") == found


@pytest.fixture
def fits(tmp_path, monkeypatch) -> Path:
    """A folder of fits in place of the committed ones."""
    folder = tmp_path / "fits"
    shutil.copytree(module.FITS, folder)
    monkeypatch.setattr(module, "FITS", folder)
    load_fit.cache_clear()
    yield folder
    load_fit.cache_clear()


def test_a_missing_fit_is_named(fits):
    (fits / "ecp5.json").unlink()
    with pytest.raises(
        InputError, match=r"fit 'ecp5' is missing: .*\(fits: fmax, ice40, xc7\)"
    ) as e:
        predict(build(), "ecp5")
    assert f"'bitsmith calibrate --fpga ecp5 --out {fits.parent}'" in str(e.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{", ""),
        ('"components"', '"parts"'),
        ('"lane_luts"', '"lane_lutz"'),
        ('"serial_pe"', '"parallel_pe"'),
        ('"number_of_pes"', '"pes_of_number"'),
        ('"flip_flops": {', '"flip_flops": {"sizes": 3,'),
        ('"worst_percent": ', '"worst_percent": -'),
    ],
)
def test_a_damaged_fit_is_one_sentence(fits, old, new):
    path = fits / "ecp5.json"
    head, found, tail = path.read_text().rpartition(old)
    assert found
    path.write_text(head + new + tail)
    with pytest.raises(InputError, match=r"fit 'ecp5' is corrupt: .* 'bitsmith calibrate --fpga"):
        predict(build(), "ecp5")


def test_a_fit_that_is_made_again_is_read_again(fits):
    committed_fit = (fits / "ecp5.json").read_text()
    (fits / "ecp5.json").write_text(committed_fit.replace('"one": ', '"one": 1', 1))
    wrong = load_fit("ecp5")
    calibrate_fpga("ecp5", fits, again=False)
    assert (fits / "ecp5.json").read_text() == committed_fit
    assert load_fit("ecp5") != wrong


def test_a_missing_model_is_named():
    fit = load_fit("ecp5")
    without = replace(fit, components={"queue": fit.components["queue"]})
    with pytest.raises(InputError, match="the fit of ecp5 has no model of 'control'"):
        component_estimates(build(), without, dsp=False)


def test_unknown_family():
    with pytest.raises(InputError, match="unknown FPGA family 'xc6': did you mean 'xc7'"):
        predict(build(), "xc6")
    with pytest.raises(InputError, match="no predictors for 'gowin'"):
        calibrate_fpga("gowin", again=False)


def test_fitting_again_gives_the_same_bytes(tmp_path):
    calibrate_fpga("ecp5", tmp_path, again=False)
    assert (tmp_path / "ecp5.json").read_bytes() == (module.FITS / "ecp5.json").read_bytes()


def test_few_rows_are_helped_by_another_family():
    amounts = [{"a": float(n), "b": float(5 - n)} for n in (1, 2, 3)]
    reference = LinearModel(terms={"a": 2.0, "b": 4.0}, error=FitError.of([1], [1], fitted=0))
    luts = [round(reference.value(a)) * 10 for a in amounts]
    # the same ratio of prices, ten times as high
    assert fit_prices(amounts, luts, ("a", "b"), reference) == pytest.approx({"a": 20, "b": 40})
    held = fit_prices(amounts[:2], [180, 170], ("a", "b"), reference)
    free = fit_prices(amounts[:2], [180, 170], ("a", "b"), None)
    assert free != held


def test_rows_are_read_as_written():
    row = committed("ecp5")[0]
    assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_fit_error_needs_no_rows_of_the_fit():
    error = FitError.of([110, 90], [100, 100], fitted=3)
    assert (error.mean_percent, error.held_out) == (10.0, 2)


def test_every_component_has_a_model():
    for family in PREDICTED:
        assert set(TERMS) <= set(load_fit(family).components)
    assert set(TERMS) <= set(COMPONENTS)


def test_products_in_blocks_have_a_model_where_there_are_enough_rows():
    for family in PREDICTED:
        rows = committed(family)
        for name in ("multiplier_pe", "float_pe", "drain"):
            kind = [r.point.use for r in rows if r.dsp and r.point.component == name]
            enough = kind.count("fit") >= LEAST_FITTED[True] and "held_out" in kind
            assert (name + WITH_DSP in load_fit(family).components) == enough


def test_wrong_netlists_of_ice40_are_no_rows():
    machine = build("int8", pe="multiplier", pipeline=("products",))
    assert loses_products(machine, "ice40")
    assert not loses_products(machine, "ecp5")
    assert not loses_products(build("int8", pe="multiplier"), "ice40")
    assert not has_dsp("multiplier_pe", machine, "ice40")
    assert has_dsp("multiplier_pe", machine, "ecp5")
    for row in committed("ice40"):
        assert not (row.dsp and loses_products(row.point.machine, "ice40"))
