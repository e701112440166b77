"""Two results side by side: runs, quantized models or accuracy tables, in any pairing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from configs.errors import InputError
from sw.quantize.error import relative_error
from sw.quantize.manifest import MANIFEST, read_manifest

from .flow import load_results

ACCURACY = "accuracy.json"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one result says.

    Attributes
    ----------
    kind : ``"run"``, ``"quantized model"`` or ``"accuracy table"``.
    settings : dotted name -> value.
    metrics : name with unit -> number.
    parts : name of a layer (or of an accuracy table's recipe) -> its metrics.
    """

    kind: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    parts: dict[str, dict[str, float]] = field(default_factory=dict)


def load_result(folder: Path) -> Result:
    """Read a run folder, the folder of a quantized model or of an accuracy table.

    Raises
    ------
    InputError : none of these, or damaged.
    """
    if (folder / MANIFEST).is_file():
        return _quantized(folder)
    if (folder / ACCURACY).is_file():
        return _accuracy(folder)
    if (folder / "config.json").is_file():
        return _run(folder)
    raise InputError(
        f"'{folder}' holds no result: expected a run folder, a quantized model ({MANIFEST}) or an "
        f"accuracy table ({ACCURACY})"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read '{path}': {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"'{path}' holds {type(found).__name__}, expected an object")
    return found


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; empty ones vanish."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _weighted(layers: list[dict[str, Any]], name: str) -> float:
    """Mean over the layers' weights."""
    weights = [layer["n"] * layer["k"] for layer in layers]
    total = sum(float(layer[name]) * w for layer, w in zip(layers, weights, strict=True))
    return total / sum(weights)


def _quantized(folder: Path) -> Result:
    try:
        manifest = read_manifest(folder)
    except InputError as error:
        raise InputError(f"'{folder}': {error}") from None
    layers = []
    for entry in manifest["layers"]:
        lost = entry["error"] or {"mse": nan, "mean_square": nan}
        layer = {"name": entry["name"], "n": entry["shape"][0], "k": entry["shape"][1]}
        layer["bits_per_weight"] = entry["bits_per_weight"]
        layer["relative_error"] = relative_error(lost["mse"], lost["mean_square"])
        layers.append({**layer, "mse": lost["mse"]})
    recipe = manifest["recipe"]
    return Result(
        kind="quantized model",
        settings={"model": manifest["name"], **flat(recipe.get("settings", {}))},
        metrics=_weight_metrics(layers),
        parts={x["name"]: _part(x) for x in layers},
    )


def _part(layer: Mapping[str, Any]) -> dict[str, float]:
    return {name: layer[name] for name in ("bits_per_weight", "relative_error")}


def _weight_metrics(layers: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "weights": sum(layer["n"] * layer["k"] for layer in layers),
        "bits per weight": _weighted(layers, "bits_per_weight"),
        "mean squared weight error": _weighted(layers, "mse"),
    }


def _accuracy(folder: Path) -> Result:
    table = _read(folder / ACCURACY)
    try:
        rows = {
            row["recipe"]: {k: v for k, v in row.items() if isinstance(v, int | float)}
            for row in table["rows"]
        }
        settings = {k: v for k, v in table.items() if k != "rows"}
        return Result(
            kind="accuracy table",
            settings=flat(settings),
            metrics={"recipes": len(rows)},
            parts=rows,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{folder / ACCURACY}' is damaged: {error!r}") from None


def _run(folder: Path) -> Result:
    config, steps = load_results(folder)
    try:
        return _run_result(config, steps)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"run folder '{folder}' is damaged: {error!r}") from None


def _run_result(config: dict[str, Any], steps: dict[str, dict[str, Any]]) -> Result:
    metrics: dict[str, float] = {}
    parts: dict[str, dict[str, float]] = {}
    if "skipped" not in steps["quantize"]:
        layers = steps["quantize"]["layers"]
        metrics |= _weight_metrics(layers)
        parts = {layer["name"]: _part(layer) for layer in layers}
    for variant in steps["evaluate"].get("variants", []):
        metrics[f"bits per byte, {variant['name']}"] = variant["bits_per_byte"]
    simulated, cost, rtl = steps["simulate"], steps["cost"], steps["rtl"]
    metrics |= {
        "P_I (bits)": rtl["inner_bits"],
        "P_O (bits)": rtl["outer_bits"],
        "prefill cycles": simulated["prefill_cycles"],
        "decode step cycles": simulated["decode_step_cycles"],
        "total cycles": simulated["total_cycles"],
        "utilization": simulated["utilization"],
        "area (um2)": cost["area_um2"],
        "on-chip energy (pJ)": cost["on_chip_energy_pj"],
        "DRAM energy (pJ)": cost["dram_energy_pj"],
    }
    for layer, priced in zip(simulated["layers"], cost["layers"], strict=True):
        part = parts.setdefault(layer["name"], {})
        part["cycles"] = layer["total_cycles"]
        part["on_chip_energy_pj"] = priced["on_chip_energy_pj"]
    rest = {key: value for key, value in config.items() if key != "quantization"}
    settings = {"model": steps["quantize"].get("model"), **flat(config["quantization"])}
    return Result(kind="run", settings=settings | flat(rest), metrics=metrics, parts=parts)


def compare(a: Result, b: Result) -> dict[str, Any]:
    """What two results share and where they differ.

    Returns
    -------
    kinds [a, b]; settings[]: name, a, b (those that differ; null where one lacks it; for two kinds
    only those that both have); metrics[]: name, a, b, difference, ratio (b over a; null for a = 0);
    parts[]: part, and the same a metric.

    Raises
    ------
    InputError : no metric in common.
    """
    absent = object()
    names = [*a.settings, *(name for name in b.settings if name not in a.settings)]
    if a.kind != b.kind:
        names = [name for name in a.settings if name in b.settings]
    settings = [
        {"name": name, "a": a.settings.get(name), "b": b.settings.get(name)}
        for name in names
        if a.settings.get(name, absent) != b.settings.get(name, absent)
    ]
    metrics = _both(a.metrics, b.metrics)
    parts = [
        {"part": name, **row}
        for name in a.parts
        if name in b.parts
        for row in _both(a.parts[name], b.parts[name])
    ]
    if not metrics and not parts:
        raise InputError(f"a {a.kind} and a {b.kind} have no figure in common")
    return {"kinds": [a.kind, b.kind], "settings": settings, "metrics": metrics, "parts": parts}


def _both(a: Mapping[str, float], b: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "a": a[name],
            "b": b[name],
            "difference": b[name] - a[name],
            "ratio": b[name] / a[name] if a[name] else None,
        }
        for name in a
        if name in b
    ]
