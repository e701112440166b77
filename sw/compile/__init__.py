"""From quantized matrices to programs: machine, tiling, packed stream beats."""

from .activations import machine_activations
from .layer import MachineLayer, check_recipe_formats, machine_layer
from .machine import (
    Machine,
    activation_range,
    check_family,
    machine_terms,
    resolve_machine,
    step_terms,
    worst_case_widths,
)
from .program import GemmProgram, GemmShape, Tiling, tiling
from .scales import largest_scale, machine_scales, scale_integers
from .stages import RequantizerParameters, dyadic, with_specials

__all__ = [
    "GemmProgram",
    "GemmShape",
    "Machine",
    "MachineLayer",
    "RequantizerParameters",
    "Tiling",
    "activation_range",
    "check_family",
    "check_recipe_formats",
    "dyadic",
    "largest_scale",
    "machine_activations",
    "machine_layer",
    "machine_scales",
    "machine_terms",
    "resolve_machine",
    "scale_integers",
    "step_terms",
    "tiling",
    "with_specials",
    "worst_case_widths",
]
