"""The page in a real browser: it draws, answers to pointer and keyboard, and asks no network."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bitsmith.explore.export import point_config
from bitsmith.explore.report import write_report
from configs.schema import load_axis, load_run

from .browser import Browser, chromium
from .made_up_study import made_up_space, made_up_study

#: centre of a mark of a trace in the window, by the trace's name and the point's place in it
MARK = """(() => {
  const plot = document.getElementById(%s);
  const trace = plot.data.findIndex((t) => t.name === %s);
  const {x, y} = {x: plot.data[trace].x[%d], y: plot.data[trace].y[%d]};
  const {xaxis, yaxis, _size} = plot._fullLayout;
  const area = plot.getBoundingClientRect();
  return [area.left + _size.l + xaxis.d2p(x), area.top + _size.t + yaxis.d2p(y),
          plot.data[trace].customdata[%d]];
})()"""

#: the tooltip's text, while it is shown
TIP = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"
#: marks of the front that no other mark is near
ALONE = """(() => {
  const {xaxis, yaxis} = document.getElementById("front-plot")._fullLayout;
  const at = (i) => [xaxis.d2p(valueOf(state.x, i)), yaxis.d2p(valueOf(state.y, i))];
  const far = (i, j) => Math.hypot(at(i)[0] - at(j)[0], at(i)[1] - at(j)[1]) > 20;
  return frontIndices.filter((i) => frontIndices.every((j) => i === j || far(i, j)));
})()"""


@pytest.fixture(scope="module")
def study():
    space = made_up_space('<script>document.title = "broken"</script>')
    return made_up_study(space, limit=500)


@pytest.fixture(scope="module")
def browser(study, tmp_path_factory):
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on this computer")
    folder = tmp_path_factory.mktemp("browser")
    path = write_report(folder / "report.html", study, facts={"time": "made up"})
    try:
        with Browser(program, folder / "profile") as found:
            found.open(path)
            yield found
    except OSError as error:
        pytest.skip(f"Chromium cannot be driven here: {error}")


@pytest.fixture(autouse=True)
def calm(browser):
    """Every test starts at the top of the page and leaves no complaint behind."""
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    yield
    assert browser.complaints == []
    outside = [url for url in browser.requests if not url.startswith(("data:", "blob:"))]
    assert len(outside) == 1 and outside[0].startswith("file:")


def into_view(browser: Browser, selector: str) -> None:
    """Scroll to an element, the pointer aside; wait for the scroll's own event."""
    browser.mouse("mouseMoved", 1, 1)
    browser.run(
        f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}});"
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def mark(browser: Browser, plot: str, trace: str, place: int) -> tuple[float, float, int]:
    into_view(browser, f"#{plot}")
    return browser.run(MARK % (json.dumps(plot), json.dumps(trace), place, place, place))


def titles(browser: Browser) -> list[str]:
    return browser.run(
        "['x', 'y'].map((w) => document.querySelector(`#front-plot .${w}title`).textContent)"
    )


def choose(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"(() => {{ const c = document.getElementById({json.dumps(name)});"
        f"c.value = {json.dumps(value)}; c.dispatchEvent(new Event('change')); }})()"
    )


def test_everything_is_drawn(browser, study) -> None:
    assert browser.run("document.title") != "broken"
    assert browser.run("document.querySelector('h1').textContent") == study.space.sweep.name
    marks = "document.querySelectorAll('#front-plot .scatterlayer .trace:nth-last-child(n) path')"
    assert browser.run(f"{marks}.length") > len(study.front)
    names = browser.run("document.getElementById('front-plot').data.map((t) => t.name)")
    assert {"front", "knees", "best in this view", "chosen point"} <= set(names)
    labels = browser.run(
        "[...document.querySelectorAll('#front-plot .annotation-text')].map((t) => t.textContent)"
    )
    assert set(study.knees) <= {part for text in labels for part in text.split(", ")}
    assert {baseline.name for baseline in study.baselines} <= set(labels)
    image = "document.querySelector('#front-plot .imagelayer image')"
    assert browser.run(f"{image}.href.baseVal.length") > 1000
    assert browser.run("document.querySelectorAll('#parallel-plot .scatterlayer path').length") > 9
    assert browser.run("document.querySelectorAll('#layer-plot .bars .point').length") == 16
    bars = "document.getElementById('front-plot').data.find((t) => t.name === 'front').error_x"
    place = int(study.table.numbers.searchsorted(browser.run("study.numbers[0]")))
    energy, high = (study.table.metrics[f"energy_per_token_j{e}"][place] for e in ("", "_high"))
    assert browser.run(f"{bars}.array[0]") == pytest.approx(high - energy, rel=1e-5)


