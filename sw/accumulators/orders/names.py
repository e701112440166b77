"""The orders of addition by name: what each does in a step, and which steps count."""

from dataclasses import dataclass
from typing import Literal

from configs.errors import unknown_name

#: How a tile is summed: the machine's slots, along a row, as a tree, or anyhow.
Shape = Literal["slots", "row", "tree", "any"]
#: How an operand is cut into planes of one bit each.
Planes = Literal["whole", "lsb_first", "msb_first", "magnitude_lsb_first"]
#: How the bias enters: as what the register starts at, in an addition at the end (from a register
#: of the same width), or not at all, being added to the value that is made of the register's.
Bias = Literal["start", "end", "outside"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order in which the products of a tile are added.

    Attributes
    ----------
    name, description : the description is one line.
    shape : how a tile is summed.
    weights, inputs : planes of each operand; with both in planes, the inputs' are innermost.
    shifts : Horner's scheme, the register is doubled from plane to plane instead of the products.
    fused : a whole plane of the tile is added in one step.
    transients_count : a transient is a failure in every mode, also in ``wrap``.
    popcount : the register counts the products that are +1.
    bias : how the bias enters a register that is not followed by an outer one.
    """

    name: str
    description: str
    shape: Shape = "row"
    weights: Planes = "whole"
    inputs: Planes = "whole"
    shifts: bool = False
    fused: bool = False
    transients_count: bool = False
    popcount: bool = False
    bias: Bias = "start"

    @property
    def serial(self) -> bool:
        """Whether an operand is taken plane by plane."""
        return self.weights != "whole" or self.inputs != "whole"

    @property
    def enumerates(self) -> bool:
        """Whether partial products have no closed form, both operands being taken bit by bit."""
        return self.weights != "whole" and self.inputs != "whole"


_ALL = (
    Order(
        name="slots",
        description="the machine's own: chunk by chunk of lanes, slot by slot of the term table",
        shape="slots",
    ),
    Order(name="parallel", description="whole products in order, a chunk of lanes at a time"),
    Order(
        name="tree",
        description="balanced adder tree over a tile, every node a register",
        shape="tree",
        bias="end",
    ),
    Order(
        name="any_order",
        description="whole products one at a time, in whatever order",
        shape="any",
    ),
    Order(
        name="packed",
        description="parallel in a lane of a shared word: a transient reaches the neighbour lane",
        transients_count=True,
    ),
    Order(
        name="weight_lsb",
        description="weight bits from the least significant one, two's complement",
        weights="lsb_first",
    ),
    Order(
        name="weight_msb",
        description="weight bits from the sign, two's complement",
        weights="msb_first",
    ),
    Order(
        name="weight_horner",
        description="weight bits from the sign: double the register and add a whole plane at once",
        weights="msb_first",
        shifts=True,
        fused=True,
        bias="end",
    ),
    Order(
        name="weight_horner_elements",
        description="weight bits from the sign: double the register, then add chunk by chunk",
        weights="msb_first",
        shifts=True,
        bias="end",
    ),
    Order(
        name="weight_sign_magnitude",
        description="bits of the weight's magnitude from the least significant one",
        weights="magnitude_lsb_first",
    ),
    Order(
        name="activation_lsb",
        description="input bits from the least significant one",
        inputs="lsb_first",
    ),
    Order(
        name="activation_msb",
        description="input bits from the most significant one",
        inputs="msb_first",
    ),
    Order(
        name="activation_horner",
        description="input bits from the most significant one: double, add a whole plane at once",
        inputs="msb_first",
        shifts=True,
        fused=True,
        bias="end",
    ),
    Order(
        name="activation_horner_elements",
        description="input bits from the most significant one: double, then add chunk by chunk",
        inputs="msb_first",
        shifts=True,
        bias="end",
    ),
    Order(
        name="both_lsb",
        description="pairs of a weight bit and an input bit, both from the least significant one",
        weights="lsb_first",
        inputs="lsb_first",
    ),
    Order(
        name="both_msb",
        description="pairs of a weight bit and an input bit, both from the most significant one",
        weights="msb_first",
        inputs="msb_first",
    ),
    Order(
        name="popcount",
        description="weights and inputs of +-1: counts agreements, a chunk of lanes at a time",
        popcount=True,
        bias="outside",
    ),
)

#: Every order by its name.
ORDERS: dict[str, Order] = {order.name: order for order in _ALL}


def get_order(name: str) -> Order:
    """The order called ``name``; an unknown one is refused with the nearest valid name."""
    if name not in ORDERS:
        raise unknown_name("order of additions", name, ORDERS)
    return ORDERS[name]
