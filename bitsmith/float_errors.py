"""Error bounds of aligned floating-point machines as the step ``bounds`` reports them."""

from typing import Any

import numpy as np

from sw.accumulators import FloatBounds
from sw.accumulators.float_registers import largest_finite
from sw.compile import Machine

from .job import Job


def float_errors(job: Job) -> dict[str, Any]:
    """Largest errors of every layer, over all activations of the format.

    Keys
    ----
    datapath : "aligned".
    largest_activation : no activation is larger, the format's largest number.
    bit_exact : whether no result of any layer is ever rounded.
    inner_bits, outer_bits, machine_inner_bits, machine_outer_bits : the mantissas.
    overflows[] : layer, channel, stage, needed_bits, low, high: accumulators whose exponent might
        outgrow its register, needed_bits and range being the exponent's.
    layers[] : name; bit_exact; error and relative_error, of the channel in which the relative error
        is largest; worst_channel, that channel; inner_exponent, outer_exponent, never exceeded;
        infinite_results (some result might leave float32, and only others have the error bound);
        inner_bits, outer_bits; channels[]: bit_exact, error, relative_error, largest_output.

    Errors and outputs are those of the machine's results: sums of level, scale integer and
    activation. ``relative_error`` is error over largest_output, the largest |exact output|.
    """
    machine = job.machine
    floating = machine.accelerator.floating
    layers = [_layer(name, bounds, machine) for name, bounds in job.float_bounds.items()]
    layout = machine.floating.layout
    return {
        "datapath": floating.datapath,
        "largest_activation": float(largest_finite(layout) * layout.unit),
        "bit_exact": all(layer["bit_exact"] for layer in layers),
        "inner_bits": machine.inner_bits,
        "outer_bits": machine.outer_bits,
        "machine_inner_bits": machine.inner_bits,
        "machine_outer_bits": machine.outer_bits,
        "overflows": [
            found
            for name, bounds in job.float_bounds.items()
            for found in _narrow_exponents(name, bounds, machine)
        ],
        "layers": layers,
    }


def _layer(name: str, bounds: FloatBounds, machine: Machine) -> dict[str, Any]:
    relative = bounds.relative
    worst = int(relative.argmax())
    columns = zip(bounds.exact, bounds.errors, relative, bounds.largest, strict=True)
    channels = [
        {
            "bit_exact": bool(exact),
            "error": float(error),
            "relative_error": float(ratio),
            "largest_output": float(largest),
        }
        for exact, error, ratio, largest in columns
    ]
    return {
        "name": name,
        "bit_exact": bounds.bit_exact,
        "error": channels[worst]["error"],
        "relative_error": channels[worst]["relative_error"],
        "worst_channel": worst,
        "inner_exponent": int(bounds.inner_exponents.max()),
        "outer_exponent": int(bounds.outer_exponents.max()),
        "infinite_results": bool(bounds.overflows.any()),
        "inner_bits": machine.inner_bits,
        "outer_bits": machine.outer_bits,
        "channels": channels,
    }


def _narrow_exponents(name: str, bounds: FloatBounds, machine: Machine) -> list[dict[str, Any]]:
    """Channels whose exponents might not fit their registers."""
    widths, found = machine.floating, []
    for stage, exponents, bits in (
        ("inner", bounds.inner_exponents, widths.inner_exponent_bits),
        ("outer", bounds.outer_exponents, widths.outer_exponent_bits),
    ):
        for channel in np.flatnonzero(exponents >> bits).tolist():
            largest = int(exponents[channel])
            found.append(
                {
                    "layer": name,
                    "channel": channel,
                    "stage": f"{stage} exponent",
                    "needed_bits": largest.bit_length(),
                    "low": 0,
                    "high": largest,
                }
            )
    return found
