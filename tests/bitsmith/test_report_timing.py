"""The report's section on timing: every figure in it, nothing outside of its drawing."""

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.report.charts import WIDTH
from bitsmith.report.context import MOST_ROWS, Run
from bitsmith.report.roofline import Point, roofline_chart
from bitsmith.report.svg import text_width
from bitsmith.report.timing import timing_section
from sim.export import grouped_rows, timing_json, timing_rows
from sim.results import STALLS, Roofline, WorkloadTiming
from sw.workloads import Gemm, Workload

from ..sim.export.samples import llama, phase_timing, timings
from .test_report import parse


def run_of(timed: WorkloadTiming) -> Run:
    """A run whose simulate.json has this timing, read back from JSON."""
    entry = timing_json(timed)
    return Run({}, {"simulate": {"timing": json.loads(json.dumps(entry, allow_nan=False))}})


def test_what_it_reads() -> None:
    entry = run_of(llama())["simulate"]["timing"]
    assert entry["roofline"] == {
        "peak_macs_per_cycle": 2048.0, "bytes_per_cycle": 25.6, "ridge_macs_per_byte": 80.0,
    }  # fmt: skip
    assert set(entry) == {"stalls", "roofline", "rows"}
    assert entry["stalls"] == llama().stalls()
    bare = run_of(llama(bytes_per_cycle=None))["simulate"]["timing"]["roofline"]
    assert bare["bytes_per_cycle"] is None and bare["ridge_macs_per_byte"] is None


def words_of(html: str) -> str:
    return " ".join(parse(html).words)


