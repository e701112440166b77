"""Energy of actions: least squares over what measured jobs did, and its reading back."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from costmodel.actions import action_counts, action_parts
from costmodel.calibration.components import component_of
from costmodel.calibration.files import FITS, library_command
from costmodel.calibration.points import Point
from costmodel.estimate import Estimate
from costmodel.linear import FitError, LinearModel, fit_terms, read_fit
from costmodel.structure import Structure
from sim.activity import Activity

#: part of a netlist -> block whose component prices it
BLOCKS = {
    "pe": "pe.products",
    "dequantizer": "dequantizer.group_sums",
    "terms": "decoder",
    "scale": "column_scale",
    "activation_sums": "activation_sums",
    "activations": "activations",
    "queue": "queue.weights",
    "drain": "drain",
    "control": "control",
}
#: about how much cell area a part has. Few cores cannot tell the energies of all parts from each
#: other: where they say nothing, energies are in this proportion, as switched capacitance is
SIZES = {
    "flip_flop_bits": 50,
    "adder_bits": 22,
    "carry_nodes": 19,
    "full_adder_bits": 40,
    "mux2_bits": 14,
    "xor_gates": 24,
    "table_nodes": 6,
    "table_inputs": 5,
    "slot_choices": 2,
    "gates": 5,
}
#: how strongly they are held, per row; by leaving out one fitted core after the other
HOLD = 0.001
#: what operands were measured
DATA = ("real", "random", "zero_rich")


@dataclass(frozen=True, kw_only=True)
class EnergyFit:
    """Energy of a machine's actions in one cell library.

    Attributes
    ----------
    name : of the library.
    volts : supply.
    liberty_sha256 : of the file that was measured with, uncompressed.
    tools : versions of what measured.
    data : what the fitted jobs worked on; other data: ``data_factors``.
    energy_pj : by component, per amount of the parts that see new data in an action.
    clock_energy_pj_per_bit : of a flip-flop and cycle, pins and cells, without a clock tree.
    leakage_mw_per_mm2 : of cell area.
    data_factors : by data, by component and for the ``core``: energy over that of real data, mean,
        least and most of the measured cores.
    opensta : comparison with OpenSTA per netlist, pJ per cycle.
    summary : errors on what was left out of the fit; ``load_twice_percent`` and
        ``second_output_percent`` of a job's energy are what flip-flop tables may give twice.
    """

    name: str
    volts: float
    liberty_sha256: str
    tools: dict[str, str]
    data: str
    energy_pj: dict[str, LinearModel]
    clock_energy_pj_per_bit: Estimate
    leakage_mw_per_mm2: Estimate
    data_factors: dict[str, dict[str, Estimate]]
    opensta: dict[str, Any]
    summary: dict[str, Any]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "EnergyFit":
        """Of what :meth:`to_json` made."""
        models = {k: LinearModel.from_json(v) for k, v in content["energy_pj"].items()}
        estimates = {
            key: Estimate(**content[key])
            for key in ("clock_energy_pj_per_bit", "leakage_mw_per_mm2")
        }
        factors = {
            data: {name: Estimate(**found) for name, found in content["data_factors"][data].items()}
            for data in DATA
        }
        fit = cls(**{**content, "energy_pj": models, **estimates, "data_factors": factors})
        for name, model in models.items():
            model.check_terms(name, SIZES)
        for data in DATA:
            if not factors[data]["core"].low > 0:
                raise ValueError(f"no factor for {data} data")
        return fit

    def to_json(self) -> dict[str, Any]:
        """Keys as the attributes."""
        models = {name: model.to_json() for name, model in self.energy_pj.items()}
        return {**asdict(self), "energy_pj": models}


@lru_cache(maxsize=8)
def load_energy_fit(name: str, *, where: Path = FITS) -> EnergyFit:
    """Energies of a library.

    Parameters
    ----------
    where : their folder, by default that of the committed fits.

    Raises
    ------
    InputError : there are none, or their file is damaged.
    """
    if "/" in name:
        raise InputError(f"'{name}' is not the name of a fit of energies")
    path = where / f"{name}_energy.json"
    return read_fit(path, EnergyFit.from_json, library_command(name, where))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A component of a core over a job.

    Attributes
    ----------
    core, job : numbers in the sample.
    component : key of the fit.
    data : ``real``, ``random`` or ``zero_rich``.
    other_core, other_layer : whether core or layer is left out of the fit.
    energy_pj : that depends on data.
    amounts : of parts that saw new data.
    """

    core: int
    job: int
    component: str
    data: str
    other_core: bool
    other_layer: bool
    energy_pj: float
    amounts: dict[str, float]

    @property
    def fitted(self) -> bool:
        """Whether the fit may see it."""
        return self.data == "real" and not (self.other_core or self.other_layer)


