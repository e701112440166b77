"""A model on the arithmetic of a machine: its quantized linears as the hardware would run them."""

from dataclasses import replace

from configs.accelerator import ScaleConfig
from configs.errors import InputError
from sw.compile.layer import MachineLayer, machine_layer
from sw.compile.machine import Machine
from sw.formats import get_family
from sw.golden.aligned import Operands, machine_outputs, operands
from sw.quantize import QuantizedMatrix, QuantizedModel
from sw.quantize.composite import cast_weights

from .llama import Floats, LinearHook


class MachineModel:
    """The linears of a quantized model, for machines that differ in their floating-point settings.

    Scales are the machine's: float16 ones become second-level scales (docs/numerics.md).

    Parameters
    ----------
    quantized : the layers.
    machine : one of the machines; the others must have its lanes, formats and scales.

    Raises
    ------
    InputError : layers that the machine cannot run, or integer activations.
    """

    def __init__(self, quantized: QuantizedModel, machine: Machine) -> None:
        layers = {
            name: machine_layer(matrix, machine.accelerator)
            for name, matrix in quantized.layers.items()
        }
        self._set(quantized.name, layers, machine)

    @classmethod
    def of_float16(cls, quantized: QuantizedModel, machine: Machine) -> "MachineModel":
        """Dequantized weights, rounded to float16, for machines with float16 multipliers."""
        self = cls.__new__(cls)
        layers = {name: float16_layer(matrix, machine) for name, matrix in quantized.layers.items()}
        self._set(quantized.name, layers, machine)
        return self

    def _set(self, name: str, layers: dict[str, MachineLayer], machine: Machine) -> None:
        if not machine.accelerator.has_floats:
            raise InputError(
                f"accelerator '{machine.accelerator.name}' takes integer activations: "
                "see quantized_linear"
            )
        self._name, self._layers, self._machine = name, layers, machine
        self._operands: dict[tuple[str, str], Operands] = {}

    def linear(self, machine: Machine, *, otherwise: LinearHook | None = None) -> LinearHook:
        """A hook that runs every quantized linear on ``machine``, bit for bit.

        Parameters
        ----------
        otherwise : runs the linears that the quantized model lacks, for example ``model.linear``.

        Raises
        ------
        InputError : a machine with other lanes, formats or scales; or the hook is asked for a
            linear that neither has.
        """
        if _fixed(machine) != _fixed(self._machine):
            raise InputError(
                f"accelerator '{machine.accelerator.name}' takes weights in another way than "
                f"'{self._machine.accelerator.name}': make another MachineModel"
            )

        def linear(name: str, x: Floats) -> Floats:
            if name not in self._layers:
                if otherwise is None:
                    raise InputError(f"quantized model '{self._name}' has no layer '{name}'")
                return otherwise(name, x)
            return machine_outputs(
                self._layers[name], machine, x, prepared=self._prepared(name, machine)
            )

        return linear

    def _prepared(self, name: str, machine: Machine) -> Operands | None:
        """Operands of a layer, made once per kind of alignment."""
        if not machine.accelerator.is_aligned:
            return None
        key = name, machine.accelerator.floating.alignment
        if key not in self._operands:
            self._operands[key] = operands(self._layers[name], machine)
        return self._operands[key]


def _fixed(machine: Machine) -> tuple[object, ...]:
    """What machines that share a :class:`MachineModel` have in common."""
    array = machine.accelerator
    return machine.family, array.lanes, array.pe, array.scale, array.lane_exponent_bits, array.slots


#: of a machine whose weights are their own scales
NO_SCALES = ScaleConfig(format="e8m0", binades=1, shift="barrel")


def float16_layer(matrix: QuantizedMatrix, machine: Machine) -> MachineLayer:
    """The weights that ``matrix`` stands for on a machine with second-level scales, as float16.

    One group of scale 1 holds a whole output channel.

    Raises
    ------
    InputError : a machine with other weights, or with scales other than :data:`NO_SCALES`.
    """
    array, family = machine.accelerator, get_family("float16")
    if machine.family != family or array.scale != NO_SCALES:
        raise InputError(f"accelerator '{array.name}' does not take float16 weights as they are")
    if matrix.scale_codes is None:
        matrix = matrix.with_uint8_scales()
    return machine_layer(cast_weights(matrix.dequantize(), family), array)


def with_floating(machine: Machine, **settings: object) -> Machine:
    """``machine`` with other settings of its ``floating``, accumulators with it.

    Raises
    ------
    InputError : settings out of range.
    """
    floating = replace(machine.accelerator.floating, **settings)  # type: ignore[arg-type]
    return replace(
        machine,
        accelerator=replace(machine.accelerator, floating=floating),
        inner_bits=floating.mantissa_bits,
        outer_bits=floating.outer_mantissa_bits,
    )
