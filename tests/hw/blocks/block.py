"""What a block's tests know about it: how it is built, what is fed to it, what must come out.

A block is described once; the cocotb bench, the batch bench, the mutation test and the coverage
report all replay recordings of the same description.
"""

import abc
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow

#: values of ports in one cycle; signed ones may be negative
Values = dict[str, int]
#: what must come out; a pair says (value, bits of the port that have a meaning)
Outputs = dict[str, int | tuple[int, int]]
#: yields the inputs of one cycle after the other and receives what must come out in each. Inputs
#: that it leaves out have no meaning in the cycle: they are filled with noise.
Stimulus = Generator[Values, Outputs, None]

#: a port of streams is named like in Verilog: ``beats__payload``
RESET = "rst"


class Model(abc.ABC):
    """The block as plain integers, written from the documentation.

    ``seen`` counts what happened, so that tests can ask whether the stimulus got there;
    ``seen["transaction"]`` counts the block's unit of work.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    @abc.abstractmethod
    def step(self, inputs: Values) -> Outputs:
        """Outputs of a cycle with these inputs, then the clock edge.

        Outputs left out have no meaning in the cycle and are not compared. ``inputs`` are as the
        hardware sees them: never negative, noise included, ``rst`` too.
        """


@dataclass(frozen=True)
class Port:
    """One port of a block: ``shift`` is its place in a row, a multiple of 32 bits."""

    name: str
    width: int
    output: bool
    shift: int

    @property
    def mask(self) -> int:
        """All bits of the port, at bit 0."""
        return (1 << self.width) - 1


class Block(abc.ABC):
    """One variant (choice of parameters) of a block.

    Attributes
    ----------
    kind : name of the block, as its page in ``docs/blocks``.
    variant : tells variants of a kind apart.
    clocked : the block has a clock and ``rst``.
    must_see : events that a random recording must contain.
    """

    kind: ClassVar[str]
    clocked: ClassVar[bool] = True
    must_see: ClassVar[tuple[str, ...]] = ()
    variant: str

    @property
    def name(self) -> str:
        """Name of the unit, a Verilog identifier."""
        return f"{self.kind}__{self.variant}" if self.variant else self.kind

    @abc.abstractmethod
    def component(self) -> wiring.Component:
        """A new component to be tested."""

    @abc.abstractmethod
    def model(self) -> Model:
        """A new golden model, just after power-up."""

    @abc.abstractmethod
    def stimulus(self, rng: random.Random) -> Stimulus:
        """Random inputs from reset on, without end."""

    def in_reset(self, rng: random.Random) -> Values:
        """Inputs during a cycle of reset that cannot be noise."""
        return {}

    def corners(self) -> Stimulus:
        """Listed inputs, from reset on."""
        yield from ()

    def exhaustive(self) -> Stimulus | None:
        """Every combination of operands, from reset on; None where there are too many."""
        return None


def ports_of(component: wiring.Component, *, clocked: bool) -> list[Port]:
    """Ports of a component in the order of its signature, inputs and outputs each from bit 0 on."""
    words = {False: 0, True: 0}
    ports = []
    for path, member, value in component.signature.flatten(component):
        width, output = len(Value.cast(value)), member.flow is Flow.Out
        name = "__".join(map(str, path))
        ports.append(Port(name, width, output, 32 * words[output]))
        words[output] += -(-width // 32)
    if clocked:
        ports.append(Port(RESET, 1, False, 32 * words[False]))
    return ports


def first(stimulus: Stimulus, cycles: int) -> Stimulus:
    """The first cycles of a stimulus."""
    outputs: Outputs | None = None
    for _ in range(cycles):
        try:
            inputs = next(stimulus) if outputs is None else stimulus.send(outputs)
        except StopIteration:
            return
        outputs = yield inputs
    stimulus.close()
