"""What skipping zeros would gain on real weights, by format and array: docs/skipping.md.

``python -m benchmarks.skipping`` measures the shipped model and, where it is installed, SmolLM2;
``--write`` keeps the figures in ``docs/skipping.json``, from which ``docs/make_skipping.py`` makes
the tables of the page. ``bitsmith skipping MODEL --format NAME`` shows any of it.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bitsmith.commands.skipping import model_report, scheme_rows
from bitsmith.job import Job
from bitsmith.tables import text_table
from configs.schema import load_axis, load_run
from sim.skipping import DEPTHS, Scheme, SkippingReport
from sw.models import known_models

MEASURED = Path(__file__).parents[1] / "docs" / "skipping.json"
MODELS = ("scribe_1m", "smollm2_135m")
#: rounding to nearest with scales from the largest weight of 128; of ternary weights the mean
RECIPES: dict[str, dict[str, Any]] = {
    name: {"format": name, "group_size": 128}
    for name in ("int8", "int6", "float6_e2m3fn", "int4", "bitmod_fp4", "int3", "bitmod_fp3")
}
RECIPES["ternary"] = {"format": "ternary", "group_size": 128, "scale_rule": "absmean"}
#: columns, lanes: of all formats, and of two of them
ARRAY = (32, 4)
OTHER_ARRAYS = ((1, 4), (4, 4), (8, 8), (1, 32), (32, 32))
SWEPT = ("int8", "bitmod_fp4")


def job_of(model: str, recipe: str) -> Job:
    """A model quantized by one of the recipes, on the 32 x 32 x 4 preset."""
    base = load_run("quickstart")
    config = replace(
        base,
        workload=replace(base.workload, model=model),
        quantization=load_axis("quantization", RECIPES[recipe]),
        accelerator=load_axis("accelerator", "bitmod_32x32x4"),
    )
    return Job(config=config)


def row(model: str, recipe: str, report: SkippingReport) -> dict[str, Any]:
    """Figures of one report, per weight and as speed-ups by depth."""
    total, weights = report.total, report.total.weights
    speed_ups: dict[str, list[float | None]] = {}
    for way in dict.fromkeys((s.mode, s.base_shift, s.scope) for s in total.cycles):
        mode, base_shift, scope = way
        keys = [Scheme(mode=mode, base_shift=base_shift, scope=scope, depth=d) for d in DEPTHS]
        found = [round(total.speed_up(k), 4) if k in total.cycles else None for k in keys]
        speed_ups[" ".join(way)] = found
    return {
        "model": model,
        "recipe": recipe,
        "cols": report.cols,
        "lanes": report.lanes,
        "slots": report.slots,
        "base_shifts": list(report.base_shifts),
        "own_exponent_bits": report.own_exponent_bits,
        "weights": weights,
        "zero_weights": round(total.zero_weights / weights, 4),
        "table_terms": round(total.table_terms / weights, 4),
        "fewest_terms": round(total.fewest_terms / weights, 4),
        "balanced": round(total.largest_speed_up, 4),
        "speed_ups": speed_ups,
    }


def measure(model: str, recipe: str) -> list[dict[str, Any]]:
    """Rows of one quantized model, one per array."""
    job = job_of(model, recipe)
    arrays = [ARRAY, *(OTHER_ARRAYS if recipe in SWEPT else ())]
    rows = []
    for cols, lanes in arrays:
        report = model_report(job, cols=cols, lanes=lanes, depths=list(DEPTHS))
        print(f"\n{model}, {recipe}, {cols} columns x {lanes} lanes")
        print(text_table(*scheme_rows(report)))
        rows.append(row(model, recipe, report))
    return rows


def main() -> int:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {MEASURED.name}")
    options = parser.parse_args()
    there = {info.name for info in known_models() if info.available}
    old = json.loads(MEASURED.read_text())["rows"] if MEASURED.is_file() else []
    rows = [kept for kept in old if kept["model"] not in there]
    for model in MODELS:
        if model not in there:
            print(f"{model} is not installed: 'bitsmith models' says how to fetch it")
            continue
        for recipe in tqdm(RECIPES, desc=model, disable=None):
            rows += measure(model, recipe)
    if options.write:
        rows.sort(key=lambda kept: MODELS.index(kept["model"]))
        lines = ",\n".join(json.dumps(kept) for kept in rows)
        depths = json.dumps(DEPTHS)
        MEASURED.write_text(f'{{"depths": {depths}, "rows": [\n{lines}\n]}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