def test_axis_selectors_change_the_plot(browser, study) -> None:
    before = titles(browser)
    assert before[0].startswith("energy_per_token_j") and before[1].startswith("s_per_token")
    choose(browser, "choice-x", "area_mm2")
    choose(browser, "choice-y", "quantization")
    browser.until(
        "document.querySelector('#front-plot .ytitle').textContent", "quantization".__eq__
    )
    assert titles(browser)[0].startswith("area_mm2")
    data = "document.getElementById('front-plot').data.find((t) => t.name === 'front')"
    numbers = browser.run("study.numbers.slice(0, study.front)")
    expected = [study.space.settings(n)["quantization"] for n in numbers]
    assert browser.run(f"{data}.y") == expected
    choose(browser, "choice-y", "s_per_token")
    choose(browser, "choice-x", "energy_per_token_j")
    kind = "document.getElementById('front-plot')._fullLayout.xaxis.type"
    log = browser.run(f"document.getElementById('log-x').checked = !({kind} === 'log')")
    browser.run("document.getElementById('log-x').dispatchEvent(new Event('change'))")
    browser.until(kind, ("log" if log else "linear").__eq__)
    choose(browser, "choice-color", "quantization")
    browser.until(f"new Set({data}.marker.symbol).size", lambda n: n > 1)
    choose(browser, "choice-color", "area_mm2")
    assert browser.run(f"new Set({data}.marker.color).size") > 1


def check_point(browser: Browser, study, number: int, folder: Path) -> None:
    """Card, chooser and both files are those of the point."""
    space = study.space
    card = browser.until(
        "document.getElementById('card').textContent", lambda t: f"Point {number}" in t
    )
    place = int(study.table.numbers.searchsorted(number))
    assert f"{study.table.metrics['perplexity'][place]:g}" in card
    for value in space.settings(number).values():
        assert not isinstance(value, str) or value in card
    assert browser.run("study.numbers[document.getElementById('point').value]") == number
    for kind in ("run", "accelerator"):
        browser.run(f"document.getElementById('show-{kind}').click()")
        word = "technology" if kind == "run" else "\nrows"
        text = browser.until(
            "document.getElementById('yaml').textContent",
            lambda t, w=word: f"point {number} of" in t and (w in t),
        )
        path = folder / f"{kind}.yaml"
        path.write_text(text)
    config = point_config(space, number)
    assert load_run(folder / "run.yaml") == config
    assert load_axis("accelerator", "accelerator.yaml", base=folder) == config.accelerator


