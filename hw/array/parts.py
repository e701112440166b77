"""The parts of an array that a machine asks for: activation decoder, PE, dequantizer."""

from typing import Any

from hw.dequant import FloatDequantizer, SerialDequantizer
from hw.pe import AligningPE, FloatSum, MultiplierPE, SerialPE
from sw.compile.machine import Machine
from sw.formats import float_layout

from .activations import FloatActivations, Target


def inner_sum(machine: Machine) -> FloatSum:
    """Group sums of an aligned machine."""
    floating, widths = machine.accelerator.floating, machine.floating
    return FloatSum(
        bits=widths.inner_bits,
        exponent_bits=widths.inner_exponent_bits,
        rounding=floating.rounding,
        normalization=floating.normalization,
    )


def outer_sum(machine: Machine) -> FloatSum:
    """Outer sums of an aligned machine."""
    widths = machine.floating
    return FloatSum(
        bits=widths.outer_bits,
        exponent_bits=widths.outer_exponent_bits,
        rounding=machine.accelerator.floating.rounding,
    )


def _aligns_inside(machine: Machine) -> bool:
    array = machine.accelerator
    return array.is_aligned and array.floating.alignment == "pe"


def needs_negatives(machine: Machine) -> bool:
    """Whether PEs take a count of the negative terms."""
    array = machine.accelerator
    return array.pe == "serial" and array.adders == "compressor" and not _aligns_inside(machine)


def activation_decoder(machine: Machine) -> FloatActivations:
    """What stands in front of every row of floating-point activations."""
    array = machine.accelerator
    target: Target = "aligned"
    if not array.is_aligned:
        target = "fixed"
    elif _aligns_inside(machine):
        target = "parts"
    return FloatActivations(
        layout=float_layout(array.activation_format),
        lanes=array.lanes,
        target=target,
        guard_bits=array.floating.guard_bits if target == "aligned" else 0,
        rounding=array.floating.rounding,
    )


def inner_pe(machine: Machine) -> SerialPE | MultiplierPE | AligningPE:
    """One PE."""
    array = machine.accelerator
    if _aligns_inside(machine):
        widths = machine.floating
        return AligningPE(
            terms=machine.terms,
            lanes=array.lanes,
            significand_bits=widths.layout.significand_bits,
            place_bits=widths.place_bits,
            guard_bits=array.floating.guard_bits,
            sum_bits=widths.dot_bits,
            exponent_bits=widths.addend_exponent_bits,
            floating=inner_sum(machine),
            pipeline=array.pipeline,
        )
    bits, is_signed = machine.value_shape
    common: dict[str, Any] = {
        "terms": machine.terms,
        "lanes": array.lanes,
        "activation_bits": bits,
        "activation_signed": is_signed,
        "bits": machine.inner_bits,
        "mode": array.inner_accumulator.mode,
        "pipeline": array.pipeline,
        "floating": inner_sum(machine) if array.is_aligned else None,
        "exponent_bits": machine.floating.addend_exponent_bits if array.is_aligned else 0,
    }
    if array.pe == "multiplier":
        return MultiplierPE(**common)
    return SerialPE(**common, adders=array.adders)


def make_dequantizer(machine: Machine) -> SerialDequantizer | FloatDequantizer:
    """One dequantizer."""
    array = machine.accelerator
    if array.is_aligned:
        return FloatDequantizer(
            inner=inner_sum(machine),
            outer=outer_sum(machine),
            scale_bits=array.scale.serial_bits,
            barrel_shift=array.scale.barrel_shift,
            rows=array.rows_per_dequantizer,
        )
    return SerialDequantizer(
        group_bits=machine.inner_bits,
        corrected_bits=machine.corrected_bits,
        activation_sum_bits=machine.activation_sum_bits,
        zero_point_bits=array.zero_point_bits,
        scale_bits=array.scale.serial_bits,
        barrel_shift=array.scale.barrel_shift,
        bits=machine.outer_bits,
        mode=array.outer_accumulator.mode,
        rows=array.rows_per_dequantizer,
    )
