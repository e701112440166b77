"""Strict loading of YAML into frozen dataclasses: unknown keys and wrong types are refused."""

import dataclasses
import importlib.resources
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .errors import InputError, unknown_name

T = TypeVar("T")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loading that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                line = key_node.start_mark.line + 1
                raise InputError(f"key '{key_node.value}' is given twice, near line {line}")
            seen.add(key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Parse one YAML file; a missing or malformed file is one clear sentence."""
    try:
        return yaml.load(path.read_text(), Loader=_UniqueKeyLoader)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read '{path}': {error}") from None
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" near line {mark.line + 1}" if mark else ""
        raise InputError(f"'{path}' is not valid YAML{place}") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"'{path}' is not valid YAML: {reason}") from None


def preset_folder(axis: str) -> Path:
    """Folder of the shipped presets of one axis, such as ``accelerators``."""
    return Path(str(importlib.resources.files("configs"))) / axis


def preset_names(axis: str) -> list[str]:
    """Names of the shipped presets of one axis."""
    return sorted(path.stem for path in preset_folder(axis).glob("*.yaml"))


def resolve(axis: str, reference: Any, *, base: Path, where: str) -> tuple[Any, str]:
    """Turn a preset name, a path to a YAML file or an inline mapping into (mapping, place).

    Parameters
    ----------
    axis : folder of presets to search.
    reference : what the configuration gives.
    base : folder that relative paths start from.
    where : file and field for error messages.
    """
    if isinstance(reference, Mapping):
        return reference, where
    if not isinstance(reference, str):
        raise InputError(f"{where}: expected a preset name, a path or a mapping, got {reference!r}")
    if reference.endswith((".yaml", ".yml")):
        path = base / reference
        return read_yaml(path), str(path)
    path = preset_folder(axis) / f"{reference}.yaml"
    if not path.is_file():
        kind = axis.removesuffix("s").removesuffix("ie") + ("y" if axis.endswith("ies") else "")
        raise InputError(
            f"{where}: {unknown_name(f'{kind} preset', reference, preset_names(axis))}"
        )
    return read_yaml(path), path.name


def build(kind: type[T], data: Any, where: str) -> T:
    """Make a ``kind`` (a dataclass) from ``data``; ``where`` names the file and field.

    Raises
    ------
    InputError : not a mapping, unknown key, missing key or wrong type.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"{where}: expected a mapping, got {data!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise InputError(f"{where}: {unknown_name('key', key, fields)}")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: key '{name}' is missing")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check ``value`` against a type hint; integers pass as floats, nothing else is coerced."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where)
    if origin is typing.Literal:
        options = typing.get_args(hint)
        if not any(value == option and type(value) is type(option) for option in options):
            raise InputError(f"{where}: {unknown_name('value', value, map(str, options))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where}: expected a list, got {value!r}")
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, v, f"{where}[{i}]") for i, v in enumerate(value))
    if hint is Any:
        return value
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise InputError(f"{where}: expected a mapping with text keys, got {value!r}")
        item = typing.get_args(hint)[1]
        return {key: _convert(item, v, f"{where}: {key}") for key, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > 1 << 1000:
            raise InputError(f"{where}: a number of {len(hex(value)) - 2} hex digits is too large")
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    records = [option for option in options if dataclasses.is_dataclass(option)]
    if len(records) == 1 and isinstance(value, Mapping):
        return _convert(records[0], value, where)  # its own errors say more
    for option in options:
        if option is type(None):
            if value is None:
                return None
            continue
        try:
            return _convert(option, value, where)
        except InputError:
            continue
    names = [
        " or ".join(map(repr, typing.get_args(option)))
        if typing.get_origin(option) is typing.Literal
        else getattr(option, "__name__", str(option))
        for option in options
    ]
    raise InputError(f"{where}: expected {' or '.join(names)}, got {value!r}")
