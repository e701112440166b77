"""A quantized layer as the machine takes it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from sw.formats import FormatFamily
from sw.quantize import QuantizedMatrix
from sw.quantize.asymmetric import asymmetric_bits
from sw.quantize.recipe import stored_scale_format

from .machine import Machine
from .program import GemmProgram
from .scales import machine_scales, scale_integers
from .stages import RequantizerParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class MachineLayer:
    """Weights of one linear layer in the machine's own terms.

    Attributes
    ----------
    array : the accelerator that they are for.
    family : formats of the codes.
    group_size : weights that share a scale.
    codes : uint8 (N, K); uint16 for 16-bit formats.
    format_ids, scale_codes : uint8 (N, groups).
    channel_factors : float32 (N,), value of an output's least significant bit over the unit.
    zero_points : int64 (N, groups) for a machine with zero points, else None.
    levels : int64 (N, K).
    """

    array: AcceleratorConfig
    family: FormatFamily
    group_size: int
    codes: NDArray[np.unsignedinteger]
    format_ids: NDArray[np.uint8]
    scale_codes: NDArray[np.uint8]
    channel_factors: NDArray[np.float32]
    zero_points: NDArray[np.int64] | None
    levels: NDArray[np.int64]

    @cached_property
    def scales(self) -> NDArray[np.int64]:
        """Integer group scales, (N, groups)."""
        return scale_integers(self.array.scale, self.scale_codes)

    @cached_property
    def corrected_levels(self) -> NDArray[np.int64]:
        """Levels less zero points, (N, K): what the outer accumulator sees."""
        if self.zero_points is None:
            return self.levels
        group_of = np.arange(self.levels.shape[1]) // self.group_size
        return self.levels - self.zero_points[:, group_of]

    def program(
        self,
        machine: Machine,
        name: str,
        activations: NDArray[np.int64],
        requantizer: RequantizerParameters | None = None,
    ) -> GemmProgram:
        """The GEMM of this layer with ``activations``, int64 (M, K).

        Raises
        ------
        InputError : the machine was made for other formats.
        """
        return GemmProgram(
            machine=machine,
            name=name,
            group_size=self.group_size,
            codes=self.codes,
            format_ids=self.format_ids,
            scale_codes=self.scale_codes,
            activations=activations,
            zero_points=self.zero_points,
            specials=_specials(machine, self.family),
            requantizer=requantizer,
        )


def check_recipe_formats(array: AcceleratorConfig, formats: Iterable[str]) -> None:
    """Refuse formats of a recipe whose scales or zero points an accelerator cannot take."""
    for name in formats:
        stored = stored_scale_format(name)
        if array.scale.format not in ("uint8", stored):
            raise InputError(
                f"accelerator '{array.name}' takes {array.scale.format} scales, format '{name}' "
                f"has {stored} ones"
            )
        bits = asymmetric_bits(name)
        if bits is not None and array.zero_point_bits < bits:
            raise InputError(
                f"format '{name}' has zero points of {bits} bits, accelerator '{array.name}' takes "
                f"{array.zero_point_bits}: set zero_point_bits"
            )


def machine_layer(matrix: QuantizedMatrix, array: AcceleratorConfig) -> MachineLayer:
    """``matrix`` as an accelerator runs it.

    Raises
    ------
    InputError : several planes, zero points beyond the machine's, scales of another kind.
    """
    if matrix.residual is not None:
        raise InputError("weights in several planes cannot run on the machine yet")
    zero_points = None
    if array.zero_point_bits:
        shape = matrix.format_ids.shape
        found = matrix.zero_points
        zero_points = np.zeros(shape, np.int64) if found is None else found.astype(np.int64)
    elif matrix.zero_points is not None:
        bits = 1 + int(np.abs(matrix.zero_points.astype(np.int64)).max()).bit_length()
        raise InputError(
            f"'{matrix.family.name}' has zero points, accelerator '{array.name}' does not: "
            f"set zero_point_bits to {bits}"
        )
    codes, factors = machine_scales(matrix, array.scale)
    return MachineLayer(
        array=array,
        family=matrix.family,
        group_size=matrix.group_size,
        codes=matrix.codes,
        format_ids=matrix.format_ids,
        scale_codes=codes,
        channel_factors=factors,
        zero_points=zero_points,
        levels=matrix.levels,
    )


def _specials(machine: Machine, family: FormatFamily) -> tuple[int | None, ...] | None:
    """Special values of ``family``, which is the machine's apart from them; None if equal."""
    own = machine.family
    if family == own:
        return None
    code = own.special_code
    alike = code is not None and len(family.members) == len(own.members)
    if alike:
        rest = [c for c in range(1 << own.bits) if c != code]
        pairs = zip(family.members, own.members, strict=True)
        alike = family.bits == own.bits and all(
            [m.levels[c] for c in rest] == [o.levels[c] for c in rest] for m, o in pairs
        )
    if not alike or code is None:
        raise InputError(f"the machine decodes '{own.name}', the weights are in '{family.name}'")
    return tuple(m.levels[code] for m in family.members)
