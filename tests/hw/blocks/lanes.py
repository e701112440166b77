"""What the descriptions of PEs with integer lanes share."""

import abc
import random
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any

from .block import Values
from .integers import fields, signed
from .pe import PEBlock, PEModel, PEParameters, Slot


@dataclass(frozen=True, kw_only=True)
class IntegerLanes(PEParameters):
    """A PE whose lanes are integers; with ``floating`` they are mantissas of one exponent."""

    activation_bits: int
    activation_signed: bool = True
    bits: int = 8
    mode: str = "wrap"
    exponent_bits: int = 0

    @property
    def largest_activation(self) -> int:
        """Largest magnitude of an activation."""
        return 1 << self.activation_bits - 1 if self.activation_signed else self.activations[-1]

    @property
    def activations(self) -> range:
        """All values of an activation; aligned mantissas are symmetric."""
        half = 1 << self.activation_bits - 1
        if not self.activation_signed:
            return range(2 * half)
        return range(-half + (self.floating is not None), half)

    @property
    def largest_term(self) -> int:
        """Largest magnitude of a term."""
        return max(abs(t.value) for row in self.terms.terms.values() for t in row)

    @property
    def sum_bits(self) -> int:
        return (self.lanes * self.largest_activation * self.largest_term).bit_length() + 1

    @property
    def top(self) -> int:
        # as of IEEE 754: no place for the codes of Inf and NaN
        return (1 << self.exponent_bits) - 3

    @property
    def arguments(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields_of(self)}


class IntegerLanesModel(PEModel):
    """Digits times activations."""

    p: IntegerLanes

    def lane_sum(self, inputs: Values) -> tuple[int, int]:
        p = self.p
        terms = fields(inputs["terms_in"], p.lanes, p.term_bits)
        activations = fields(inputs["activations"], p.lanes, p.activation_bits)
        if p.activation_signed:
            activations = [signed(value, p.activation_bits) for value in activations]
        return sum(self.digit(t) * a for t, a in zip(terms, activations, strict=True)), 0

    def digit(self, term: int) -> int:
        """Value of a packed term."""
        return self.p.packing.value(term)


class IntegerLanesBlock(PEBlock):
    """One choice of parameters of such a PE."""

    p: IntegerLanes

    @property
    def activation_width(self) -> int:
        return self.p.activation_bits

    @property
    def largest_value(self) -> int:
        return self.p.activations[-1]

    @abc.abstractmethod
    def term(self, rng: random.Random) -> int:
        """A random term."""

    @abc.abstractmethod
    def extreme_term(self, negative: bool) -> int:
        """The largest term of that sign."""

    def plain(self, value: int, exponent: int) -> Slot:
        # a packed 1 is the term 1 in every encoding
        rest = [0] * (self.p.lanes - 1)
        return Slot(False, [1, *rest], [value, *rest], 0, exponent)

    def slot(self, rng: random.Random, mood: str, base: int) -> Slot:
        p, values = self.p, self.p.activations
        exponent = self.place(rng, mood, base) if p.floating is not None else 0
        if mood in ("up", "down"):
            extreme = values[0] if p.activation_signed else values[-1]
            term = self.extreme_term((mood == "up") == p.activation_signed)
            shift = len(p.shifts) - 1
            return Slot(False, [term] * p.lanes, [extreme] * p.lanes, shift, exponent)
        terms = [self.term(rng) for _ in range(p.lanes)]
        ends = (values[0], values[-1], 0)
        activations = [rng.choice((*ends, rng.choice(values))) for _ in range(p.lanes)]
        if mood == "cancel" and p.lanes > 1 and not rng.randrange(3):
            # the lanes cancel
            terms, activations = [terms[0]] * p.lanes, [0] * (p.lanes - 2) + [values[-1], values[0]]
        return Slot(False, terms, activations, rng.randrange(len(p.shifts)), exponent)

    def negated(self, slot: Slot) -> Slot:
        taken_back = [-value for value in slot.activations]
        return Slot(False, slot.terms, taken_back, slot.shift_index, slot.exponent)

    def step_inputs(self, stepping: Slot | None) -> Values:
        if self.p.floating is None:
            return {}
        return {"exponent": 0 if stepping is None else stepping.exponent}
