"""A model on accumulators of any width: its quantized linears as a machine with them would run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError, unknown_name
from sw.accumulators import LayerBounds, layer_bounds
from sw.compile.activations import machine_activations
from sw.compile.layer import MachineLayer, machine_layer
from sw.golden.narrow import UNLIMITED, Events, Registers, narrow_matmul
from sw.golden.narrow_layer import NarrowLayer
from sw.golden.observed import Observed, observed_ranges
from sw.golden.rescale import rescale
from sw.quantize import QuantizedModel

from .llama import Floats, LinearHook

Int64 = NDArray[np.int64]
#: registers of every layer, or of some while the others are unlimited
LayerRegisters = Registers | Mapping[str, Registers]


@dataclass(frozen=True, kw_only=True, eq=False)
class NarrowLinear:
    """One linear of a model between its real inputs and outputs.

    Attributes
    ----------
    layer : the integers in between.
    encode : real inputs (rows, K) to codes int64 (rows, K) and their scales.
    decode : outer sums int64 (rows, N) and those scales to real outputs (rows, N).
    """

    layer: NarrowLayer
    encode: Callable[[Floats], tuple[Int64, Floats]]
    decode: Callable[[Int64, Floats], Floats]

    @classmethod
    def of(cls, layer: MachineLayer) -> "NarrowLinear":
        """``layer`` with inputs quantized per token, and the host's rescaling behind it.

        Raises
        ------
        InputError : an accelerator whose activations are floating-point or unsigned.
        """
        array = layer.array
        narrow = NarrowLayer.of(layer)
        if not array.activation_signed:
            raise InputError(
                f"accelerator '{array.name}' takes unsigned activations, per-token quantization "
                "gives signed ones: set activation_signed"
            )
        return cls(
            layer=narrow,
            encode=partial(machine_activations, array=array),
            decode=partial(_rescaled, layer),
        )


def _rescaled(layer: MachineLayer, outputs: Int64, activation_scales: Floats) -> Floats:
    return rescale(
        outputs,
        channel_scales=layer.channel_factors,
        unit=layer.family.unit,
        activation_scales=activation_scales,
    )


class NarrowModel:
    """The linears of a quantized model, for accumulators that differ in width and mode.

    Group scales are the machine's: float16 ones become second-level scales (docs/numerics.md).
    Results are raw outer sums that the host rescales; a requantizer is left out.

    Parameters
    ----------
    quantized : the layers.
    array : what runs them; its own accumulators are not looked at.
    otherwise : runs the linears that the quantized model lacks, for example ``model.linear``.

    Raises
    ------
    InputError : layers that the accelerator cannot run, or activations that are not signed
        integers.
    """

    def __init__(
        self,
        quantized: QuantizedModel,
        array: AcceleratorConfig,
        *,
        otherwise: LinearHook | None = None,
    ) -> None:
        layers = quantized.layers.items()
        self.name = quantized.name
        self.linears = {n: NarrowLinear.of(machine_layer(matrix, array)) for n, matrix in layers}
        self._otherwise = otherwise

    @classmethod
    def of_linears(
        cls,
        name: str,
        linears: Mapping[str, NarrowLinear],
        *,
        otherwise: LinearHook | None = None,
    ) -> "NarrowModel":
        """A model of any kind: linears by name; ``otherwise`` is as in the class."""
        self = cls.__new__(cls)
        self.name, self.linears, self._otherwise = name, dict(linears), otherwise
        return self

    def linear(
        self, registers: LayerRegisters = UNLIMITED, *, tally: dict[str, Events] | None = None
    ) -> LinearHook:
        """A hook that runs every quantized linear on accumulators of given widths, bit for bit.

        Parameters
        ----------
        registers : of all layers, or by layer name; layers that are not named have unlimited ones.
        tally : raised by what went wrong in each layer.

        Raises
        ------
        InputError : registers of an unknown layer; or the hook is asked for a linear that the
            model lacks.
        """
        chosen = self._by_layer(registers)

        def run(name: str, x: Floats) -> Floats:
            linear = self.linears[name]
            codes, scales = linear.encode(x)
            found = narrow_matmul(linear.layer, codes, chosen[name])
            if tally is not None:
                seen = tally.get(name)
                tally[name] = found.events if seen is None else seen + found.events
            return linear.decode(found.outputs, scales)

        return self._hook(run)

    def observing(self, seen: dict[str, Observed]) -> LinearHook:
        """A hook with unlimited accumulators that widens ``seen`` by what they hold, by layer.

        Its outputs are those of :meth:`linear` with unlimited registers.
        """

        def run(name: str, x: Floats) -> Floats:
            linear = self.linears[name]
            codes, scales = linear.encode(x)
            found = observed_ranges(linear.layer, codes)
            seen[name] = seen[name] | found if name in seen else found
            return linear.decode(narrow_matmul(linear.layer, codes, UNLIMITED).outputs, scales)

        return self._hook(run)

    def bounds(self, name: str) -> LayerBounds:
        """Proved ranges of the accumulators of layer ``name``, over all inputs."""
        layer = self.linears[name].layer
        ones = np.ones((len(layer.levels), len(layer.parts)), dtype=np.int64)
        outer = None
        if layer.zero_points is not None:
            group_of = np.arange(layer.levels.shape[1]) // layer.group_size
            outer = layer.levels - layer.zero_points[:, group_of]
        return layer_bounds(
            layer.levels,
            terms=layer.terms,
            group_size=layer.group_size,
            lanes=layer.lanes,
            input_range=layer.input_range,
            scale_codes=ones if layer.scales is None else layer.scales,
            outer_levels=outer,
        )

    def _by_layer(self, registers: LayerRegisters) -> dict[str, Registers]:
        if isinstance(registers, Registers):
            return dict.fromkeys(self.linears, registers)
        for name in registers:
            if name not in self.linears:
                raise unknown_name("layer", name, self.linears)
        return {name: registers.get(name, UNLIMITED) for name in self.linears}

    def _hook(self, run: LinearHook) -> LinearHook:
        """``run`` for the quantized linears, ``otherwise`` for the others."""

        def linear(name: str, x: Floats) -> Floats:
            if name in self.linears:
                return run(name, x)
            if self._otherwise is None:
                raise InputError(f"model '{self.name}' has no quantized layer '{name}'")
            return self._otherwise(name, x)

        return linear
