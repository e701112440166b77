"""Rows of a file to points, and models to shapes: what is refused, and in which words."""

import copy
import json
from pathlib import Path

import pytest

from configs.errors import InputError
from sim.published import model_names, published_rows, read_points
from sim.published.shapes import model_shape

ROW = {
    "accelerator": "mine",
    "phase": "generation_one_token",
    "model": "opt-1.3b",
    "config": {"w_prec": 3.0625, "kv": 8, "bs": True, "dp": 4, "pe_energy": 0.56, "dim": [64, 16]},
    "context": 256,
    "batch": 1,
    "weight_sram": {"rw_bits": 512.0, "read_pJ": 92.8, "write_pJ_per64b": 10.4},
    "activation_sram": {"rw_bits": 512, "read_pJ": 92.8, "write_pJ": 83.2},
    "dram": {"bits": 128, "cost_pJ": 2400.0},
}
ABSENT = object()


def write(folder: Path, rows: object) -> Path:
    path = folder / "points.json"
    path.write_text(json.dumps(rows))
    return path


def test_reads_a_row(tmp_path: Path) -> None:
    first, second = read_points(write(tmp_path, {"rows": [ROW, {**ROW, "note": "kept out"}]}))
    assert (first.rows, first.cols, first.lanes, first.phase) == (64, 16, 4, "decode")
    assert first.activation_buffer.write_pj == pytest.approx(10.4)  # 83.2 pJ per 512 bits
    assert second.where.endswith("rows[1]")
    (alone,) = read_points(write(tmp_path, [ROW]))
    assert alone == first


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("context", ABSENT, r"rows\[1\]: field 'context' is missing"),
        ("batch", ABSENT, "field 'batch' is missing"),
        ("context", 0, "field 'context' is 0"),
        ("context", 2.5, "field 'context' is 2.5"),
        ("context", True, "field 'context' is True"),
        ("batch", "2", "field 'batch' is '2'"),
        ("phase", "generation", "unknown phase 'generation'"),
        ("phase", [], r"unknown phase '\[\]'"),
        ("model", "opt-1.3", "did you mean 'opt-1.3b'"),
        ("model", 7, "field 'model' is 7"),
        ("config", [], r"field 'config' is \[\], it must be an object"),
        ("config.w_prec", 0.5, "field 'config': field 'w_prec' is 0.5, valid is a number from 1"),
        ("config.w_prec", float("nan"), "field 'w_prec' is nan"),
        ("config.kv", ABSENT, "field 'config': field 'kv' is missing"),
        ("config.bs", 1, "field 'bs' is 1, valid is true or false"),
        ("config.dim", [64], r"field 'dim' is \[64\]"),
        ("config.dim", [64, 0], r"field 'dim\[1\]' is 0"),
        ("config.dp", 10**400, "field 'dp' is 1"),
        ("config.pe_energy", -1, "field 'pe_energy' is -1"),
        ("weight_sram.read_pJ", float("inf"), "field 'weight_sram': field 'read_pJ' is inf"),
        ("weight_sram.write_pJ_per64b", ABSENT, "field 'write_pJ_per64b' is missing"),
        ("dram.bits", 0, "field 'dram': field 'bits' is 0"),
        ("dram", ABSENT, "field 'dram' is missing"),
        ("contxt", 3, "unknown field 'contxt': did you mean 'context'"),
    ],
)
def test_refuses_a_malformed_row(tmp_path: Path, field: str, value: object, words: str) -> None:
    row = copy.deepcopy(ROW)
    *outer, last = field.split(".")
    target = row[outer[0]] if outer else row
    if value is ABSENT:
        del target[last]
    else:
        target[last] = value
    path = write(tmp_path, {"rows": [ROW, row]})
    with pytest.raises(InputError, match=words) as error:
        read_points(path)
    assert f"{path}: rows[1]" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2", "7", '{"rows": 7}', "[[]]", "[7]", "[" * 100_000, "\0"]
)
def test_refuses_a_file_without_rows(tmp_path: Path, text: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"points\.json"):
        read_points(path)
    with pytest.raises(InputError, match="cannot read"):
        read_points(tmp_path)


