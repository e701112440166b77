"""SAIF: how long each net was high, and how often it changed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from configs.errors import InputError

_ENTRY = re.compile(
    r"\(((?:\\.|[^\s()\\])+)\s*\(T0 (\d+)\)\s*\(T1 (\d+)\)"
    r"(?:\s*\(T[XZB] \d+\))*\s*\(TC (\d+)\)(?:\s*\(I[GK] \d+\))*\s*\)"
)


@dataclass(frozen=True, kw_only=True)
class Toggles:
    """What nets did in some cycles.

    Attributes
    ----------
    duration : time units that were recorded, here cycles.
    high : share of the time at 1, by net.
    changes : changes of value, by net.
    """

    duration: int
    high: dict[str, float]
    changes: dict[str, int]

    def named(self, vector: str, names: Sequence[str]) -> "Toggles":
        """The bits of one vector under names of their own, least significant bit first."""
        bits = [f"{vector}[{i}]" for i in range(len(names))] if len(names) > 1 else [vector]
        return Toggles(
            duration=self.duration,
            high={name: self.high[bit] for name, bit in zip(names, bits, strict=True)},
            changes={name: self.changes[bit] for name, bit in zip(names, bits, strict=True)},
        )

    def less_initial(self, values: Sequence[int]) -> "Toggles":
        """Without the change that Verilator counts at time 0 for every net that is 1 from then on.

        Parameters
        ----------
        values : at time 0, in the order of ``changes``.
        """
        pairs = zip(self.changes.items(), values, strict=True)
        return replace(self, changes={name: count - value for (name, count), value in pairs})

    def of(self, net: int | str) -> tuple[float, int]:
        """(share of the time at 1, changes) of a net ``n{net}`` or of a constant."""
        if isinstance(net, str):
            return float(net == "1"), 0
        return self.high[f"n{net}"], self.changes[f"n{net}"]


def read_saif(text: str) -> Toggles:
    """Nets of a backward SAIF file with one instance; bits of vectors are ``name[bit]``.

    Raises
    ------
    InputError : the file has no duration or no net.
    """
    found = re.search(r"\(DURATION\s+(\d+)\s*\)", text)
    if found is None or not int(found[1]):
        raise InputError("the SAIF file records no time: it has no DURATION above 0")
    duration = int(found[1])
    high, changes = {}, {}
    for name, _, ones, count in _ENTRY.findall(text):
        plain = name.replace("\\", "")
        high[plain] = int(ones) / duration
        changes[plain] = int(count)
    if not changes:
        raise InputError("the SAIF file has no net with T0, T1 and TC")
    return Toggles(duration=duration, high=high, changes=changes)
