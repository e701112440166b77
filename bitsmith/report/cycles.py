"""How long the workload takes, and each layer of it."""

from .charts import Bars, Panel, panel_chart
from .context import Run
from .markup import Markup, join, paragraph, section, table, tag
from .units import count, si


def cycle_section(run: Run) -> Markup:
    """Totals, and the layers."""
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
        _layers(run),
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
