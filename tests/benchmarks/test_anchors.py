"""Published figures beside ours: the data, the measuring, docs/anchors.json."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import anchors as benchmark
from benchmarks.anchor_points import (
    ALL_WIDTHS,
    BITMOD_SETTING,
    SWEPT_BITS,
    Ours,
    Part,
    bitmod_machine,
    operator,
    rows,
    sweeps,
)
from benchmarks.anchor_reasons import notes
from benchmarks.float_points import LANES, machine
from benchmarks.liberty import Library
from benchmarks.synthesis import LIBERTY
from benchmarks.targets import libraries, map_fpga
from configs.errors import InputError
from costmodel.published import anchors as published
from costmodel.scaling import scale
from hw.array.parts import make_dequantizer
from hw.emit import to_rtlil

DOCS = Path(__file__).resolve().parents[2] / "docs"
MEASURED = json.loads((DOCS / "anchors.json").read_text())
#: notes that belong to whole tables: not enough for a row that lies far off
COMMON = {"corner", "activity", "secondary"}

pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")


def row(group: str, name: str, quantity: str, line: int = 0) -> dict:
    """A row of the page; ``line`` counts those of one published figure."""
    wanted = (group, name, quantity)
    return [r for r in MEASURED["rows"] if (r["group"], r["name"], r["quantity"]) == wanted][line]


def own(*args, **other) -> float:
    """Our figure at 130 nm."""
    return row(*args, **other)["measured"]["sg13g2"]["own"]


def ratio(*args, **other) -> float:
    """Ours over the published figure."""
    return row(*args, **other)["measured"]["sg13g2"]["ratio"][0]


@cache
def every_row() -> list:
    """Rows of the code."""
    return list(rows())


# the published data


def test_every_anchor_is_named_once_and_has_a_source():
    found = published.anchors()
    assert len({(a.group, a.name, a.quantity) for a in found}) == len(found)
    assert all(a.value > 0 and len(a.source) > 20 for a in found)
    assert {a.group for a in found} == {
        "BitMoD", "decoders", "operators, 45 nm", "operators, 7 nm",
    }  # fmt: skip


def test_quoted_figures_add_up_as_in_their_sources():
    sheet = published.BITMOD_SHEET
    stages = ("exponent match", "bit-serial multiply and tree", "group accumulate", "dequantizer")
    for column in (0, 1, 2):
        assert sum(sheet[name][column] for name in stages) == pytest.approx(
            sheet["BitMoD PE"][column], abs=0.5
        )
    assert sheet["float16 multiplier"][0] + sheet["float16 adder"][0] == sheet["FP16 PE"][0]
    areas = {a.name: a.value for a in published.anchors() if a.quantity == "area"}
    assert areas["BitMoD PE, of a tile"] == pytest.approx(1517.0, abs=0.05)
    assert areas["FP16 PE, of a tile"] == pytest.approx(1989.5, abs=0.05)


@pytest.mark.parametrize(
    ("bits", "lanes", "accumulator_bits", "luts"),
    # by hand: 1.1 * (lanes * (2 * ceil(both / 6) - 1) * both + both * (2 * lanes - 1) + P)
    [((4, 8), 4, 19, 271.7), ((8, 8), 1, 23, 130.9), ((4, 8), 4, 20, 272.8), ((2, 4), 1, 8, 22.0)],
)
def test_finn_formula(bits, lanes, accumulator_bits, luts):
    found = published.finn_luts(
        weight_bits=bits[0],
        activation_bits=bits[1],
        lanes=lanes,
        accumulator_bits=accumulator_bits,
    )
    assert found == pytest.approx(luts)


def test_published_slopes_fit_their_own_points():
    for slope in published.SLOPES:
        fit = benchmark.line_fit(tuple(slope.areas), list(slope.areas.values()))
        assert fit["slope"] == pytest.approx(slope.slope, rel=0.04)
        assert fit["r2"] > 0.999


# the measuring


def test_line_fit():
    line = benchmark.line_fit((8, 16, 24), [18.0, 34.0, 50.0])
    assert line == {"slope": 2.0, "constant": 2.0, "r2": 1.0}
    assert benchmark.line_fit((8, 16), [3.0, 3.0])["r2"] == 1.0
    bent = benchmark.line_fit((0, 1, 2, 3), [0.0, 1.0, 1.0, 0.0])
    assert bent["r2"] == pytest.approx(0.0)
    # least squares by hand: slope 1.5, left over 0.5 of a spread of 5
    assert benchmark.line_fit((0, 1, 2), [0.0, 1.0, 3.0])["r2"] == pytest.approx(1 - 1 / 28)


def fake_map(build, liberty, *, small=False) -> benchmark.Mapped:
    return benchmark.Mapped(
        area_um2=build, sequential_um2=30.0, delay_ps=build / 2, cells={"small": int(small)}
    )


def test_own_figure_adds_parts(monkeypatch):
    monkeypatch.setattr(benchmark, "map_cells", fake_map)
    parts = (Part(build=100.0), Part(build=80.0, count=-1), Part(build=50.0, count=2))
    ours = Ours(what="x", parts=parts, registers=True)
    assert benchmark.own_figure(ours, "area", Path(), None) == 100 - 80 + 2 * 50
    bare = replace(ours, registers=False)
    assert benchmark.own_figure(bare, "area", Path(), None) == 70 - 50 + 2 * 20
    assert benchmark.own_figure(ours, "delay", Path(), None) == 50.0


def test_without_the_library_nothing_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.targets.LIBERTIES", (tmp_path / "none.lib.gz",))
    with pytest.raises(InputError, match="library 'sg13g2' is not beside the checkout"):
        next(benchmark.measure())


@pytest.fixture(scope="module")
def found():
    if not LIBERTY.is_file():
        pytest.skip(f"no {LIBERTY.name} beside the checkout")
    with libraries(None) as every:
        yield every


def test_energy_counts_logic_and_flip_flops(found):
    library = Library(found["sg13g2"], volts=benchmark.VOLTS, toggle=benchmark.TOGGLE)
    logic = {"sg13g2_nand2_1": 3, "sg13g2_xor2_1": 2}
    once = benchmark.cell_energy_pj(logic, library, registers=True)
    assert once == pytest.approx(library.netlist_pj(logic))
    both = logic | {benchmark.FLIP_FLOP: 4, "sg13g2_tiehi": 1}
    assert benchmark.cell_energy_pj(both, library, registers=False) == pytest.approx(once)
    flip_flop = library.clock_pj(benchmark.FLIP_FLOP, "CLK") + library.register_pj(
        benchmark.FLIP_FLOP, clock="CLK", data="D", output="Q"
    )
    counted = benchmark.cell_energy_pj(both, library, registers=True)
    assert counted == pytest.approx(once + 4 * flip_flop)


def test_a_sample_is_measured_as_committed(found):
    ours = operator("int8 add")
    library = Library(found["sg13g2"], volts=benchmark.VOLTS, toggle=benchmark.TOGGLE)
    kept = {q: own("operators, 45 nm", "int8 add", q) for q in ("area", "energy")}
    for quantity, figure in kept.items():
        again = benchmark.own_figure(ours, quantity, found["sg13g2"], library)
        assert again == pytest.approx(figure, rel=0.05)
    small = replace(ours, small=True)
    again = benchmark.own_figure(small, "area", found["sg13g2"], library)
    assert again == pytest.approx(own("operators, 45 nm", "int8 add", "area", line=1), rel=0.05)
    assert again < kept["area"]
    multiplier = replace(operator("int8 multiply"), small=True)
    again = benchmark.own_figure(multiplier, "area", found["sg13g2"], library)
    kept_um2 = own("operators, 45 nm", "int8 multiply", "area", line=1)
    assert again == pytest.approx(kept_um2, rel=0.05)


def test_a_compared_row_is_as_committed(found):
    library = Library(found["sg13g2"], volts=benchmark.VOLTS, toggle=benchmark.TOGGLE)
    wanted = ("operators, 45 nm", "int8 add")
    for each in (r for r in every_row() if (r.anchor.group, r.anchor.name) == wanted):
        if each.ours.small:
            continue
        made = benchmark.compare(each, found, library)
        kept = row(*wanted, each.anchor.quantity)
        assert made.keys() == kept.keys()
        assert made["measured"].keys() == kept["measured"].keys() & found.keys()
        assert made["unit"] == {"area": "um2", "energy": "pJ"}[each.anchor.quantity]
        for name, measured in made["measured"].items():
            assert measured == {
                key: pytest.approx(value, rel=0.05) for key, value in kept["measured"][name].items()
            }
            assert measured["ratio"][1] < measured["ratio"][0] < measured["ratio"][2]


def test_a_sweep_with_a_published_share(found):
    sweep = replace(sweeps()[0], widths=(8, 16, 32), multiplier_bits=4)
    made = benchmark.sweep_row(sweep, {"sg13g2": found["sg13g2"]})
    fit = made["targets"]["sg13g2"]
    assert fit["share_per_bit"] == pytest.approx(fit["slope"] / fit["values"][2], abs=1e-5)
    assert made["targets"]["ecp5"]["slope"] == 1.0
    assert made["published_share_per_bit"] == pytest.approx(65.1 / 2130, abs=1e-5)


def test_finn_row(monkeypatch):
    asked = []
    monkeypatch.setattr(
        benchmark, "map_fpga", lambda source, name: asked.append(name) or {"lut": 543}
    )
    made = benchmark.finn_row(4, 8, 4)
    assert asked == ["xc7"]
    assert (made["published"], made["ours"], made["ratio"]) == (271.7, 543, 1.999)
    assert benchmark.show("finn", made) == "FINN W4A8, 4 lanes: 271.7 LUTs, ours 543, 2.00"


def test_neither_library_lets_abc_use_a_full_adder(found):
    def with_two_outputs(path: Path) -> set[str]:
        cells = Library(path, volts=1.0, toggle=benchmark.TOGGLE).cells
        return {
            name
            for name, cell in cells.items()
            if sum(pin.values.get("direction") == "output" for _, pin in cell.groups("pin")) > 1
            and not any(list(cell.groups(kind)) for kind in ("ff", "latch"))
        }

    assert not with_two_outputs(found["sg13g2"])
    if "sky130" in found:
        assert "sky130_fd_sc_hd__fa_1" in with_two_outputs(found["sky130"])


@pytest.mark.parametrize("number", [0, 1])
def test_luts_of_an_accumulator_are_measured_as_committed(number):
    sweep, kept = sweeps()[number], MEASURED["sweeps"][number]
    assert sweep.name == kept["name"]
    luts = map_fpga(to_rtlil(sweep.build(16), benchmark.TOP), "ecp5")["lut"]
    assert luts == pytest.approx(kept["targets"]["ecp5"]["values"][SWEPT_BITS.index(16)], rel=0.05)


# docs/anchors.json


def test_the_committed_rows_are_those_of_the_code():
    expected = [
        (
            *(r.anchor.group, r.anchor.name, r.anchor.quantity, r.anchor.value, r.anchor.source),
            *(r.ours.what, r.ours.registers, list(notes(r.anchor))),
        )
        for r in every_row()
    ]
    keys = ("group", "name", "quantity", "value", "source", "ours", "registers", "notes")
    assert [tuple(r[key] for key in keys) for r in MEASURED["rows"]] == expected
    assert [s["name"] for s in MEASURED["sweeps"]] == [s.name for s in sweeps()]
    assert MEASURED["notes"] == benchmark.NOTES


def test_ratios_follow_from_our_figure_and_the_published_scaling():
    for each in MEASURED["rows"]:
        for name, measured in each["measured"].items():
            factor = scale(
                each["quantity"],
                from_nm=130,
                from_volts=benchmark.SUPPLIES[name],
                to_nm=each["node_nm"],
                to_volts=each["volts"],
            )
            expected = [
                measured["own"] * f / each["value"] for f in (factor.value, factor.low, factor.high)
            ]
            assert measured["ratio"] == pytest.approx(expected, rel=0.01), each["name"]


def test_accumulators_grow_in_a_line():
    required = [s for s in MEASURED["sweeps"] if s["required"]]
    assert [s["name"].split(", ")[1] for s in required] == ["wrap", "saturate"]
    for sweep in required:
        assert (sweep["widths"][0], sweep["widths"][-1]) == (8, 32)
        for target in ("sg13g2", "ecp5"):
            values = sweep["targets"][target]["values"]
            r2 = np.corrcoef(sweep["widths"], values)[0, 1] ** 2
            assert r2 > published.LEAST_R2, (sweep["name"], target)
            assert sweep["targets"][target]["r2"] == pytest.approx(r2, abs=1e-5)


def test_what_lies_far_off_has_a_note_of_its_own():
    far = [
        r
        for r in MEASURED["rows"]
        if not 1 / benchmark.FACTOR <= r["measured"]["sg13g2"]["ratio"][0] <= benchmark.FACTOR
    ]
    assert far
    for each in far:
        assert set(each["notes"]) - COMMON, each["name"]
        assert all(note in MEASURED["notes"] for note in each["notes"])
    assert all(r["notes"] for r in MEASURED["rows"])


def test_numbers_in_the_notes():
    sheet, horowitz = published.BITMOD_SHEET, published.HOROWITZ
    table = "operators, 45 nm"
    assert sheet["float16 multiplier"][0] / sheet["float16 adder"][0] == pytest.approx(
        2.77, abs=0.005
    )
    assert horowitz["float16 multiply"][1] / horowitz["float16 add"][1] == pytest.approx(
        1.21, abs=0.005
    )
    multiply = own(table, "float16 multiply", "area")
    assert multiply / own(table, "float16 add", "area") == pytest.approx(1.55, abs=0.005)
    assert ratio(table, "float16 multiply", "area") == pytest.approx(0.86, abs=0.005)
    assert horowitz["float32 add"][1] / horowitz["float16 add"][1] == pytest.approx(3.08, abs=0.005)
    ours = own(table, "float32 add", "area") / own(table, "float16 add", "area")
    assert ours == pytest.approx(2.16, abs=0.005)
    for bits in (8, 16, 32):
        assert 4.15 < horowitz[f"int{bits} add"][1] / bits <= 4.5
    int8, int4 = published.SLOPES[1], published.SLOPES[0]
    assert int8.areas[16] - 16 * int8.slope == pytest.approx(233, abs=0.5)
    assert int4.areas[16] - 16 * int4.slope == pytest.approx(38, abs=0.5)
    assert 233 / int8.slope == pytest.approx(2.8, abs=0.05)
    assert "idle" in row("BitMoD", "dequantizer", "energy")["notes"]
    bare, registered, _ = sheet["dequantizer"]
    assert (registered - bare) / 27 == pytest.approx(2.4, abs=0.05)


def test_the_note_on_7_nm():
    pairs = {
        name: (published.HOROWITZ[name][0], at_7) for name, at_7 in published.BITNET_7NM.items()
    }
    falls = [before / after for before, after in pairs.values()]
    assert (round(min(falls), 1), round(max(falls), 1)) == (2.4, 4.3)
    here = [
        scale("energy", from_nm=130, from_volts=1.2, to_nm=nm, to_volts=volts).value
        for nm, volts in ((45, 0.9), (7, 0.7))
    ]
    assert here[0] / here[1] == pytest.approx(14.6, abs=0.05)
    at_45 = [ratio("operators, 45 nm", name, "energy") for name in pairs]
    assert min(at_45) > 0.5 and max(at_45) < 1.5


def test_the_note_on_idle_flip_flops(found):
    library = Library(found["sg13g2"], volts=benchmark.VOLTS, toggle=benchmark.TOGGLE)
    flip_flops = []
    for build in (
        lambda: make_dequantizer(bitmod_machine()),
        lambda: make_dequantizer(bitmod_machine()).accumulator,
    ):
        cells = benchmark.map_cells(build, found["sg13g2"]).cells
        flip_flops.append(cells[benchmark.FLIP_FLOP])
    wanted = ("BitMoD", "dequantizer", "area")
    ours = next(
        r.ours for r in every_row() if (r.anchor.group, r.anchor.name, r.anchor.quantity) == wanted
    )
    again = benchmark.own_figure(ours, "area", found["sg13g2"], None)
    assert again == pytest.approx(own(*wanted), rel=0.05)
    count = flip_flops[0] - flip_flops[1]
    assert count == 50
    energy_pj = benchmark.cell_energy_pj({benchmark.FLIP_FLOP: 1}, library, registers=True)
    share = count * energy_pj / own("BitMoD", "dequantizer", "energy")
    assert share == pytest.approx(0.71, abs=0.005)


def test_the_note_on_encoders():
    shifts = [
        machine(ALL_WIDTHS, LANES, BITMOD_SETTING, lane_exponent_bits=bits).terms.base_shifts
        for bits in (1, 2)
    ]
    assert shifts == [(0, 2, 6, 4), (0, 0, 4, 2)]


def test_mapped_for_area_every_accumulator_grows_in_a_line():
    small = [s for s in MEASURED["sweeps"] if s["name"].endswith("mapped for area")]
    assert [list(s["targets"]) for s in small] == [["sg13g2", "sky130"]] * 2
    assert all(fit["r2"] > published.LEAST_R2 for s in small for fit in s["targets"].values())
