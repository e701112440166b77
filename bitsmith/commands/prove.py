"""``bitsmith prove``: proofs on the RTL with given weights, as folders that others can check."""

from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.schema import load_run
from hw.proofs.certificate import CERTIFICATE, Solver, check
from hw.proofs.group_file import read_group
from hw.proofs.netlist import module_in
from hw.proofs.runner import missing_solver

from ..job import Job, Progress
from ..prove import Selected, job_groups, machine_module, made_up_group, program, prove_all
from .chosen import _kind, chosen_machine
from .common import JOB_OPTIONS, Options, choice, emit, make_job

#: options that choose weights, with their names on the command line
_CHOICES = {"layer": "layer", "channel": "channel", "group": "group", "all_layers": "all-layers"}

#: no longer: to wait for ever is not possible
MOST_TIMEOUT_S = 1_000_000
DEFAULT_OUTPUT = Path("proofs")


def prove(options: Options, progress: Progress) -> int:
    """``bitsmith prove``."""
    # so written that nan is refused too
    if not 0 < options.timeout <= MOST_TIMEOUT_S:
        raise InputError(
            f"--timeout is {options.timeout}, expected seconds above 0 and at most {MOST_TIMEOUT_S}"
        )
    if options.check is not None:
        _refuse_with_check(options)
    missing = missing_solver()
    if missing:
        raise InputError(missing)
    if options.check is not None:
        return _check(options, progress)
    selected, machine = _selected(options, progress)
    verilog = None if options.verilog is None else _text(options.verilog)
    where = machine_module(machine, verilog)
    solver = Solver(timeout_s=options.timeout)
    found = []
    # one by one: what is finished is kept if the rest is interrupted
    for each in progress(selected, "prove"):
        found += list(prove_all([each], options.output or DEFAULT_OUTPUT, solver))
    result = {"machine": where, "proofs": [_summary(proof) for proof in found]}
    emit(options, result, "\n".join([*map(_line, found), where, _note(selected)]).rstrip())
    return 0 if all(proof["result"] == "proved" for proof in found) else 1


def _selected(options: Options, progress: Progress) -> tuple[list[Selected], Any]:
    """What to prove, and on which machine."""
    kind = _kind(options.model)
    if kind == "accelerator":
        for name, option in _CHOICES.items():
            if _is_given(options, name):
                raise InputError(f"--{option} goes with a model: '{options.model}' has no weights")
        chosen = chosen_machine(options, progress)
        kinds = ("extreme", "random")
        weights = choice(options.levels, "--levels", kinds) or "extreme"
        size = max(chosen.purpose.group_sizes)
        return [made_up_group(chosen.machine, size, weights)], chosen.machine
    for name in ("k", "levels"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} goes with an accelerator alone, not with weights")
    if options.all_layers and options.layer is not None:
        raise InputError("--layer and --all-layers exclude each other")
    job = _job(options, kind, progress)
    chosen_parts = {name: getattr(options, name) for name in _CHOICES}
    return job_groups(job, **chosen_parts), job.machine


def _job(options: Options, kind: str, progress: Progress) -> Job:
    if kind != "run":
        return make_job(options, progress)
    for name, option in JOB_OPTIONS.items():
        if getattr(options, name) is not None:
            raise InputError(
                f"'{options.model}' is a run configuration: it goes without --{option}"
            )
    return Job(config=load_run(options.model), progress=progress)


def _summary(proof: dict[str, Any]) -> dict[str, Any]:
    """A certificate without what its files hold."""
    left = ("files", "assumptions", "schema", "recheck", "queries", "reached")
    return {key: value for key, value in proof.items() if key not in left}


def _line(proof: dict[str, Any]) -> str:
    """A certificate in a line or two."""
    kept = ", kept from before" if proof["kept"] else f", {proof['seconds']:.1f} s"
    line = (
        f"{proof['name']}: {proof['result']} at {proof['bits']} bits ({proof['mode']}; "
        f"{proof['needed_bits']} needed, K {proof['weights']}, {proof['steps']} steps{kept})"
    )
    if proof["result"] == "refuted":
        shown = proof["counterexample"]
        inputs = " ".join(map(str, shown["inputs"]))
        return (
            f"{line}\n  step {shown['fails_at_step']}: the sum is {shown['exact_sum']}, the "
            f"register {shown['register']}; activations: {inputs}"
        )
    if proof["result"] != "proved":
        return f"{line}\n  {proof['why']}"
    control = proof["control"]
    if control is None:
        return f"{line}\n  no control: a register has at least 1 bit"
    return f"{line}\n  control at {control['bits']} bits: fails, as it must"


def _note(selected: list[Selected]) -> str:
    """What weights were made up."""
    weights = selected[0].source.get("weights")
    if weights is None:
        return ""
    return f"no model was named: the weights are made up ({weights}), others are not proved"


def _refuse_with_check(options: Options) -> None:
    """With certificates, an option that would be ignored is an error."""
    refused = {"model": "a model", "output": "--out"}
    for name, option in {**_CHOICES, **JOB_OPTIONS, "k": "k", "levels": "levels"}.items():
        refused[name] = f"--{option}"
    for name, shown in refused.items():
        # the command line gives this folder where none is named
        is_default = name == "output" and options.output == DEFAULT_OUTPUT
        if _is_given(options, name) and not is_default:
            raise InputError(
                f"--check takes certificates, it goes without {shown}: only --verilog, --timeout "
                "and --json go with it"
            )


def _is_given(options: Options, name: str) -> bool:
    """Whether an option is on the command line; 0 is a value."""
    return getattr(options, name) is not None and getattr(options, name) is not False


def _check(options: Options, progress: Progress) -> int:
    """``bitsmith prove --check``."""
    folders = _folders(options.check)
    solver, results = Solver(timeout_s=options.timeout), []
    for folder in progress(folders, "check"):
        results.append(check(folder, program=program(), solver=solver))
        if options.verilog is not None:
            results[-1] |= _in_verilog(folder, options.verilog, results[-1])
    lines = []
    for found in results:
        state = "holds" if found["holds"] else f"does NOT hold (it says '{found['result']}')"
        lines.append(f"{found['name']}: the certificate {state}, {found['seconds']:.1f} s")
        lines += [f"  {sentence}" for sentence in (*found["differences"], *found["notes"])]
    emit(options, {"certificates": results}, "\n".join(lines))
    return 0 if all(found["holds"] for found in results) else 1


def _in_verilog(folder: Path, verilog: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Whether the PE of a certificate is in a machine's Verilog."""
    read_group(_text(folder / "weights.json"), str(folder / "weights.json"))
    name = module_in(_text(verilog), _text(folder / "pe.v"))
    if name is None:
        sentence = f"no module of '{verilog}' has the logic of pe.v, line by line"
        return {"holds": False, "differences": [*found["differences"], sentence]}
    return {
        "notes": [
            *found["notes"],
            f"pe.v has the logic of module '{name}' of '{verilog}', line by line",
        ]
    }


def _folders(path: Path) -> list[Path]:
    """Folders of the certificates that a path means."""
    if path.name == CERTIFICATE:
        return [path.parent]
    if (path / CERTIFICATE).exists():
        return [path]
    found = sorted(below.parent for below in path.glob(f"*/{CERTIFICATE}"))
    if not found:
        raise InputError(f"--check: '{path}' holds no {CERTIFICATE}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read '{path}': {error}") from None
