"""HTML report of a run: one self-contained file, no network, no scripts."""

from pathlib import Path
from typing import Any

from ..strict_json import write_text
from .page import page


def write_report(folder: Path, config: dict[str, Any], results: dict[str, dict[str, Any]]) -> Path:
    """Write ``report.html`` into ``folder`` and return its path.

    Parameters
    ----------
    folder : run folder.
    config : the run configuration as JSON values.
    results : step -> its JSON object, see :mod:`bitsmith.steps`.
    """
    path = folder / "report.html"
    write_text(path, page(config, results))
    return path
