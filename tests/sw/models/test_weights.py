"""Models from folders and files: what is kept, renamed and reordered, and what can be wrong."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs.errors import InputError
from sw.models import LlamaModel, load_model
from sw.models.readers import SafetensorsFile
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
        (
            {"model__norm__weight": np.ones(8)},
            r"has type F64: supported are F32, F16, BF16, F8_E4M3",
        ),
        ({"model__norm__weight": np.arange(8)}, r"tensor 'model.norm.weight' has type I64"),
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


def test_what_is_not_finite_is_refused_when_read(folder):
    rewrite(folder, model__norm__weight=np.full(8, np.nan, np.float32))
    model = load_model(folder)
    assert model.tensors[EMBEDDING].shape == (11, 8)
    with pytest.raises(InputError, match=r"'model.norm.weight' holds nan at \(0,\): NaN and inf"):
        model.tensors["model.norm.weight"]
    with pytest.raises(InputError, match=r"'model.norm.weight' holds nan"):
        LlamaModel(model.architecture, model.tensors)


def test_nothing_is_read_before_it_is_asked_for(folder, monkeypatch):
    model = load_model(folder)
    linears = model.linear_weights()
    read = []
    real = SafetensorsFile.read
    monkeypatch.setattr(
        SafetensorsFile, "read", lambda self, name: read.append(name) or real(self, name)
    )
    assert len(linears) == 14 and "layers.0.mlp.down_proj" in linears and EMBEDDING not in linears
    assert EMBEDDING in model.tensors and len(model.tensors) == 20
    assert model.linear_shapes["layers.1.mlp.down_proj"] == (8, 12)
    assert list(model.linear_shapes) == list(linears) and not read
    assert linears["layers.0.self_attn.k_proj"].shape == (4, 8)
    assert read == ["model.layers.0.self_attn.k_proj.weight"]
    with pytest.raises(KeyError):
        linears["layers.2.self_attn.k_proj"]


def test_tokenizers_of_folders(folder):
    with pytest.raises(InputError, match="comes without a tokenizer"):
        _ = load_model(folder).tokenizer
    bytewise = CONFIG | {"vocab_size": 256}
    (folder / "config.json").write_text(json.dumps(bytewise))
    rewrite(folder, **{EMBEDDING.replace(".", "__"): np.zeros((256, 8), np.float32)})
    model = load_model(folder)
    assert model.tokenizer.encode("ab") == [97, 98] and model.tokenizer is model.tokenizer
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer.json"):
        _ = load_model(folder).tokenizer


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


def test_other_files_are_matrices_without_an_architecture(tmp_path):
    matrix = np.ones((3, 4), np.float32)
    arrays = {"a": matrix, "b": matrix[0], "c": np.ones((2, 2)), "d": 2 * matrix[:, :2]}
    np.savez(tmp_path / "some.npz", **arrays)
    np.save(tmp_path / "one.npy", matrix.astype(np.float16))
    save_file({"w": matrix, "n": np.arange(4).reshape(2, 2)}, tmp_path / "alone.safetensors")
    shapes = {
        "some.npz": {"a": (3, 4), "d": (3, 2)},
        "one.npy": {"one": (3, 4)},
        "alone.safetensors": {"w": (3, 4)},
    }
    for file, expected in shapes.items():
        model = load_model(tmp_path / file)
        assert model.name == file.split(".")[0] and model.architecture is None
        assert (
            model.linear_shapes
            == expected
            == {name: weights.shape for name, weights in model.linear_weights().items()}
        )
    assert np.array_equal(load_model(tmp_path / "some.npz").linear_weights()["d"], arrays["d"])
    np.save(tmp_path / "one.npy", np.ones(4, np.float32))
    with pytest.raises(InputError, match=r"one.npy holds no matrix of floating-point numbers"):
        load_model(tmp_path / "one.npy")


GGUF_NAMES = {
    EMBEDDING: "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
METADATA = {
    "vocab_size": 11,
    "context_length": 16,
    "embedding_length": 8,
    "feed_forward_length": 12,
    "block_count": 2,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "rope.dimension_count": 2,
}


def write_gguf(path, tensors, changes=None, **extra):
    """As convert_hf_to_gguf.py writes a Llama: other names, rows of q and k in rotary pairs.

    A name after '=' is kept.
    """
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in (METADATA | (changes or {})).items():
        if value is not None:
            writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32("llama.rope.freq_base", 5000.0)
    for key, value in extra.items():
        writer.add_string(key.replace("__", "."), value)
    for name, tensor in tensors.items():
        new = GGUF_NAMES.get(name, name.removeprefix("="))
        if name.startswith("model.layers."):
            _, _, layer, *inner, _ = name.split(".")
            new = f"blk.{layer}.{GGUF_NAMES['.'.join(inner)]}.weight"
        if new.endswith(("attn_q.weight", "attn_k.weight")):
            heads = 4 if "attn_q" in new else 2
            # LlamaModel.permute of llama.cpp
            halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
            tensor = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(tensor.shape))
        writer.add_tensor(new, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("head_dim", [2, 4])
def test_a_llama_in_gguf_is_the_model_it_was(tmp_path, tied, head_dim):
    """With heads of four rows the two orders of rows differ."""
    tensors = tiny_tensors(tied=tied)
    wide = {"q": (16, 8), "k": (8, 8), "v": (8, 8), "o": (8, 16)}
    if head_dim == 4:
        rng = np.random.default_rng(1)
        for name in tensors:
            part = name.split(".")[-2].removesuffix("_proj")
            if part in wide:
                tensors[name] = rng.standard_normal(wide[part]).astype(np.float32)
    path = write_gguf(tmp_path / "m.gguf", tensors, {"rope.dimension_count": head_dim})
    model = load_model(path)
    known = model.architecture
    assert model.name == "m" and known.tie_word_embeddings is tied and known.head_dim == head_dim
    assert known.rope_theta == 5000 and known.rms_norm_eps == np.float32(1e-5)
    assert list(model.tensors) == list(expected_shapes(known))
    for name, tensor in tensors.items():
        assert np.array_equal(model.tensors[name], tensor), name
    (tmp_path / "hf").mkdir()
    config = CONFIG | {"head_dim": head_dim, "tie_word_embeddings": tied, "rope_theta": 5000.0}
    (tmp_path / "hf" / "config.json").write_text(json.dumps(config))
    save_file(tensors, tmp_path / "hf" / "model.safetensors")
    same = load_model(tmp_path / "hf")
    ids = [[1, 5, 10, 3]]
    logits = [LlamaModel(m.architecture, m.tensors).forward(ids) for m in (model, same)]
    np.testing.assert_allclose(*logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "tensor", "message"),
    [
        ({"block_count": None}, {}, r"m.gguf: field 'num_hidden_layers' is missing"),
        ({"expert_count": 8}, {}, "mixtures of experts are not supported"),
        (
            {"attention.key_length": 4},
            {},
            "2 of 4 rows of a head are rotated, only whole heads",
        ),
        ({"embedding_length": 16}, {}, r"has shape \(11, 8\), its metadata asks for"),
        ({}, {"blk.0.attn_q.bias": 8}, "'blk.0.attn_q.bias' does not belong to a llama model"),
        (
            {},
            {"=model.norm.weight": 8},
            "'model.norm.weight' and 'output_norm.weight' are the same",
        ),
        ({}, {"blk.7.attn_q.weight": 8}, "does not belong to a llama model"),
    ],
)
def test_gguf_files_that_contradict_are_refused(tmp_path, changes, tensor, message):
    added = {name: np.ones(size, np.float32) for name, size in tensor.items()}
    with pytest.raises(InputError, match=message):
        load_model(write_gguf(tmp_path / "m.gguf", tiny_tensors() | added, changes))


def test_rescaled_frequencies_are_known_but_not_run(tmp_path):
    extra = {"llama__rope__scaling__type": "yarn"}
    model = load_model(write_gguf(tmp_path / "m.gguf", tiny_tensors(), **extra))
    assert model.architecture.rope_type == "yarn"
    factors = tiny_tensors() | {"rope_freqs.weight": np.ones(1, np.float32)}
    model = load_model(write_gguf(tmp_path / "n.gguf", factors))
    assert model.architecture.rope_type == "llama3" and len(model.linear_weights()) == 14
    with pytest.raises(InputError, match="rope_type 'llama3' cannot be run"):
        LlamaModel(model.architecture, model.tensors)


def test_a_gguf_of_another_architecture_is_its_matrices(tmp_path):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "qwen2")
    writer.add_tensor("blk.0.attn_q.weight", np.ones((2, 32), np.float32))
    writer.add_tensor("blk.0.attn_q.bias", np.ones(2, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = load_model(tmp_path / "m.gguf")
    assert model.architecture is None
    assert model.linear_shapes == {"blk.0.attn_q.weight": (2, 32)}


def named(name):
    try:
        return load_model(name)
    except InputError as error:
        pytest.skip(str(error))


def test_smollm2():
    """Sizes of reference/models.md; that the answer is right shows that rows and names are."""
    model = named("smollm2_135m")
    assert model.name == "smollm2_135m" and model.architecture.tie_word_embeddings
    assert model.architecture.parameter_count == 134_515_008 and len(model.linear_shapes) == 210
    llama = LlamaModel(model.architecture, model.tensors)
    ids = model.tokenizer.encode("The capital of France is")
    assert model.tokenizer.decode([int(llama.forward([ids])[0, -1].argmax())]) == " Paris"


def test_minilm():
    model = named("minilm_l6")
    assert model.architecture.num_hidden_layers == 6 and len(model.linear_weights()) == 36
    assert not any(name.startswith("pooler") for name in model.tensors)
    assert model.tensors["encoder.layer.5.output.dense.weight"].shape == (384, 1536)
    assert model.tokenizer.encode("hello")
