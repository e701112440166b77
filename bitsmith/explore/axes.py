"""What an axis of a sweep may name, and the configuration that every point starts from."""

import dataclasses
import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import InputError, unknown_name
from configs.load import build, resolve
from configs.schema import AXES, OPTIONAL_AXES, RUN_AXES, RunConfig, load_axis
from configs.sweep import Setting, SweepConfig
from sw.quantize.recipe import check_format, machine_family

from ..hashes import named_hash

#: fields that name or explain, and change no figure of a point
_DESCRIPTIVE = ("name", "description", "source", "kind", "low", "high")
#: fields whose names another floor owns, and that floor's check
_NAMES = {"quantization.format": check_format, "workload.kv_format": machine_family}
#: fields with a path that starts from the file that gives it
_RELATIVE = ("calibration_text", "fits")
#: the choice of a file that the base makes; no preset and no path is called so
BASE = ""
#: built files that a base remembers, of each kind
_REMEMBERED = 4096


def axis_paths() -> tuple[str, ...]:
    """Every dotted path that an axis may name: whole files, and the fields of their records."""
    fields = (path for axis in RUN_AXES for path in _paths(AXES[axis][1], axis))
    return (*RUN_AXES, *fields)


def _paths(kind: type, front: str) -> Iterator[str]:
    for name, hint in _hints(kind).items():
        record = _record(hint)
        if record is not None:
            yield from _paths(record, f"{front}.{name}")
        elif name not in _DESCRIPTIVE and typing.get_origin(_plain(hint)) is not dict:
            yield f"{front}.{name}"


def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _plain(hint: Any) -> Any:
    """A type without ``None``, if one is left."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return options[0] if len(options) == 1 else hint
    return hint


def _record(hint: Any) -> type | None:
    """The dataclass that a type is, ``None`` left aside."""
    hint = _plain(hint)
    return hint if dataclasses.is_dataclass(hint) else None  # type: ignore[return-value]


def _owner(path: str) -> tuple[type, list[str], str]:
    """The record that has the field at the end of a path, the steps to it, the field's name."""
    axis, *steps, name = path.split(".")
    kind = AXES[axis][1]
    for step in steps:
        kind = typing.cast(type, _record(_hints(kind)[step]))
    return kind, steps, name


