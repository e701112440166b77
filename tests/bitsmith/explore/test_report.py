"""The page as text: complete, harmless, self-contained, the same for the same study."""

import base64
import gzip
import json
import re
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from bitsmith.explore.export import accelerator_yaml, point_yaml
from bitsmith.explore.report import figures, write_report
from bitsmith.explore.report.figures import front_excess, payload, script_json, shown
from bitsmith.explore.report.page import page
from bitsmith.explore.report.tables import quantity
from bitsmith.explore.result import StudyResult
from configs.errors import InputError

from .made_up_study import made_up_metrics, made_up_space, made_up_study

EVIL = "</script><script>alert(1)</script> & <b>"
VOID = {"meta", "input", "br"}


@pytest.fixture(scope="module")
def study() -> StudyResult:
    result = made_up_study(made_up_space(EVIL), limit=600)
    evil = replace(result.baselines[0], name=EVIL, note=EVIL)
    return replace(result, baselines=(evil, *result.baselines[1:]), refused={EVIL: 3})


@pytest.fixture(scope="module")
def html(study) -> str:
    return page(study, {"time": EVIL})


def study_data(html: str) -> dict:
    text = re.search(r'<script type="application/json" id="study">(.*?)</script>', html)[1]
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def decoded(column: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(column), kind)


