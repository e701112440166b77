"""Which groups of weights to prove, and their proofs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError, unknown_name
from hw.array.parts import inner_pe
from hw.benches.batch import accelerator_verilog
from hw.emit import to_verilog
from hw.proofs.accumulator import GroupOfWeights
from hw.proofs.certificate import Solver, certify
from hw.proofs.netlist import TOP, module_in
from sw.accumulators import witness
from sw.compile import Machine, activation_range, machine_layer

from . import __version__
from .hashes import code_hash
from .job import Job

#: PEs up to which the machine's own Verilog is generated, to find the PE in it
MOST_PES = 256
SEED = 68


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A group of weights to prove.

    Attributes
    ----------
    name : of its folder.
    source : where the weights come from, in JSON types.
    group : its machine's PE, the weights, the activations.
    """

    name: str
    source: dict[str, Any]
    group: GroupOfWeights


def program() -> dict[str, str]:
    """Name and version of this program, as certificates hold them."""
    return {"bitsmith": __version__, "bitsmith_source_sha256": code_hash()}


def check_provable(machine: Machine) -> None:
    """Refuse machines whose PE no harness covers."""
    array = machine.accelerator
    if array.has_floats:
        raise InputError(
            f"accelerator '{array.name}' takes floating-point activations: only integer ones can "
            "be proved, 'bitsmith bounds' gives the errors of the others"
        )
    if array.pe != "serial":
        raise InputError(
            f"accelerator '{array.name}' has PEs of kind '{array.pe}': only 'serial' ones can be "
            "proved, 'bitsmith bounds' gives the widths of the others"
        )


def job_groups(
    job: Job,
    *,
    layer: str | None = None,
    channel: int | None = None,
    group: int | None = None,
    all_layers: bool = False,
) -> list[Selected]:
    """The worst group of a model's neediest layer, of the named one, or of each layer.

    Parameters
    ----------
    channel, group : take these instead of the worst.

    Raises
    ------
    InputError : no weights, an unknown layer, a channel or group that the layer does not have, or a
        machine that cannot be proved.
    """
    if not job.has_weights:
        raise InputError(
            "the workload has no weights: name a model, or an accelerator with --format and --k"
        )
    array = job.config.accelerator
    check_provable(job.machine)
    mode = array.inner_accumulator.mode
    bounds = job.bounds.layers
    if layer is not None and layer not in bounds:
        raise unknown_name("layer", layer, set(bounds))
    neediest = max(bounds, key=lambda name: bounds[name].max_bits("inner", mode))
    names = list(bounds) if all_layers else [layer or neediest]
    return [_of_layer(job, name, channel, group) for name in names]


def _of_layer(job: Job, name: str, channel: int | None, group: int | None) -> Selected:
    """A group of one layer; None for the worst channel, and for its worst group."""
    array = job.config.accelerator
    weights = machine_layer(job.quantized.layers[name], array)
    if channel is None:
        channel = job.bounds.layers[name].worst_channel("inner", array.inner_accumulator.mode)
    if not 0 <= channel < len(weights.levels):
        raise InputError(
            f"--channel is {channel}, layer '{name}' has channels 0 to {len(weights.levels) - 1}"
        )
    levels, size = weights.levels[channel], weights.group_size
    place = _worst_group(levels, job.machine, size) if group is None else group
    if not 0 <= place * size < len(levels):
        last = (len(levels) - 1) // size
        raise InputError(f"--group is {place}, a channel of '{name}' has groups 0 to {last}")
    source = {
        "model": Path(job.config.workload.model or "").name,
        "accelerator": array.name,
        "format": job.machine.family.name,
        "layer": name,
        "channel": channel,
        "group": place,
    }
    return Selected(
        name=f"{_plain(name)}_channel_{channel}_group_{place}",
        source=source,
        group=_group(job.machine, levels[place * size : (place + 1) * size]),
    )


def made_up_group(machine: Machine, length: int, kind: str) -> Selected:
    """Weights of a machine's format, where there is no model.

    Parameters
    ----------
    length : weights, K.
    kind : ``random`` (seeded), or ``extreme``: that level everywhere that needs the most bits.
    """
    check_provable(machine)
    levels = sorted(level for level in machine.terms.terms if level in machine.family.all_levels)
    if kind == "random":
        chosen = np.random.default_rng(SEED).choice(levels, length)
    else:
        ends = [np.full(length, level) for level in levels]
        chosen = max(ends, key=lambda row: _reach(_group(machine, row)))
    source = {
        "accelerator": machine.accelerator.name,
        "format": machine.family.name,
        "weights": f"{kind}, seed {SEED}" if kind == "random" else f"all {int(chosen[0])}",
    }
    name = f"{_plain(machine.accelerator.name)}_{kind}_{length}"
    return Selected(name=name, source=source, group=_group(machine, chosen))


def prove_all(selected: list[Selected], folder: Path, solver: Solver) -> Iterator[dict[str, Any]]:
    """Certificates, one after the other; those that are there and still hold are kept."""
    for each in selected:
        yield certify(each.group, each.source, folder / each.name, program=program(), solver=solver)


def machine_module(machine: Machine, verilog: str | None) -> str:
    """In one sentence, whether and where the PE under proof is in the machine's Verilog.

    Parameters
    ----------
    verilog : the machine's Verilog; ``None`` to generate it, unless the machine is large.
    """
    array = machine.accelerator
    if verilog is None and array.rows * array.cols > MOST_PES:
        return (
            f"not compared with the Verilog of {array.rows * array.cols} PEs; "
            "give it with --verilog FILE"
        )
    text = accelerator_verilog(machine) if verilog is None else verilog
    found = module_in(text, to_verilog(inner_pe(machine), TOP))
    if found is None:
        return "the machine's Verilog has no module with the logic of pe.v, line by line"
    return f"pe.v has the logic of module '{found}' of the machine's Verilog, line by line"


def _group(machine: Machine, levels: NDArray[Any]) -> GroupOfWeights:
    """``levels`` on the machine's PE."""
    array = machine.accelerator
    bits, is_signed = machine.value_shape
    return GroupOfWeights(
        terms=machine.terms,
        levels=tuple(int(level) for level in levels),
        lanes=array.lanes,
        activation_bits=bits,
        activation_signed=is_signed,
        activations=activation_range(array),
        bits=machine.inner_bits,
        mode=array.inner_accumulator.mode,
        adders=array.adders,
        pipeline=tuple(s for s in ("products", "sums", "shift") if s in array.pipeline),
    )


def _worst_group(levels: NDArray[Any], machine: Machine, group_size: int) -> int:
    """The group of a channel that needs the most bits."""
    array = machine.accelerator
    found = witness(
        levels,
        terms=machine.terms,
        group_size=group_size,
        lanes=array.lanes,
        input_range=activation_range(array),
        scale_row=None,
        stage="inner",
        mode=array.inner_accumulator.mode,
    )
    return found.group


def _reach(group: GroupOfWeights) -> tuple[int, int]:
    """Bits that a group needs, and the largest magnitude of its sums."""
    ranges = group.ranges()
    return group.needed_bits(), max(-int(ranges.low.min()), int(ranges.high.max()))


def _plain(name: str) -> str:
    """``name`` as part of a file's name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "layer"
