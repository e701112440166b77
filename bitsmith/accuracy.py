"""Recipes beside each other on one model and text: size, weight error and quality.

Every recipe is measured with floating-point activations and with dynamic per-token integers.
Finished rows are kept in the output folder by content hash and not measured again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.schema import KVCacheConfig, QuantizationConfig
from sw.models import Architecture, LlamaModel, Model, apply_recipe, load_model
from sw.models.apply import calibration_source
from sw.models.bert import EncoderModel
from sw.models.embeddings import embedding_agreement
from sw.models.evaluate import (
    LanguageAccuracy,
    language_accuracy,
    quantized_linear,
    tokenized,
)
from sw.models.llama import Floats, LinearHook
from sw.models.registry import SHIPPED, known_models
from sw.models.text import evaluation_text, sentences
from sw.quantize import QuantizedModel, layer_plan, quantize_activations
from sw.quantize.error import relative_error
from sw.quantize.kv_cache import kv_bits_per_value, kv_hook

from .hashes import code_hash, files_hash
from .job import Progress, silent
from .strict_json import dumps, plain, write_text
from .tables import text_table, write_csv

FLOAT = "float"
SENTENCES = 150
#: of the table's figures: what people compare first, by kind of model
HEADLINE = {"language": ("perplexity", "bits_per_byte"), "encoder": ("cosine", "spearman")}


@dataclass(frozen=True, kw_only=True)
class AccuracySettings:
    """What is measured.

    Attributes
    ----------
    model : name or path.
    tokens : tokens of text, in windows evenly spaced over it; sentences for an encoder.
    context : tokens of a window; None for 1024 or the model's own if that is shorter.
    text : evaluation text; None for the held-out text that is shipped.
    """

    model: str = SHIPPED
    tokens: int | None = None
    context: int | None = None
    text: Path | None = None

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 2:
            raise InputError(f"--tokens is {self.tokens}, it must be at least 2")
        if self.context is not None and self.context < 2:
            raise InputError(f"--context is {self.context}, it must be at least 2")


def activation_linear(linear: LinearHook, bits: int) -> LinearHook:
    """``linear`` on inputs that are quantized per token."""

    def hook(name: str, x: Floats) -> Floats:
        codes, scales = quantize_activations(x, bits=bits)
        return linear(name, codes.astype(np.float32)) * scales[:, None]

    return hook


class LanguageBench:
    """Perplexity and bits per byte of a Llama-class model."""

    kind = "language"

    def __init__(self, model: Model, settings: AccuracySettings) -> None:
        assert isinstance(model.architecture, Architecture)
        limit = model.architecture.max_position_embeddings
        self.context = settings.context or min(1024, limit)
        whole = tokenized(evaluation_text(settings.text), model.tokenizer)
        self.text = whole.spread(settings.tokens or 2048, self.context)

    def measure(
        self,
        model: Model,
        quantized: QuantizedModel | None,
        bits: int | None,
        kv: KVCacheConfig | None,
    ) -> dict[str, Any]:
        """Figures of one variant; the windows' sums go with them, for paired differences."""
        assert isinstance(model.architecture, Architecture)
        llama = LlamaModel(model.architecture, model.tensors)
        if quantized is not None:
            linear = quantized_linear(quantized, bits, otherwise=llama.linear)
        else:
            linear = llama.linear if bits is None else activation_linear(llama.linear, bits)
        found = language_accuracy(
            llama,
            self.text,
            context=self.context,
            linear=linear,
            kv=kv_hook(kv) if kv else None,
        )
        return {
            "perplexity": found.perplexity,
            "perplexity_error": found.perplexity_error,
            "bits_per_byte": found.bits_per_byte.mean,
            "windows": [
                found.bits_per_byte.window_bits.tolist(),
                found.window_tokens.tolist(),
                found.bits_per_byte.window_bytes.tolist(),
            ],
        }

    @staticmethod
    def increase(one: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float]:
        """Paired differences to the float model."""
        pair = [
            LanguageAccuracy.from_windows(
                np.array(side["windows"][0]),
                np.array(side["windows"][1], dtype=np.int64),
                np.array(side["windows"][2], dtype=np.int64),
            )
            for side in (one, base)
        ]
        perplexity, perplexity_error = pair[0].perplexity_increase(pair[1])
        by_byte = pair[0].bits_per_byte.minus(pair[1].bits_per_byte)
        return {
            "perplexity_increase": perplexity,
            "perplexity_increase_error": perplexity_error,
            "bits_per_byte_increase": by_byte.mean,
            "bits_per_byte_increase_error": by_byte.standard_error,
        }


