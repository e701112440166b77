"""JSON as the project writes it: strict, stable, atomic."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.files import replace_file


def plain(value: Any) -> Any:
    """``value`` in JSON types; non-finite numbers become "nan", "inf" or "-inf"."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Path):
        return str(value)
    return value


def dumps(value: Any) -> str:
    """Strict JSON text of ``value``, two spaces a level."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several files, or none: all are there beside their places before any is renamed.

    Raises
    ------
    InputError : a file cannot be written.
    """
    ready: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise InputError(f"cannot write '{path}': it is a folder")
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            ready[temporary] = path
            temporary.write_bytes(text.encode())
        for temporary, path in ready.items():
            os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None
    finally:
        for temporary in ready:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: to a temporary file beside ``path``, then rename.

    Raises
    ------
    InputError : the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None
