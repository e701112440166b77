"""Fits: what they are fitted to, what they say, and what happens without them."""

import hashlib
import json
from dataclasses import replace

import pytest

from configs.errors import InputError
from costmodel import Structure
from costmodel.calibration import AsicFit, asic, calibrate, load_fit, synthesis
from costmodel.calibration.asic import fit_sample, predict, summary
from costmodel.calibration.calibrate import (
    FOLDER,
    calibrate_asic,
    committed,
    judged_again,
    leakage_mw_per_mm2,
)
from costmodel.calibration.components import COMPONENTS
from costmodel.calibration.files import amounts
from costmodel.calibration.liberty import cell_leakage_nw, total_leakage_nw, unpacked
from costmodel.calibration.points import Point
from costmodel.calibration.rows import Row, Sample, read_sample, write_sample
from costmodel.calibration.synthesis import Measured, synthesize_all
from costmodel.linear import FitError, LinearModel, fit_terms

from ...agreement.machines import machine

LIBRARIES = FOLDER.parents[2] / "shared" / "data"
LIBERTY = LIBRARIES / "ihp_sg13g2_typ_1p20V_25C.lib.gz"
COMMITTED = committed()
#: not in the sample: other lanes, formats and widths
FRESH = [
    ("serial_pe", "uint3", {"lanes": 7, "lane_exponent_bits": 2, "activation_bits": 7}),
    ("dequantizer", "int4", {"lanes": 2, "outer_accumulator": {"bits": 37, "mode": "saturate"}}),
    ("queue", "int5", {"lanes": 3, "queue_beats": 7}),
]


def point(component: str, name: str = "int4", use="fit", **array) -> Point:
    """A configuration of one small component."""
    settings = {"rows": 1, "cols": 1, "lanes": 2} | array
    return Point(
        component=component, use=use, format=name, group_size=32, inputs=512, array=settings
    )


def measured(area_um2: float, delay_ps: float = 1000.0) -> Measured:
    """A result without flip-flops."""
    return Measured(
        area_um2=area_um2, sequential_um2=0, delay_ps=delay_ps, cells=1, leakage_nw=area_um2 / 50
    )


def sweep(points, library, say=lambda line: None, *, workers=1) -> list[Measured]:
    """Synthesize some configurations, sized for the clock of the committed samples."""
    return synthesize_all(points, library, period_ps=3250, workers=workers, say=say)


@pytest.fixture
def fit() -> AsicFit:
    if not COMMITTED:
        pytest.skip("no fit is committed")
    return load_fit(COMMITTED[0])


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_summary_is_that_of_the_committed_rows(name):
    committed = load_fit(name)
    rows = read_sample(FOLDER / "samples" / f"{name}.json").rows
    judged = [row for row in rows if row.point.use != "fit"]
    again = summary(predict(committed, judged))
    for kind in ("area", "delay"):
        for part in ("held_out", "beyond", "components"):
            assert again[kind][part] == committed.summary[kind][part]
    held_out = committed.summary["area"]["held_out"]
    assert held_out["rows"] == sum(row.point.use == "held_out" for row in rows) >= 60


@pytest.mark.parametrize("name", COMMITTED)
def test_held_out_rows_do_not_change_a_fit(name):
    found = read_sample(FOLDER / "samples" / f"{name}.json")
    some = ("queue", "control", "column_scale")
    rows = [row for row in found.rows if row.point.component in some]
    wrong = [
        row
        if row.point.use == "fit"
        else replace(row, measured=replace(row.measured, area_um2=row.measured.area_um2 * 3))
        for row in rows
    ]
    only = {name: COMPONENTS[name] for name in some}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asic, "COMPONENTS", only)
        first, second = (fit_sample(replace(found, rows=r)) for r in (rows, wrong))
    for component in some:
        assert first.area_um2[component].terms == second.area_um2[component].terms
        assert second.area_um2[component].error.mean_percent > 50


#: components whose flip-flops are all counted; of the others synthesis merges or drops some
COUNTED = (
    *("multiplier_pe", "dequantizer", "float_dequantizer", "column", "activation_sums"),
    *("activations", "queue"),
)


@pytest.mark.parametrize("component", COUNTED)
def test_flip_flops_are_those_of_every_committed_row(component):
    """sg13g2 has one flip-flop cell for all of them: its area times the model's count."""
    rows = read_sample(FOLDER / "samples" / "sg13g2.json").rows
    cells = {
        row.measured.sequential_um2
        / amounts(COMPONENTS[component].structure(row.point.machine))["flip_flop_bits"]
        for row in rows
        if row.point.component == component
    }
    assert max(cells) == pytest.approx(min(cells), rel=1e-4)


