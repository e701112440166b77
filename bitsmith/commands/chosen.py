"""The machine that options mean, and the K and groups that it is made for."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError, unknown_name
from configs.load import preset_names, read_yaml
from configs.schema import QuantizationConfig, load_run
from configs.timing import GROUP_COUNT_BITS
from sw.compile import (
    GemmShape,
    Machine,
    check_recipe_formats,
    resolve_machine,
    tiling,
    worst_case_widths,
)
from sw.compile.transfers import activation_port, check_buffers
from sw.formats import FormatFamily
from sw.models.registry import known_models
from sw.quantize.recipe import group_length, machine_family

from ..job import Job, Progress
from ..package import Purpose
from ..verify import longest_k
from .common import JOB_OPTIONS, Options, make_job

#: longest K that widths hold for where only an accelerator without buffers is named
DEFAULT_K = 4096


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A machine and what it is for.

    Attributes
    ----------
    machine : its buffers hold a tile of every K and group size in ``purpose``.
    purpose : for the package.
    alone : only an accelerator was named, no model.
    """

    machine: Machine
    purpose: Purpose
    alone: bool


def chosen_machine(options: Options, progress: Progress) -> Chosen:
    """The machine that the options mean: of an accelerator alone, of a run, or for a model.

    Raises
    ------
    InputError : also where half a buffer is smaller than a tile; the message names the size.
    """
    kind = _kind(options.model)
    if kind == "accelerator":
        return _accelerator_alone(options, progress)
    if options.k is not None:
        raise InputError("--k goes with an accelerator alone: a model's own layers say how long")
    if kind == "run":
        for name, option in JOB_OPTIONS.items():
            if getattr(options, name) is not None:
                raise InputError(
                    f"'{options.model}' is a run configuration: it goes without --{option}"
                )
        return _of_job(Job(config=load_run(options.model), progress=progress))
    _check_name(options.model)
    return _of_job(make_job(options, progress))


def largest_k(machine: Machine, group_size: int | str) -> int:
    """The largest K of which a tile fits into half of each buffer.

    Parameters
    ----------
    machine : with buffers.
    group_size : weights that share a scale, or ``channel``.
    """
    most = activation_port(machine).half_beats * machine.accelerator.lanes
    return longest_k(machine, most, most if isinstance(group_size, str) else group_size)


def largest_job_k(lanes: int, group_size: int | str) -> int:
    """The largest K that the shape registers of a job have room for."""
    count = (1 << GROUP_COUNT_BITS) - 1
    if isinstance(group_size, str) or -(-group_size // lanes) > count:
        return count * lanes
    return count * group_size


def _kind(name: str | None) -> str:
    """What the positional argument is: ``accelerator``, ``run`` or ``model``."""
    if name is None:
        return "model"
    if name in preset_names("accelerators"):
        return "accelerator"
    if name in preset_names("") and not Path(name).exists():
        return "run"
    if not name.endswith((".yaml", ".yml")):
        return "model"
    found = read_yaml(Path(name))
    if isinstance(found, dict) and "rows" in found:
        return "accelerator"
    return "run" if isinstance(found, dict) and "accelerator" in found else "model"


def _check_name(name: str | None) -> None:
    """Refuse a bare name that nothing has, with the nearest of all that could be meant."""
    if not name or len(Path(name).parts) > 1 or Path(name).suffix or Path(name).exists():
        return
    models = [*(model.name for model in known_models()), *preset_names("workloads")]
    if name not in models:
        others = [*preset_names("accelerators"), *preset_names("")]
        kind = "accelerator, run configuration or model"
        raise unknown_name(kind, name, {*models, *others})


def _check_tiles(
    array: AcceleratorConfig, family: FormatFamily, shapes: Iterable[tuple[int, int]]
) -> None:
    """Refuse buffers smaller than one tile; before widths are known, they do not matter here."""
    machine = _any_width(array, family)
    if array.buffers is not None:
        found = [GemmShape(m=1, n=1, k=k, group_size=group) for k, group in shapes]
        check_buffers(machine, *(tiling(machine, shape) for shape in found))


def _any_width(array: AcceleratorConfig, family: FormatFamily) -> Machine:
    """A machine to ask how many beats tiles have."""
    return resolve_machine(array, family, 32, 32, group_inputs=1)


def _of_job(job: Job) -> Chosen:
    """Widths that hold for a model."""
    sizes = job.group_sizes
    shapes = [(x.in_features, sizes[x.name]) for x in job.linears if x.name in sizes]
    _check_tiles(job.config.accelerator, job.family, shapes)
    model = job.config.workload.model
    purpose = Purpose(
        k=max(k for k, _ in shapes),
        group_sizes=tuple(sorted({min(shape) for shape in shapes})),
        weights=f"all weights of {job.family.name}"
        if model is None
        else f"the weights of {Path(model).name}",
    )
    return Chosen(machine=job.machine, purpose=purpose, alone=False)


def _accelerator_alone(options: Options, progress: Progress) -> Chosen:
    """Widths that hold for all weights of a format."""
    name = options.model
    if options.accelerator is not None:
        raise InputError(f"'{name}' is an accelerator already: it goes without --config")
    if options.k is not None and options.k < 1:
        raise InputError(f"--k is {options.k}, it must be at least 1")
    config = make_job(
        Options(**{**vars(options), "model": None, "accelerator": name}), progress
    ).config
    array, recipe = config.accelerator, config.quantization
    if recipe.overrides:
        raise InputError(
            f"recipe '{options.recipe}' treats layers differently: that takes a model "
            f"(bitsmith rtl MODEL --config {name})"
        )
    check_recipe_formats(array, [recipe.format])
    family = machine_family(recipe.format)
    k = _k(options.k, array, family, recipe)
    group_size = min(k, group_length(recipe, k))
    _check_tiles(array, family, [(k, group_size)])
    widths = worst_case_widths(array, family, group_size=group_size, k=k)
    machine = resolve_machine(array, family, *widths, group_inputs=group_size)
    purpose = Purpose(k=k, group_sizes=(group_size,), weights=f"all weights of {family.name}")
    return Chosen(machine=machine, purpose=purpose, alone=True)


def _k(
    given: int | None, array: AcceleratorConfig, family: FormatFamily, recipe: QuantizationConfig
) -> int:
    """The longest K: as given, else what the buffers hold, else ``DEFAULT_K``."""
    # a group of a whole channel is as long as whatever is asked for
    whole = group_length(recipe, 1) == 1 and group_length(recipe, 2) == 2
    group_size: int | str = "channel" if whole else group_length(recipe, 1)
    most = largest_job_k(array.lanes, group_size)
    if given is not None:
        if given > most:
            raise InputError(f"--k is {given}, a job of this accelerator holds K up to {most}")
        return given
    if array.buffers is None:
        return min(DEFAULT_K, most)
    return largest_k(_any_width(array, family), group_size)
