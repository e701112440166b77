"""Cells of a Liberty file: pin capacitances, internal power, output slews, leakage.

Units inside are ns, pF, V, pW; energies, of which the format says that they are capacitance times
voltage squared, are pJ.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from configs.errors import InputError

from .expressions import Condition, parse_condition

_TOKEN = re.compile(r'"[^"]*"|[^\s(){}:;,"]+|[(){}:;]')
_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}
#: what the second axis of a table is called where it is the load
_LOADS = ("total_output_net_capacitance", "output_net_length")


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
    """The library group of a Liberty file.

    Raises
    ------
    InputError : there is none.
    """
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).replace("\\\n", " ")
    try:
        root = _parse(iter(_TOKEN.findall(plain)))
    except StopIteration:
        raise InputError("the Liberty file ends inside a statement") from None
    for _, group in root.groups("library"):
        return group
    raise InputError("this is not a Liberty file: it has no library group")


def _parse(tokens: Iterator[str], *, inside: bool = False) -> Group:
    """Statements up to the closing brace, or of the whole file."""
    group = Group()
    while True:
        # inside a group the file must not end
        keyword = next(tokens) if inside else next(tokens, "}")
        if keyword == "}":
            break
        if keyword == ";":
            continue
        if next(tokens) == ":":
            group.values[keyword] = " ".join(iter(tokens.__next__, ";")).strip('"')
        else:
            arguments = [word.strip('"') for word in iter(tokens.__next__, ")")]
            body = _parse(tokens, inside=True) if next(tokens, None) == "{" else None
            group.children.append((keyword, arguments, body))
    return group


@dataclass(frozen=True, kw_only=True)
class Table:
    """Values over slew and load; an axis of one place is none.

    Attributes
    ----------
    slews_ns, loads_pf : places, ascending.
    values : one row per slew.
    """

    slews_ns: tuple[float, ...]
    loads_pf: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, slew_ns: float, load_pf: float) -> float:
        """Bilinear between the places, on with the last slope outside of them."""
        row, slew = _place(self.slews_ns, slew_ns)
        column, load = _place(self.loads_pf, load_pf)
        low = _between(self.values[row], column, load)
        if not slew:
            return low
        return low + slew * (_between(self.values[row + 1], column, load) - low)


def _place(axis: tuple[float, ...], value: float) -> tuple[int, float]:
    """Interval of an axis, and the share of it that lies below ``value``."""
    if len(axis) < 2:
        return 0, 0.0
    index = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return index, (value - axis[index]) / (axis[index + 1] - axis[index])


def _between(row: tuple[float, ...], index: int, share: float) -> float:
    return row[index] + share * (row[index + 1] - row[index]) if share else row[index]


@dataclass(frozen=True, kw_only=True)
class PowerArc:
    """Internal energy of one edge of a pin, pJ.

    Attributes
    ----------
    related_pin : input whose edge causes it; None for input pins.
    when : state of the other pins, None for any.
    rise, fall : tables; of the edges at the pin itself.
    """

    related_pin: str | None
    when: Condition | None
    rise: Table
    fall: Table

    def edge_pj(self, rise_slew_ns: float, fall_slew_ns: float, load_pf: float) -> float:
        """Mean of both edges."""
        return (self.rise.at(rise_slew_ns, load_pf) + self.fall.at(fall_slew_ns, load_pf)) / 2


@dataclass(frozen=True, kw_only=True)
class SlewArc:
    """Output slew, ns; ``sense`` is that of the related pin's edge."""

    related_pin: str
    sense: str
    rise: Table | None
    fall: Table | None


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A pin of a cell; ``state`` is the register that an output of a flip-flop shows."""

    name: str
    is_output: bool
    is_clock: bool
    capacitance_pf: float
    powers: tuple[PowerArc, ...]
    slews: tuple[SlewArc, ...]


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """Leakage in one state of the pins, pW."""

    power_pw: float
    when: Condition | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell.

    Attributes
    ----------
    area_um2 : cell area.
    pins : by name.
    leakages : by state; one without ``when`` holds for all other states.
    flip_flop : (data pin, output, inverted output) of a flip-flop, None otherwise.
    """

    name: str
    area_um2: float
    pins: dict[str, Pin]
    leakages: tuple[Leakage, ...]
    flip_flop: tuple[str | None, str | None, str | None] | None

    @cached_property
    def clock(self) -> str | None:
        """Clock pin."""
        return next((pin.name for pin in self.pins.values() if pin.is_clock), None)

    @cached_property
    def leakages_by_state(self) -> list[tuple[float, Condition | None]]:
        """(power in pW, state) of ``leakages``."""
        return [(leakage.power_pw, leakage.when) for leakage in self.leakages]


