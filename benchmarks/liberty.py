"""Cell areas and energies from a Liberty file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TOKEN = re.compile(r'"[^"]*"|[^\s(){}:;,"]+|[(){}:;]')


@dataclass(frozen=True, kw_only=True)
class Group:
    """One Liberty group: simple attributes; lists and groups by keyword."""

    values: dict[str, str] = field(default_factory=dict)
    children: list[tuple[str, list[str], "Group | None"]] = field(default_factory=list)

    def groups(self, keyword: str) -> Iterator[tuple[list[str], "Group"]]:
        """(arguments, group) of every group of a keyword."""
        return ((a, group) for k, a, group in self.children if k == keyword and group is not None)

    def numbers(self, keyword: str) -> list[float]:
        """Numbers of a list attribute, flattened; empty if there is none."""
        texts = [text for k, arguments, _ in self.children if k == keyword for text in arguments]
        return [float(number) for text in texts for number in text.replace(",", " ").split()]


def parse_liberty(text: str) -> Group:
    """The library group of a Liberty file."""
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).replace("\\\n", " ")
    return next(group for _, group in _parse(iter(_TOKEN.findall(plain))).groups("library"))


def _parse(tokens: Iterator[str]) -> Group:
    """Statements up to the closing brace."""
    group = Group()
    for keyword in tokens:
        if keyword == "}":
            break
        if keyword == ";":
            continue
        if next(tokens) == ":":
            group.values[keyword] = " ".join(iter(tokens.__next__, ";")).strip('"')
        else:
            arguments = [word.strip('"') for word in iter(tokens.__next__, ")")]
            body = _parse(tokens) if next(tokens) == "{" else None
            group.children.append((keyword, arguments, body))
    return group


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
