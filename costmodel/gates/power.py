"""Energy of a netlist from the toggles of its nets, as the tables of its library have it.

A change of a net costs the driver's internal energy, which depends on its load and on the slew at
its input, and half C V squared of the pins that the net drives; wires have no capacitance. Pins are
charged to the cells that they belong to: an operand that goes to more processing elements takes
more energy in them. A cell's input pins have an internal energy of their own. Every flip-flop's
clock pin changes twice a cycle.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import product

from .expressions import Condition
from .liberty import Cell, Library, Pin, PowerArc, SlewArc
from .netlist import Instance, Net, Netlist
from .saif import Toggles

#: the clock is high half of the time
_CLOCK_HIGH = 0.5
Slew = tuple[float, float]
"""Slew of a rising and of a falling edge, ns."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy of some cells over a job, pJ; leakage as power, pW.

    Attributes
    ----------
    internal_pj : inside cells, by their output and input changes, clock pins apart.
    switching_pj : half C V squared of the cells' own input pins, on nets that other cells drive.
    port_pj : the same on nets that come from outside.
    clock_pj : inside cells, by both edges of every cycle at their clock pins.
    clock_load_pj : half C V squared of the clock pins.
    leakage_pw : by the share of the time in each state.
    """

    internal_pj: float = 0.0
    switching_pj: float = 0.0
    port_pj: float = 0.0
    clock_pj: float = 0.0
    clock_load_pj: float = 0.0
    leakage_pw: float = 0.0

    def __add__(self, other: "Energy") -> "Energy":
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Energy(**sums)

    @property
    def data_pj(self) -> float:
        """All that depends on data: neither clock nor leakage."""
        return self.internal_pj + self.switching_pj + self.port_pj

    @property
    def clock_total_pj(self) -> float:
        """All that the clock costs but its tree, which a netlist before placement lacks."""
        return self.clock_pj + self.clock_load_pj

    @property
    def driven_pj(self) -> float:
        """Without the charge of pins that something outside drives."""
        return self.internal_pj + self.switching_pj + self.clock_pj


class PowerModel:
    """Loads and slews of a netlist, ready for the toggles of any job.

    Parameters
    ----------
    netlist : the cells.
    library : their tables.
    volts : supply.
    clock : input port of the clock.
    """

    def __init__(
        self, netlist: Netlist, library: Library, *, volts: float, clock: str = "aclk"
    ) -> None:
        self.netlist, self.library = netlist, library
        self.half_v2 = volts**2 / 2
        self.clock_net = netlist.inputs[clock][0]
        self.cells = [library[instance.cell] for instance in netlist.instances]
        self.loads_pf: dict[Net, float] = {}
        self._drivers: dict[Net, int] = {}
        for number, (instance, cell) in enumerate(self._pairs()):
            for name, net in instance.pins.items():
                pin = cell.pins[name]
                if pin.is_output:
                    self._drivers[net] = number
                else:
                    self.loads_pf[net] = self.loads_pf.get(net, 0.0) + pin.capacitance_pf
        self.slews_ns: dict[Net, Slew] = {}
        for number in self._in_order():
            self._propagate(netlist.instances[number], self.cells[number])
        self._plans = [self._plan(*pair) for pair in self._pairs()]

    def _pairs(self) -> Iterator[tuple[Instance, Cell]]:
        return zip(self.netlist.instances, self.cells, strict=True)

    def _in_order(self) -> list[int]:
        """Instances so that drivers come first; flip-flops need none."""
        order: list[int] = []
        state = [0] * len(self.cells)
        for first in range(len(self.cells)):
            stack = [first]
            while stack:
                number = stack[-1]
                if state[number]:
                    stack.pop()
                    if state[number] == 1:
                        state[number] = 2
                        order.append(number)
                    continue
                state[number] = 1
                if self.cells[number].clock is None:
                    nets = self.netlist.instances[number].pins.values()
                    drivers = (self._drivers.get(net) for net in nets)
                    stack += [d for d in drivers if d is not None and not state[d]]
        return order

    def _slew(self, net: Net | None) -> Slew:
        """Slew of a net; ports and the clock are ideal."""
        return self.slews_ns.get(net, (0.0, 0.0)) if net is not None else (0.0, 0.0)

    def _propagate(self, instance: Instance, cell: Cell) -> None:
        """Slews of a cell's outputs: the slowest over all inputs."""
        for name, net in instance.pins.items():
            if not cell.pins[name].is_output:
                continue
            load = self.loads_pf.get(net, 0.0)
            rise = fall = 0.0
            for arc in cell.pins[name].slews:
                into = self._slew(instance.pins.get(arc.related_pin))
                for_rise, for_fall = _edges(into, arc)
                rise = max(rise, arc.rise.at(for_rise, load) if arc.rise else 0.0)
                fall = max(fall, arc.fall.at(for_fall, load) if arc.fall else 0.0)
            self.slews_ns[net] = rise, fall

    def _plan(self, instance: Instance, cell: Cell) -> list["_PinPlan"]:
        """What a change costs at each pin, all tables read."""
        plans = []
        for name, pin in cell.pins.items():
            net = instance.pins.get(name)
            if pin.powers and (net is not None or pin.is_output):
                arcs = [self._arc(instance, pin, net, arc) for arc in pin.powers]
                plans.append(_PinPlan(pin=pin, net=net, arcs=arcs))
        return plans

    def _arc(self, instance: Instance, pin: Pin, net: Net | None, arc: PowerArc) -> "_Arc":
        load = self.loads_pf.get(net, 0.0) if pin.is_output and net is not None else 0.0
        source = instance.pins.get(arc.related_pin) if arc.related_pin else net
        rise, fall = self._slew(source)
        sense = next((s.sense for s in pin.slews if s.related_pin == arc.related_pin), "")
        if sense == "negative_unate":
            rise, fall = fall, rise
        return _Arc(
            source=source, when=arc.when, energy_pj=arc.edge_pj(rise, fall, load), table=arc
        )

    def energy(
        self, toggles: Toggles, group: Callable[[Instance], str] = lambda _: ""
    ) -> dict[str, Energy]:
        """Energy of a recorded job, by ``group`` of the instances."""
        found: dict[str, list[float]] = {}
        for number, instance in enumerate(self.netlist.instances):
            sums = found.setdefault(group(instance), [0.0] * len(fields(Energy)))
            for index, value in enumerate(self._instance(number, toggles)):
                sums[index] += value
        names = [f.name for f in fields(Energy)]
        return {name: Energy(**dict(zip(names, v, strict=True))) for name, v in found.items()}

    def _instance(self, number: int, toggles: Toggles) -> tuple[float, ...]:
        """The fields of :class:`Energy`, of one instance."""
        instance, cell = self.netlist.instances[number], self.cells[number]
        states = _States(instance, cell, toggles, self.clock_net)
        internal = switching = port = clock = clock_load = 0.0
        for name, net in instance.pins.items():
            pin = cell.pins[name]
            if pin.is_output:
                continue
            charge = self.half_v2 * states.changes(name) * pin.capacitance_pf
            if net == self.clock_net:
                clock_load += charge
            elif net in self._drivers:
                switching += charge
            else:
                port += charge
        for plan in self._plans[number]:
            changes = states.changes(plan.pin.name)
            spent = changes * plan.mean_pj(states) if changes else 0.0
            if plan.net == self.clock_net:
                clock += spent
            else:
                internal += spent
        leakage = states.mean_of(cell.leakages_by_state)
        return internal, switching, port, clock, clock_load, leakage

    def doubtful(self, toggles: Toggles) -> tuple[float, float]:
        """Energy that the tables of flip-flops may give twice, pJ, as they are usually read.

        Some libraries leave the load's half C V squared in the tables of flip-flop outputs: it is
        added again for the net. And where each of two outputs has a table of the whole cell's
        energy, both are charged. Returns (load, lesser of two outputs).
        """
        load = second = 0.0
        for number, cell in enumerate(self.cells):
            if cell.clock is None:
                continue
            instance = self.netlist.instances[number]
            states = _States(instance, cell, toggles, self.clock_net)
            spent = []
            for plan in self._plans[number]:
                changes = states.changes(plan.pin.name)
                if not plan.pin.is_output or not changes:
                    continue
                spent.append(changes * plan.mean_pj(states))
                loaded = self.loads_pf.get(plan.net, 0.0) if plan.net is not None else 0.0
                arc = next((a.table for a in plan.arcs if a.source == self.clock_net), None)
                if arc and loaded and _includes_load(arc, loaded, self.half_v2):
                    load += changes * self.half_v2 * loaded
            second += min(spent) if len(spent) > 1 else 0.0
        return load, second


