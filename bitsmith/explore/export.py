"""Points as files: tables for other tools, run configurations for ``bitsmith run``."""

import csv
import functools
import importlib
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from configs.errors import InputError
from configs.expressions import written
from configs.files import replacing
from configs.load import preset_folder, preset_names
from configs.schema import AXES, RUN_AXES, RunConfig, load_axis

from ..strict_json import write_text, write_texts
from .result import StudyResult
from .space import Space
from .table import Table

#: longest line into which a mapping is folded
_LINE = 96
#: rows that are turned into text, or into a row group, at a time
_BATCH = 16384
#: settings that may be paths of files
_PATHS = {"workload": ("model", "gemms"), "quantization": ("calibration_text",)}


def flow(value: Any) -> str:
    """``value`` as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    return _flow(tuple(value) if isinstance(value, list) else value)


@functools.lru_cache(maxsize=8192, typed=True)
def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
    return str(text).removesuffix("\n").removesuffix("\n...")


def yaml_lines(settings: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Lines of a YAML file; mappings that are short take one line."""
    for key, value in settings.items():
        line = f"{indent}{flow(key)}: {flow(value)}"
        if len(line) <= _LINE or not isinstance(value, Mapping) or not value:
            yield line
        else:
            yield f"{indent}{flow(key)}:"
            yield from yaml_lines(value, indent + "  ")


def settings_of(config: Any) -> dict[str, Any]:
    """A configuration's dataclass as the strict loader takes it, without what is default."""
    given = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if value != _default(field):
            given[field.name] = _plain(value)
    return given


def _default(field: "Field[Any]") -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return settings_of(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) if is_dataclass(item) else item for key, item in value.items()}
    # the loader takes whole numbers where it wants a float, and they read better
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


@functools.cache
def _presets(axis: str) -> dict[str, Any]:
    """Every shipped preset of an axis, loaded."""
    base = preset_folder(AXES[axis][0])
    return {name: load_axis(axis, name, base=base) for name in preset_names(AXES[axis][0])}


def preset_name(axis: str, config: Any) -> str | None:
    """The shipped preset that equals ``config``, if there is one."""
    names = (name for name, preset in _presets(axis).items() if preset == config)
    return next(names, None)


#: the last section of each axis with its settings: neighbouring points share most of them
_last: dict[str, tuple[Any, Any]] = {}


def run_settings(config: RunConfig) -> dict[str, Any]:
    """A run configuration as ``load_run`` takes it: presets by name, the rest without defaults."""
    given: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in RUN_AXES:
            given |= {field.name: _plain(value)} if value != _default(field) else {}
        elif value is not None:
            if field.name not in _last or _last[field.name][0] is not value:
                _last[field.name] = (value, _section(field.name, value))
            given[field.name] = _last[field.name][1]
    return given


def _section(axis: str, config: Any) -> str | dict[str, Any]:
    """One axis of a run configuration: the name of a preset, or its settings."""
    name = preset_name(axis, config)
    if name is not None:
        return name
    given = settings_of(config)
    for key in _PATHS.get(axis, ()):
        # a file is written elsewhere than the sweep, from where its paths would not be found
        if given.get(key) and Path(given[key]).exists():
            given[key] = str(Path(given[key]).resolve())
    return given


def run_yaml(config: RunConfig) -> str:
    """A file for ``bitsmith run`` whose configuration equals ``config``."""
    return "".join(f"{line}\n" for line in yaml_lines(run_settings(config)))


def axis_yaml(config: Any) -> str:
    """A file for one axis, such as an accelerator, that equals ``config`` when loaded."""
    return "".join(f"{line}\n" for line in yaml_lines(settings_of(config)))


def point_yaml(space: Space, number: int) -> str:
    """The run configuration of a point, for ``bitsmith run FILE``.

    Loaded by :func:`configs.schema.load_run` it equals :func:`point_config`.

    Raises
    ------
    InputError : the point has no valid configuration.
    """
    return titled(space, number) + run_yaml(point_config(space, number))


def accelerator_yaml(space: Space, number: int) -> str:
    """The accelerator of a point, as a file of its own."""
    return titled(space, number) + axis_yaml(point_config(space, number).accelerator)


def point_config(space: Space, number: int, settings: Mapping[str, Any] | None = None) -> RunConfig:
    """The configuration of a point under a name and an output folder of its own.

    ``settings`` are those of the point, where they are known.

    Raises
    ------
    InputError : the point has no valid configuration.
    """
    config = space.config(space.settings(number) if settings is None else settings)
    name = f"{file_name(space.sweep.name)}_{number}"
    array = replace(config.accelerator, name=name)
    return replace(config, name=name, output=f"runs/{name}", accelerator=array)


def file_name(name: str) -> str:
    """A sweep's name as that of a file or folder."""
    return "_".join(re.findall(r"[A-Za-z0-9-]+", name)) or "study"


def titled(space: Space, number: int) -> str:
    """First line of a point's files; a sweep's name may hold anything but a line's end."""
    return f"# point {number} of sweep {' '.join(space.sweep.name.split())}\n"


