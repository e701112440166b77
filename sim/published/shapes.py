"""Shapes of language models for published simulators: by name, as a mapping, or a config.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from configs.errors import InputError, unknown_name
from configs.load import preset_folder, read_yaml
from sw.models.architecture import LinearShape

#: model types with separate q, k and v matrices: gate, up and down, or two matrices
GATED_TYPES = ("gemma", "gemma2", "llama", "mistral", "qwen2", "qwen3")
PLAIN_TYPES = ("opt", "phi")
#: endings of names that do not change a shape
SAME_SHAPE = ("-hf", "-chat", "-instruct", "-it", "-base")
LARGEST = 1 << 32


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Shape of a decoder-only transformer.

    Attributes
    ----------
    gated_mlp : the MLP has gate, up and down matrices; otherwise one up and one down.
    """

    name: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    gated_mlp: bool

    @property
    def key_value_size(self) -> int:
        """Width of all key (or value) heads together."""
        return self.num_key_value_heads * self.head_dim

    def linears(self) -> tuple[LinearShape, ...]:
        """The linear layers, equal ones of all blocks together, ``lm_head`` last."""
        hidden, inner = self.hidden_size, self.intermediate_size
        query, keys = self.num_attention_heads * self.head_dim, self.key_value_size
        shapes = {"q": (query, hidden), "k": (keys, hidden), "v": (keys, hidden)}
        shapes |= {"o": (hidden, query), "up": (inner, hidden), "down": (hidden, inner)}
        if self.gated_mlp:
            shapes["gate"] = (inner, hidden)
        blocks = tuple(
            LinearShape(name=name, out_features=n, in_features=k, count=self.num_hidden_layers)
            for name, (n, k) in shapes.items()
        )
        head = LinearShape(name="lm_head", out_features=self.vocab_size, in_features=hidden)
        return (*blocks, head)


def model_shape(reference: object, where: str, folder: Path) -> ModelShape:
    """The shape that a row's ``model`` means.

    Parameters
    ----------
    reference : a name of ``configs/published/models.yaml``, a mapping of shape fields (those of a
        Hugging Face ``config.json``, or ``gated_mlp`` instead of ``model_type``), or the path of a
        ``config.json``.
    where : place of the reference, for messages.
    folder : where relative paths start.

    Raises
    ------
    InputError : unknown name, unreadable file, or a field that is missing or impossible.
    """
    if isinstance(reference, Mapping):
        return shape_of(reference, where)
    if not isinstance(reference, str):
        kind = "a model's name, a mapping of shape fields or the path of a config.json"
        raise InputError(f"{where} is {reference!r}, it must be {kind}")
    if reference.endswith(".json"):
        return _shape_in_file(folder / reference, where)
    return _named(reference, where)


def model_names() -> list[str]:
    """The main name of every model that :func:`model_shape` knows."""
    return sorted(_table())


@cache
def _table() -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = read_yaml(preset_folder("published") / "models.yaml")
    return fields


@cache
def _aliases() -> dict[str, str]:
    """Every accepted name in its plain spelling -> main name."""
    names = {name: name for name in _table()}
    for name, fields in _table().items():
        names |= dict.fromkeys(fields.get("aliases", ()), name)
    return {_plain(alias): name for alias, name in names.items()}


def _plain(name: str) -> str:
    """``name`` without organisation, case and the endings that leave a shape as it is."""
    plain = name.rsplit("/", 1)[-1].lower().replace("_", "-").removeprefix("meta-")
    for series in ("llama", "qwen"):
        if plain.startswith(series) and plain[len(series) :][:1].isdigit():
            plain = f"{series}-{plain[len(series) :]}"
    plain = plain.replace("qwen-", "qwen")
    for ending in SAME_SHAPE * 2:
        plain = plain.removesuffix(ending)
    return plain


def _named(name: str, where: str) -> ModelShape:
    main = _aliases().get(_plain(name))
    if main is None:
        raise InputError(f"{where}: {unknown_name('model', name, model_names())}")
    fields = {key: value for key, value in _table()[main].items() if key != "aliases"}
    return shape_of({"gated_mlp": True, **fields}, where, name=main)


def _shape_in_file(path: Path, where: str) -> ModelShape:
    try:
        described = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: cannot read '{path}' as JSON: {error}") from None
    if not isinstance(described, Mapping):
        raise InputError(f"{where}: '{path}' holds no JSON object")
    return shape_of(described, f"{where} ('{path}')", name=path.parent.name)


def shape_of(fields: Mapping[str, Any], where: str, *, name: str | None = None) -> ModelShape:
    """The shape that the fields of a ``config.json`` describe.

    Raises
    ------
    InputError : a field is missing or impossible, or the kind of model is not supported.
    """
    inner = "ffn_dim" if "ffn_dim" in fields else "intermediate_size"
    hidden = _count(fields, "hidden_size", where)
    heads = _count(fields, "num_attention_heads", where)
    keys = _count(fields, "num_key_value_heads", where, heads)
    if heads % keys:
        raise InputError(
            f"{where}: field 'num_key_value_heads' is {keys}, it must divide "
            f"num_attention_heads ({heads})"
        )
    if fields.get("head_dim") is None and hidden % heads:
        raise InputError(
            f"{where}: field 'hidden_size' is {hidden}, without head_dim it must be a multiple of "
            f"num_attention_heads ({heads})"
        )
    if fields.get("word_embed_proj_dim", hidden) != hidden:
        raise InputError(f"{where}: field 'word_embed_proj_dim' must be hidden_size ({hidden})")
    return ModelShape(
        name=str(name or fields.get("name") or fields.get("_name_or_path") or "custom"),
        hidden_size=hidden,
        intermediate_size=_count(fields, inner, where),
        num_hidden_layers=_count(fields, "num_hidden_layers", where),
        num_attention_heads=heads,
        num_key_value_heads=keys,
        head_dim=_count(fields, "head_dim", where, hidden // heads),
        vocab_size=_count(fields, "vocab_size", where),
        gated_mlp=_gated(fields, where),
    )


def _gated(fields: Mapping[str, Any], where: str) -> bool:
    if "gated_mlp" in fields:
        if isinstance(gated := fields["gated_mlp"], bool):
            return gated
        raise InputError(f"{where}: field 'gated_mlp' is {gated!r}, it must be true or false")
    model_type = fields.get("model_type")
    if model_type is None:
        raise InputError(f"{where}: field 'gated_mlp' (or 'model_type') is missing")
    if model_type not in (*GATED_TYPES, *PLAIN_TYPES):
        valid = ", ".join((*GATED_TYPES, *PLAIN_TYPES))
        raise InputError(
            f"{where}: field 'model_type' is {model_type!r}, valid are {valid}, or give the "
            "shape's fields with gated_mlp"
        )
    return model_type in GATED_TYPES


def _count(fields: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    value = fields.get(key)
    if value is None:
        if default is None:
            raise InputError(f"{where}: field '{key}' is missing")
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
        raise InputError(f"{where}: field '{key}' is {value!r}, it must be a whole number from 1")
    return value