class Library:
    """Cells of a Liberty file, read when they are asked for.

    Parameters
    ----------
    text : the file.

    Raises
    ------
    InputError : no Liberty file.
    """

    def __init__(self, text: str) -> None:
        self._library = library = parse_liberty(text)
        self._cells = {arguments[0]: cell for arguments, cell in library.groups("cell")}
        self._made: dict[str, Cell] = {}
        self._templates = {
            arguments[0]: template
            for kind in ("power_lut_template", "lu_table_template")
            for arguments, template in library.groups(kind)
        }
        self._capacitance = self._unit_pf()
        self._slew = _scale(library.values.get("time_unit", "1ns"), 1e-9)
        volts = _scale(library.values.get("voltage_unit", "1V"), 1.0)
        self._energy = volts**2 * self._capacitance
        self._leakage = _scale(library.values.get("leakage_power_unit", "1nW"), 1e-12)

    def _unit_pf(self) -> float:
        for keyword, arguments, _ in self._library.children:
            if keyword == "capacitive_load_unit":
                words = " ".join(arguments).replace(",", " ").split()
                return float(words[0]) * _scale("1" + words[1].lower(), 1e-12)
        return 1.0

    def __contains__(self, name: object) -> bool:
        return name in self._cells

    def __getitem__(self, name: str) -> Cell:
        if name not in self._made:
            if name not in self._cells:
                raise InputError(f"the Liberty file has no cell '{name}'")
            self._made[name] = self._cell(name, self._cells[name])
        return self._made[name]

    def _cell(self, name: str, group: Group) -> Cell:
        pins = {a[0]: self._pin(a[0], pin) for a, pin in group.groups("pin")}
        leakages = [
            Leakage(
                power_pw=float(found.values["value"]) * self._leakage,
                when=_condition(found.values.get("when")),
            )
            for _, found in group.groups("leakage_power")
            if found.values.get("related_pg_pin") in (None, *_supplies(group))
        ]
        if not any(leakage.when is None for leakage in leakages):
            power = float(group.values.get("cell_leakage_power", 0)) * self._leakage
            leakages.append(Leakage(power_pw=power, when=None))
        return Cell(
            name=name,
            area_um2=float(group.values["area"]),
            pins=pins,
            leakages=tuple(leakages),
            flip_flop=_flip_flop(group),
        )

    def _pin(self, name: str, group: Group) -> Pin:
        powers = [
            PowerArc(
                related_pin=power.values.get("related_pin"),
                when=_condition(power.values.get("when")),
                rise=self._power(power, "rise_power"),
                fall=self._power(power, "fall_power"),
            )
            for _, power in group.groups("internal_power")
        ]
        slews = [
            SlewArc(
                related_pin=arc.values["related_pin"],
                sense=arc.values.get("timing_sense", "non_unate"),
                rise=self._table(arc, "rise_transition", self._slew),
                fall=self._table(arc, "fall_transition", self._slew),
            )
            for _, arc in group.groups("timing")
        ]
        return Pin(
            name=name,
            is_output=group.values.get("direction") == "output",
            is_clock=group.values.get("clock") == "true",
            capacitance_pf=float(group.values.get("capacitance", 0)) * self._capacitance,
            powers=tuple(powers),
            slews=tuple(arc for arc in slews if arc.rise or arc.fall),
        )

    def _power(self, group: Group, edge: str) -> Table:
        found = self._table(group, edge, self._energy)
        return found or Table(slews_ns=(0.0,), loads_pf=(0.0,), values=((0.0,),))

    def _table(self, group: Group, keyword: str, scale: float) -> Table | None:
        """A table with slew as first and load as second axis."""
        for arguments, table in group.groups(keyword):
            template = self._templates.get(arguments[0], Group())
            axes = [table.numbers(f"index_{n}") or template.numbers(f"index_{n}") for n in (1, 2)]
            values = [number * scale for number in table.numbers("values")]
            if len(values) == 1:
                axes = [[], []]
            first = axes[0] or [0.0]
            second = axes[1] or [0.0]
            rows = [values[n * len(second) : (n + 1) * len(second)] for n in range(len(first))]
            if template.values.get("variable_1") in _LOADS:
                rows, first, second = [list(row) for row in zip(*rows, strict=True)], second, first
            return Table(
                slews_ns=tuple(slew * self._slew for slew in first),
                loads_pf=tuple(load * self._capacitance for load in second),
                values=tuple(tuple(row) for row in rows),
            )
        return None


def _supplies(cell: Group) -> list[str]:
    """Names of a cell's supplies: leakage into the ground pin is the same current again."""
    pins = list(cell.groups("pg_pin"))
    return [a[0] for a, pin in pins if "power" in pin.values.get("pg_type", "")]


def _flip_flop(cell: Group) -> tuple[str | None, str | None, str | None] | None:
    """Data pin and outputs, of flip-flops whose next state is a pin."""
    for arguments, group in cell.groups("ff"):
        states = " ".join(arguments).replace(",", " ").split()
        functions = {
            a[0]: pin.values.get("function", "").strip("() ") for a, pin in cell.groups("pin")
        }
        outputs = {function: name for name, function in functions.items() if function}
        data = group.values.get("next_state", "").strip("() ")
        shown, inverted = (outputs.get(state) for state in states[:2])
        return data if data in functions else None, shown, inverted
    return None


def _condition(text: str | None) -> Condition | None:
    return parse_condition(text) if text else None


def _scale(unit: str, base: float) -> float:
    """How many of ``base`` a unit such as ``10ps`` is."""
    found = re.fullmatch(r"([\d.]+)\s*([fpnum]?)([a-zA-Z]+)", unit.strip())
    if found is None:
        raise InputError(f"Liberty unit '{unit}' is not a number with a unit such as 1ns")
    return float(found[1]) * _PREFIXES[found[2]] / base