#: trained parameters as the authors of each model give them, in millions; embeddings counted once
#: or twice as in the model, without positions, norms and biases
KNOWN_MILLIONS = {
    "opt-1.3b": (1316, 1), "opt-6.7b": (6658, 1), "opt-13b": (12853, 1), "opt-30b": (29975, 1),
    "opt-66b": (65718, 1), "phi-2": (2780, 2), "phi-1.5": (1418, 2), "yi-6b": (6061, 2),
    "yi-34b": (34389, 2), "llama-2-7b": (6738, 2), "llama-2-13b": (13016, 2),
    "llama-2-70b": (68977, 2), "llama-30b": (32529, 2), "llama-65b": (65286, 2),
    "llama-3-8b": (8030, 2), "llama-3-70b": (70554, 2), "llama-3.2-1b": (1236, 1),
    "llama-3.2-3b": (3213, 1), "tinyllama-1.1b": (1100, 2), "mistral-7b": (7242, 2),
    "mistral-7b-v0.3": (7248, 2), "qwen2.5-0.5b": (494, 1), "qwen2.5-1.5b": (1544, 1),
    "qwen2.5-7b": (7616, 2), "gemma-2b": (2506, 1), "gemma-7b": (8538, 1),
    "smollm2-135m": (134.5, 1), "opt-125m": (125.2, 1), "opt-2.7b": (2652, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", model_names())
def test_parameter_counts(name: str) -> None:
    millions, embeddings = KNOWN_MILLIONS[name]
    shape = model_shape(name, "model", Path())
    linears = sum(linear.weights for linear in shape.linears())
    extra = (embeddings - 1) * shape.vocab_size * shape.hidden_size
    assert (linears + extra) / 1e6 == pytest.approx(millions, rel=0.015)


@pytest.mark.parametrize(
    ("name", "main"),
    [
        ("meta-llama/Llama-2-7b-hf", "llama-2-7b"),
        ("llama2_7b", "llama-2-7b"),
        ("Llama-2-7b-chat-hf", "llama-2-7b"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-8b"),
        ("01-ai/Yi-6B", "yi-6b"),
        ("mistralai/Mistral-7B-v0.1", "mistral-7b"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("Qwen/Qwen2-7B", "qwen2.5-7b"),
        ("facebook/opt-30b", "opt-30b"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b"),
    ],
)
def test_names(name: str, main: str) -> None:
    assert model_shape(name, "model", Path()).name == main


def test_the_paper_has_six_models() -> None:
    names = {row.point.model.name for row in published_rows()}
    assert names == {"opt-1.3b", "phi-2", "yi-6b", "llama-2-7b", "llama-2-13b", "llama-3-8b"}


def test_shapes_from_a_config(tmp_path: Path) -> None:
    opt = {
        "model_type": "opt", "hidden_size": 2048, "ffn_dim": 8192, "num_hidden_layers": 24,
        "num_attention_heads": 32, "vocab_size": 50272, "word_embed_proj_dim": 2048,
        "torch_dtype": "float16",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(opt))
    named = model_shape("opt-1.3b", "model", Path())
    read = model_shape("config.json", "model", tmp_path)
    assert read.linears() == named.linears() == model_shape(opt, "model", Path()).linears()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "mixtral"}, "field 'model_type' is 'mixtral', valid are"),
        ({"model_type": None}, "field 'gated_mlp'"),
        ({"hidden_size": None}, "field 'hidden_size' is missing"),
        ({"hidden_size": "64"}, "field 'hidden_size' is '64'"),
        ({"hidden_size": 65}, "a multiple of num_attention_heads"),
        ({"num_key_value_heads": 3}, "must divide num_attention_heads"),
        ({"gated_mlp": "yes"}, "field 'gated_mlp' is 'yes'"),
        ({"word_embed_proj_dim": 32}, "word_embed_proj_dim"),
    ],
)
def test_refuses_a_shape(change: dict, words: str) -> None:
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    shape |= {"num_attention_heads": 4, "vocab_size": 64, "model_type": "llama"}
    model_shape(shape, "model", Path())
    with pytest.raises(InputError, match=words):
        model_shape(shape | change, "model", Path())
