"""Layers of final integers in a file, one at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.errors import InputError
from sw.accumulators.integers import IntegerLayer


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadLayer:
    """A layer, and what a reader must know about how it was taken from the file (sentences)."""

    layer: IntegerLayer
    notes: tuple[str, ...] = ()


class IntegerSource(ABC):
    """The layers of a file; iterating reads them again each time and keeps none.

    Attributes
    ----------
    path : the file or folder.
    left_out : what looks like a layer and is none, and why; complete after iterating.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: dict[str, str] = {}

    @abstractmethod
    def read(self) -> Iterator[ReadLayer]:
        """Every layer, in the order of the file."""

    def __iter__(self) -> Iterator[ReadLayer]:
        """Every layer.

        Raises
        ------
        InputError : there is none, or one that makes no sense.
        """
        self.left_out.clear()
        count = 0
        for found in self.read():
            count += 1
            yield found
        if not count:
            why = "; ".join(f"'{name}': {reason}" for name, reason in self._first_left_out())
            raise InputError(
                f"{self.path} holds no layer of integers" + (f" ({why})" if why else "")
            )

    def _first_left_out(self) -> list[tuple[str, str]]:
        return list(self.left_out.items())[:3]
