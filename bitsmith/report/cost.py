"""Area by block, energy by action, and the figures behind them."""

from collections import Counter
from typing import Any

from .charts import Bars, panel_chart
from .context import Row, Run
from .markup import Markup, join, paragraph, section, table, tag
from .units import count, percent, si, significant

#: kinds of figures, best known first: CSS class and meaning
_KINDS = {
    "measured": ("good", "by synthesis or simulation"),
    "fitted": ("", "to measurements"),
    "quoted": ("dim", "from literature or scaled from another process"),
}
_OTHER = ("", "")


def cost_section(run: Run) -> Markup:
    """Area, energy and their sources."""
    cost = run["cost"]
    description = run.config.get("technology", {}).get("description", "").rstrip(".")
    area = f"{significant(cost['area_um2'] / 1e6)} mm\u00b2"
    blocks = [(b["block"], b["count"], b["total_um2"]) for b in cost["blocks"]]
    limits = cost["intervals"]["area_um2"]
    low, high = (significant(limits[name] / 1e6) for name in ("low", "high"))
    causes = [
        (name, 0, found["energy_pj"] * 1e-12)
        for name, found in cost["causes"].items()
        if name != "dram"
    ]
    parts = [
        section_title(f"Area by block: {area} ({low} to {high}), without wires"),
        _bars(blocks, lambda value: f"{count(value)} \u00b5m\u00b2", "c0", "area"),
    ]
    for place, title, shade in (("on_chip", "On chip", "c2"), ("dram", "In DRAM", "c4")):
        actions = [a for a in cost["actions"] if a["place"] == place]
        total = si(cost[f"{place}_energy_pj"] * 1e-12, "J")
        entries = [(a["action"], a["count"], a["total_pj"] * 1e-12) for a in actions]
        parts += [
            section_title(f"{title}, by action: {total}"),
            _bars(entries, lambda value: si(value, "J"), shade, "energy"),
        ]
    parts += [
        section_title("On chip, by cause"),
        _bars(causes, lambda value: si(value, "J"), "c3", "energy"),
    ]
    return section(
        "cost",
        "Area and energy",
        "cost.json",
        paragraph(f"{cost['technology']}: {description}." if description else None),
        *parts,
        section_title("Figures and their sources"),
        _figures(cost["figures"]),
    )


def section_title(words: str) -> Markup:
    """A heading below the section's own."""
    return tag("h3", words)


def _bars(entries: list[tuple[str, int, float]], show: Any, shade: str, title: str) -> Markup:
    """Largest first, with share and count behind each bar."""
    entries = sorted(entries, key=lambda entry: -entry[2])
    total = sum(entry[2] for entry in entries) or 1.0
    rows = [
        Row(label=name, title=name, layers=(name,), band=index % 2)
        for index, (name, _, _) in enumerate(entries)
    ]
    notes = [
        f"{show(value)}, {percent(value / total)}"
        + (f" ({count(number)} \u00d7)" if number else "")
        for _, number, value in entries
    ]
    bars = Bars(
        title=title,
        values=[[value] for _, _, value in entries],
        show=show,
        notes=notes,
        colors=[shade] * len(entries),
    )
    return panel_chart(rows, [bars], title)


def _figures(figures: dict[str, Any]) -> Markup:
    """Every figure with its kind and source."""
    kinds = Counter(str(figure["kind"]) for figure in figures.values())
    summary = "; ".join(
        f"{kinds[kind]} {kind} {_KINDS.get(kind, _OTHER)[1]}".strip()
        for kind in [*_KINDS, *sorted(kinds.keys() - _KINDS.keys())]
        if kind in kinds
    )
    rows = [
        [
            tag("code", name),
            tag("span", figure["kind"], class_=f"kind {_KINDS.get(figure['kind'], _OTHER)[0]}"),
            figure["source"],
            f"{figure['value']:g}",
        ]
        for name, figure in figures.items()
    ]
    return join(
        paragraph(
            "Area: flip-flop bits, adder bits, multiplexer bits, gates and storage bits of each "
            "block times these figures, scaled to the process. Energy: what the simulator counted "
            "times the energy of one action. bitsmith cost --explain NAME says where a block, an "
            f"action or a figure comes from. Of {len(figures)} figures: {summary}."
        ),
        table(
            ["figure, unit in its name", "kind", "source", "value"],
            rows,
            text_columns=3,
            class_="wide",
        ),
    )