class Elements(HTMLParser):
    """Checks that elements nest; collects text outside of scripts, and what is linked."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def parse(html: str) -> Elements:
    found = Elements()
    found.feed(html)
    assert not found.open
    return found


def test_the_page_is_whole_and_harmless(html) -> None:
    found = parse(html)
    text = "".join(found.text)
    assert found.scripts == 3 and EVIL in text
    assert all(link.startswith("#") for link in found.links)
    assert "default-src 'none'" in unescape(html)
    for words in ("energy_per_token_j", "area_mm2 &lt;= 2", "accelerator.rows &gt; 1"):
        assert words in html
    for name in ("FP16", "INT8", "ANT", "OliVe", "BitMoD")[1:]:
        assert name in text


def test_the_same_study_gives_the_same_page(study, html) -> None:
    assert page(study, {"time": EVIL}) == html


def test_counts_of_the_head(study, html) -> None:
    text = "".join(parse(html).text)
    for number in (study.space.size, study.evaluated, study.feasible, len(study.front)):
        assert f"{number:,}" in text
    assert "Why 3 points are not feasible" in text


def test_columns_are_the_tables(study, html) -> None:
    data = study_data(html)
    numbers, front = data["numbers"], data["front"]
    assert set(numbers[:front]) == set(study.table.numbers[study.front].tolist())
    assert set(numbers) == set(study.table.numbers[study.table.feasible].tolist())
    places = np.searchsorted(study.table.numbers, numbers)
    columns = {metric["name"]: metric for metric in data["metrics"]}
    for key, name in (("column", "area_mm2"), ("low", "area_mm2_low"), ("high", "area_mm2_high")):
        expected = study.table.metrics[name][places].astype("<f4")
        assert (decoded(columns["area_mm2"][key], "<f4") == expected).all()
    assert "low" not in columns["utilization"] and "quality_quoted" not in columns
    for axis in data["axes"]:
        column = decoded(axis["column"], "<u4")
        for number, place in zip(numbers, column.tolist(), strict=True):
            own = study.space.settings(number)
            values = study.space.axis[axis["path"]].values
            given = values[place] if place != figures.ABSENT else "absent"
            assert given == own.get(axis["path"], "absent")


def test_names_quoted_points_and_layers(study, html) -> None:
    data = study_data(html)
    for name, place in study.knees.items():
        index = data["numbers"].index(int(study.table.numbers[place]))
        assert name in data["names"][str(index)].split(", ")
    columns = study.space.columns(data["numbers"])["quantization"]
    assert data["quoted"] == np.flatnonzero(columns == "int4").tolist()
    assert [b["quoted"] for b in data["baselines"]] == [b.quoted for b in study.baselines]
    number = str(int(study.table.numbers[study.front[0]]))
    layer = study.layers[int(number)][0]
    assert data["layers"][number][0] == [
        layer.name, layer.n, layer.k, layer.seconds, layer.energy_j, layer.utilization
    ]  # fmt: skip
    assert len(data["promotions"]) == len(study.promotions)


def test_files_of_every_point_are_there(study, html) -> None:
    data = study_data(html)
    files = json.loads(gzip.decompress(base64.b64decode(data["files"])))
    for index, number in list(enumerate(data["numbers"]))[::29]:
        assert files["run"][index] == point_yaml(study.space, number)
        assert files["accelerator"][index] == accelerator_yaml(study.space, number)


def test_nan_never_reaches_the_data(study) -> None:
    metrics = {name: column.copy() for name, column in study.table.metrics.items()}
    metrics["perplexity"][:] = np.nan
    metrics["utilization"][::2] = np.inf
    gaps = replace(study, table=replace(study.table, metrics=metrics))
    data = payload(gaps, shown(gaps))
    script_json(data)
    assert "perplexity" not in {metric["name"] for metric in data["metrics"]}
    with pytest.raises(ValueError):
        script_json([np.nan])


def test_a_sample_keeps_front_and_knees(study) -> None:
    behind = int(np.setdiff1d(np.flatnonzero(study.table.feasible), study.front)[7])
    named = replace(study, knees={**study.knees, "mine": behind})
    few = shown(named, limit=len(study.front) + 5)
    assert set(study.front) <= set(few.places[: few.front]) and behind in few.places
    assert len(study.front) + 5 <= len(few.places) <= len(study.front) + 6
    assert (few.places == shown(named, limit=len(study.front) + 5).places).all()
    assert study.table.feasible[few.places].all()
    assert set(shown(study, limit=0).places) == set(study.front)


def test_near_the_front(study) -> None:
    front = np.array([[1.0, 4.0], [2.0, 2.0]])
    values = np.array([[1.0, 4.0], [1.1, 4.0], [2.2, 2.0], [4.0, 4.0], [np.nan, 1.0]])
    assert front_excess(values, front) == pytest.approx([0, 0.1, 0.1, 1, np.inf])
    assert front_excess(-values, -front[:1]) == pytest.approx([0, -0.0, 0.5, 0, np.inf], abs=1)
    assert front_excess(np.array([[0.0], [1.0]]), np.zeros((1, 1))).tolist() == [0, np.inf]
    points = shown(study)
    table, names = study.table, study.space.sweep.objectives
    for place in points.places[points.near]:
        behind = [
            max(table.metrics[n][place] / table.metrics[n][f] - 1 for n in names)
            for f in study.front
        ]
        assert 0 <= min(behind) <= figures.NEAR_SHARE and place not in study.front


def test_more_is_better_too() -> None:
    space = made_up_space(objectives=("tokens_per_s", "area_mm2"), constraints=())
    result = made_up_study(space, limit=600)
    points = shown(result)
    speeds = made_up_metrics(space, result.table.numbers[points.places])["tokens_per_s"]
    assert (np.diff(speeds[: points.front]) <= 0).all() and len(points.near)


def test_a_study_without_extras(study) -> None:
    bare = replace(study, knees={}, promotions=(), baselines=(), layers={}, refused={})
    text = "".join(parse(page(bare, {})).text)
    assert "No point climbed above the model" in text and "not feasible" not in text


def test_values_with_units() -> None:
    assert quantity("s_per_token", 0.0123456) == "12.35 ms"
    assert quantity("dram_bytes", 3.2e9) == "3.200 GB"
    assert quantity("area_mm2", 1.23456) == "1.235 mm2"
    assert quantity("utilization", 0.5) == "0.5000"
    assert quantity("area_mm2", np.nan) == "-"


def test_the_table_says_what_is_quoted(study, html) -> None:
    quoted = [
        n
        for n in study.table.numbers[study.front]
        if study.space.settings(int(n))["quantization"] == "int4"
    ]
    shown_metric = replace(study, space=made_up_space(objectives=("perplexity", "area_mm2")))
    assert len(quoted) and page(shown_metric, {}).count("(quoted)") >= len(quoted)


def test_plotly_is_named_where_it_is_missing(study, tmp_path, monkeypatch) -> None:
    path = write_report(tmp_path / "report.html", study, facts={"time": "1 s"})
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(InputError, match=r"bitsmith\[explore\]"):
        write_report(tmp_path / "second.html", study)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
