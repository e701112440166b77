"""Measured rows of a sample: what is committed of a calibration, one line per configuration."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import InputError
from costmodel.fpga.yosys import keep

from .points import Point
from .synthesis import Measured


@dataclass(frozen=True, kw_only=True)
class Row:
    """A configuration and what it became."""

    point: Point
    measured: Measured


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All rows of one library, and what they were measured with.

    Attributes
    ----------
    name, description, node_nm, volts, liberty, liberty_sha256, tools, period_ps, seed : see
        ``AsicFit``.
    leakage_mw_per_mm2 : of all cells, None where the library says nothing of it.
    rows : in the order of the sample.
    """

    name: str
    description: str
    node_nm: float
    volts: float
    liberty: str
    liberty_sha256: str
    tools: dict[str, str]
    period_ps: float
    seed: int
    leakage_mw_per_mm2: float | None
    rows: Sequence[Row]

    @property
    def origin(self) -> dict[str, Any]:
        """Everything but the rows."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "rows"}


def write_sample(path: Path, sample: Sample) -> None:
    """A strict JSON file with a line per row."""
    head = json.dumps(sample.origin, indent=1, allow_nan=False)
    lines = [
        json.dumps(asdict(row.point) | asdict(row.measured), allow_nan=False) for row in sample.rows
    ]
    text = head[:-2] + ',\n "rows": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    keep(path, text.encode())


def read_sample(path: Path) -> Sample:
    """What :func:`write_sample` wrote.

    Raises
    ------
    InputError : the file is missing or is no sample.
    """
    try:
        content = json.loads(path.read_text())
        rows = [_row(row) for row in content.pop("rows")]
        return Sample(**content, rows=rows)
    except OSError as error:
        raise InputError(f"cannot read the sample '{path}': {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"'{path}' is no sample of a calibration ({error})") from None


def _row(content: Mapping[str, Any]) -> Row:
    measured = {name: content[name] for name in Measured.__dataclass_fields__}
    point = {name: content[name] for name in Point.__dataclass_fields__}
    return Row(point=Point(**point), measured=Measured(**measured))