def sample_rows(sample: Mapping[str, Any]) -> list[Row]:
    """Every component of every job of a sample."""
    return [row for core, found in enumerate(sample["cores"]) for row in _core_rows(core, found)]


@lru_cache(maxsize=64)
def _point(text: str) -> tuple[Point, dict[str, tuple[str, Structure]]]:
    """A core's machine and its actions; finding the terms of its formats takes a while."""
    point = Point(**json.loads(text))
    return point, action_parts(point.machine)


def _core_rows(core: int, found: Mapping[str, Any]) -> Iterator[Row]:
    point, parts = _point(json.dumps(found["core"]))
    machine = point.machine
    for job, row in enumerate(found["rows"]):
        amounts: dict[str, dict[str, float]] = {}
        for action, count in action_counts(machine, Activity(**row["activity"])).items():
            if action not in parts:
                continue
            component, structure = parts[action]
            sums = amounts.setdefault(component, {})
            for name, bits in asdict(structure).items():
                sums[name] = sums.get(name, 0.0) + count * bits
        energies: dict[str, float] = {}
        for part, energy in row["parts"].items():
            component = component_of(machine, BLOCKS[part])
            energies[component] = energies.get(component, 0.0) + energy["data_pj"]
        for component, energy in energies.items():
            if energy and component in amounts:
                yield Row(
                    core=core,
                    job=job,
                    component=component,
                    data=row["data"],
                    other_core=point.use != "fit",
                    other_layer=row["use"] != "fit",
                    energy_pj=energy,
                    amounts={n: a for n, a in amounts[component].items() if a},
                )


def fit_energy(sample: Mapping[str, Any]) -> EnergyFit:
    """Action energies of a sample.

    Raises
    ------
    InputError : a component that was only measured where it may not be fitted.
    """
    rows = sample_rows(sample)
    components = sorted({row.component for row in rows})
    models = {name: _model(name, [r for r in rows if r.component == name]) for name in components}
    clock = _spread(sample, _clock_pj)
    return EnergyFit(
        name=sample["name"],
        volts=sample["volts"],
        liberty_sha256=sample["liberty_sha256"],
        tools=sample["tools"],
        data="real",
        energy_pj=models,
        clock_energy_pj_per_bit=clock,
        leakage_mw_per_mm2=_spread(sample, _leakage_mw_per_mm2),
        data_factors=_factors(rows, components),
        opensta=_checks(sample),
        summary=_summary(sample, rows, models, clock.value),
    )


def _model(name: str, rows: Sequence[Row]) -> LinearModel:
    fitted = [row for row in rows if row.fitted]
    # other layers on cores that were fitted say little about other machines
    held = [row for row in rows if row.data == "real" and row.other_core]
    if not fitted or not held:
        raise InputError(f"the sample has no core to fit or to test the energy of '{name}'")
    alone = np.array(
        [sum(SIZES[n] * a for n, a in row.amounts.items()) / row.energy_pj for row in fitted]
    )
    # energy in proportion to size: one number, by least squares of relative errors
    per_size = float(alone.sum() / (alone**2).sum())
    terms = fit_terms(
        [row.amounts for row in fitted],
        [row.energy_pj for row in fitted],
        list(SIZES),
        near={part: per_size * size for part, size in SIZES.items()},
        hold=HOLD * len(fitted),
    )
    unknown = FitError(fitted=0, held_out=0, mean_percent=0, worst_percent=0, interval_percent=0)
    model = LinearModel(terms=terms, error=unknown)
    predicted = [model.value(row.amounts) for row in held]
    error = FitError.of(predicted, [row.energy_pj for row in held], fitted=len(fitted))
    return LinearModel(terms=terms, error=error)


def _clock_pj(core: Mapping[str, Any]) -> float:
    """Per flip-flop and cycle of a core on its first job."""
    row = core["rows"][0]
    spent = sum(part["clock_pj"] for part in row["parts"].values())
    return float(spent / (core["flip_flops"] * row["cycles"]))


def _leakage_mw_per_mm2(core: Mapping[str, Any]) -> float:
    """Of a core on its first job."""
    leakage = sum(part["leakage_mw"] for part in core["rows"][0]["parts"].values())
    return float(leakage / (core["area_um2"] * 1e-6))


