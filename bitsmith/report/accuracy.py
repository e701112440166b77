"""Formats, quantization error, and what they do to the model."""

from .charts import Bars, Panel, Shares, color, panel_chart
from .context import Run
from .header import skip_note
from .markup import Markup, join, legend, paragraph, section, table, tag
from .units import signed, significant


def accuracy_section(run: Run) -> Markup:
    """Format mix, errors and held-out bits per byte."""
    layers = skip_note(run, "quantize") or _layers(run)
    return section(
        "accuracy",
        "Numbers: formats and accuracy",
        "quantize.json, evaluate.json",
        layers,
        tag("h3", "Held-out text"),
        skip_note(run, "evaluate") or _evaluation(run),
    )


def _mixes(run: Run) -> tuple[list[str], list[dict[str, float]]]:
    """Formats in order, and each row's shares, averaged over its layers."""
    entries = run.by_layer("quantize")
    names: dict[str, None] = {}
    for entry in entries.values():
        names.update(dict.fromkeys(entry["format_mix"]))
    mixes = []
    for row in run.rows:
        known = [entries[name]["format_mix"] for name in row.layers if name in entries]
        mixes.append(
            {f: sum(mix.get(f, 0.0) for mix in known) / len(known) for f in names} if known else {}
        )
    return list(names), mixes


def _layers(run: Run) -> Markup:
    """Charts over the layers."""
    quantized = run["quantize"]
    names, mixes = _mixes(run)
    errors = run.values("quantize", "relative_error")
    hardware = run.values("quantize", "hardware_relative_error")
    differs = hardware != errors
    panels: list[Panel] = []
    if len(names) > 1:
        panels.append(Shares(title="share of the groups", names=names, values=mixes, weight=1.6))
    panels += [
        Bars(
            title="relative squared error",
            values=errors,
            second=hardware if differs else [],
            show=lambda value: significant(value),
        ),
        Bars(
            title="bits per weight, scales included",
            values=run.values("quantize", "bits_per_weight"),
            show=lambda value: significant(value),
            colors=["c7"] * len(run.rows),
        ),
    ]
    mix = "a format is chosen per group" if len(names) > 1 else f"every group is {names[0]}"
    tick = " Tick: error with the second-level scales that the hardware uses." if differs else ""
    many = " A row is a kind of layer: mean share, median and smallest to largest error."
    return join(
        paragraph(
            f"{quantized['format']}, groups of {quantized['group_size']} weights, {mix}. Error: "
            f"sum of squared differences over sum of squared weights.{tick}",
            many if run.grouped else None,
        ),
        legend([(color(i), name) for i, name in enumerate(names)]) if len(names) > 1 else None,
        panel_chart(run.rows, panels, "Format mix and quantization error of each layer"),
    )


def _evaluation(run: Run) -> Markup:
    """Bits per byte of every variant."""
    evaluated = run["evaluate"]
    rows = []
    for index, variant in enumerate(evaluated["variants"]):
        change = f"{signed(variant['increase'])} \u00b1 {variant['increase_error']:.4f}"
        value = f"{variant['bits_per_byte']:.4f} \u00b1 {variant['standard_error']:.4f}"
        rows.append([variant["name"], value, change if index else "\u2013"])
    return join(
        table(["model", "bits per byte", "increase over float"], rows),
        paragraph(
            f"{evaluated['bytes']:,} bytes in {evaluated['windows']} windows that the model was "
            "not trained on. \u00b1 is one standard error over windows; the increase is paired, "
            "window by window, which is why its error is much smaller.",
            class_="dim",
        ),
    )
