"""Report of a study: one HTML file with plotly.js inside that works without a network."""

from collections.abc import Mapping
from pathlib import Path

from ...strict_json import write_text
from ..result import StudyResult
from .page import page


def write_report(
    path: Path, result: StudyResult, *, facts: Mapping[str, str] | None = None
) -> Path:
    """Write the page to ``path`` and return it.

    Parameters
    ----------
    facts : what else is known of the study, for the head of the page: ``{"time": "31 s"}``.

    Raises
    ------
    InputError : plotly is missing (extra ``explore``), or the file cannot be written.
    """
    write_text(path, page(result, facts or {}))
    return path
