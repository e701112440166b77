"""Results of training for a width, as rows beside those of :mod:`bitsmith.widths.study`."""

import json
from pathlib import Path
from typing import Any

from configs.errors import InputError

from .tasks import DIGITS, Task

#: names of the tasks in the file, where they differ
_NAMES = {"digits": DIGITS}
#: floating-point values that come from the same data
_SAME = 1e-4


def trained_rows(path: Path, task: Task, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the file that ``benchmarks/narrow_training.py`` writes, for one task.

    Those with the task's widths of weights and activations, whose floating-point model does as well
    on its data as the task's; the mean over seeds. The hardware is that of the row in ``rows`` that
    keeps to the same width.

    Raises
    ------
    InputError : as :func:`read_trained`.
    """
    by_width: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in read_trained(path):
        if _fits(row, task):
            by_width.setdefault((row["method"], row["inner_bits"]), []).append(row)
    machines = {row["inner_bits"]: row for row in rows if row["proved"]}
    return [
        _row(method, bits, seeds, rows[0], machines.get(bits))
        for (method, bits), seeds in sorted(by_width.items())
    ]


def read_trained(path: Path) -> list[dict[str, Any]]:
    """All rows of such a file.

    Raises
    ------
    InputError : the file cannot be read or is another one.
    """
    try:
        rows = json.loads(path.read_text())
        for row in rows:
            float(row["value"]) + float(row["float_value"]) + float(row["sparsity"])
            {row[key] for key in ("task", "method", "weight_bits", "activation_bits", "inner_bits")}
            int(row["proved_bits"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"--trained: '{path}' is no list of trained models: {error}") from None
    return list(rows)


def _fits(row: dict[str, Any], task: Task) -> bool:
    if _NAMES.get(row["task"], row["task"]) != task.name or row["inner_bits"] is None:
        return False
    weights = task.settings.format.removeprefix("int")
    same = str(row["weight_bits"]) == weights
    # measured on other data, values could not be compared
    same = same and abs(row["float_value"] - task.float_value) < _SAME
    return same and row["activation_bits"] == task.array.activation_bits


def _row(
    method: str,
    bits: int,
    seeds: list[dict[str, Any]],
    first: dict[str, Any],
    machine: dict[str, Any] | None,
) -> dict[str, Any]:
    def mean(key: str) -> float:
        return sum(row[key] for row in seeds) / len(seeds)

    proved = max(row["proved_bits"] for row in seeds)
    value = mean("value")
    hardware = ("proved_outer_bits", "outer_bits", "area_um2", "luts")
    return {
        **{key: first[key] for key in ("task", "metric", "float_value", "higher_is_better")},
        "method": f"{method} trained",
        "inner_bits": bits,
        "inner_mode": "wrap",
        "proved": proved <= bits,
        "proved_inner_bits": proved,
        "value": value,
        "exact_value": value,
        "events": 0,
        "outputs_wrong": 0.0,
        "sparsity": mean("sparsity"),
        **{key: None if machine is None else machine[key] for key in hardware},
    }
