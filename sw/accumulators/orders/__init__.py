"""Orders of addition: what an accumulator must hold depends on the order of its sums."""

from .bounds import order_bounds
from .names import ORDERS, Order, get_order
from .ordered import narrowest_weight_bits
from .replay import OrderReplay, order_replay
from .step import OrderStep
from .witness import OrderWitness, order_witness

__all__ = [
    "ORDERS",
    "Order",
    "OrderReplay",
    "OrderStep",
    "OrderWitness",
    "get_order",
    "narrowest_weight_bits",
    "order_bounds",
    "order_replay",
    "order_witness",
]