def _spread(sample: Mapping[str, Any], figure: Callable[[Mapping[str, Any]], float]) -> Estimate:
    """Mean of the fitted cores; least and most of all."""
    every = [figure(core) for core in sample["cores"]]
    fitted = [figure(core) for core in sample["cores"] if core["core"]["use"] == "fit"]
    return Estimate(value=_short(np.mean(fitted)), low=_short(min(every)), high=_short(max(every)))


def _short(value: Any) -> float:
    return float(f"{float(value):.6g}")


def _factors(rows: Sequence[Row], components: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """Energy on other data over that on real data: same core, same shapes."""
    real: dict[tuple[int, str], float] = {}
    for row in rows:
        if row.data == "real":
            real.setdefault((row.core, row.component), row.energy_pj)
    exact = Estimate.exact(1.0)
    found: dict[str, dict[str, Estimate]] = {"real": dict.fromkeys((*components, "core"), exact)}
    for data in ("random", "zero_rich"):
        chosen = [row for row in rows if row.data == data]
        found[data] = {
            name: _mean_of(
                [r.energy_pj / real[r.core, name] for r in chosen if r.component == name]
            )
            for name in components
        }
        whole = [
            sum(r.energy_pj for r in chosen if r.core == core)
            / sum(real[r.core, r.component] for r in chosen if r.core == core)
            for core in sorted({r.core for r in chosen})
        ]
        found[data]["core"] = _mean_of(whole)
    return found


def _mean_of(ratios: Sequence[float]) -> Estimate:
    """Mean, least and most of what cores showed."""
    mean, least, most = (_short(of(ratios)) for of in (np.mean, min, max))
    return Estimate(value=mean, low=least, high=most)


def _checks(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Ours against OpenSTA's energy per cycle."""
    checked = [core for core in sample["cores"] if core["opensta"]]
    rows = [
        {
            "weights": core["weights"],
            "cells": core["cells"],
            **core["opensta"],
            "difference_percent": _short(
                (core["opensta"]["ours_pj"] / core["opensta"]["theirs_pj"] - 1) * 100
            ),
        }
        for core in checked
    ]
    worst = max((abs(row["difference_percent"]) for row in rows), default=None)
    return {"rows": rows, "worst_percent": worst}


def _summary(
    sample: Mapping[str, Any], rows: Sequence[Row], models: Mapping[str, LinearModel], clock: float
) -> dict[str, Any]:
    """Errors of whole cores on real data, by what was left out."""
    kinds = {
        "other_layers": lambda r: r.other_layer and not r.other_core,
        "other_cores": lambda r: r.other_core and not r.other_layer,
        "other_cores_and_layers": lambda r: r.other_core and r.other_layer,
        "held_out": lambda r: not r.fitted,
    }
    summary: dict[str, Any] = {}
    for kind, chosen in kinds.items():
        jobs: dict[tuple[int, int], list[Row]] = {}
        for row in rows:
            if row.data == "real" and chosen(row):
                jobs.setdefault((row.core, row.job), []).append(row)
        data, whole = [], []
        for (core, job), found in jobs.items():
            predicted = sum(models[row.component].value(row.amounts) for row in found)
            measured = sum(row.energy_pj for row in found)
            record = sample["cores"][core]
            spent = sum(part["clock_pj"] for part in record["rows"][job]["parts"].values())
            clocked = clock * record["flip_flops"] * record["rows"][job]["cycles"]
            data.append(abs(predicted / measured - 1) * 100)
            whole.append(abs((predicted + clocked) / (measured + spent) - 1) * 100)
        summary[kind] = {
            "jobs": len(jobs),
            "data_mean_percent": _short(np.mean(data)),
            "data_worst_percent": _short(max(data)),
            "with_clock_mean_percent": _short(np.mean(whole)),
            "with_clock_worst_percent": _short(max(whole)),
        }
    jobs_of_real = [
        row for core in sample["cores"] for row in core["rows"] if row["data"] == "real"
    ]
    for key in ("load_twice_pj", "second_output_pj"):
        shares = [row[key] / _spent(row) * 100 for row in jobs_of_real]
        summary[key.replace("_pj", "_percent")] = _short(np.mean(shares))
    return summary


def _spent(row: Mapping[str, Any]) -> float:
    """Data and clock energy of a job, pJ."""
    return sum(part["data_pj"] + part["clock_pj"] for part in row["parts"].values())
