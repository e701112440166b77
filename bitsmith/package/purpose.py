"""What a machine was made for: the K, groups and weights that its widths belong to."""

from dataclasses import asdict, dataclass
from typing import Any

from sw.compile import Machine

_ON_OVERFLOW = {
    "wrap": "wraps around unnoticed",
    "saturate": "saturates and sets its sticky bit",
    "flag": "wraps around and sets its sticky bit",
}


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a machine was made for.

    Attributes
    ----------
    k : the longest K.
    group_sizes : weights that share a scale, one size or more, ascending.
    weights : which weights ``auto`` widths were proved for, to be read after "for".
    """

    k: int
    group_sizes: tuple[int, ...]
    weights: str

    @property
    def groups_text(self) -> str:
        """The group sizes in words."""
        return " or ".join(map(str, self.group_sizes))


def widths_text(machine: Machine, purpose: Purpose | None) -> str:
    """A sentence for each accumulator: its width, and whether that was proved or given."""
    array = machine.accelerator
    if array.is_aligned:
        return (
            "Accumulators are floating-point numbers, their mantissas as configured: sums are "
            "rounded, not proved exact."
        )
    auto = {
        stage: purpose is not None and getattr(array, f"{stage}_accumulator").bits == "auto"
        for stage in ("inner", "outer")
    }
    lines = []
    for stage, bits in (("inner", machine.inner_bits), ("outer", machine.outer_bits)):
        mode = _ON_OVERFLOW[getattr(array, f"{stage}_accumulator").mode]
        if auto[stage] and purpose is not None:
            given = stage == "outer" and not auto["inner"]
            lines.append(
                f"The {stage} accumulator's {bits} bits were proved for {purpose.weights}, K up to "
                f"{purpose.k} in groups of {purpose.groups_text}, and all activations that the "
                f"port can carry{', given that the inner one holds' if given else ''}; beyond that "
                f"an overflow {mode}."
            )
        else:
            lines.append(
                f"The {stage} accumulator's {bits} bits were given, not proved: an overflow {mode}."
            )
    return " ".join([*lines, "`bitsmith bounds` checks others."])


def described(machine: Machine, purpose: Purpose | None) -> dict[str, Any]:
    """What ``package.json`` says about the machine.

    ``accelerator`` has all fields of an accelerator file, with the ``auto`` values as they were;
    ``inner_bits`` and ``outer_bits`` are what became of them.
    """
    return {
        "k": None if purpose is None else purpose.k,
        "group_sizes": None if purpose is None else list(purpose.group_sizes),
        "weights": None if purpose is None else purpose.weights,
        "inner_bits": machine.inner_bits,
        "outer_bits": machine.outer_bits,
        "accelerator": asdict(machine.accelerator),
    }
