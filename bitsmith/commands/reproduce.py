"""Command about published comparisons: reproduce."""

from itertools import pairwise
from typing import Any

from configs.errors import InputError
from sim.published import VARIANTS, published_rows, read_points

from .. import reproduce as study
from ..job import Progress
from ..reproduce import CLAIMED, CLAIMED_ENERGY, PAIRS, Gains, Means
from ..tables import text_table
from .common import Options, choice, emit

STUDIES = ("bitmod-hpca25",)
#: how far an energy may be off
ENERGY_TOLERANCE = 1e-3
METRICS = ("speedup", "energy")


def reproduce(options: Options, progress: Progress) -> int:
    """``bitsmith reproduce``: exit code 1 if the 2024 variant misses a published figure."""
    if options.study not in STUDIES:
        raise InputError(f"the study is '{options.study}', valid are {', '.join(STUDIES)}")
    variant = choice(options.variant, "--variant", tuple(VARIANTS)) or "2024"
    if options.points is not None:
        return _points(options, variant)
    rows = published_rows()
    evaluated = study.evaluate((row.point for row in rows), variant)
    compared = [
        {
            "accelerator": row.point.accelerator,
            "phase": row.phase_name,
            "model": row.model_name,
            **own,
            "published_cycles": row.cycles,
            "published_onchip_uj": row.onchip_uj,
            "published_total_uj": row.total_uj,
        }
        for row, own in zip(rows, evaluated, strict=True)
    ]
    agreement = _agreement(compared)
    result: dict[str, Any] = {"variant": variant, **agreement, "rows": compared}
    lines = [_rows_table(compared), "", _agreement_text(agreement, variant), ""]
    headline = study.gains(rows, VARIANTS[variant])
    result["gains"] = headline.described()
    lines += [_headline_text(headline, variant)]
    if variant == "2024":
        lines += ["", *_corrected(rows, headline, result)]
    emit(options, result, "\n".join(lines))
    missed = agreement["equal_cycles"] < len(rows) or not agreement["energies_agree"]
    return 1 if variant == "2024" and missed else 0


def _points(options: Options, variant: str) -> int:
    """``--points``: any rows of the same format."""
    points = read_points(options.points)
    rows = study.evaluate(points, variant)
    cells = [
        [
            point.accelerator,
            point.phase,
            point.model.name,
            f"{row['cycles']:,}",
            f"{row['onchip_uj']:,.0f}",
            f"{row['total_uj']:,.0f}",
        ]
        for point, row in zip(points, rows, strict=True)
    ]
    header = ["accelerator", "phase", "model", "cycles", "on-chip uJ", "total uJ"]
    emit(options, {"rows": rows}, text_table(header, cells))
    return 0