#: settings that name files or models
_NAMING = (
    *("workload.model", "workload.gemms"),
    *("quantization.calibration_text", "technology.fits"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """Where every point starts: files as raw mappings, so that fields can be set in them before
    the strict loader sees them.

    Attributes
    ----------
    folder : that relative paths start from.
    files : by axis and choice, None where there is none; :data:`BASE` is the base's own, the
        others are the values of an axis that replaces the whole file.
    """

    name: str
    folder: Path
    files: Mapping[str, Mapping[Setting, Mapping[str, Any] | None]]
    _built: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, sweep: SweepConfig, folder: Path, axes: Mapping[str, tuple[Setting, ...]]
    ) -> "Base":
        """The base of a sweep whose axes take these values.

        Raises
        ------
        InputError : a file is missing or does not load by itself, or no point can have a value.
        """
        files: dict[str, dict[Setting, Mapping[str, Any] | None]] = {}
        for axis in RUN_AXES:
            files[axis] = {}
            if axis in sweep.base:
                files[axis][BASE] = _raw(axis, sweep.base[axis], folder, f"base: {axis}")
            elif axis in OPTIONAL_AXES:
                files[axis][BASE] = None
            elif axis not in axes or axis in sweep.when:
                raise InputError(f"base: key '{axis}' is missing")
            for value in axes.get(axis, ()):
                files[axis][value] = _raw(axis, value, folder, f"axes: {axis}")
        base = cls(name=sweep.name, folder=folder, files=files)
        for axis, choices in files.items():
            for choice in choices:
                place = f"axes: {axis} {choice}" if choice in axes.get(axis, ()) else "base"
                inside(place, base._axis, axis, {axis: choice})
        for path, values in axes.items():
            if path not in RUN_AXES:
                base._check_values(path, values, axes)
        return base

    def config(self, settings: Mapping[str, Setting]) -> RunConfig:
        """The base with these settings, through the strict loader.

        Activations of the quantization get the accelerator's width, unless they are set.

        Raises
        ------
        InputError : the combination is refused; says why.
        """
        array = self._axis("accelerator", settings)
        wanted: dict[str, Setting] = {}
        if not self._says_activation_bits(settings):
            wanted = {"quantization.activation_bits": array.activation_bits}
        return RunConfig(
            name=self.name,
            workload=self._axis("workload", settings),
            quantization=self._axis("quantization", {**settings, **wanted}),
            accelerator=array,
            technology=self._axis("technology", settings),
            memory=self._axis("memory", settings),
        )

    def settings_at(self, path: str) -> tuple[Setting, ...]:
        """What the field at a path is where nobody sets it, for every choice of its file."""
        axis, *steps = path.split(".")
        return tuple(_value_at(AXES[axis][1], raw, steps) for raw in self.files[axis].values())

    @property
    def content(self) -> str:
        """All files, in one text that only changes with what they say."""
        files = {axis: list(raws.items()) for axis, raws in self.files.items()}
        return json.dumps(files, sort_keys=True, default=repr)

    def named(self, axes: Mapping[str, tuple[Setting, ...]]) -> list[tuple[str, str]]:
        """Hashes of the models, lists, texts and fits that files and axes name."""
        found = []
        for path in _NAMING:
            axis, field = path.split(".")
            files = (content for content in self.files[axis].values() if content)
            values = {content.get(field) for content in files} | set(axes.get(path, ()))
            for value in sorted(str(value) for value in values - {None}):
                found.append((f"{path} {value}", named_hash(self.folder / value, value)))
        return found

    def _says_activation_bits(self, settings: Mapping[str, Setting]) -> bool:
        """Whether they are set, or written in the base itself and not only in a preset."""
        own = settings.get("quantization", BASE) == BASE
        raw = self.files["quantization"].get(BASE)
        inline = own and raw is not None and "activation_bits" in raw and _INLINE in raw
        return inline or "quantization.activation_bits" in settings

    def _axis(self, axis: str, settings: Mapping[str, Setting]) -> Any:
        """One built file of the configuration."""
        fields = tuple((p, value) for p, value in settings.items() if p.startswith(f"{axis}."))
        choice = settings.get(axis, next(iter(self.files[axis])))
        key = (axis, choice, fields)
        if key not in self._built:
            raw = self.files[axis][choice]
            for path, value in fields:
                raw = _with(raw, path.split(".")[1:], value)
            if len(self._built) >= _REMEMBERED:
                self._built.clear()
            self._built[key] = None if raw is None else self._load(axis, raw)
        return self._built[key]

    def _load(self, axis: str, raw: Mapping[str, Any]) -> Any:
        data = {key: value for key, value in raw.items() if key != _INLINE}
        built = load_axis(axis, data, base=self.folder, where=axis)
        if axis == "workload" and built.model and (self.folder / built.model).is_dir():
            return dataclasses.replace(built, model=str(self.folder / built.model))
        return built

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_built": {}}

    def _check_values(
        self, path: str, values: tuple[Setting, ...], axes: Mapping[str, tuple[Setting, ...]]
    ) -> None:
        """Refuse a value that no point can have, whatever its other settings are."""
        kind, steps, name = _owner(path)
        alone = dataclasses.make_dataclass("Field", [(name, _hints(kind)[name])])
        raw: Any = next(iter(self.files[path.split(".")[0]].values()))
        for step in steps:
            raw = raw.get(step) if isinstance(raw, Mapping) else None
        if not isinstance(raw, Mapping):
            # a record that the base has not: it is made of what the axes give
            raw = {p.rpartition(".")[2]: _yaml(v[0]) for p, v in axes.items() if _beside(p, path)}
        where = f"axes: {path}"
        for value in values:
            converted = getattr(
                build(alone, {name: _yaml(value)}, f"axes: {path.rpartition('.')[0]}"), name
            )
            if path in _NAMES:
                inside(where, _NAMES[path], converted)
            data = {key: given for key, given in raw.items() if key != _INLINE}
            try:
                build(kind, {**data, name: _yaml(value)}, where)
            except InputError as error:
                # a range of one field holds for every point; what else a record refuses may hang
                # on other fields
                if f"{name} is {converted}, valid are " in str(error):
                    raise


def _beside(path: str, other: str) -> bool:
    """Whether two paths name different fields of one record."""
    return path != other and path.rpartition(".")[0] == other.rpartition(".")[0]


#: mark of a mapping that the sweep file itself writes
_INLINE = "__inline__"


def inside(where: str, function: Any, *arguments: Any) -> Any:
    """The function's result; its errors say where."""
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _raw(axis: str, reference: Any, folder: Path, where: str) -> Mapping[str, Any] | None:
    """What a file says, its own relative path made absolute."""
    if reference is None and axis in OPTIONAL_AXES:
        return None
    data, place = resolve(AXES[axis][0], reference, base=folder, where=where)
    if not isinstance(data, Mapping):
        raise InputError(f"{place}: expected a mapping, got {data!r}")
    raw = dict(data)
    if isinstance(reference, Mapping):
        raw[_INLINE] = True
        return raw
    for name in _RELATIVE:
        if isinstance(raw.get(name), str):
            raw[name] = str(((folder / reference).parent / raw[name]).absolute())
    return raw


def _yaml(value: Setting) -> Any:
    """A setting as YAML would give it."""
    return list(value) if isinstance(value, tuple) else value


def _with(raw: Mapping[str, Any] | None, steps: list[str], value: Setting) -> dict[str, Any]:
    """``raw`` with the field at ``steps`` set; records on the way are made if there are none."""
    name, *rest = steps
    changed = dict(raw) if isinstance(raw, Mapping) else {}
    changed[name] = _with(changed.get(name), rest, value) if rest else _yaml(value)
    return changed


def _value_at(kind: type, raw: Any, steps: list[str]) -> Setting:
    """The field at ``steps``, the schema's default if it is left out, None if there is none."""
    name, *rest = steps
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if isinstance(raw, Mapping) and name in raw:
        value = raw[name]
    elif raw is None:
        return None
    elif fields[name].default is not dataclasses.MISSING:
        value = fields[name].default
    else:
        factory = fields[name].default_factory
        value = None if factory is dataclasses.MISSING else factory()
    if not rest:
        return tuple(value) if isinstance(value, list) else value
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)  # type: ignore[arg-type]
    record = _record(_hints(kind)[name])
    return None if record is None or value is None else _value_at(record, value, rest)


def check_path(path: str) -> None:
    """Refuse a path that no axis may name.

    Raises
    ------
    InputError : names the nearest.
    """
    if path not in axis_paths():
        raise unknown_name("axis", path, axis_paths())
