"""The command about area, energy and clock."""

import json
from pathlib import Path
from typing import Any

import yaml

from configs.errors import InputError
from costmodel.estimate import Estimate
from costmodel.explain import explain, interval
from costmodel.export import reference_tables

from .. import steps
from ..job import Job, Progress
from ..strict_json import plain, write_texts
from ..tables import energy_text, text_table
from .common import Options, emit, make_job

#: attributes that are not called as their options are
_SHOWN = {"model": "the model's name", "accelerator": "--config", "output": "--out"}


def refuse_empty(options: Options) -> None:
    """Options that were given without a value.

    Paths have been parsed, so that an empty one is the working folder, which is no place of its
    own for what is written either.
    """
    for name, value in vars(options).items():
        shown = _SHOWN.get(name, f"--{name.replace('_', '-')}")
        if value == "":
            raise InputError(f"{shown} is empty: give it a value or leave it out")
        if value == Path():
            raise InputError(f"{shown} is empty or '.': name a path")


def cost(options: Options, progress: Progress) -> int:
    """``bitsmith cost``."""
    refuse_empty(options)
    if options.explain and options.tables:
        raise InputError("--explain prints one figure: it goes without --tables")
    job = make_job(options, progress)
    if options.tables:
        return _tables(options, job)
    if options.explain:
        report = steps.cost_report(job)
        text = explain(report, job.machine, job.technology, options.explain)
        emit(options, {"name": options.explain, "explanation": text}, text)
        return 0
    result = plain(steps.cost_step(job, Path()))
    emit(options, result, _text(result))
    return 0


def _text(result: dict[str, Any]) -> str:
    """Blocks, causes, actions, figures and a summary."""
    blocks = [
        [b["block"], f"{b['count']:,}", f"{b['area_um2']:.1f}", f"{b['total_um2']:,.0f}",
         f"{b['low_um2']:,.0f} to {b['high_um2']:,.0f}"]
        for b in result["blocks"]
    ]  # fmt: skip
    actions = [
        [a["action"], a["cause"], f"{a['count']:,}", f"{a['energy_pj']:.4g}",
         energy_text(a["total_pj"]), _range(a)]
        for a in result["actions"]
    ]  # fmt: skip
    total = result["energy_pj"]
    causes = [
        [name, energy_text(c["energy_pj"]), f"{100 * c['energy_pj'] / total:.1f}%", _range(c)]
        for name, c in result["causes"].items()
    ]
    # what single parts take is long, and --explain and --json say it
    components = {b["component"] for b in result["blocks"]}
    figures = [
        [name, f"{f['value']:.4g}", f["kind"], f["source"]]
        for name, f in result["figures"].items()
        if name.split(".")[0] not in components
    ]
    return "\n\n".join(
        [
            text_table(["block", "count", "um2 each", "um2", "interval"], blocks),
            text_table(["action", "cause", "count", "pJ each", "energy", "interval"], actions),
            text_table(["cause", "energy", "share", "interval"], causes),
            text_table(["figure", "value", "kind", "source"], figures),
            summary(result),
        ]
    )


def _energy(found: Estimate) -> str:
    low, high = energy_text(found.low), energy_text(found.high)
    return f"{energy_text(found.value)} ({low} to {high})"


def _range(entry: dict[str, Any]) -> str:
    return f"{energy_text(entry['low_pj'])} to {energy_text(entry['high_pj'])}"


def summary(result: dict[str, Any]) -> str:
    """Totals with their intervals."""

    def found(name: str, factor: float = 1.0) -> Estimate:
        limits = result["intervals"][name]
        return Estimate(value=result[name], low=limits["low"], high=limits["high"]).times(factor)

    return "\n".join(
        [
            f"{result['technology']}, {result['data']} data, {result['time_s']:.4g} s at "
            f"{result['clock_mhz']:g} MHz",
            f"area     {interval(found('area_um2', 1e-6), 'mm2')}, cells and memory macros",
            f"on chip  {_energy(found('on_chip_energy_pj'))}, {interval(found('power_mw'), 'mW')}",
            f"DRAM     {_energy(found('dram_energy_pj'))}",
            f"clock    {interval(found('logic_fmax_mhz'), 'MHz')} by the slowest path of cells, "
            "wires not counted" + _too_fast(result),
        ]
    )


def _too_fast(result: dict[str, Any]) -> str:
    """What to think of the configured clock."""
    if result["clock_mhz"] <= result["logic_fmax_mhz"]:
        return ""
    return f": too slow for the configured {result['clock_mhz']:g} MHz"


def _tables(options: Options, job: Job) -> int:
    """Write ART and ERT."""
    folder: Path = options.tables
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--tables: '{folder}' is a file, a folder is needed")
    tables = reference_tables(job.machine, job.technology, job.config.memory)
    texts = {}
    for name, table in tables.items():
        content = {name: table}
        texts[folder / f"{name}.yaml"] = yaml.safe_dump(content, sort_keys=False)
        texts[folder / f"{name}.json"] = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_texts(texts)
    names = ", ".join(path.name for path in texts)
    emit(options, {"folder": str(folder), "files": [p.name for p in texts]}, f"{folder}: {names}")
    return 0
