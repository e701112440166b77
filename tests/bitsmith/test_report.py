"""The HTML report: complete, self-contained, escaped, the same for the same input."""

import copy
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bitsmith import steps
from bitsmith.job import Job
from bitsmith.report import units, write_report
from bitsmith.report.page import page
from bitsmith.strict_json import plain
from configs.schema import load_axis, load_run

VOID = {"meta", "br", "rect", "line", "circle", "path"}
EVALUATED = {
    "bytes": 20400,
    "windows": 80,
    "variants": [
        {"name": "float", "bits_per_byte": 1.9, "standard_error": 0.02,
         "increase": 0.0, "increase_error": 0.0},
        {"name": "quantized", "bits_per_byte": 1.91, "standard_error": 0.02,
         "increase": 0.01, "increase_error": 0.001},
    ],
}  # fmt: skip
CASE = {
    "name": "layer", "m": 1, "n": 2, "k": 3, "group_size": 2, "gaps": True, "outputs": 2,
    "rtl_cycles": 40, "simulated_cycles": 40, "causes": {}, "failure": "", "passed": True,
}  # fmt: skip
VERIFIED = {"passed": True, "outputs": 2, "rtl_cycles": 40, "cases": [CASE]}


class Balanced(HTMLParser):
    """Collects text and checks that tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def parse(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(drawing)
    return parser


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> tuple[dict, dict]:
    """Real results of the cheap steps; evaluation and verification by hand."""
    job = Job(config=load_run("quickstart"))
    folder = tmp_path_factory.mktemp("report")
    results = {name: plain(steps.STEPS[name](job, folder)) for name in
               ("quantize", "bounds", "simulate", "cost", "rtl")}  # fmt: skip
    results |= {"evaluate": copy.deepcopy(EVALUATED), "verify": copy.deepcopy(VERIFIED)}
    return plain(asdict(job.config)), results


def test_everything_is_on_the_page(quickstart) -> None:
    config, results = quickstart
    html = page(config, results)
    parsed = parse(html)
    words = " ".join(parsed.words)
    assert "RTL verified: 1 jobs, difference 0" in words
    assert "no overflow: proved for every input" in words
    assert "layers.3.mlp.down_proj" in words
    for figure in results["cost"]["figures"].values():
        assert figure["source"] in words
    assert html.count("<svg") >= 6
    assert page(config, results) == html


def test_nothing_is_fetched(quickstart) -> None:
    html = page(*quickstart)
    assert all(link.startswith("#") for link in parse(html).links)
    assert not re.search(r"url\(|@import|<script|https?:", html)


def test_failures_are_shown(quickstart) -> None:
    config, results = copy.deepcopy(quickstart)
    results["verify"]["passed"] = False
    case = results["verify"]["cases"][0]
    case |= {"passed": False, "failure": "1 of 2 outputs differ, first in tile <0>"}
    overflow = {"layer": "layers.0.mlp.up_proj", "channel": 7, "stage": "inner", "needed_bits": 17,
                "low": -40000, "high": 40000}  # fmt: skip
    results["bounds"]["overflows"] = [overflow]
    words = " ".join(parse(page(config, results)).words)
    assert "RTL not verified" in words
    assert "1 of 2 outputs differ, first in tile <0>" in words
    assert "overflow not safe" in words
    assert "verify.json" not in words.split("Where each number")[1]
    assert "no number here is confirmed" in words


def test_nothing_verified_is_not_verified(quickstart) -> None:
    config, results = copy.deepcopy(quickstart)
    results["verify"] = {"passed": False, "outputs": 0, "rtl_cycles": 0, "cases": []}
    words = " ".join(parse(page(config, results)).words)
    assert "No job was run." in words
    assert "RTL verified" not in words


def test_every_file_of_the_run_is_named(quickstart) -> None:
    config, results = quickstart
    words = " ".join(parse(page(config, results)).words).split("Where each number")[1]
    for name in (*steps.STEPS, "config"):
        assert f"{name}.json" in words
    assert results["rtl"]["file"] in words
    shown = " ".join(parse(page(config, results)).words)
    for work in results["simulate"]["host_work"]:
        assert work["name"] in shown
    assert "Timing by GEMM" in shown


def test_written_whole_in_any_encoding(quickstart, tmp_path: Path) -> None:
    path = write_report(tmp_path, *quickstart)
    assert path == tmp_path / "report.html"
    assert path.read_bytes().decode("ascii") == page(*quickstart)
    assert list(tmp_path.iterdir()) == [path]


def test_values_that_are_no_numbers(quickstart) -> None:
    """A layer of zeros has no relative error; a phase may be missing."""
    config, results = copy.deepcopy(quickstart)
    results["quantize"]["layers"][0] |= {"relative_error": "nan", "hardware_relative_error": "nan"}
    results["quantize"]["layers"][1] |= {"relative_error": "inf", "hardware_relative_error": "inf"}
    results["simulate"] |= {"prefill_tokens": 0, "prefill_cycles": 0, "seconds_prefill": 0.0}
    html = page(config, results)
    parse(html)
    assert not re.search(r'="-?(nan|inf)"', html)
    assert "no prefill in the workload" in html


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 J"),
        (6.3e-4, "630 \u00b5J"),
        (0.9996, "1.00 J"),
        (12.34, "12.3 J"),
        (2e-15, "0.00200 pJ"),
    ],
)
def test_prefixes(value: float, text: str) -> None:
    assert units.si(value, "J") == text


@pytest.mark.parametrize(
    ("long", "short"),
    [("500.0 k", "500 k"), ("0.00500", "0.005"), ("1.20e+07", "1.2e+07"), ("100%", "100%")],
)
def test_tick_labels(long: str, short: str) -> None:
    assert units.tick_label(long) == short


def test_shapes_without_weights() -> None:
    """225 layers are shown by kind, and what was skipped says why."""
    import dataclasses

    base = load_run("quickstart")
    config = dataclasses.replace(
        base, workload=load_axis("workload", "llama2_7b"),
        accelerator=load_axis("accelerator", "bitmod_32x32x4"),
    )  # fmt: skip
    job = Job(config=config)
    results = {name: plain(steps.STEPS[name](job, Path())) for name in
               ("quantize", "evaluate", "bounds", "simulate", "cost")}  # fmt: skip
    results["rtl"] = {
        "top": "t", "file": "f", "sha256": "", "lines": 1, "inner_bits": 20, "outer_bits": 34,
        "held_bits": 27,
        "inner_mode": "wrap", "outer_mode": "wrap", "weight_beat_bits": 8,
        "activation_beat_bits": 8, "result_beat_bits": 8,
    }  # fmt: skip
    results["verify"] = copy.deepcopy(VERIFIED)
    html = page(plain(asdict(config)), results)
    words = " ".join(parse(html).words)
    assert "the workload has no weights" in words
    assert "q_proj \u00d7 32" in words


def test_hostile_names_are_escaped(quickstart) -> None:
    config, results = copy.deepcopy(quickstart)
    evil = "<script>alert('x')</script>&\x00"
    config["name"] = evil
    results["quantize"]["model"] = evil
    results["verify"]["cases"][0]["name"] = evil
    for step in ("quantize", "bounds", "simulate", "cost"):
        results[step]["layers"][0]["name"] = evil
    html = page(config, results)
    parse(html)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
