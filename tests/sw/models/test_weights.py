"""Model folders: float16, float32, bfloat16, shards, and everything that can be wrong."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs.errors import InputError
from sw.models import load_model
from sw.models.weights import expected_shapes

CONFIG = {
    "model_type": "llama",
    "vocab_size": 11,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 16,
    "tie_word_embeddings": True,
}
NAMES = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up")
EMBEDDING = "model.embed_tokens.weight"


def tiny_tensors(dtype=np.float32, tied=True):
    rng = np.random.default_rng(0)
    shapes = {EMBEDDING: (11, 8), "model.norm.weight": (8,)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {
            at + f"{n}.weight": (8,) for n in ("input_layernorm", "post_attention_layernorm")
        }
        sizes = [(8, 8), (4, 8), (4, 8), (8, 8), (12, 8), (12, 8)]
        shapes |= {at + f"{n}_proj.weight": s for n, s in zip(NAMES, sizes, strict=True)}
        shapes[at + "mlp.down_proj.weight"] = (8, 12)
    if not tied:
        shapes["lm_head.weight"] = (11, 8)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file(tiny_tensors(), tmp_path / "model.safetensors")
    return tmp_path


def rewrite(folder, **changes):
    """Save the tiny tensors with changes; None removes a tensor, __ stands for a dot."""
    tensors = tiny_tensors()
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_tensors_are_kept_as_they_are(folder, dtype):
    tensors = tiny_tensors(dtype)
    save_file(tensors, folder / "model.safetensors")
    model = load_model(folder)
    assert model.name == folder.name and model.heldout is None
    assert set(model.tensors) == set(tensors) == set(expected_shapes(model.architecture))
    for name, tensor in model.tensors.items():
        assert tensor.dtype == dtype and np.array_equal(tensor, tensors[name])
    assert sum(t.size for t in model.tensors.values()) == model.architecture.parameter_count


def test_bfloat16_is_widened_exactly(folder):
    """numpy has no bfloat16, so the file is written by hand: header length, header, data."""
    tensors, header, data = tiny_tensors(), {}, b""
    for name, tensor in tensors.items():
        upper = (tensor.view(np.uint32) >> 16).astype(np.uint16)
        tensors[name] = (upper.astype(np.uint32) << 16).view(np.float32)
        span = [len(data), len(data) + upper.nbytes]
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": span}
        data += upper.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    for name, tensor in load_model(folder).tensors.items():
        assert tensor.dtype == np.float32 and np.array_equal(tensor, tensors[name])


def test_shards_heldout_and_old_buffers(folder):
    tensors = tiny_tensors(tied=False)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"tie_word_embeddings": False}))
    (folder / "heldout.txt").write_bytes(b"text")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(1, np.float32)
    names = list(tensors)
    (folder / "model.safetensors").unlink()
    for part, chosen in enumerate((names[::2], names[1::2])):
        save_file({n: tensors[n] for n in chosen}, folder / f"model-{part}.safetensors")
    model = load_model(str(folder))
    assert model.heldout == b"text" and list(model.tensors)[-1] == "lm_head.weight"
    save_file({names[0]: tensors[names[0]]}, folder / "more.safetensors")
    with pytest.raises(InputError, match=r"more.safetensors: tensor .* already in another file"):
        load_model(folder)


def test_linear_weights_in_order_without_embedding(folder):
    model = load_model(folder)
    linears = model.linear_weights()
    assert list(linears) == [
        f"layers.{layer}.{name}_proj" for layer in range(2) for name in (*NAMES, "mlp.down")
    ]
    down = linears["layers.1.mlp.down_proj"]
    assert np.array_equal(down, tiny_tensors()["model.layers.1.mlp.down_proj.weight"])


def test_tied_head_may_be_repeated(folder):
    rewrite(folder, lm_head__weight=tiny_tensors()[EMBEDDING])
    assert "lm_head.weight" not in load_model(folder).tensors
    rewrite(folder, lm_head__weight=np.zeros((11, 8), np.float32))
    with pytest.raises(InputError, match=r"tie_word_embeddings is true, but .* differs"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__norm__weight": None}, r"tensor 'model.norm.weight' is missing"),
        (
            {"model__norm__weight": np.ones(9, np.float32)},
            r"'model.norm.weight' has shape \(9,\), config.json asks for \(8,\)",
        ),
        ({"model__norm__weight": np.ones(8)}, r"has type F64: supported are F16, BF16 and F32"),
        ({"model__norm__weight": np.full(8, np.nan, np.float32)}, "holds NaN or infinite"),
        (
            {"model__layers__0__self_attn__q_proj__bias": np.ones(8, np.float32)},
            r"'model.layers.0.self_attn.q_proj.bias' does not belong to a llama model",
        ),
    ],
)
def test_wrong_tensors_are_refused(folder, changes, message):
    rewrite(folder, **changes)
    with pytest.raises(InputError, match=message):
        load_model(folder)


def test_wrong_files_are_refused(folder):
    (folder / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"model.safetensors is not a safetensors file"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no \*.safetensors file"):
        load_model(folder)
    (folder / "model.safetensors").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*model.safetensors: Is a directory"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is not valid JSON"):
        load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"cannot read .*config.json: No such file"):
        load_model(folder)
