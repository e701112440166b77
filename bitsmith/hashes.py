"""What results depend on, as hashes: the program, a model's files, a recipe's texts."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.models import load_model
from sw.models.apply import calibration_source
from sw.models.readers.onnx_file import OnnxFile
from sw.models.registry import model_files, model_path
from sw.quantize import layer_plan

PROGRAM_SUFFIXES = (".py", ".cpp", ".txt", ".json", ".npz")
#: what calibration starts from; results depend on the fits alone
NOT_PROGRAM = "samples"


def _digest(paths: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in paths:
        digest.update(name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def code_hash() -> str:
    """Hash of bitsmith's own source: a changed program does not reuse old results."""
    root = Path(__file__).resolve().parent.parent
    packages = ("configs", "sw", "hw", "sim", "costmodel", "bitsmith")
    files = (path for name in packages for path in sorted((root / name).rglob("*")))
    named = ((path.relative_to(root), path) for path in files if path.suffix in PROGRAM_SUFFIXES)
    return _digest(
        (str(name), path)
        for name, path in named
        if NOT_PROGRAM not in name.parts and path.is_file()
    )


def files_hash(path_or_name: str | Path) -> str:
    """Hash of a model's files, the external data of an ONNX file included."""
    files = set(model_files(path_or_name))
    path = model_path(path_or_name)
    if path.suffix == ".onnx":
        files |= OnnxFile(path).files
    return _digest((path.name, path) for path in sorted(files))


def named_hash(beside: Path, name: str) -> str:
    """Hash of what a setting names: a file or folder ``beside`` it, or a model; empty if none."""
    try:
        if beside.is_file():
            return _digest([(name, beside)])
        if beside.is_dir():
            inside = (path for path in sorted(beside.rglob("*")) if path.is_file())
            return _digest((str(path.relative_to(beside)), path) for path in inside)
        return files_hash(name)
    except (InputError, OSError):
        return ""


def source_of(path_or_name: str | Path) -> dict[str, str]:
    """Where a quantized model comes from, for its manifest."""
    path = Path(path_or_name)
    return {
        "model": str(path.resolve()) if path.exists() else str(path_or_name),
        "files_sha256": files_hash(path_or_name),
        "code_sha256": code_hash(),
    }


def texts_hash(model: str | Path | None, recipe: QuantizationConfig) -> str:
    """Hash of the text that a recipe calibrates on; empty if it reads none."""
    if model is None:
        return ""
    plan = layer_plan(recipe, load_model(model).linear_shapes)
    return calibration_source(recipe, plan).get("calibration_sha256", "")