def _includes_load(arc: PowerArc, load_pf: float, half_v2: float) -> bool:
    """Whether a table grows with the load as its half C V squared does."""
    growth = arc.edge_pj(0.0, 0.0, load_pf) - arc.edge_pj(0.0, 0.0, 0.0)
    return growth > half_v2 * load_pf / 2


def _edges(into: Slew, arc: SlewArc) -> Slew:
    """Input slews that cause the rising and the falling output edge."""
    if arc.sense == "positive_unate":
        return into
    if arc.sense == "negative_unate":
        return into[1], into[0]
    return max(into), max(into)


@dataclass(frozen=True, kw_only=True)
class _Arc:
    """One power group with its tables read."""

    source: Net | None
    when: Condition | None
    energy_pj: float
    table: PowerArc


@dataclass(frozen=True, kw_only=True)
class _PinPlan:
    """Power groups of one pin of an instance."""

    pin: Pin
    net: Net | None
    arcs: list[_Arc]

    def mean_pj(self, states: "_States") -> float:
        """Energy of a change, over the pins that may have caused it and the states of the others.

        A group without ``when`` stands for the states that none with one of the same pin names.
        """
        if not self.pin.is_output:
            return states.mean_of([(arc.energy_pj, arc.when) for arc in self.arcs])
        causes: dict[str | None, list[tuple[float, Condition | None]]] = {}
        for arc in self.arcs:
            causes.setdefault(arc.table.related_pin, []).append((arc.energy_pj, arc.when))
        weights = {pin: states.changes(pin) if pin else 1.0 for pin in causes}
        total = sum(weights.values())
        if not total:
            return 0.0
        shares = ((weights[pin] / total, groups) for pin, groups in causes.items() if weights[pin])
        return sum(share * states.mean_of(groups) for share, groups in shares)


