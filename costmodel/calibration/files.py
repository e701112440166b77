"""Committed fits: reading one, and what it predicts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from configs.errors import InputError
from costmodel.array import machine_blocks
from costmodel.estimate import Estimate
from costmodel.linear import LinearModel, calibrate_command, read_fit
from costmodel.structure import Structure
from sw.compile import Machine

from .components import COMPONENTS, component_of
from .depth import Passed, paths
from .liberty import file_digest

Models = dict[str, LinearModel]
#: the committed fits
FITS = Path(__file__).with_name("fits")
#: components that consist of others
WHOLE = ("array", "core")


def amounts(structure: Structure) -> dict[str, float]:
    """What area is a sum over: the bits of a queue are flip-flops, too; tile buffers are apart."""
    found = dict(vars(structure))
    found["flip_flop_bits"] += found["memory_bits"]
    del found["sram_bits"]
    return found


def blocks_um2(models: Models, machine: Machine, inside: Callable[[str], bool]) -> dict[str, float]:
    """Area of all blocks whose name is ``inside``, each with its component's prices.

    Control is apart: only its sequencer is synthesized alone.
    """
    found = {"datapath_um2": 0.0, "control_um2": 0.0}
    for block in machine_blocks(machine):
        if inside(block.block):
            component = component_of(machine, block.block)
            kind = "control_um2" if component == "control" else "datapath_um2"
            found[kind] += models[component].value(amounts(block.structure)) * block.count
    return found


def longest_part_ps(models: Models, component: str, machine: Machine) -> Passed:
    """Delay of the slowest part of an array or a core."""
    inside = COMPONENTS[component].blocks
    blocks = [block.block for block in machine_blocks(machine) if inside(block.block)]
    # what an array has of control is only part of it
    names = {component_of(machine, block) for block in blocks} - (
        {"control"} if component == "array" else set()
    )
    found = (models[name].value(path) for name in names for path in paths(name, machine))
    return {"longest_part_ps": max(found)}


@dataclass(frozen=True, kw_only=True)
class AsicFit:
    """Area and delay of a machine's parts in one cell library.

    Attributes
    ----------
    name, description : of the library.
    node_nm, volts : process and supply of its characterization.
    liberty, liberty_sha256 : file that the sample was mapped to, uncompressed.
    tools : versions of what measured.
    period_ps : clock that the cells of the sample were sized for; its delays are sized for speed.
    seed : of the sample.
    area_um2 : one model per component, and how much of the blocks' area an array or a core has.
    delay_ps : one model per component, over the amounts of its longest path.
    leakage_mw_per_mm2 : of all cells of the sample, at the library's conditions; None where the
        library has no figure.
    summary : errors on what was held out and on what lies beyond the sampled range.
    """

    name: str
    description: str
    node_nm: float
    volts: float
    liberty: str
    liberty_sha256: str
    tools: dict[str, str]
    period_ps: float
    seed: int
    area_um2: Models
    delay_ps: Models
    leakage_mw_per_mm2: float | None
    summary: dict[str, Any]

    def check_library(self, liberty: Path) -> None:
        """The uncompressed library is the one that the sample was mapped to.

        Raises
        ------
        InputError : it is not.
        """
        if file_digest(liberty) != self.liberty_sha256:
            raise InputError(
                f"fit '{self.name}' was fitted to another library: give {self.liberty}"
            )

    def area(self, component: str, structure: Structure) -> Estimate:
        """Area of parts that ``component`` prices, um2, cells only.

        Raises
        ------
        InputError : the fit has no such component.
        """
        return self._model(self.area_um2, component).estimate(amounts(structure))

    def delay(self, component: str, machine: Machine) -> Estimate:
        """Longest path inside one component of a machine, ps, without wires."""
        model = self._model(self.delay_ps, component)
        if component in WHOLE:
            return model.estimate(longest_part_ps(self.delay_ps, component, machine))
        return model.estimate(max(paths(component, machine), key=model.value))

    def critical_path_ps(self, machine: Machine) -> Estimate:
        """Longest path of a core, ps, without wires."""
        return self.delay("core", machine)

    def _model(self, models: Models, component: str) -> LinearModel:
        if component not in models:
            known = ", ".join(sorted(models))
            raise InputError(f"fit '{self.name}' has no component '{component}', only {known}")
        return models[component]

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` takes."""
        models = {
            kind: {name: model.to_json() for name, model in getattr(self, kind).items()}
            for kind in ("area_um2", "delay_ps")
        }
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | models

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "AsicFit":
        """Of what a file contains."""
        models = {
            kind: {name: LinearModel.from_json(m) for name, m in content[kind].items()}
            for kind in ("area_um2", "delay_ps")
        }
        fit = cls(**{**content, **models})
        if not fit.node_nm > 0 or not fit.volts > 0 or fit.node_nm != int(fit.node_nm):
            raise ValueError(f"{fit.node_nm!r} nm, {fit.volts!r} V")
        known = {field.name for field in fields(Structure)} | {"datapath_um2", "control_um2"}
        for name, model in fit.area_um2.items():
            model.check_terms(name, known)
        return fit


def library_command(name: str, where: Path = FITS) -> str:
    """The command that makes the fits of a cell library."""
    needed = "--node-nm NM --volts V --energy"
    return calibrate_command(f"--liberty FILE --name {name} {needed}", where)


@lru_cache(maxsize=16)
def load_fit(name: str, *, where: Path = FITS) -> AsicFit:
    """A fit by name.

    Parameters
    ----------
    where : its folder, by default that of the committed fits.

    Raises
    ------
    InputError : there is no such fit, or its file is not one.
    """
    if "/" in name or name.endswith("_energy"):
        raise InputError(f"'{name}' is not the name of a fit of areas and delays")
    return read_fit(where / f"{name}.json", AsicFit.from_json, library_command(name, where))
