"""Where the time goes."""

from .charts import Bars, Panel, panel_chart, stacked_bar
from .context import Run
from .markup import Markup, join, legend, paragraph, section, table, tag
from .units import count, percent, si

#: colour of every cause; others are grey
_COLORS = {
    "compute": "c0",
    "weights": "c3",
    "activations": "c2",
    "dequantizer": "c1",
    "output": "c4",
}
_MEANING = {
    "compute": "a slot is issued",
    "weights": "waiting for weights",
    "activations": "waiting for activations",
    "dequantizer": "waiting for the dequantizer",
    "output": "the last results leave",
}
#: from this share on, the other causes get a bar of their own
_DOMINANT = 0.8


def cycle_section(run: Run) -> Markup:
    """Totals, causes, and the layers."""
    simulated = run["simulate"]
    clock_hz, rows = simulated["clock_mhz"] * 1e6, []
    prefill, step = simulated["prefill_cycles"], simulated["decode_step_cycles"]
    total, steps = simulated["total_cycles"], simulated["decode_tokens"]
    for name, cycles, tokens in [
        ("prefill", prefill, simulated["prefill_tokens"]),
        ("one decode step", step, 1 if steps else 0),
        (f"all {steps:,} decode steps", step * steps, steps),
        ("workload", total, simulated["prefill_tokens"] + steps),
    ]:
        if tokens:
            rate = tokens * clock_hz / cycles
            rows.append([name, count(tokens), count(cycles), si(cycles / clock_hz, "s"), si(rate)])
    return section(
        "cycles",
        "Cycles",
        "simulate.json",
        table(["", "tokens", "cycles", "time", "tokens/s"], [list(row) for row in rows]),
        _causes(run),
        _layers(run),
    )


def _causes(run: Run) -> Markup:
    """What the cycles of the whole workload were spent on."""
    simulated = run["simulate"]
    causes = dict(sorted(simulated["causes"].items(), key=lambda item: -item[1]))
    total = simulated["total_cycles"]
    parts = [(name, float(c), _COLORS.get(name, "c7")) for name, c in causes.items()]
    between = total - sum(causes.values())
    if between > 0:
        parts.append(("between jobs", float(between), "c7"))
    entries = [
        (
            shade,
            f"{name}: {count(cycles)} ({percent(cycles / total, 2)})"
            + (f", {_MEANING[name]}" if name in _MEANING else ""),
        )
        for name, cycles, shade in parts
    ]
    first, rest = parts[0], [part for part in parts[1:] if part[1]]
    zoomed = None
    if rest and first[1] > _DOMINANT * total:
        share = percent(1 - first[1] / total, 2)
        zoomed = join(
            tag("h3", f"The {share} that is not {first[0]}, enlarged"),
            stacked_bar(rest, "Cycles apart from the largest cause", height=20),
        )
    return join(
        tag("h3", "Cycles of the workload by cause"),
        stacked_bar(parts, "Cycles of the workload by cause"),
        zoomed,
        legend(entries),
    )


def _layers(run: Run) -> Markup:
    """Cycles, utilization and energy of each layer."""
    simulated = run["simulate"]
    total, energy = simulated["total_cycles"], run.values("cost", "on_chip_energy_pj")
    shares = [[sum(row) / total] for row in run.values("simulate", "total_cycles")]
    panels: list[Panel] = [
        Bars(title="share of all cycles", values=shares, show=percent_tick, weight=0.9)
    ]
    for key, title in (
        ("prefill_cycles", "prefill cycles"),
        ("decode_step_cycles", "cycles of a decode step"),
    ):
        if simulated[key]:
            panels.append(Bars(title=title, values=run.values("simulate", key), show=si))
    panels += [
        Bars(
            title="utilization",
            values=run.values("simulate", "utilization"),
            show=percent_tick,
            high=1.0,
            colors=["c2"] * len(run.rows),
        ),
        Bars(
            title="on-chip energy",
            values=energy,
            show=lambda picojoules: si(picojoules * 1e-12, "J"),
            colors=["c1"] * len(run.rows),
        ),
    ]
    many = (
        "A row is a kind of layer: the share is that of all its layers together, the others are "
        "per layer, median with smallest to largest. "
    )
    return join(
        tag("h3", "By layer"),
        paragraph(
            many if run.grouped else None,
            "Utilization: useful products over those that the array could do in the layer's time, "
            "prefill and decode together. On-chip energy of the workload is from cost.json.",
        ),
        panel_chart(run.rows, panels, "Cycles, utilization and energy of each layer"),
    )


def percent_tick(share: float) -> str:
    """Per cent without needless decimals."""
    return f"{100 * share:.3g}%"
