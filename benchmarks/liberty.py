"""Cell areas and energies from a Liberty file."""

from pathlib import Path

from costmodel.gates.liberty import Group, parse_liberty


def _edge_pj(power: Group, edge: str) -> float:
    """One edge's energy at the second slew and the smallest load."""
    table = next(group for _, group in power.groups(edge))
    values, loads = table.numbers("values"), len(table.numbers("index_2")) or 1
    return values[loads] if len(values) > loads else values[0]


def _powers(pin: Group) -> list[Group]:
    """Internal power of a pin whatever the state of the others."""
    return [power for _, power in pin.groups("internal_power") if "when" not in power.values]


class Library:
    """Cells of a Liberty file whose units are V, pF and pW, so that energies are in pJ.

    Parameters
    ----------
    path : uncompressed Liberty file.
    volts : supply.
    toggle : how often a bit changes per evaluation.
    """

    def __init__(self, path: Path, *, volts: float, toggle: float) -> None:
        library = parse_liberty(path.read_text())
        self.cells = {arguments[0]: cell for arguments, cell in library.groups("cell")}
        self.half_v2 = volts**2 / 2
        self.toggle = toggle

    def area_um2(self, name: str) -> float:
        """Area of a cell."""
        return float(self.cells[name].values["area"])

    def _pins(self, name: str) -> dict[str, Group]:
        return {arguments[0]: pin for arguments, pin in self.cells[name].groups("pin")}

    def evaluation_pj(self, name: str) -> float:
        """A combinational cell's energy per evaluation.

        Internal energy of an output edge, averaged over arcs and edges, plus half C V squared of
        its own input pins (so every wire's load is charged to its readers), times ``toggle``.
        """
        pins = self._pins(name).values()
        edges = [
            _edge_pj(power, edge)
            for pin in pins
            if pin.values["direction"] == "output"
            for power in _powers(pin)
            for edge in ("rise_power", "fall_power")
        ]
        inputs = [pin for pin in pins if pin.values["direction"] == "input"]
        capacitance_pf = sum(float(pin.values["capacitance"]) for pin in inputs)
        return self.toggle * (sum(edges) / len(edges) + self.half_v2 * capacitance_pf)

    def clock_pj(self, name: str, clock: str) -> float:
        """Both clock edges at a flip-flop whose output keeps its value."""
        pin = self._pins(name)[clock]
        edges = sum(_edge_pj(p, e) for p in _powers(pin)[:1] for e in ("rise_power", "fall_power"))
        return edges + 2 * self.half_v2 * float(pin.values["capacitance"])

    def register_pj(self, name: str, *, clock: str, data: str, output: str) -> float:
        """New data at a flip-flop: what a change costs above the clock edge, times ``toggle``."""
        pins = self._pins(name)
        arc = next(p for p in _powers(pins[output]) if p.values["related_pin"] == clock)
        edges = ("rise_power", "fall_power")
        change = sum(_edge_pj(arc, edge) for edge in edges) / 2
        change -= _edge_pj(_powers(pins[clock])[0], "rise_power")
        change += sum(_edge_pj(_powers(pins[data])[0], edge) for edge in edges) / 2
        change += self.half_v2 * float(pins[data].values["capacitance"])
        return self.toggle * change

    def netlist_pj(self, cells: dict[str, int]) -> float:
        """Energy per evaluation of combinational cells by count."""
        return sum(count * self.evaluation_pj(name) for name, count in cells.items())

    def leakage_mw_per_mm2(self, cells: dict[str, int]) -> float:
        """Leakage of a netlist over its area."""
        leakage_pw = sum(
            count * float(self.cells[name].values["cell_leakage_power"])
            for name, count in cells.items()
        )
        area = sum(count * self.area_um2(name) for name, count in cells.items())
        return leakage_pw / area * 1e-3