def test_known_prices_are_found_again():
    contents = [{"a": a, "b": b} for a in (10, 20, 40) for b in (5, 30, 70)]
    areas = [3 * c["a"] + 8 * c["b"] for c in contents]
    assert fit_terms(contents, areas, ["a", "b"]) == pytest.approx({"a": 3, "b": 8})
    bounded = fit_terms(contents, areas, ["a", "b"], least={"a": 4})
    assert bounded["a"] >= 4
    # nothing says what b is but what it is held near
    alone = [{"a": c["a"], "b": 0} for c in contents]
    held = fit_terms(alone, [3 * c["a"] for c in alone], ["a", "b"], near={"a": 3, "b": 7}, hold=1)
    assert held == pytest.approx({"a": 3, "b": 7})


def test_queue_bits_are_flip_flops_and_tile_buffers_are_not():
    found = amounts(Structure(flip_flop_bits=3, memory_bits=5, sram_bits=7, gates=2))
    assert found["flip_flop_bits"] == 8 and found["memory_bits"] == 5 and found["gates"] == 2
    assert "sram_bits" not in found


def test_predictions_grow_with_what_there_is(fit):
    small, large = Structure(flip_flop_bits=10), Structure(flip_flop_bits=20, adder_bits=8)
    assert 0 < fit.area("serial_pe", small).value < fit.area("serial_pe", large).value
    narrow, wide = (machine(1, 1, 4, "int4", widths=(bits, 30)) for bits in (14, 40))
    assert fit.delay("serial_pe", narrow).value < fit.delay("serial_pe", wide).value
    assert fit.critical_path_ps(wide).value > 0.5 * fit.delay("serial_pe", wide).value


def test_unknown_component_is_refused(fit):
    with pytest.raises(InputError, match="has no component 'bus', only activation_buffer"):
        fit.area("bus", Structure())


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": 3, "area_um2": 5}', "\xff"])
def test_missing_and_corrupt_fits_have_a_clear_error(content, tmp_path):
    with pytest.raises(InputError, match=r"fit 'mine' is missing: .*--liberty FILE --name mine"):
        load_fit("mine", where=tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"fit 'mine' is missing: .*\(fits: other\)"):
        load_fit("mine", where=tmp_path)
    (tmp_path / "mine.json").write_bytes(content.encode("latin1"))
    with pytest.raises(InputError, match="fit 'mine' is corrupt"):
        load_fit("mine", where=tmp_path)


def test_a_fit_survives_its_file(tmp_path, fit):
    (tmp_path / "copy.json").write_text(json.dumps(fit.to_json(), allow_nan=False))
    assert load_fit("copy", where=tmp_path) == fit


def test_a_sample_survives_its_file(tmp_path):
    rows = [Row(point=point("queue", queue_beats=2), measured=measured(12.5))]
    origin = {"name": "x", "description": "d", "node_nm": 130.0, "volts": 1.2, "liberty": "l"}
    sample = Sample(
        **origin,
        liberty_sha256="0",
        tools={},
        period_ps=3250.0,
        seed=1,
        leakage_mw_per_mm2=None,
        rows=rows,
    )
    write_sample(tmp_path / "s.json", sample)
    assert read_sample(tmp_path / "s.json") == sample
    (tmp_path / "s.json").write_text('{"rows": [{}]}')
    with pytest.raises(InputError, match="is no sample of a calibration"):
        read_sample(tmp_path / "s.json")


def test_few_held_out_rows_widen_an_interval():
    def judged(errors):
        found = FitError.of([1 + e / 100 for e in errors], [1.0] * len(errors), fitted=9)
        return LinearModel(terms={}, error=found), errors

    found = asic._widened({"few": judged([1, 2]), "wide": judged([30]), "many": judged([8] * 40)})
    assert found["few"].error.interval_percent == pytest.approx(8)
    assert found["few"].error.worst_percent == pytest.approx(2)
    assert found["wide"].error.interval_percent == pytest.approx(30)
    assert found["many"].error.interval_percent == pytest.approx(8)


SMALL = """library (tiny) {
  leakage_power_unit : "1pW";
  cell (A) { area : 1; cell_leakage_power : 150.0; }
  cell ("B") { area : 2; }
}"""


def test_leakage_is_that_of_the_cells(tmp_path):
    assert cell_leakage_nw(SMALL.replace("; ", ";\n")) == {"A": pytest.approx(0.15)}
    assert total_leakage_nw({"A": 4}, {"A": 0.15}) == pytest.approx(0.6)
    assert total_leakage_nw({"A": 4, "B": 1}, {"A": 0.15}) is None
    assert leakage_mw_per_mm2([measured(100), measured(300)]) == pytest.approx(0.02)
    assert leakage_mw_per_mm2([replace(measured(100), leakage_nw=None)]) is None
    (tmp_path / "no.lib").write_text("module x;")
    with pytest.raises(InputError, match="is not a Liberty file"), unpacked(tmp_path / "no.lib"):
        pass