def write_points(folder: Path, result: StudyResult) -> tuple[Path, ...]:
    """``front/NUMBER.yaml`` for every point of the front: all files or, on an error, none.

    Raises
    ------
    InputError : a file cannot be written.
    """
    numbers = result.table.numbers[result.front].tolist()
    texts = {
        folder / "front" / f"{number}.yaml": point_yaml(result.space, number) for number in numbers
    }
    write_texts(texts)
    return tuple(texts)


def names_of(result: StudyResult) -> dict[int, tuple[str, ...]]:
    """What the knees call a point, by point number."""
    names: dict[int, tuple[str, ...]] = {}
    for name, place in result.knees.items():
        number = int(result.table.numbers[place])
        names[number] = (*names.get(number, ()), name)
    return names


def write_tables(folder: Path, result: StudyResult) -> tuple[Path, ...]:
    """``points.csv`` of the front and ``points.parquet`` of all points of the table.

    Where pyarrow is missing all points go to ``all_points.csv``. Columns: ``number``, ``name`` (of
    a knee), every axis by its path (empty where a point does not have it), every metric by its
    name (empty where it is unknown), ``front`` (1 or 0) and ``reason`` (empty for a feasible
    point).

    Raises
    ------
    InputError : a file cannot be written.
    """
    front = folder / "points.csv"
    text = io.StringIO()
    _write_csv(text, result, result.table.take(result.front))
    write_text(front, text.getvalue())
    try:
        return front, write_parquet(folder / "points.parquet", result)
    except MissingPyarrow:
        path = folder / "all_points.csv"
        _replaced(path, lambda temporary: _csv_file(temporary, result))
        return front, path


class MissingPyarrow(InputError):
    """Parquet files need the extra ``explore``."""


def write_parquet(path: Path, result: StudyResult) -> Path:
    """All points of the table as Parquet, a row group per 16,384 points.

    Raises
    ------
    MissingPyarrow : an :class:`InputError` that names the extra to install.
    InputError : the file cannot be written.
    """
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingPyarrow(
            "Parquet files need pyarrow: install bitsmith[explore], or read the CSV files"
        ) from None
    types = {"text": pyarrow.string(), "integer": pyarrow.int64(), "real": pyarrow.float64()}
    kinds = _kinds(result)
    schema = pyarrow.schema([(name, types[kind]) for name, kind in kinds.items()])

    def write(temporary: Path) -> None:
        with parquet.ParquetWriter(temporary, schema) as writer:
            for columns in _batches(result, result.table):
                writer.write_table(pyarrow.table(columns, schema=schema))

    _replaced(path, write)
    return path


def _replaced(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` make a file beside ``path``, then rename it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write(temporary)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None


def _csv_file(path: Path, result: StudyResult) -> None:
    with path.open("w", newline="") as file:
        _write_csv(file, result, result.table)


def _write_csv(file: Any, result: StudyResult, table: Table) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_kinds(result))
    for columns in _batches(result, table):
        writer.writerows(zip(*columns.values(), strict=True))


def _kinds(result: StudyResult) -> dict[str, str]:
    """Columns of the tables with what they hold: ``text``, ``integer`` or ``real``."""
    axes = {axis.path: _kind(axis.values) for axis in result.space.axes}
    metrics = dict.fromkeys(result.table.metrics, "real")
    ends = {"front": "integer", "reason": "text"}
    return {"number": "integer", "name": "text", **axes, **metrics, **ends}


def _kind(values: Sequence[Any]) -> str:
    types = {type(value) for value in values}
    if types == {int}:
        return "integer"
    return "real" if types <= {int, float} else "text"


def _batches(result: StudyResult, table: Table) -> Iterator[dict[str, list[Any]]]:
    """Columns of the tables, some rows at a time; None where a point has no value."""
    names, kinds = names_of(result), _kinds(result)
    front = set(result.table.numbers[result.front].tolist())
    for start in range(0, len(table), _BATCH):
        part = table.take(slice(start, start + _BATCH))
        numbers = part.numbers.tolist()
        columns: dict[str, list[Any]] = {
            "number": numbers,
            "name": ["; ".join(names.get(number, ())) for number in numbers],
        }
        settings = [result.space.settings(number) for number in numbers]
        for axis in result.space.axes:
            columns[axis.path] = list(_cells(settings, axis.path, kinds[axis.path]))
        for name, values in part.metrics.items():
            known = np.isfinite(values).tolist()
            columns[name] = [v if k else None for v, k in zip(values.tolist(), known, strict=True)]
        columns["front"] = [int(number in front) for number in numbers]
        columns["reason"] = [part.reasons[place] for place in part.reason.tolist()]
        yield columns


def _cells(settings: Iterable[Mapping[str, Any]], path: str, kind: str) -> Iterator[Any]:
    for given in settings:
        if path not in given:
            yield None
        else:
            value = given[path]
            yield written(value) if kind == "text" else value