def test_a_click_fills_the_panel(browser, study, tmp_path) -> None:
    alone = browser.run(ALONE)
    assert len(alone) >= 3
    for place in alone[:: max(1, len(alone) // 3)]:
        x, y, index = mark(browser, "front-plot", "front", place)
        browser.click(x, y)
        number = browser.run(f"study.numbers[{index}]")
        check_point(browser, study, number, tmp_path)
        shares = browser.run("document.querySelectorAll('#layer-plot .bars .point').length")
        assert shares == 2 * len(study.layers[number])


def test_a_click_behind_the_front(browser, study, tmp_path) -> None:
    into_view(browser, "#front-plot")
    x, y, index = browser.run(
        """(() => {
          const area = document.getElementById("front-plot").getBoundingClientRect();
          const size = document.getElementById("front-plot")._fullLayout._size;
          const {xaxis, yaxis} = document.getElementById("front-plot")._fullLayout;
          const marks = [
            ...frontIndices.map((i) => [valueOf(state.x, i), valueOf(state.y, i)]),
            ...study.baselines.map((b) => [b.metrics[state.x], b.metrics[state.y]]),
          ].map(([x, y]) => [xaxis.d2p(x), yaxis.d2p(y)]);
          const place = cloud.left.findIndex((x, i) =>
            marks.every(([left, top]) => Math.hypot(left - x, top - cloud.top[i]) > 30));
          return [area.left + size.l + cloud.left[place], area.top + size.t + cloud.top[place],
                  cloud.indices[place]];
        })()"""
    )
    browser.mouse("mouseMoved", x, y)
    assert "behind the front" in browser.until(TIP)
    browser.click(x, y)
    chosen = browser.until("state.selected", lambda i: i >= len(study.front))
    at = "['x', 'y'].map((w) => $('front-plot')._fullLayout[w + 'axis'].d2p(valueOf(state[w], {})))"
    places = [browser.run(at.format(i)) for i in (chosen, index)]
    assert math.dist(*places) < 7
    check_point(browser, study, browser.run(f"study.numbers[{chosen}]"), tmp_path)
    assert "Layers are kept of the front's points only" in browser.run(
        "document.getElementById('detail-rows').textContent"
    )


def test_hover_shows_settings_and_metrics(browser, study) -> None:
    x, y, index = mark(browser, "front-plot", "front", browser.run(ALONE)[0])
    browser.mouse("mouseMoved", x, y)
    tip = browser.until(TIP)
    assert f"Point {browser.run(f'study.numbers[{index}]')}" in tip
    assert "rows_per_dequantizer" in tip or "lanes" in tip
    assert "perplexity" in tip and "area_mm2" in tip
    x, y, _ = mark(browser, "front-plot", "accelerators of the literature", 0)
    browser.mouse("mouseMoved", x, y)
    browser.until(
        "document.getElementById('tip').textContent", lambda t: "invented for a test" in t
    )
    browser.mouse("mouseMoved", 2, 2)
    browser.until("document.getElementById('tip').hidden")


def test_the_keyboard_reaches_everything(browser, study, tmp_path) -> None:
    browser.run("document.getElementById('next').focus()")
    before = browser.run("state.selected")
    browser.key("Enter")
    browser.until("state.selected", lambda now: now != before)
    number = int(study.table.numbers[study.front[1]])
    browser.run(f"document.querySelector('#front-table button[data-point=\"{number}\"]').focus()")
    browser.key("Enter")
    check_point(browser, study, number, tmp_path)
    assert (
        browser.run(f"document.getElementById('row-{number}').getAttribute('aria-selected')")
        == "true"
    )


def test_the_table_is_sorted(browser, study) -> None:
    column = browser.run(
        "[...document.querySelectorAll('#front-table .sort')]"
        ".findIndex((b) => b.textContent === 'area_mm2')"
    )
    cells = (
        "[...document.querySelector('#front-table tbody').rows]"
        f".map((r) => Number(r.cells[{column}].firstElementChild.dataset.value))"
    )
    for turn in (False, True):
        browser.run(
            f"document.querySelector('#front-table .sort[data-column=\"{column}\"]').focus()"
        )
        browser.key("Enter")
        found = browser.run(cells)
        assert found == sorted(found, reverse=turn) and len(found) == len(study.front)


def test_a_range_keeps_some_lines(browser, study) -> None:
    into_view(browser, "#parallel-plot")
    x, top, bottom = browser.run(
        """(() => {
          const plot = document.getElementById("parallel-plot");
          const {xaxis, yaxis, _size} = plot._fullLayout;
          const area = plot.getBoundingClientRect();
          const at = (y) => area.top + _size.t + yaxis.d2p(y);
          const place = parallelColumns.findIndex((c) => c.name === "area_mm2");
          return [area.left + _size.l + xaxis.d2p(place), at(1.03), at(0.6)];
        })()"""
    )
    browser.mouse("mouseMoved", x - 9, top)
    browser.mouse("mousePressed", x - 9, top)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=(top + bottom) / 2,
                 button="left", buttons=1)  # fmt: skip
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + 9, y=bottom,
                 button="left", buttons=1)  # fmt: skip
    browser.mouse("mouseReleased", x + 9, bottom)
    told = browser.until("document.getElementById('ranges').textContent")
    kept, _, everything = told.split()[:3]
    areas = browser.run("lineIndices.map((i) => metricOf.area_mm2.column[i])")
    limit = max(areas) - 0.6 * (max(areas) - min(areas))
    assert int(everything) == len(areas)
    assert abs(int(kept) - sum(area <= limit for area in areas)) <= 2 and int(kept) < len(areas)
    browser.run("document.getElementById('clear-ranges').click()")
    browser.until("document.getElementById('ranges').textContent === ''")


def test_dark_and_paper(browser) -> None:
    ink = "getComputedStyle(document.querySelector('#front-plot .xtitle')).fill"
    light = browser.run(ink)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.send("Emulation.setEmulatedMedia", features=[dark])
    browser.until(ink, lambda color: color != light)
    browser.send("Emulation.setEmulatedMedia", features=[])
    browser.until(ink, light.__eq__)
    assert len(browser.send("Page.printToPDF")["data"]) > 20_000


def test_a_study_without_extras(study, browser, tmp_path) -> None:
    bare = replace(study, knees={}, promotions=(), baselines=(), layers={}, refused={})
    browser.open(write_report(tmp_path / "bare.html", bare))
    assert browser.run("study.front") == len(study.front)
    browser.events.clear()
    browser.send("Page.reload")
    browser.until("document.documentElement?.dataset.ready === 'true'")