def drawings(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_absent_without_timing() -> None:
    assert timing_section(Run({}, {"simulate": {}})) is None


def enlarged(timed: WorkloadTiming) -> bool:
    """Whether what is not the largest part of all cycles gets a bar of its own."""
    stalls = list(timed.stalls().values())
    return max(stalls) > 0.8 * sum(stalls) and max(stalls) < sum(stalls)


def test_a_model() -> None:
    timed = llama()
    html = timing_section(run_of(timed))
    words = words_of(html)
    assert f"Prefill: {timed.prefill_cycles:,} cycles" in words
    assert f"Decode: {timed.decode_cycles:,} cycles" in words
    for name, cycles in timed.stalls().items():
        assert f"{name}: {cycles:,} (" in words
    assert "q_proj \u00d7 32" in words and "lm_head" in words
    assert "ridge: 80 MACs/byte" in words
    assert "DRAM: 25.6 bytes/cycle" in words
    assert len(drawings(html)) == 4 + enlarged(timed)
    assert html == timing_section(run_of(timed))
    marks = {"rect": set(), "circle": set()}
    for group in drawings(html)[-1].iter("g"):
        title, shape = group
        marks[shape.tag] |= {line.split(", ")[1].split(":")[0] for line in title.text.split("\n")}
    assert marks == {"rect": {"decode"}, "circle": {"prefill"}}


def test_without_memory_there_is_no_roofline() -> None:
    timed = llama(bytes_per_cycle=None)
    html = timing_section(run_of(timed))
    assert "The run has no memory" in words_of(html)
    assert len(drawings(html)) == 3 + enlarged(timed)


def test_equal_kinds_of_unequal_layers_have_full_names() -> None:
    names = ("layers.0.mlp.up_proj", "layers.0.shared.up_proj")
    gemms = [Gemm(name=name, m=8, n=64, k=64) for name in names]
    bars = drawings(timing_section(run_of(prefill_of(gemms))))[1]
    assert set(names) <= {shape.text for shape in bars.iter("text")}


def prefill_of(gemms: list[Gemm]) -> WorkloadTiming:
    return WorkloadTiming(
        workload=Workload(name="w", prefill=tuple(gemms)),
        prefill=tuple(phase_timing(gemm) for gemm in gemms),
        decode=(),
        roofline=Roofline(peak_macs_per_cycle=2048.0, bytes_per_cycle=25.6),
        clock_mhz=500.0,
    )


@pytest.mark.parametrize("wider", [0, 1])
def test_many_kinds_are_shown_by_the_largest(wider: int) -> None:
    """Of equal size or not: as many rows as fit, the last one of all others."""
    gemms = [Gemm(name=f"conv_{i}", m=49, n=64 + wider * i, k=64) for i in range(MOST_ROWS + 10)]
    timed = prefill_of(gemms)
    html = timing_section(run_of(timed))
    bars = drawings(html)[1]
    names = [shape.text for shape in bars.iter("text") if (shape.text or "").startswith("conv_")]
    first = (MOST_ROWS + 10 - 39) * wider
    assert names == [f"conv_{i}" for i in range(first, first + 39)]
    assert "other kinds \u00d7 11" in words_of(html)
    # of all shares, to a tenth of a per cent each
    shares = [float(shape.text[:-1]) for shape in bars.iter("text") if is_note(shape)]
    assert sum(shares[:MOST_ROWS]) == pytest.approx(100, abs=0.05 * MOST_ROWS)


def is_note(shape: ElementTree.Element) -> bool:
    return shape.get("class") == "small" and (shape.text or "").endswith("%")


@settings(deadline=None, max_examples=25)
@given(timings())
def test_stalls_of_every_row(timed) -> None:
    """Each bar of a phase is as long as the others, and its parts are the stalls of its row."""
    html = timing_section(run_of(timed))
    rows = grouped_rows(timing_rows(timed), bytes_per_cycle=timed.roofline.bytes_per_cycle)
    for phase, svg in zip(
        ("prefill", "decode"), drawings(html)[1 + enlarged(timed) :], strict=False
    ):
        chosen = [row for row in rows if row["phase"] == phase]
        widths = [float(part.get("width")) for part in svg.iter("rect") if is_part(part)]
        room = sum(widths) / max(1, len(chosen))
        expected = [room * row[name] / row["cycles"] for row in chosen for name in STALLS]
        assert widths == pytest.approx(expected, abs=0.5)


def is_part(shape: ElementTree.Element) -> bool:
    return shape.get("class", "").endswith(" part")


@settings(deadline=None, max_examples=25)
@given(timings())
def test_anything_is_drawn(timed) -> None:
    """Finite coordinates inside the drawing; the parts of each bar are what the stalls are."""
    html = timing_section(run_of(timed))
    parse(html)
    assert not re.search(r'="[^"]*\b(nan|inf)\b', html)
    whole = [float(part.get("width")) for part in drawings(html)[0].iter("rect")]
    total = sum(timed.stalls().values())
    expected = [WIDTH * cycles / total for cycles in timed.stalls().values()]
    assert whole == pytest.approx(expected, abs=0.06)
    for svg in drawings(html):
        width, height = map(float, svg.get("viewBox").split()[2:])
        for shape in (*svg.iter("line"), *svg.iter("circle"), *svg.iter("rect")):
            for name, value in shape.attrib.items():
                if name in ("x", "x1", "x2", "cx"):
                    assert -0.1 <= float(value) <= width + 0.1
                if name in ("y", "y1", "y2", "cy"):
                    assert -0.1 <= float(value) <= height + 0.1


def chart(points: list[Point], peaks=(64.0,), bytes_per_cycle: float = 8.0) -> ElementTree.Element:
    drawn = roofline_chart(points, peaks=peaks, bytes_per_cycle=bytes_per_cycle, label="l")
    return ElementTree.fromstring(drawn)


def point(x: float, y: float, label: str = "p", series: int = 0, share: float = 0.1) -> Point:
    return Point(label=label, title=label, x=x, y=y, share=share, series=series)


def test_lower_peaks_stay_inside() -> None:
    """Their ridges may lie left of every point, and the peaks below every point."""
    svg = chart([point(64, 2)], peaks=(0.5, 64.0))
    (lower,) = [
        s for s in svg.iter("line") if s.get("class") == "zoom" and s.get("y1") == s.get("y2")
    ]
    (slope, _) = roof(svg)
    assert 0 < float(lower.get("x1")) <= slope[0]
    assert roof(svg)[1][1] < float(lower.get("y1")) < float(svg.get("viewBox").split()[3])


def roof(svg: ElementTree.Element) -> list[list[float]]:
    """Both limits: x1, y1, x2, y2 of the slope and of the level line."""
    return [
        [float(shape.get(name)) for name in ("x1", "y1", "x2", "y2")]
        for shape in svg.iter("line")
        if shape.get("class") == "compare"
    ]


@given(
    st.floats(1e-3, 1e5), st.floats(1e-3, 1.0), st.sampled_from((0.5, 8.0, 300.0)),
    st.sampled_from((0.5, 64.0, 4096.0)),
)  # fmt: skip
def test_a_point_is_as_far_below_the_roof_as_its_share(x, share, bytes_per_cycle, peak) -> None:
    """Pixels between point and roof, in units of those between 1 and 10 of the axis."""
    y = share * min(peak, x * bytes_per_cycle)
    svg = chart([point(x, y)], (peak,), bytes_per_cycle)
    slope, level = roof(svg)
    [circle] = svg.iter("circle")
    at_x, at_y = float(circle.get("cx")), float(circle.get("cy"))
    ridge = peak / bytes_per_cycle
    if x >= ridge:
        above = level[1]
    else:
        part = (at_x - slope[0]) / (slope[2] - slope[0])
        above = slope[1] + part * (slope[3] - slope[1])
    lows = [peak, y]
    decades = math.log10(max(lows)) + 0.25 - (math.log10(min(lows)) - 0.35)
    pixels = (float(svg.get("viewBox").split()[3]) - 26 - 44) / decades
    assert at_y - above == pytest.approx(-math.log10(share) * pixels, abs=0.4)


def boxes(svg: ElementTree.Element) -> list[tuple[float, float, float, float, str]]:
    """Where the level texts are, as estimated as they were placed."""
    found = []
    for shape in svg.iter("text"):
        if shape.get("transform") or "small" not in (shape.get("class") or ""):
            continue
        width, x = text_width(shape.text, 11), float(shape.get("x"))
        x -= {"end": width, "middle": width / 2}.get(shape.get("text-anchor"), 0)
        y = float(shape.get("y"))
        found.append((x, y - 10, x + width, y + 2, shape.text))
    return found


def overlaps(svg: ElementTree.Element) -> list[tuple[str, str]]:
    texts = boxes(svg)
    return [
        (a[4], b[4])
        for i, a in enumerate(texts)
        for b in texts[:i]
        if min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
    ]


@pytest.mark.parametrize(
    "timed", [llama(), llama(prompt=8, blocks=4, bytes_per_cycle=400.0), llama(prompt=2048)]
)
def test_labels_of_a_model_do_not_overlap(timed) -> None:
    assert overlaps(drawings(timing_section(run_of(timed)))[-1]) == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(-2, 0)), min_size=1, max_size=8))