class EncoderBench:
    """Agreement of sentence embeddings with those of the float model."""

    kind = "encoder"

    def __init__(self, model: Model, settings: AccuracySettings) -> None:
        found = sentences(evaluation_text(settings.text))
        count = min(len(found), settings.tokens or SENTENCES)
        chosen = np.linspace(0, len(found) - 1, count).astype(int)
        self.sentences = [model.tokenizer.encode(found[index]) for index in chosen]
        self._model = model

    def _embed(self, model: Model, linear: LinearHook | None) -> Floats:
        return EncoderModel(model.architecture, model.tensors).embed(  # type: ignore[arg-type]
            self.sentences, linear=linear
        )

    @cached_property
    def reference(self) -> Floats:
        """Embeddings of the float model, (sentences, hidden)."""
        return self._embed(self._model, None)

    def measure(
        self,
        model: Model,
        quantized: QuantizedModel | None,
        bits: int | None,
        kv: KVCacheConfig | None,
    ) -> dict[str, Any]:
        """Mean cosine and rank correlation of similarities with the float model."""
        if kv is not None:
            raise InputError("an encoder has no key/value cache: leave kv_cache out")
        encoder = EncoderModel(model.architecture, model.tensors)  # type: ignore[arg-type]
        if quantized is not None:
            linear = quantized_linear(quantized, bits, otherwise=encoder.linear)
        else:
            linear = encoder.linear if bits is None else activation_linear(encoder.linear, bits)
        found = embedding_agreement(self.reference, encoder.embed(self.sentences, linear=linear))
        return {
            "cosine": found.mean_cosine,
            "cosine_error": found.cosine_error,
            "spearman": found.spearman,
        }

    @staticmethod
    def increase(one: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float]:
        """Nothing: the figures are differences already."""
        return {}


