"""What a harness states about its block: assertions, assumptions and covers, each with a name."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.hdl import Assert, Assume, Cover, Module, ResetSignal, Shape, Signal


@dataclass
class Checks:
    """Properties added to one module, counted as they are added.

    Registers hold anything in the first cycle, so the first cycle is a reset, and no property
    looks at it. Later resets come at any time, unless :meth:`one_reset` excludes them.

    Attributes
    ----------
    asserts, assumes, covers : names of the properties, in the order in which they were added.
    observed : port of the harness -> hierarchical name of the register that it shows.
    netlist : Verilog of a module that the harness instantiates; empty for none.
    enough : assertion -> the statements from which alone its induction step is shown.
    first : the first cycle.
    """

    m: Module
    asserts: list[str] = field(default_factory=list)
    assumes: list[str] = field(default_factory=list)
    covers: list[str] = field(default_factory=list)
    observed: dict[str, str] = field(default_factory=dict)
    ports: list[Signal] = field(default_factory=list)
    netlist: str = ""
    enough: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.first = Signal(name="first_cycle")
        self.m.d.comb += self.first.eq(Initial())
        self.assume("reset first", ~self.first | ResetSignal())

    def always(self, name: str, condition, enough: Sequence[str] = ()) -> None:
        """``condition`` holds in every cycle after the first.

        Parameters
        ----------
        enough : names of assumptions and earlier assertions which imply the condition, in the same
            cycle and whatever the design does. Induction shows that from these and nothing else,
            so that the solver is not distracted; empty for all that is known.
        """
        missing = [other for other in enough if other not in (*self.asserts, *self.assumes)]
        if missing:
            raise ValueError(f"'{name}' is to follow from '{missing[0]}', which is not stated yet")
        if enough:
            self.enough[name] = tuple(enough)
        self._add(self.asserts, name)
        self.m.d.comb += Assert(self.first | condition, name)

    def assume(self, name: str, condition) -> None:
        """Only look at runs in which ``condition`` holds in every cycle."""
        self._add(self.assumes, name)
        self.m.d.comb += Assume(condition, name)

    def reachable(self, name: str, condition) -> None:
        """Some run brings about ``condition`` after the first cycle."""
        self._add(self.covers, name)
        self.m.d.comb += Cover(~self.first & condition, name)

    def one_reset(self) -> None:
        """No reset after the first cycle."""
        self.assume("no reset after the first cycle", self.first | ~ResetSignal())

    def observe(self, path: str, shape) -> Signal:
        """A signal that shows the register ``path``, hierarchical and with dots, of the block.

        The block stays as it is; Yosys connects the two after flattening and stops if there is no
        such register or its width differs.
        """
        port = Signal(shape, name=f"observed_{len(self.ports)}")
        self.ports.append(port)
        self.observed[port.name] = path
        return port

    def any_input(self, name: str, shape) -> Signal:
        """A signal that takes any value in every cycle."""
        signal = Signal(shape, name=name)
        self.m.d.comb += signal.eq(AnySeq(Shape.cast(shape).width))
        return signal

    def cut(self, name: str, value, shape) -> Signal:
        """``value``, truncated to ``shape``, as a variable that the solver does not look through.

        The assumption behind it can always be met, so it excludes no run.
        """
        signal = self.any_input(name, shape)
        width = Shape.cast(shape).width
        bits, wanted = signal.as_unsigned(), Signal(width, name=f"wanted_{name}")
        self.m.d.comb += wanted.eq(value)
        # as an equation, the solver would put the value back in
        same = (bits <= wanted) & (bits >= wanted)
        self.assume(f"cut {name}".replace("_", " "), same)
        return signal

    def any_constant(self, name: str, shape) -> Signal:
        """A signal that holds any one value for ever."""
        signal = Signal(shape, name=name)
        self.m.d.comb += signal.eq(AnyConst(Shape.cast(shape).width))
        return signal

    def _add(self, names: list[str], name: str) -> None:
        if "_" in name:  # Yosys reports a name as one word; spaces travel as underscores
            raise ValueError(f"the name '{name}' of a property has an underscore")
        if name in (*self.asserts, *self.assumes, *self.covers):
            raise ValueError(f"two properties are named '{name}'")
        names.append(name)
