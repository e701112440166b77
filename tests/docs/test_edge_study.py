"""docs/edge_study.md shows what was measured, and what was measured is still so."""

import dataclasses
import json
import runpy
import sys
from pathlib import Path

import pytest

from bitsmith.explore.space import Space
from bitsmith.job import Job
from bitsmith.steps import cost_report
from configs.sweep import load_sweep

DOCS = Path(__file__).resolve().parents[2] / "docs"
MEASURED = json.loads((DOCS / "edge_study.json").read_text())


def test_tables_are_fresh(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make_edge_study.py", "--check"])
    monkeypatch.syspath_prepend(str(DOCS))
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(DOCS / "make_edge_study.py"), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_edge_study.py'"


@pytest.mark.parametrize("model", MEASURED)
@pytest.mark.parametrize("place", [0, -1])
def test_a_point_by_itself(model, place) -> None:
    """One design of the page, simulated and priced alone."""
    group = MEASURED[model]["groups"][place]
    point = group["picks"]["least latency"]
    sweep, folder = load_sweep(point["sweep"])
    kept = tuple(text for text in sweep.constraints if "perplexity" not in str(text))
    space = Space.of(dataclasses.replace(sweep, constraints=kept), folder)
    config = space.config(space.settings(point["number"]))
    job, hz = Job(config), config.accelerator.clock_mhz * 1e6
    report = cost_report(job)
    assert job.timing.prefill_cycles / hz == pytest.approx(point["prefill_s"], rel=1e-5)
    assert job.timing.decode_cycles / hz / 256 == pytest.approx(point["s_per_token"], rel=1e-5)
    # prices move a little with every calibration
    assert report.energy_pj * 1e-12 == pytest.approx(point["energy_j"], rel=0.02)
    assert report.area_um2 * 1e-6 == pytest.approx(point["area_mm2"], rel=0.02)
    assert config.quantization.format == group["format"]