def accuracy_table(
    settings: AccuracySettings,
    recipes: Mapping[str, QuantizationConfig],
    *,
    folder: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure every recipe on one model.

    Parameters
    ----------
    recipes : by name; the float model is measured besides.
    folder : keeps finished rows, and gets ``accuracy.json`` and ``accuracy.csv``.

    Returns
    -------
    model, caveat, kind (language or encoder), tokens or sentences, context, text; rows[]: recipe,
    bits_per_weight, mse, relative_error, kv_bits where there is a cache; for a language model
    perplexity, perplexity_error, perplexity_increase(_error), bits_per_byte,
    bits_per_byte_increase(_error), else cosine, cosine_error, spearman; each again with ``_a8`` (or
    the recipe's bits) for integer activations.

    Raises
    ------
    InputError : a model that cannot be evaluated, or a recipe that does not fit it.
    """
    source = load_model(settings.model)
    if source.architecture is None:
        raise InputError(f"model '{settings.model}' has weights but no architecture to run them in")
    model = dataclasses.replace(source, tensors={n: source.tensors[n] for n in source.tensors})
    bench: LanguageBench | EncoderBench
    if isinstance(model.architecture, Architecture):
        bench = LanguageBench(model, settings)
    else:
        bench = EncoderBench(model, settings)
    base = [code_hash(), files_hash(settings.model), evaluation_text(settings.text)]
    base += [str(settings.tokens), str(settings.context)]
    if FLOAT in recipes:
        raise InputError(f"a recipe cannot be called '{FLOAT}': that row is the float model's")
    if folder is not None:
        write_text(folder / "accuracy.json", "{}\n")
    rows: list[dict[str, Any]] = []
    every: dict[str, QuantizationConfig | None] = {FLOAT: None, **recipes}
    for name, recipe in progress(list(every.items()), "accuracy"):
        rows.append({"recipe": name, **_kept_row(bench, model, recipe, base, folder)})
    table = _described(bench, settings) | {"rows": list(_with_increases(bench, rows))}
    if folder is not None:
        write_text(folder / "accuracy.json", dumps(table) + "\n")
        keys = {key: None for row in table["rows"] for key in row}
        write_csv(folder / "accuracy.csv", [{**keys, **row} for row in table["rows"]])
    return table


def _described(bench: LanguageBench | EncoderBench, settings: AccuracySettings) -> dict[str, Any]:
    """What the table is about."""
    language = isinstance(bench, LanguageBench)
    return {
        "model": settings.model,
        "caveat": _caveat(settings.model),
        "kind": bench.kind,
        "tokens": len(bench.text.ids) if isinstance(bench, LanguageBench) else None,
        "sentences": None if language else len(bench.sentences),  # type: ignore[union-attr]
        "context": bench.context if isinstance(bench, LanguageBench) else None,
        "text": settings.text.name if settings.text else "shipped held-out text",
    }


def _kept_row(
    bench: LanguageBench | EncoderBench,
    model: Model,
    recipe: QuantizationConfig | None,
    base: list[str],
    folder: Path | None,
) -> dict[str, Any]:
    """A row of an earlier call, or a new one, kept for the next."""
    described = None if recipe is None else dataclasses.asdict(recipe)
    if recipe is not None:
        plan = layer_plan(recipe, model.linear_shapes)
        base = [*base, *calibration_source(recipe, plan).values()]
    key = hashlib.sha256(json.dumps([base, described]).encode()).hexdigest()
    stored = folder / "rows" / f"{key[:32]}.json" if folder else None
    row = _stored_row(stored)
    if row is None:
        row = plain(_measure_row(bench, model, recipe))
        if stored is not None:
            write_text(stored, dumps(row) + "\n")
    return row


def _caveat(name: str) -> str:
    return next((info.caveat for info in known_models() if info.name == name), "")


def _stored_row(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        row = json.loads(path.read_text())
        figures = row["variants"].values()
        for found in figures:
            if "perplexity" in found and [len(part) for part in found["windows"]][2:] == []:
                return None
        return row if figures else None
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None


def _measure_row(
    bench: LanguageBench | EncoderBench, model: Model, recipe: QuantizationConfig | None
) -> dict[str, Any]:
    """One recipe, with float and with integer activations."""
    if recipe is None:
        variants = {"": bench.measure(model, None, None, None)}
        variants["_a8"] = bench.measure(model, None, 8, None)
        return {"variants": variants}
    prepared, quantized = apply_recipe(model, recipe)
    entries = quantized.describe()
    sizes = [entry["shape"][0] * entry["shape"][1] for entry in entries]
    errors = [entry["error"] for entry in entries]
    lost = sum(e["mse"] * size for e, size in zip(errors, sizes, strict=True)) / sum(sizes)
    power = sum(e["mean_square"] * size for e, size in zip(errors, sizes, strict=True))
    every = sum(n * k for n, k in model.linear_shapes.values())
    row: dict[str, Any] = {
        "bits_per_weight": quantized.bits_per_weight,
        "quantized_share": sum(sizes) / every,
        "mse": lost,
        "relative_error": relative_error(lost, power / sum(sizes)),
    }
    kv = recipe.kv_cache
    if kv is not None and isinstance(model.architecture, Architecture):
        tokens = bench.context if isinstance(bench, LanguageBench) else None
        row["kv_bits"] = kv_bits_per_value(kv, model.architecture.head_dim, tokens)
    bits = recipe.activation_bits
    row["variants"] = {
        "": bench.measure(prepared, quantized, None, kv),
        f"_a{bits}": bench.measure(prepared, quantized, bits, kv),
    }
    return row


def _with_increases(
    bench: LanguageBench | EncoderBench, rows: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows with the variants' figures by name, and their differences to the float model."""
    base = rows[0]["variants"][""]
    for row in rows:
        flat = {key: value for key, value in row.items() if key != "variants"}
        for suffix, figures in row["variants"].items():
            found = {k: v for k, v in figures.items() if k != "windows"}
            found |= bench.increase(figures, base)
            flat |= {f"{key}{suffix}": value for key, value in found.items()}
        yield flat


def accuracy_text(table: Mapping[str, Any]) -> str:
    """The table for people: size, weight error, quality without and with integer activations."""
    kind = table["kind"]
    figures = HEADLINE[kind]
    titles = {
        "perplexity": "perplexity",
        "bits_per_byte": "bits/byte",
        "cosine": "cosine",
        "spearman": "Spearman",
    }

    def cells(row: Mapping[str, Any], suffix: str) -> list[str]:
        values = [row.get(f"{name}{suffix}") for name in figures]
        return ["-" if v is None else f"{float(v):.4g}" for v in values]

    lines = []
    for row in table["rows"]:
        suffix = next((k[-3:] for k in row if k.startswith(f"{figures[0]}_a")), "_a8")
        size, error = row.get("bits_per_weight"), row.get("relative_error")
        lines.append(
            [
                row["recipe"],
                "-" if size is None else f"{size:.3f}",
                "-" if error is None else f"{error:.5f}",
                *cells(row, ""),
                *cells(row, suffix),
            ]
        )
    shown = [titles[name] for name in figures]
    header = ["recipe", "bits/w", "weight error", *shown]
    header += [f"{name}, int. act." for name in shown]
    amount = f"{table['tokens']} tokens" if table["tokens"] else f"{table['sentences']} sentences"
    bits = sorted({key.rpartition("_a")[2] for row in table["rows"] for key in row if "_a" in key})
    widths = " or ".join(f"INT{b}" for b in bits if b.isdigit())
    notes = [
        f"{table['model']} on {amount} ({table['text']}); integer activations: {widths} per token"
    ]
    if any(row.get("quantized_share", 1) < 1 for row in table["rows"]):
        notes.append("bits/w counts quantized layers only; a recipe here leaves some in float")
    if table["caveat"]:
        notes.append(f"note: {table['caveat']}")
    return "\n".join([text_table(header, lines), "", *notes])