def test_an_interrupted_sweep_goes_on(tmp_path, monkeypatch):
    """Yosys runs once per configuration, however often a sweep begins."""
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "cache"))
    runs: list[str] = []

    def run(folder, source, lines):
        runs.append(source)
        if len(runs) == 3:
            raise KeyboardInterrupt
        stat = {"area": 50.0, "num_cells": 5, "num_cells_by_type": {"A": 5}}
        (folder / "stat.json").write_text(json.dumps({"design": stat}))
        return "Delay = 123.4 ps"

    monkeypatch.setattr("costmodel.fpga.yosys._run", run)
    (tmp_path / "tiny.lib").write_text(SMALL.replace("; ", ";\n"))
    points = [point("queue", queue_beats=beats) for beats in (2, 3, 4, 5)]
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        sweep(points, tmp_path / "tiny.lib", said.append)
    assert len(said) == 2 and said[0].startswith("1/4 queue: 50 um2, 123 ps; ")
    found = synthesize_all(
        points, tmp_path / "tiny.lib", period_ps=3250, workers=1, say=said.append
    )
    assert len(runs) == 3 + 2
    assert [m.delay_ps for m in found] == [123.4] * 4
    assert found[0].leakage_nw == pytest.approx(0.75)
    sweep(points, tmp_path / "tiny.lib", said.append)
    assert len(runs) == 5


def test_workers_give_the_same_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis, "synthesize", _size_of)
    (tmp_path / "tiny.lib").write_text(SMALL)
    points = [point("queue", queue_beats=beats) for beats in (5, 2, 4, 3)]
    found = synthesize_all(
        points, tmp_path / "tiny.lib", period_ps=3250, workers=2, say=lambda line: None
    )
    assert [m.area_um2 for m in found] == [5, 2, 4, 3]


def _size_of(point, liberty, leakage_nw, period_ps):
    return measured(point.array["queue_beats"])


def test_a_fit_is_judged_by_another_sample(monkeypatch, fit, tmp_path):
    """Only what is held out there is measured; here it takes twice what the fit says."""
    rows = [
        point("queue", use=use, queue_beats=beats) for use, beats in (("held_out", 3), ("fit", 4))
    ]

    def synthesized(points, liberty, *, period_ps, workers, say):
        assert points == rows[:1] and period_ps == fit.period_ps
        model = fit.area("queue", COMPONENTS["queue"].structure(rows[0].machine)).value
        return [measured(2 * model)]

    monkeypatch.setattr(calibrate, "sample", lambda seed: rows)
    monkeypatch.setattr(calibrate, "synthesize_all", synthesized)
    library = tmp_path / "tiny.lib"
    library.write_text(SMALL)
    with pytest.raises(InputError, match="was fitted to another library: give"):
        judged_again(fit, library, seed=3)
    own = replace(fit, liberty_sha256=hashlib.sha256(SMALL.encode()).hexdigest())
    found = judged_again(own, library, seed=3)
    assert found.summary["area"]["held_out"]["worst_percent"] == pytest.approx(50)
    assert found.area_um2 == fit.area_um2


@pytest.mark.parametrize(("name", "node"), [("a b", 130), ("", 130), ("fine", 0)])
def test_settings_of_a_calibration_are_checked(name, node, tmp_path):
    with pytest.raises(InputError):
        calibrate_asic(tmp_path / "none.lib", name=name, node_nm=node, volts=1, out=tmp_path)


@pytest.mark.rtl
@pytest.mark.skipif(not LIBERTY.is_file(), reason=f"{LIBERTY.name} is not beside the checkout")
def test_only_paths_beyond_the_clock_get_larger_cells():
    decoder = point("column", "denseshift3")
    slow, fast = (
        synthesize_all([decoder], LIBERTY, period_ps=ps, workers=1, say=lambda line: None)[0]
        for ps in (3250, 1)
    )
    assert slow.area_um2 < 0.8 * fast.area_um2
    # the delay is that of sizes for speed either way
    assert slow.delay_ps == fast.delay_ps


@pytest.mark.rtl
@pytest.mark.skipif(not LIBERTY.is_file(), reason=f"{LIBERTY.name} is not beside the checkout")
@pytest.mark.parametrize(("component", "name", "array"), FRESH)
def test_fresh_configurations_are_near_synthesis(component, name, array):
    if "sg13g2" not in COMMITTED:
        pytest.skip("no fit of sg13g2 is committed")
    fresh = point(component, name, use="held_out", **array)
    found = sweep([fresh], LIBERTY)[0]
    area = load_fit("sg13g2").area(component, COMPONENTS[component].structure(fresh.machine))
    assert area.value == pytest.approx(found.area_um2, rel=0.15)
    delay = load_fit("sg13g2").delay(component, fresh.machine)
    assert delay.value == pytest.approx(found.delay_ps, rel=0.5)