def test_labels_of_a_few_points_do_not_overlap(spots) -> None:
    """Wherever they lie below the roof, as often as not on it."""
    points = []
    for index, (decade, lower) in enumerate(spots):
        x = 10**decade
        points.append(point(x, min(64.0, x * 8) * 10**lower, f"kind_{index}", index % 2))
    svg = chart(points)
    assert overlaps(svg) == []
    named = " ".join(text[4] for text in boxes(svg))
    assert len(re.findall(r"kind_\d|\+\d", named)) >= 1


def test_points_in_one_place_are_one_marker_with_all_names() -> None:
    svg = chart([point(2, 9, "a"), point(2.01, 9, "b"), point(2, 9, "c", 1), point(20, 9, "d")])
    assert len(list(svg.iter("circle"))) == 2
    assert [text[4] for text in boxes(svg) if "a" in text[4].split(", ")] == ["a, b"]
    assert "c" in [text[4] for text in boxes(svg)]
    titles = [title.text for title in svg.iter("title")]
    assert "a\nb" in titles
    assert len([s for s in svg.iter("rect") if is_part(s)]) == 1


def test_markers_grow_with_the_share_and_none_is_hidden() -> None:
    svg = chart([point(2, 9, "a", share=0.01), point(2, 9, "b", 1, share=0.9)])
    [square] = [s for s in svg.iter("rect") if is_part(s)]
    [circle] = svg.iter("circle")
    assert float(square.get("width")) / 2 > float(circle.get("r"))
    marks = [s for s in svg.iter() if s in (square, circle)]
    assert marks == [square, circle], "the smaller one is drawn last"


def test_lower_peaks_are_dashed() -> None:
    svg = chart([point(2, 9)], (16.0, 64.0))
    levels = [
        s for s in svg.iter("line") if s.get("class") == "zoom" and s.get("y1") == s.get("y2")
    ]
    assert len(levels) == 1
    assert float(levels[0].get("y1")) > roof(svg)[1][1]


def test_hostile_names_are_escaped() -> None:
    timed = llama(blocks=1, steps=1)
    evil = "<script>alert('x')</script>&"
    phase = timed.prefill[0]
    timed = replace(
        timed, prefill=(replace(phase, gemm=replace(phase.gemm, name=evil)), *timed.prefill[1:])
    )
    html = timing_section(run_of(timed))
    parse(html)
    assert "<script" not in html and "&lt;script&gt;" in html
