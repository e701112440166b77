"""The manifest of a quantized model: read, and checked field by field."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import InputError

MANIFEST = "manifest.json"
KIND = "bitsmith quantized model"
VERSION = 2


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a quantized model.

    Raises
    ------
    InputError : not one, or of another version. OSError : not readable.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{MANIFEST} is damaged, not valid JSON ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise InputError(f"{MANIFEST} is not the manifest of a quantized model")
    if manifest.get("version") != VERSION:
        raise InputError(
            f"{MANIFEST} has version {manifest.get('version')!r}, this reader knows {VERSION}: "
            "quantize the model again"
        )
    _check_fields(manifest, {"name": str, "recipe": dict, "layers": list}, MANIFEST)
    if not manifest["layers"]:
        raise InputError(f"quantized model '{manifest['name']}' has no layers")
    for entry in manifest["layers"]:
        check_entry(entry)
    return manifest


#: fields of a layer's entry in the manifest
ENTRY = {
    "name": str, "file": str, "sha256": str, "shape": list, "planes": list,
    "bits_per_weight": (int, float), "error": (dict, type(None)),
}  # fmt: skip


def check_entry(entry: Any) -> None:
    """Refuse a manifest entry with missing or ill-typed fields."""
    _check_fields(entry, ENTRY, f"{MANIFEST}: a layer")
    shape = entry["shape"]
    if len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape):
        raise InputError(f"{MANIFEST}: layer '{entry['name']}' has the ill-typed shape {shape}")
    for plane in entry["planes"]:
        _check_fields(plane, {"format": str, "format_mix": dict}, f"{MANIFEST}: a plane")
    if entry["error"] is not None:
        wanted = {name: (int, float) for name in ("mse", "mean_square", "hardware_mse")}
        _check_fields(entry["error"], wanted, f"{MANIFEST}: an error")


def _check_fields(found: Any, wanted: Mapping[str, Any], where: str) -> None:
    if not isinstance(found, dict):
        raise InputError(f"{where} has an ill-typed entry: {str(found)[:40]!r} is no object")
    for name, kind in wanted.items():
        if name not in found:
            raise InputError(f"{where} lacks '{name}'")
        if not isinstance(found[name], kind):
            raise InputError(f"{where} has an ill-typed field: '{name}' is {found[name]!r:.40}")
