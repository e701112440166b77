"""Run configuration and accelerator of every point shown, packed for the page."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..export import axis_yaml, point_config, run_yaml, titled
from ..space import Space


def packed_files(
    space: Space, numbers: Sequence[int], settings: Sequence[Mapping[str, Any]]
) -> str:
    """``{"run": [...], "accelerator": [...]}`` with a file per point: JSON, gzip, base64.

    Thousands of files that are alike take some ten bytes each.
    """
    files: dict[str, list[str]] = {"run": [], "accelerator": []}
    for number, given in zip(numbers, settings, strict=True):
        config, title = point_config(space, number, given), titled(space, number)
        files["run"].append(title + run_yaml(config))
        files["accelerator"].append(title + axis_yaml(config.accelerator))
    # no time in the header: the same study gives the same bytes
    packed = gzip.compress(json.dumps(files).encode(), mtime=0)
    return base64.b64encode(packed).decode("ascii")
