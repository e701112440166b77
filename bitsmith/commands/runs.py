"""Commands about whole runs: run, report, doctor."""

import dataclasses
import sys

from configs.errors import InputError
from configs.schema import load_run

from .. import doctor as checks
from .. import flow
from ..job import Progress
from ..report import write_report
from ..strict_json import plain
from ..tables import layer_table, summary_lines, text_table
from .common import Options, emit


def run(options: Options, progress: Progress) -> int:
    """``bitsmith run``."""
    config = load_run(options.file)
    result = flow.run(
        config,
        folder=options.output,
        progress=progress,
        note=lambda line: print(line, file=sys.stderr),
    )
    described = plain(dataclasses.asdict(config))
    text = "\n".join(
        [
            layer_table(result.steps),
            "",
            *summary_lines(described, result.steps),
            f"run folder: {result.folder} (report.html, layers.csv, JSON, verilog/)",
        ]
    )
    summary = {
        "passed": result.passed,
        "folder": str(result.folder),
        "cached": list(result.cached),
        "steps": {
            name: {key: value for key, value in step.items() if key not in ("layers", "cases")}
            for name, step in result.steps.items()
        },
    }
    emit(options, summary, text)
    return 0 if result.passed else 1


def report(options: Options, progress: Progress) -> int:
    """``bitsmith report``."""
    config, results = flow.load_results(options.folder)
    try:
        summarized = summary_lines(config, results)
        lines = [layer_table(results), "", *summarized]
        path = write_report(options.folder, config, results)
    except (AttributeError, IndexError, KeyError, TypeError):
        raise InputError(
            f"the results in '{options.folder}' are those of another version of bitsmith: do them "
            "again with 'bitsmith run'"
        ) from None
    lines.append(f"written: {path}")
    summary = {"report": str(path), "summary": summarized}
    emit(options, summary, "\n".join(lines))
    return 0


def doctor(options: Options, progress: Progress) -> int:
    """``bitsmith doctor``."""
    found = [check() for check in progress(checks.CHECKS, "doctor")]
    rows = [
        [c.tool, "ok" if c.ok else "MISSING" if c.needed else "missing", c.version, c.detail]
        for c in found
    ]
    healthy = all(check.ok for check in found if check.needed)
    advice = [f"{c.tool}: {c.advice}" for c in found if not c.ok]
    text = "\n".join([text_table(["tool", "state", "version", "trial"], rows), *advice])
    emit(options, {"healthy": healthy, "tools": [vars(c) for c in found]}, text)
    return 0 if healthy else 1
