"""Tables for people: the summary on the terminal and the CSV of a run."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .strict_json import write_text

#: cells that line up on the right: numbers with or without a unit, shapes, a dash for none
_NUMBER = re.compile(r"[-+]?[\d.,]+([eE][-+]?\d+)?(x[\dx]+|%| ?[munp]?J)?$|-$")
Results = dict[str, dict[str, Any]]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: numbers to the right, text to the left."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(_NUMBER.match(cell) for cell in column[1:]) for column in columns]
    lines = []
    for row in [header, ["-" * w for w in widths], *rows]:
        cells = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def short_mix(mix: dict[str, float]) -> str:
    """Format mix in little space, e.g. ``er+ 31 er- 29 ea+ 21 ea- 19`` (per cent)."""
    if len(mix) == 1:
        return next(iter(mix))
    signs = {"pos": "+", "neg": "-"}

    def short(name: str) -> str:
        rest, _, sign = name.rpartition("_")
        return rest.rpartition("_")[2] + signs[sign] if sign in signs else name

    return " ".join(f"{short(name)} {100 * share:.0f}" for name, share in mix.items())


def energy_text(picojoules: float) -> str:
    """Energy with a fitting SI prefix."""
    for unit, factor in (("J", 1e12), ("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3)):
        if picojoules >= factor:
            return f"{picojoules / factor:.3g} {unit}"
    return f"{picojoules:.3g} pJ"


def layer_rows(results: Results) -> list[dict[str, Any]]:
    """One row per simulated layer, with whatever the other steps know about it."""
    quantized = {layer["name"]: layer for layer in results["quantize"].get("layers", [])}
    bounds = {layer["name"]: layer for layer in results["bounds"].get("layers", [])}
    energy = {layer["name"]: layer for layer in results["cost"]["layers"]}
    rows = []
    for layer in results["simulate"]["layers"]:
        name = layer["name"]
        weights, widths = quantized.get(name, {}), bounds.get(name, {})
        rows.append(
            {
                "layer": name,
                "n": layer["n"],
                "k": layer["k"],
                "format_mix_percent": short_mix(weights["format_mix"]) if weights else "",
                "bits_per_weight": weights.get("bits_per_weight", ""),
                "relative_error": weights.get("relative_error", ""),
                "inner_bits": widths.get("inner_bits", ""),
                "outer_bits": widths.get("outer_bits", ""),
                "cycles": layer["total_cycles"],
                "utilization": layer["utilization"],
                "on_chip_energy_pj": energy[name]["on_chip_energy_pj"],
                "energy_pj": energy[name]["energy_pj"],
            }
        )
    return rows


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as CSV with a header line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """:func:`csv_text` as a file."""
    write_text(path, csv_text(rows))


def layer_table(results: Results) -> str:
    """The per-layer summary; formats that no group uses are left out of the mix."""

    def number(value: Any, text: str) -> str:
        return format(value, text) if value != "" else "-"

    rows = [
        [
            row["layer"],
            f"{row['n']}x{row['k']}",
            row["format_mix_percent"] or "-",
            number(row["bits_per_weight"], ".2f"),
            number(row["relative_error"], ".5f"),
            str(row["inner_bits"] or "-"),
            str(row["outer_bits"] or "-"),
            f"{row['cycles']:,}",
            f"{100 * row['utilization']:.1f}%",
            energy_text(row["on_chip_energy_pj"]),
        ]
        for row in layer_rows(results)
    ]
    header = ["layer", "N x K", "format mix %", "bits/w", "error", "P_I", "P_O"]
    return text_table([*header, "cycles", "util.", "on-chip"], rows)


def summary_lines(config: dict[str, Any], results: Results) -> list[str]:
    """What the run found, a line each."""
    simulated, cost, checked = results["simulate"], results["cost"], results["verify"]
    lines = []
    for variant in results["evaluate"].get("variants", []):
        change = ""
        if variant["name"] != "float":
            change = f"  ({variant['increase']:+.4f} +- {variant['increase_error']:.4f})"
        lines.append(
            f"held-out bits per byte, {variant['name']}: {variant['bits_per_byte']:.4f}{change}"
        )
    if "skipped" not in results["quantize"]:
        lines.append(
            f"bits per weight, scales included: {results['quantize']['bits_per_weight']:.3f}"
        )
    lines.append(accumulator_text(results))
    array = config["accelerator"]
    lines.append(
        f"cycles on {array['rows']}x{array['cols']}x{array['lanes']}: "
        f"prefill of {simulated['prefill_tokens']} tokens {simulated['prefill_cycles']:,}, "
        f"decode step {simulated['decode_step_cycles']:,} "
        f"({simulated['tokens_per_s_decode']:.1f} tokens/s at {simulated['clock_mhz']:.0f} MHz; "
        "host work excluded)"
    )
    lines.append(
        f"cost in {cost['technology']}: {cost['area_um2'] / 1e6:.4f} mm2, "
        f"{energy_text(cost['on_chip_energy_pj'])} on chip ({cost['power_mw']:.3g} mW, "
        f"{cost['on_chip_energy_pj'] / cost['macs']:.3g} pJ/MAC) and "
        f"{energy_text(cost['dram_energy_pj'])} in DRAM"
        + ("" if simulated["memory"] else ", which every stream beat crosses")
    )
    lines.append(verify_text(checked))
    return lines


def accumulator_text(results: Results) -> str:
    """Widths of the accumulators and what is proved of them, in one line."""
    rtl, bounds = results["rtl"], results["bounds"]
    rounds = "datapath" in bounds
    names = ("mantissas of", "and") if rounds else ("P_I", "P_O")
    inner, outer = f"{names[0]} {rtl['inner_bits']}", f"{names[1]} {rtl['outer_bits']}"
    if not rounds:
        inner, outer = f"{inner} ({rtl['inner_mode']}),", f"{outer} ({rtl['outer_mode']})"
    else:
        outer += f" bits ({rtl['inner_mode']})"
    proved = overflow_text(bounds)
    if rounds and not bounds["overflows"]:
        worst = max(layer["relative_error"] for layer in bounds["layers"])
        proved = f"proved: no result errs by more than {worst:.2g} of its channel's largest output"
        if bounds["bit_exact"]:
            proved = "proved: nothing is ever rounded"
    return f"accumulators: {inner} {outer}; {proved}{unbounded_text(results)}"


def overflow_text(bounds: dict[str, Any]) -> str:
    """Whether any accumulator can overflow."""
    if "skipped" in bounds:
        return bounds["skipped"]
    if not bounds["overflows"]:
        return "proved: no input can overflow them"
    first = bounds["overflows"][0]
    channels = {(found["layer"], found["channel"]) for found in bounds["overflows"]}
    return (
        f"NOT SAFE: {len(channels)} channels can overflow, first {first['layer']} "
        f"channel {first['channel']} ({first['stage']}, needs {first['needed_bits']} bits)"
    )


def unbounded_text(results: Results) -> str:
    """Layers that are timed and costed, but neither quantized, bounded nor verified."""
    if "skipped" in results["bounds"]:
        return ""
    bounded = {layer["name"] for layer in results["bounds"]["layers"]}
    others = [x["name"] for x in results["simulate"]["layers"] if x["name"] not in bounded]
    return f" ({', '.join(others)}: timed only)" if others else ""


def verify_text(checked: dict[str, Any]) -> str:
    """Result of the verification in one line."""
    if checked["passed"]:
        return (
            f"verified: RTL = golden = simulator on {len(checked['cases'])} jobs, "
            f"{checked['outputs']:,} outputs, {checked['rtl_cycles']:,} clock cycles, difference 0"
        )
    failed = next((case for case in checked["cases"] if not case["passed"]), None)
    if failed is None:
        return "NOT VERIFIED: no case was run"
    return f"NOT VERIFIED: {failed['name']}: {failed['failure']}"
