"""The page: sections in reading order."""

from typing import Any

from .accumulators import accumulator_section
from .accuracy import accuracy_section
from .checks import files_section, layer_section, limits_section, verification_section
from .context import Run
from .cost import cost_section
from .cycles import cycle_section
from .document import document
from .header import header
from .machine import machine_section
from .markup import join, tag
from .timing import timing_section

_SECTIONS = {
    "machine": ("Machine", machine_section),
    "accuracy": ("Formats and accuracy", accuracy_section),
    "accumulators": ("Accumulators", accumulator_section),
    "cycles": ("Cycles", cycle_section),
    "timing": ("Timing by GEMM", timing_section),
    "cost": ("Area and energy", cost_section),
    "verification": ("Verification", verification_section),
    "limits": ("Limits", limits_section),
    "files": ("Files", files_section),
    "layers": ("Every layer", layer_section),
}


def page(config: dict[str, Any], results: dict[str, dict[str, Any]]) -> str:
    """The whole document; the same input gives the same text.

    ASCII with character references, so that it does not matter in which encoding it is written.
    """
    run = Run(config, results)
    built = {anchor: build(run) for anchor, (_, build) in _SECTIONS.items()}
    links = [
        tag("a", title, href=f"#{anchor}")
        for anchor, (title, _) in _SECTIONS.items()
        if built[anchor] is not None
    ]
    body = join(
        header(run),
        tag("nav", *links),
        *built.values(),
        tag("footer", "Written by bitsmith from the JSON files of the run folder."),
    )
    return document(f"bitsmith: {config['name']}", body)
