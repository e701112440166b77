"""A place in an order of additions, the same words for bounds, witness and replay."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["bias", "add", "shift", "node", "subset", "tile", "result"]


@dataclass(frozen=True, kw_only=True)
class OrderStep:
    """What has just happened to a register.

    Attributes
    ----------
    kind : ``bias``, the register was loaded with the bias; ``add``, some products, or a plane of
        them, were added; ``shift``, the register was doubled; ``node``, a node of an adder tree;
        ``subset``, products of a subset of a tile, in any order; ``tile``, a tile's sum was added
        to the outer register; ``result``, the bias was added at the end.
    tile : tile of the row, 0 without tiles; ``None`` for ``bias`` and ``result``.
    weight_plane, input_plane : bit, 0 the least significant, of an operand taken bit by bit.
    slot : slot of the term table, in the machine's own order.
    elements : first element and one past the last that the step adds or the node covers, counted
        along the row.
    subset : elements of a ``subset``.
    """

    kind: Kind
    tile: int | None = None
    weight_plane: int | None = None
    input_plane: int | None = None
    slot: int | None = None
    elements: tuple[int, int] | None = None
    subset: tuple[int, ...] | None = None

    def __str__(self) -> str:
        """The step in words, such as ``after adding elements 4 to 7, weight plane 3, tile 0``."""
        words = [_ACTIONS[self.kind]]
        if self.elements is not None:
            first, stop = self.elements
            words[0] += (
                f" element {first}" if stop == first + 1 else f" elements {first} to {stop - 1}"
            )
        if self.subset is not None:
            words[0] += f" {len(self.subset)} of the tile's products, the others still to come"
        names = ("slot", "weight_plane", "input_plane", "tile")
        places = ((name, getattr(self, name)) for name in names)
        words += [
            f"{name.replace('_', ' ')} {place}" for name, place in places if place is not None
        ]
        return ", ".join(words)


_ACTIONS: dict[Kind, str] = {
    "bias": "after loading the bias",
    "add": "after adding",
    "shift": "after doubling the register",
    "node": "at the tree node over",
    "subset": "after adding",
    "tile": "after adding a tile's sum",
    "result": "after adding the bias",
}