def _agreement(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many cycle counts are equal, and the largest relative error of an energy."""
    errors = [
        abs(row[kind] / row[f"published_{kind}"] - 1)
        for row in rows
        for kind in ("onchip_uj", "total_uj")
    ]
    return {
        "equal_cycles": sum(row["cycles"] == row["published_cycles"] for row in rows),
        "largest_energy_error": max(errors),
        "energies_agree": max(errors) <= ENERGY_TOLERANCE,
    }


def _agreement_text(agreement: dict[str, Any], variant: str) -> str:
    return (
        f"variant {variant}: {agreement['equal_cycles']} of 60 cycle counts equal the published "
        f"ones; largest error of an energy {100 * agreement['largest_energy_error']:.2g} %"
    )


def _rows_table(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            row["accelerator"],
            "prefill" if "prefill" in row["phase"] else "decode",
            row["model"].rpartition("/")[2],
            f"{row['cycles']:,}",
            f"{row['cycles'] - row['published_cycles']:,}",
            f"{row['onchip_uj']:,.0f}",
            f"{100 * (row['onchip_uj'] / row['published_onchip_uj'] - 1):.4f}%",
            f"{row['total_uj']:,.0f}",
            f"{100 * (row['total_uj'] / row['published_total_uj'] - 1):.4f}%",
        ]
        for row in rows
    ]
    header = ["accelerator", "phase", "model", "cycles", "own - publ."]
    return text_table([*header, "on-chip uJ", "diff.", "total uJ", "diff."], cells)


def _headline_text(own: Gains, variant: str) -> str:
    cells = []
    for name, (accelerator, _) in PAIRS.items():
        speed, energy, claimed = own.speedup[name], own.energy[name], CLAIMED[name]
        cells.append(
            [
                f"{accelerator} over {name}",
                f"{claimed[0]}/{claimed[1]}",
                f"{claimed[2]}",
                _phases(speed),
                f"{speed.both:.3f}",
                f"{CLAIMED_ENERGY[name]}",
                _phases(energy),
                f"{energy.both:.3f}",
            ]
        )
    header = ["", "paper", "mean", f"variant {variant}", "mean"]
    header += ["energy, paper", f"variant {variant}", "mean"]
    text = "discriminative/generative; the artifact's generation is 20 steps after the prefill"
    return f"speed-up and energy efficiency, {text}\n{text_table(header, cells)}"


def _phases(means: Means) -> str:
    return f"{means.discriminative:.2f}/{means.generative:.2f}"


def _corrected(rows: Any, published: Gains, result: dict[str, Any]) -> list[str]:
    """The corrections one after another and alone, and what is left; added to ``result``."""
    steps, asked, bounds = study.corrections(rows), study.questions(rows), study.limits(rows)
    result["corrections"] = [
        {
            "correction": step["correction"],
            "applied": step["applied"].described(),
            "alone": step["alone"].described(),
        }
        for step in steps
    ]
    result["questions"] = [
        {"question": one["question"], **one["gains"].described()} for one in asked
    ]
    result["limits"] = bounds
    lines = []
    for metric, title in zip(METRICS, ("speed-up", "energy efficiency"), strict=True):
        lines += [
            f"{title} with corrections, one after another; 'alone': the mean with only that one",
            _steps_table(metric, published, steps, asked),
            "",
        ]
    return [*lines, *_reasons(published, steps, bounds)]


def _steps_table(
    metric: str, published: Gains, steps: list[dict[str, Any]], asked: list[dict[str, Any]]
) -> str:
    def cells(text: str, applied: Gains, alone: Gains | None) -> list[str]:
        row = [text]
        for name in PAIRS:
            means = getattr(applied, metric)[name]
            only = f"{getattr(alone, metric)[name].both:.3f}" if alone else "-"
            row += [_phases(means), f"{means.both:.3f}", only]
        return row

    table = [cells("as published", published, None)]
    table += [cells(f"+ {s['correction']}", s["applied"], s["alone"]) for s in steps]
    table += [cells(f"then, {one['question']}", one["gains"], None) for one in asked]
    header = [""]
    for name in PAIRS:
        header += [f"over {name}", "mean", "alone"]
    return text_table(header, table)


def _reasons(
    published: Gains, steps: list[dict[str, Any]], bounds: dict[str, dict[str, float]]
) -> list[str]:
    """What remains of the claims and which correction moved them, in sentences."""
    lines = []
    for name in ("ANT", "OliVe"):
        for metric, title in zip(METRICS, ("speed-up", "energy efficiency"), strict=True):
            values = [getattr(published, metric)[name].both]
            values += [getattr(step["applied"], metric)[name].both for step in steps]
            moves = [after - before for before, after in pairwise(values)]
            most = max(range(len(moves)), key=lambda i: abs(moves[i]))
            lines.append(
                f"{title} over {name}: {values[0]:.2f} -> {values[-1]:.2f}; moved most by "
                f"'{steps[most]['correction']}' ({moves[most]:+.3f})"
            )
        limit = bounds[name]
        lines.append(
            f"  its bounds: {limit['products_per_cycle_ratio']:.2f} times the products per cycle "
            f"in prefill, {limit['weight_bits_ratio']:.2f} times fewer weight bits in decoding"
        )
    share = bounds["bitmod-lossy"]["decode_share_waiting_for_dram"]
    lines.append(f"decoding on BitMoD waits for the DRAM in {100 * share:.1f} % of its cycles")
    return lines
