"""``bitsmith rtl``: an accelerator as a folder to integrate."""

import hashlib
from pathlib import Path

from configs.errors import InputError
from configs.load import preset_names, read_yaml
from configs.schema import load_run
from sw.compile import Machine, check_recipe_formats, resolve_machine, worst_case_widths
from sw.quantize.recipe import group_length, machine_family

from .. import __version__
from ..job import Job, Progress
from ..package import package_files, write_package
from ..package.files import VERILOG
from ..package.fusesoc import TOP
from ..steps import machine_widths
from .common import JOB_OPTIONS, Options, emit, make_job

#: longest K that widths hold for where only an accelerator is named
DEFAULT_K = 4096


def rtl(options: Options, progress: Progress) -> int:
    """``bitsmith rtl``."""
    folder: Path = options.output
    machine = chosen_machine(options, progress)
    files = package_files(machine, __version__)
    write_package(folder, files)
    verilog = files[VERILOG]
    result = {
        "top": TOP,
        "folder": str(folder),
        "file": str(folder / VERILOG),
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "lines": verilog.count("\n"),
        "files": len(files),
        **machine_widths(machine),
    }
    text = (
        f"written: {folder} ({len(files)} files; {VERILOG} has {result['lines']} lines, top module "
        f"{TOP}, P_I {result['inner_bits']}, P_O {result['outer_bits']})\n"
        f"check it: make -C {folder / 'tb'}"
    )
    emit(options, result, text)
    return 0


def chosen_machine(options: Options, progress: Progress) -> Machine:
    """The machine that the options mean: of an accelerator alone, of a run, or for a model."""
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
        return Job(config=load_run(options.model), progress=progress).machine
    return make_job(options, progress).machine


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


def _accelerator_alone(options: Options, progress: Progress) -> Machine:
    """Widths that hold for all weights of a format."""
    name = options.model
    if options.accelerator is not None:
        raise InputError(f"'{name}' is an accelerator already: it goes without --config")
    k = DEFAULT_K if options.k is None else options.k
    if k < 1:
        raise InputError(f"--k is {k}, it must be at least 1")
    options.model, options.accelerator = None, name
    config = make_job(options, progress).config
    array, recipe = config.accelerator, config.quantization
    if recipe.overrides:
        raise InputError(
            f"recipe '{options.recipe}' treats layers differently: that takes a model "
            f"(bitsmith rtl MODEL --config {name})"
        )
    check_recipe_formats(array, [recipe.format])
    family = machine_family(recipe.format)
    group_size = min(k, group_length(recipe, k))
    widths = worst_case_widths(array, family, group_size=group_size, k=k)
    return resolve_machine(array, family, *widths, group_inputs=group_size)
