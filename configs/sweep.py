"""What a sweep file may say: a design space, what is wanted of its points, how it is searched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import InputError, check_range
from .load import build, preset_folder, preset_names, read_yaml
from .schema import RUN_AXES

Method = Literal["exhaustive", "nsga2", "tpe", "gp"]


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How points are chosen."""

    #: every point, or a search that learns from the points before (Optuna)
    method: Method = "exhaustive"
    #: points that a search evaluates; an exhaustive sweep takes all
    points: int = 1000
    #: points chosen at a time, before any of their results is known
    batch: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("points", self.points, 1, 10_000_000)
        check_range("batch", self.batch, 1, 10_000)
        check_range("seed", self.seed, 0, (1 << 32) - 1)


@dataclass(frozen=True, kw_only=True)
class PromoteConfig:
    """How many points of the front climb to each rung of the fidelity ladder."""

    #: the stepped simulator and the cost model of the point's own machine
    stepped: int = 20
    #: synthesis of the point's blocks
    synthesis: int = 3
    #: the point's RTL under Verilator
    rtl: int = 3

    def __post_init__(self) -> None:
        for name in ("stepped", "synthesis", "rtl"):
            check_range(name, getattr(self, name), 0, 10_000)


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A design space and the question asked of it."""

    name: str
    description: str
    #: where every point starts: presets, files or mappings, as in a run configuration
    base: dict[str, Any]
    #: values by dotted path into the run configuration: a list, or one of ``range``, ``log2``,
    #: ``log``; a whole file by its axis, such as ``quantization: [bitmod_fp4, int4]``
    axes: dict[str, Any]
    #: axes that only some points have: path -> condition; the others keep the base's value
    when: dict[str, str] = field(default_factory=dict)
    #: what a feasible point fulfils: expressions, or ``fits: DEVICE``
    constraints: tuple[str | dict[str, str], ...] = ()
    #: metrics to be made as small, or as large, as their nature is
    objectives: tuple[str, ...]
    #: accelerators of the literature to show beside the points
    baselines: tuple[str, ...] = ("fp16", "int8", "ant", "olive", "bitmod")
    search: SearchConfig = field(default_factory=SearchConfig)
    promote: PromoteConfig = field(default_factory=PromoteConfig)

    def __post_init__(self) -> None:
        if not self.axes:
            raise InputError("axes is empty: name at least one")
        if not self.objectives:
            raise InputError("objectives is empty: name at least one")
        for given in ("objectives", "baselines"):
            names = getattr(self, given)
            if len(set(names)) < len(names):
                raise InputError(f"{given} names something twice: {', '.join(names)}")


def load_sweep(reference: Path | str) -> tuple[SweepConfig, Path]:
    """A sweep by the name of a shipped one or by its file, and the folder its paths start from.

    Raises
    ------
    InputError : no such sweep, an unknown key or a wrong value.
    """
    path = Path(reference)
    if str(reference) in preset_names("sweeps") and not path.exists():
        path = preset_folder("sweeps") / f"{reference}.yaml"
    elif not path.exists() and path.suffix not in (".yaml", ".yml"):
        known = ", ".join(preset_names("sweeps"))
        raise InputError(f"there is no sweep '{reference}'; shipped are {known}, or give a file")
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        raise InputError(f"{path}: expected a mapping of sweep settings")
    sweep = build(SweepConfig, {"name": path.stem, **data}, str(path))
    for axis in sweep.base:
        if axis not in RUN_AXES:
            raise InputError(f"{path}: base: '{axis}' is none of {', '.join(RUN_AXES)}")
    return sweep, path.parent
