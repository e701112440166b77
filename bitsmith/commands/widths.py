"""The command about quality against accumulator width."""

import os
from pathlib import Path
from typing import Any

from configs.errors import InputError, check_range
from configs.schema import QuantizationConfig, load_axis
from costmodel import Technology
from sw.quantize.recipe import check_format

from ..job import Progress
from ..report.widths import STYLES, widths_page
from ..strict_json import dumps, plain, write_texts
from ..tables import csv_text, text_table
from ..widths import METHODS, WidthSettings, find_task, read_trained, trained_rows, width_rows
from .common import Options, emit

#: what the command does without options: the shipped model and the digits
TASKS = ("scribe_1m", "digits_mlp")
WIDTHS = (8, 17)
TOKENS = 1024
GROUP_SIZE = 64


def widths(options: Options, progress: Progress) -> int:
    """``bitsmith widths``."""
    tokens = TOKENS if options.tokens is None else options.tokens
    low, high = options.widths or WIDTHS
    if low > high:
        raise InputError(f"--widths {low} {high}: the first must not be above the second")
    settings = WidthSettings(
        widths=tuple(range(low, high + 1)),
        methods=tuple(dict.fromkeys(options.methods or METHODS)),
    )
    check_range("--tokens", tokens, 2, 1 << 24)
    recipe = QuantizationConfig(
        format=options.format or "int4",
        group_size=GROUP_SIZE if options.group_size is None else options.group_size,
        scale_format="uint8",
        scale_rule="mse",
    )
    check_format(recipe.format)
    technology = Technology.of(load_axis("technology", options.technology or "generic_28nm"))
    if options.trained is not None:
        read_trained(options.trained)
    if options.output is not None:
        _check_folder(options.output)
    tasks = {}
    for name in dict.fromkeys(options.tasks or TASKS):
        task = find_task(name, recipe, tokens=tokens)
        rows = width_rows(task, settings, technology, progress=progress)
        rows += trained_rows(options.trained, task, rows) if options.trained else []
        tasks[task.name] = rows
    result = plain({"tasks": tasks})
    if options.output is not None:
        _write(options.output, result)
    emit(options, result, "\n\n".join(_text(name, rows) for name, rows in tasks.items()))
    return 0


def _check_folder(folder: Path) -> None:
    """Find out before the work whether its results can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output: cannot make '{folder}': {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"--output: cannot write into '{folder}'")


def _write(folder: Path, result: dict[str, Any]) -> None:
    """Picture, table and JSON."""
    rows = [row for task in result["tasks"].values() for row in task]
    write_texts(
        {
            folder / "widths.json": dumps(result) + "\n",
            folder / "widths.csv": csv_text(rows),
            folder / "widths.html": widths_page(result["tasks"]),
        }
    )


def _text(name: str, rows: list[dict[str, Any]]) -> str:
    """One task's table: a row per width, a column per method."""
    methods = [method for method in STYLES if any(row["method"] == method for row in rows)]
    found = {(row["method"], row["inner_bits"]): row for row in rows}
    bits = sorted({row["inner_bits"] for row in rows if row["method"] != "wide"})
    lines = [
        [str(width), *(_cell(found.get((method, width))) for method in methods)] for width in bits
    ]
    wide = found["wide", 32]
    header = ["P_I", *methods]
    return "\n".join(
        [
            f"{name}, {wide['metric']}: floating point {wide['float_value']:.4f}, 32-bit "
            f"accumulators {wide['value']:.4f} (needs P_I {wide['proved_inner_bits']}, "
            f"{wide['luts']} LUTs a PE)",
            text_table(header, lines),
            "value (LUTs of one PE); * not proved: some input overflows; -: no room for a weight",
        ]
    )


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    luts = "" if row["luts"] is None else f" ({row['luts']})"
    return f"{row['value']:.4f}{'' if row['proved'] else '*'}{luts}"
