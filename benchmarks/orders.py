"""Which orders of addition need wider registers on real weights: ``python -m benchmarks.orders``.

The shipped model with one scale per channel, INT8 activations, whole rows in one register.
"""

from bitsmith.tables import text_table
from sw.accumulators.orders import ORDERS, get_order, order_bounds
from sw.accumulators.width import signed_range
from sw.formats import get_family
from sw.models import load_model
from sw.models.registry import SHIPPED
from sw.quantize import quantize_matrix

FORMATS = {"int4": 4, "int8": 8}
#: `slots` needs terms, `popcount` weights of one bit; a tree is as wide as whole products
LEFT_OUT = ("slots", "popcount", "tree")


def order_row(levels: list, order: str, weight_bits: int) -> dict[str, int]:
    """Widest register of any layer, and rows whose steps need more bits than their final sum.

    Parameters
    ----------
    levels : integer weights (N, K) of each layer.
    weight_bits : planes of a weight that is taken bit by bit.
    """
    planes = None if get_order(order).weights == "whole" else weight_bits
    found = [
        order_bounds(one, order=order, input_range=signed_range(8), weight_bits=planes)
        for one in levels
    ]
    more = [b.inner_bits("saturate") - b.inner_bits("wrap") for b in found]
    return {
        "wrap": max(b.max_bits("inner", "wrap") for b in found),
        "saturate": max(b.max_bits("inner", "saturate") for b in found),
        "wider": sum(int((bits > 0).sum()) for bits in more),
        "at_most": max(int(bits.max()) for bits in more),
    }


def main() -> None:
    """Print a table for each format."""
    weights = load_model(SHIPPED).linear_weights()
    header = ["order", "wrap", "saturate", "wider rows", "at most"]
    for name, bits in FORMATS.items():
        family = get_family(name)
        levels = [quantize_matrix(weights[n], family, group_size="channel").levels for n in weights]
        rows = []
        for order in ORDERS:
            if order not in LEFT_OUT:
                row = order_row(levels, order, bits)
                rows.append([order, *(str(value) for value in row.values())])
        print(f"{name}, {sum(map(len, levels))} rows\n{text_table(header, rows)}\n", flush=True)


if __name__ == "__main__":
    main()
