"""What a quantization costs in quality: measured where weights and text are here, else quoted."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bitsmith.hashes import files_hash, texts_hash
from bitsmith.job import Job
from bitsmith.steps import evaluate_step
from configs.cache import cache_folder
from configs.errors import InputError
from configs.files import replace_file
from configs.load import build, preset_folder, read_yaml
from configs.schema import QuantizationConfig, RunConfig, Transform, WorkloadConfig
from sim.published.shapes import ModelShape, model_shape, shape_of
from sw.formats.block_tables import block_formats

#: beside the evaluation itself, what decides a measured figure
_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = ("sw", "bitsmith/steps.py", "bitsmith/job.py", "bitsmith/explore/quality.py")


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality of one model under one quantization, and of the float model.

    Attributes
    ----------
    bits_per_byte, float_bits_per_byte : on held-out text; None for published figures.
    perplexity, float_perplexity : per token; a published one on the text of its source.
    error : standard error of ``bits_per_byte``, windows of text as the units; 0 where unknown.
    quoted : whether the figures are published ones.
    source : where they come from, for people.
    """

    bits_per_byte: float | None
    perplexity: float | None
    error: float
    float_bits_per_byte: float | None
    float_perplexity: float | None
    quoted: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """Perplexities of one published table; see ``configs/published/quality.yaml``."""

    source: str
    activations: str
    group_size: int | Literal["channel", "tensor"]
    models: tuple[str, ...]
    #: of the float models, as the source measured them
    float: tuple[float, ...]
    #: in the order of ``models``, by format
    formats: dict[str, Any]
    transforms: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        for name, row in {"float": self.float, **self.formats}.items():
            if len(row) != len(self.models):
                raise InputError(f"{name} has {len(row)} figures for {len(self.models)} models")

    def suits(self, recipe: QuantizationConfig, activations: str) -> bool:
        """Whether the table was measured with the recipe's settings."""
        own_groups = recipe.format == "float16" or recipe.format in block_formats()
        grouped = own_groups or recipe.group_size == self.group_size
        unchanged = QuantizationConfig(
            format=recipe.format,
            group_size=recipe.group_size,
            transforms=self.transforms,
            # neither of these changes a figure that the tables give
            scale_format=recipe.scale_format,
            arithmetic=recipe.arithmetic,
            activation_bits=recipe.activation_bits,
            calibration_tokens=recipe.calibration_tokens,
            calibration_text=recipe.calibration_text,
        )
        return grouped and activations == self.activations and recipe == unchanged


def quality_of(config: RunConfig) -> Quality | None:
    """Quality of the configuration's model; None where nothing is known.

    Measured as ``bitsmith run`` does, weights and activations quantized, on
    ``workload.evaluation_bytes`` of text that the model has not seen. Kept in the cache folder
    by the content of all that it depends on. For shapes without weights a published figure for the
    same format, groups, activations and transforms, of a model of the same shapes.

    Raises
    ------
    InputError : the model or the recipe cannot be used.
    """
    array, recipe = config.accelerator, config.quantization
    activations = array.activation_format if array.has_floats else f"int{recipe.activation_bits}"
    if config.workload.model is None:
        return published_quality(config.workload, recipe, activations)
    if not config.workload.evaluation_bytes:
        return None
    key = _key(config, activations)
    return _from_cache(key) or _measured(config, key)


def published_quality(
    workload: WorkloadConfig, recipe: QuantizationConfig, activations: str
) -> Quality | None:
    """The published figure for a model of the workload's shapes, or None.

    Parameters
    ----------
    activations : format that multiplies the weights: ``float16``, ``int8``.
    """
    if workload.architecture is None:
        return None
    try:
        asked = dataclasses.replace(shape_of(workload.architecture, "architecture"), name="")
    except InputError:
        return None  # not a shape that the tables could have
    for table in published_tables():
        row = table.formats.get(recipe.format)
        shapes = [_shape(name) for name in table.models]
        if row is None or asked not in shapes or not table.suits(recipe, activations):
            continue
        place = shapes.index(asked)
        if row[place] is None:
            continue
        return Quality(
            bits_per_byte=None,
            perplexity=row[place],
            error=0.0,
            float_bits_per_byte=None,
            float_perplexity=table.float[place],
            quoted=True,
            source=f"{table.source}, {table.models[place]}, WikiText-2",
        )
    return None


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Every table of ``configs/published/quality.yaml``, in its order."""
    path = preset_folder("published") / "quality.yaml"
    tables = enumerate(read_yaml(path), 1)
    return tuple(build(PublishedTable, data, f"{path.name}: table {n}") for n, data in tables)


@cache
def _shape(name: str) -> ModelShape:
    return dataclasses.replace(model_shape(name, "models", Path()), name="")


def _key(config: RunConfig, activations: str) -> str:
    """Hash of everything that a measured quality depends on."""
    model, recipe = str(config.workload.model), config.quantization
    parts = [
        _program_hash(),
        _model_hash(model),
        texts_hash(model, recipe),
        config.workload.evaluation_bytes,
        activations,
        asdict(recipe) | {"calibration_text": None},
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _model_hash(model: str) -> str:
    return files_hash(model)


@cache
def _program_hash() -> str:
    """Hash of the code that quantizes and evaluates, and of the text that it ships."""
    digest = hashlib.sha256()
    for path in _program_files():
        digest.update(str(path.relative_to(_ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _program_files() -> Iterator[Path]:
    for name in _PROGRAM:
        place = _ROOT / name
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (path for path in found if path.suffix in (".py", ".txt"))


def _measured(config: RunConfig, key: str) -> Quality | None:
    found = evaluate_step(Job(config), Path())
    if "skipped" in found:
        return None
    variants = found["variants"]
    quality = Quality(
        bits_per_byte=variants[-1]["bits_per_byte"],
        perplexity=variants[-1]["perplexity"],
        error=variants[-1]["standard_error"],
        float_bits_per_byte=variants[0]["bits_per_byte"],
        float_perplexity=variants[0]["perplexity"],
        quoted=False,
        source=f"measured on {found['bytes']} bytes of held-out text, {variants[-1]['name']}",
    )
    replace_file(_path(key), json.dumps(asdict(quality)).encode())
    return quality


def _path(key: str) -> Path:
    folder = cache_folder() / "quality"
    folder.mkdir(exist_ok=True)
    return folder / f"{key}.json"


def _from_cache(key: str) -> Quality | None:
    """What was measured before; a damaged file is as none."""
    try:
        return build(Quality, json.loads(_path(key).read_text()), "quality")
    except (OSError, ValueError, RecursionError, InputError):
        return None
