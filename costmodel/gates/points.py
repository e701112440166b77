"""Which cores run which data: drawn from a committed seed before anything is fitted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.errors import InputError
from costmodel.calibration.points import Point, Use
from sw.formats import get_family

SEED = 10
#: shipped model whose layers are run
MODEL = "scribe_1m"
_KINDS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
#: kinds of cores, each with (weights as quantized, settings that these need) of its cores: one of
#: every kind is held out
_KINDS_OF_CORES: tuple[tuple[tuple[str, dict[str, Any]], ...], ...] = (
    (("int8", {}), ("int4", {}), ("ternary", {}), ("int6", {})),
    (
        ("bitmod_fp4", {}),
        ("bitmod_fp3", {}),
        ("ant4", {}),
        ("flint4s", {}),
        ("mxfp4", {"scale": {"format": "e8m0", "shift": "barrel"}}),
    ),
    (("int4_asym", {"zero_point_bits": 4}), ("int4_asym", {"zero_point_bits": 4})),
    (("int8", {"pe": "multiplier"}), ("int4", {"pe": "multiplier"})),
    (("int4", {"requantizer": {}}), ("bitmod_fp4", {"requantizer": {}})),
    (
        ("bitmod_fp4", {"activation_format": "float16", "alignment": "pe"}),
        ("bitmod_fp4", {"activation_format": "float16", "alignment": "pe"}),
        ("bitmod_fp4", {"activation_format": "float16", "alignment": "row"}),
    ),
    # a first sample ended here: one fitted multiplier and no fitted row alignment told too little
    (
        ("int6", {"pe": "multiplier"}),
        ("int4", {"pe": "multiplier"}),
        ("int8", {"pe": "multiplier"}),
    ),
    (
        ("bitmod_fp4", {"activation_format": "float16", "alignment": "row"}),
        ("int4", {"activation_format": "float16", "alignment": "row"}),
        ("bitmod_fp3", {"activation_format": "float16", "alignment": "pe"}),
        ("int4", {"activation_format": "float16", "alignment": "pe"}),
    ),
)


@dataclass(frozen=True, kw_only=True)
class CorePoint:
    """A core and what is run on it.

    Attributes
    ----------
    weights : how the layers are quantized.
    group_size : weights that share a scale.
    core : the machine.
    """

    weights: str
    group_size: int
    core: Point

    @property
    def use(self) -> Use:
        """What its measurements are for."""
        return self.core.use


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Layers of the model: those of the fit, and those that only test it."""

    fit: tuple[str, ...]
    held_out: tuple[str, ...]


def draw_layers(seed: int = SEED) -> Layers:
    """Two layers to fit and two to test, one of each kind."""
    rng = np.random.default_rng([seed, 1])
    kinds = rng.permutation(_KINDS)
    names = [f"layers.{rng.integers(4)}.{kind}" for kind in kinds]
    return Layers(fit=tuple(names[:2]), held_out=tuple(names[2:]))


def draw_cores(seed: int = SEED) -> tuple[CorePoint, ...]:
    """The cores; about a third of them is held out.

    A machine that comes up again is left out: one that is fitted must not be tested on as well.
    """
    rng = np.random.default_rng([seed, 2])
    cores: list[CorePoint] = []
    for kind in _KINDS_OF_CORES:
        held = int(rng.integers(len(kind)))
        for number, (weights, settings) in enumerate(kind):
            drawn = _drawn(weights, settings, "held_out" if number == held else "fit", rng)
            if not any(_same(drawn, other) for other in cores):
                cores.append(drawn)
    return tuple(cores)


def _same(one: CorePoint, other: CorePoint) -> bool:
    """Whether two cores are the same machine with the same weights, whatever they are for."""
    pairs = ((p.weights, p.group_size, p.core.array) for p in (one, other))
    return next(pairs) == next(pairs)


def _drawn(weights: str, wanted: dict[str, Any], use: Use, rng: np.random.Generator) -> CorePoint:
    """One core of a kind; what does not go together is drawn again."""
    for _ in range(100):
        array = dict(_choices(wanted, rng))
        group = 32 if weights == "mxfp4" else int(rng.choice([32, 64, 128]))
        family = {"int4_asym": "int4_full", "mxfp4": "float4_e2m1fn"}.get(weights, weights)
        core = Point(
            component="core", use=use, format=family, group_size=group, inputs=432, array=array
        )
        try:
            get_family(family)
            _ = core.machine
        except InputError:
            continue
        return CorePoint(weights=weights, group_size=group, core=core)
    raise InputError(f"no core for '{weights}' found")


def _choices(wanted: dict[str, Any], rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """Settings of an accelerator."""
    floating = "activation_format" in wanted
    rows, cols = (int(n) for n in rng.integers(1, 4, 2))
    lanes = int(rng.choice([2, 4] if floating else [2, 4, 8, 16]))
    # wide cores of few PEs, narrow ones of more: the netlists stay small
    most = 4 if lanes <= 4 else 2
    rows, cols = max(rows, 2 if cols == 1 else 1), cols
    while rows * cols > most:
        rows, cols = (rows - 1, cols) if rows >= cols else (rows, cols - 1)
    yield from (("rows", rows), ("cols", cols), ("lanes", lanes), ("queue_beats", 2))
    stages = ("operands", "products", "sums", "shift", "control")
    chosen = [stage for stage in stages if rng.random() < 0.25]
    adders, modes = str(rng.choice(["chain", "compressor"])), rng.choice(["wrap", "saturate"], 2)
    if rows > 1 and rng.random() < 0.4:
        yield "rows_per_dequantizer", rows
    if floating:
        yield "activation_format", wanted["activation_format"]
        yield "floating", {"alignment": wanted["alignment"]}
        return
    if chosen:
        yield "pipeline", chosen
    if "pe" not in wanted:
        yield "adders", adders
    yield "inner_accumulator", {"mode": str(modes[0])}
    yield "outer_accumulator", {"mode": str(modes[1])}
    yield from wanted.items()
