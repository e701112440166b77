"""Write the table of docs/workloads.md from the presets in configs/workloads.

python docs/make_workloads.py            rewrite what stands between the markers
python docs/make_workloads.py --check    exit with 1 if that would change anything
"""

import sys
from dataclasses import replace
from pathlib import Path

from pages import between_markers, rewrite, table

from configs.load import preset_names
from configs.schema import load_axis
from sw.workloads import (
    Workload,
    kv_bytes_read,
    kv_cache_bytes,
    macs_by_operand,
    model_workload,
    read_shape,
    weight_bytes,
    weight_elements,
)

PAGE = Path(__file__).with_name("workloads.md")
PROMPT, STEPS = 1024, 256
WEIGHT_BITS, CACHE_BITS = 4, 8


def workload(name: str) -> Workload | None:
    """A preset of shapes: a prompt and decode steps, of an encoder its own number of tokens."""
    preset = load_axis("workload", name)
    if preset.architecture is None:
        return None
    causal = read_shape(preset.architecture, name).causal
    return model_workload(
        preset.architecture,
        name,
        prefill_tokens=PROMPT if causal else preset.prefill_tokens,
        decode_steps=STEPS if causal else 0,
        lm_head="last" if causal else "auto",
        attention="array",
        name=name,
    )


def row(found: Workload) -> list[str]:
    """One line of the table."""
    prefill = sum(gemm.macs for gemm in found.prefill)
    cells = [
        f"`{found.name}`",
        f"{weight_elements(found.prefill):,}",
        str(found.prefill_tokens),
        f"{prefill / 1e12:.3f} T",
    ]
    if not found.decode:
        return cells + ["-"] * 5
    decode = found.macs - prefill
    attention = macs_by_operand(replace(found, prefill=()))["kv_cache"]
    return [
        *cells,
        f"{decode / 1e12:.3f} T",
        f"{attention / decode:.1%}",
        size(weight_bytes(found.decode, WEIGHT_BITS)),
        size(kv_bytes_read(found, CACHE_BITS, step=STEPS - 1)),
        size(kv_cache_bytes(found, CACHE_BITS)),
    ]


def size(count: int) -> str:
    """Bytes, in decimal units."""
    return f"{count / 1e9:.3f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def models() -> str:
    """All presets of shapes."""
    header = [
        "preset",
        "weights in a prefill",
        "prompt tokens",
        "MACs of the prefill",
        f"MACs of {STEPS} decode steps",
        "of them attention",
        f"weights read in a step, {WEIGHT_BITS} bits",
        f"keys and values read in the last step, {CACHE_BITS} bits",
        "cache at the end",
    ]
    found = [workload(name) for name in preset_names("workloads")]
    return table(header, [row(item) for item in found if item is not None])


def page(text: str) -> str:
    """The page with a fresh table."""
    return between_markers(text, "make_workloads.py", {"models": models()})


if __name__ == "__main__":
    sys.exit(rewrite(PAGE, page, "make_workloads.py", __doc__))
