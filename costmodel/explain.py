"""Where a figure of a cost report comes from, in words: ``bitsmith cost --explain NAME``."""

from collections.abc import Iterator, Mapping

from configs.errors import unknown_name
from sw.compile import Machine

from .actions import action_parts
from .area import BlockArea
from .calibration.files import amounts
from .energy import ActionEnergy
from .estimate import Estimate
from .linear import LinearModel
from .report import CostReport
from .technology import Technology, fit_source

#: totals of a report, and what they are
_TOTALS = {
    "area_um2": "all blocks; the interval is that of whole cores left out of the fit",
    "energy_pj": "all causes",
    "on_chip_energy_pj": "all causes but dram",
    "power_mw": "all causes but dram, over the time at the configured clock",
    "logic_fmax_mhz": "the slowest path of cells, fitted to synthesized cores, without wires",
}
#: figures behind actions that no component's fit prices, by what the action's name begins with
_ORIGINS = {
    "clock.": ("clock_energy_pj_per_bit",),
    "leakage.cells": ("leakage_mw_per_mm2",),
    "leakage.sram": ("sram_leakage_mw_per_bit",),
    "wires.": ("wire_energy_pj_per_bit_mm",),
    "stream.": ("wire_energy_pj_per_bit_mm", "stream_mm"),
    "dram.": ("dram_energy_pj_per_bit",),
    "sram.": ("{0[0]}.{0[2]}_pj_per_bit",),
}


def explain(report: CostReport, machine: Machine, technology: Technology, name: str) -> str:
    """How a block's area, an action's energy or another figure of ``report`` came about.

    Parameters
    ----------
    name : a total, a block, an action, a cause or a figure of the report.

    Raises
    ------
    InputError : there is no such name; says the nearest.
    """
    blocks = {block.block: block for block in report.blocks}
    actions = {action.action: action for action in report.actions}
    known = {**_TOTALS, **blocks, **actions, **report.causes, **report.figures}
    if name not in known:
        raise unknown_name("figure", name, list(known))
    parts = []
    if name in _TOTALS:
        parts.append(_total(name, report, technology))
    if name in blocks:
        parts.append(_area(blocks[name], technology))
    if name in actions:
        parts.append(_energy(actions[name], report, machine, technology))
    if name in report.causes:
        parts.append(_cause(name, report))
    if name in report.figures:
        parts.append(_figure(name, report))
    return "\n\n".join("\n".join(lines) for lines in parts)


def interval(estimate: Estimate, unit: str) -> str:
    """A value and its limits."""
    unit = f" {unit}" if unit else ""
    if estimate.low == estimate.high:
        return f"{estimate.value:.4g}{unit}"
    return f"{estimate.value:.4g}{unit} ({estimate.low:.4g} to {estimate.high:.4g})"


def _area(block: BlockArea, technology: Technology) -> list[str]:
    each, total = interval(block.area, "um2"), interval(block.total, "um2")
    lines = [f"{block.block}: {block.count:,} x {each} = {total}"]
    if block.component != "sram":
        share, scaling = technology.composition(block.component), technology.factor("area")
        model, parts = technology.area_model(block.component), amounts(block.structure)
        lines += _terms(model, parts, scaling.times(share), "um2")
        lines.append(_fitted(technology, block.component, fit_source(model, "netlists")))
        lines.append(f"  times {share:.4g}: what synthesis makes of the blocks of a core together")
        lines += _scaled(technology, scaling)
    if block.structure.sram_bits:
        lines.append(f"  {block.structure.sram_bits:,} bits of SRAM: costmodel/memory/sram.py")
    return lines


def _energy(
    action: ActionEnergy, report: CostReport, machine: Machine, technology: Technology
) -> list[str]:
    each, total = interval(action.energy, "pJ"), interval(action.total, "pJ")
    lines = [f"action {action.action} ({action.cause}): {action.count:,} x {each} = {total}"]
    priced = action_parts(machine)
    if action.action not in priced:
        for start, names in _ORIGINS.items():
            if action.action.startswith(start):
                for name in names:
                    figure = _figure(name.format(action.action.rpartition(".")), report)
                    lines += [f"  from {figure[0]}", *figure[1:]]
        return lines
    component, structure = priced[action.action]
    model, scaling = technology.energy_model(component), technology.factor("energy")
    share = technology.data_factor(component)
    lines += _terms(model, vars(structure), scaling.times(share), "pJ")
    lines.append(_fitted(technology, component, fit_source(model, "jobs of cores")))
    if technology.data != "real":
        lines.append(f"  times {interval(share, '')}: {technology.data} data over real ones")
    return lines + _scaled(technology, scaling)


def _terms(
    model: LinearModel, parts: Mapping[str, float], factor: Estimate, unit: str
) -> list[str]:
    """The terms of a linear model one by one, all factors included."""
    lines = [f"  {'part':18}{'number':>10}{f'{unit} each':>14}{unit:>14}"]
    for term, price in model.terms.items():
        number, scaled = parts.get(term, 0), price * factor.value
        if number:
            lines.append(f"  {term:18}{number:>10,}{scaled:>14.4g}{number * scaled:>14.4g}")
    return lines


def _fitted(technology: Technology, component: str, source: str) -> str:
    return f"  prices of '{component}' in {technology.config.library}, {source}"


def _scaled(technology: Technology, factor: Estimate) -> list[str]:
    """The factor between the library's process and this one; nothing where they are the same."""
    fit, config = technology.asic, technology.config
    if (fit.node_nm, fit.volts) == (config.node_nm, config.volts):
        return []
    return [
        f"  times {interval(factor, '')}: {fit.node_nm:g} nm and {fit.volts:g} V to "
        f"{config.node_nm:g} nm and {config.volts:g} V"
    ]


def _figure(name: str, report: CostReport) -> list[str]:
    figure = report.figures[name]
    within = interval(Estimate.of(figure), "")
    return [f"{name}: {within}, {figure.kind}", f"  source: {figure.source}"]


def _total(name: str, report: CostReport, technology: Technology) -> list[str]:
    """A total and what it is the sum of."""
    content = report.to_dict()
    limits = content["intervals"][name]
    found = Estimate(value=content[name], low=limits["low"], high=limits["high"])
    lines = [f"{name}: {interval(found, '')}", f"  {_TOTALS[name]}"]
    if name == "area_um2":
        lines += [f"  {b.block:32}{interval(b.total, 'um2')}" for b in report.blocks]
    elif name == "logic_fmax_mhz":
        lines += _scaled(technology, technology.factor("delay"))
    else:
        lines += [f"  {n:32}{interval(e, 'pJ')}" for n, e in report.causes.items()]
    return lines


def _cause(name: str, report: CostReport) -> list[str]:
    """The actions behind a cause."""
    return [f"{name}: {interval(report.causes[name], 'pJ')}", *_behind(name, report)]


def _behind(name: str, report: CostReport) -> Iterator[str]:
    if name == "idle":
        yield "  the share of 'compute' that rows, columns and lanes without data take"
    for action in report.actions:
        if action.cause == name:
            yield f"  {action.action:32}{interval(action.total, 'pJ')}"