class _States:
    """How often the pins of an instance change, and how likely their values are.

    Pins are independent, but a flip-flop's data differ from its output in exactly the cycles after
    which the output changes.
    """

    def __init__(self, instance: Instance, cell: Cell, toggles: Toggles, clock: Net) -> None:
        self._pins, self._toggles, self._clock = instance.pins, toggles, clock
        self._flip_flop = cell.flip_flop or (None, None, None)
        self._cache: dict[str, float] = {}

    def _recorded(self, pin: str) -> tuple[float, float] | None:
        """(share of the time at 1, changes) of a connected pin."""
        net = self._pins.get(pin)
        if net is None:
            return None
        if net == self._clock:
            return _CLOCK_HIGH, 2 * self._toggles.duration
        return self._toggles.of(net)

    def _of(self, pin: str) -> tuple[float, float]:
        """As ``_recorded``; an output that nothing reads does what the other one shows."""
        found = self._recorded(pin)
        if found is None and pin in self._flip_flop[1:]:
            other = next(name for name in self._flip_flop[1:] if name != pin)
            found = self._recorded(other) if other else None
            if found:
                found = 1 - found[0], found[1]
        return found or (0.0, 0.0)

    def changes(self, pin: str) -> float:
        """Changes of a pin."""
        return self._of(pin)[1]

    def mean_of(self, groups: list[tuple[float, Condition | None]]) -> float:
        """Mean of values that hold under conditions; one without takes what is left."""
        total = covered = 0.0
        default = None
        for value, when in groups:
            if when is None:
                default = value
                continue
            share = self.probability(when)
            covered += share
            total += share * value
        return total + (default or 0.0) * max(0.0, 1.0 - covered)

    def probability(self, when: Condition) -> float:
        """Share of the time in which a condition holds."""
        if when.text not in self._cache:
            free = [name for name in when.names if name not in self._flip_flop]
            coupled = [name for name in when.names if name in self._flip_flop]
            self._cache[when.text] = sum(
                self._free(dict(zip(when.names, values, strict=True)), free)
                * self._coupled(dict(zip(when.names, values, strict=True)), coupled)
                for values in when.states
            )
        return self._cache[when.text]

    def _free(self, values: dict[str, bool], names: list[str]) -> float:
        share = 1.0
        for name in names:
            high = self._of(name)[0]
            share *= high if values[name] else 1 - high
        return share

    def _coupled(self, values: dict[str, bool], names: list[str]) -> float:
        """Probability of values of a flip-flop's data and outputs."""
        if not names:
            return 1.0
        data, output, inverted = self._flip_flop
        shown = output if output is not None else inverted
        high, changes = self._of(shown) if shown else (0.5, 0.0)
        if output is None:
            high = 1 - high
        differs = min(changes / self._toggles.duration, 2 * high, 2 * (1 - high))
        share = 0.0
        for now, following in product((False, True), repeat=2):
            state = {data: following, output: now, inverted: not now}
            if all(values[name] == state[name] for name in names):
                stays = (high if now else 1 - high) - differs / 2
                share += differs / 2 if now != following else stays
        return share
