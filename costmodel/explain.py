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


def explain(report: CostReport, machine: Machine, technology: Technology, name: str) -> str:
    """How a block's area, an action's energy or another figure of ``report`` came about.

    Parameters
    ----------
    name : a block, an action, a cause or a figure of the report.

    Raises
    ------
    InputError : there is no such name; says the nearest.
    """
    blocks = {block.block: block for block in report.blocks}
    actions = {action.action: action for action in report.actions}
    known = {**blocks, **actions, **report.causes, **report.figures}
    if name not in known:
        raise unknown_name("figure", name, list(known))
    parts = []
    if name in blocks:
        parts.append(_area(blocks[name], technology))
    if name in actions:
        parts.append(_energy(actions[name], machine, technology))
    if name in report.causes:
        parts.append(_cause(name, report))
    if name in report.figures:
        figure = report.figures[name]
        within = interval(Estimate.of(figure), "")
        parts.append([f"{name}: {within}, {figure.kind}", f"  source: {figure.source}"])
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
        share = technology.composition(block.component)
        factor = technology.factor("area").times(share)
        model, parts = technology.area_model(block.component), amounts(block.structure)
        lines += _terms(model, parts, factor, technology, block.component, "um2")
        lines.append(
            f"  of them {share:.4g} times: what synthesis makes of the blocks of a core together"
        )
    if block.structure.sram_bits:
        lines.append(f"  {block.structure.sram_bits:,} bits of SRAM: costmodel/memory/sram.py")
    return lines


def _energy(action: ActionEnergy, machine: Machine, technology: Technology) -> list[str]:
    each, total = interval(action.energy, "pJ"), interval(action.total, "pJ")
    lines = [f"action {action.action} ({action.cause}): {action.count:,} x {each} = {total}"]
    priced = action_parts(machine)
    if action.action in priced:
        component, structure = priced[action.action]
        model, factor = technology.energy_model(component), technology.factor("energy")
        factor = factor.times(technology.data_factor(component))
        lines += _terms(model, vars(structure), factor, technology, component, "pJ")
    return lines


def _terms(
    model: LinearModel,
    parts: Mapping[str, float],
    factor: Estimate,
    technology: Technology,
    component: str,
    unit: str,
) -> list[str]:
    """The terms of a linear model one by one, and what the model rests on."""
    config, rows = technology.config, "netlists" if unit == "um2" else "jobs of cores"
    lines = [f"  {'part':18}{'number':>10}{f'{unit} each':>14}{unit:>14}"]
    for term, price in model.terms.items():
        number, scaled = parts.get(term, 0), price * factor.value
        if number:
            lines.append(f"  {term:18}{number:>10,}{scaled:>14.4g}{number * scaled:>14.4g}")
    lines.append(f"  prices of '{component}' in {config.library}, {fit_source(model, rows)}")
    if technology.asic.node_nm != config.node_nm or technology.data != "real":
        lines.append(
            f"  times {interval(factor, '')}: {technology.asic.node_nm:g} nm and "
            f"{technology.asic.volts:g} V to {config.node_nm:g} nm and {config.volts:g} V"
            + ("" if technology.data == "real" else f", {technology.data} data")
        )
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
