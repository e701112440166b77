"""llama2.c checkpoints: the same logits as run.c's own arithmetic, and headers that lie."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from sw.models import LlamaModel, load_model
from sw.models.readers import open_tensors

from .samples import LLAMA2C, llama2c_arrays, llama2c_sample, llama2c_written

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"
PUBLISHED = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball"
)


def run_c(arrays: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """Logits after each token, as the forward function of run.c, token by token in float64."""
    w = {name: array.astype(np.float64) for name, array in arrays.items()}
    heads, kv_heads = LLAMA2C["heads"], LLAMA2C["kv_heads"]
    size = LLAMA2C["dim"] // heads
    keys = [[] for _ in range(LLAMA2C["layers"])]
    values = [[] for _ in range(LLAMA2C["layers"])]

    def norm(x, weight):
        return weight * x / np.sqrt(np.mean(x * x) + 1e-5)

    def rotated(vector, position):
        out = vector.copy()
        for i in range(0, len(vector), 2):
            angle = position / 10000.0 ** ((i % size) / size)
            a, b = vector[i], vector[i + 1]
            out[i] = a * np.cos(angle) - b * np.sin(angle)
            out[i + 1] = a * np.sin(angle) + b * np.cos(angle)
        return out

    logits = []
    for position, token in enumerate(tokens):
        x = w["embedding"][token]
        for layer in range(LLAMA2C["layers"]):
            inputs = norm(x, w["attention_norm"][layer])
            q = rotated(w["wq"][layer] @ inputs, position)
            keys[layer].append(rotated(w["wk"][layer] @ inputs, position))
            values[layer].append(w["wv"][layer] @ inputs)
            mixed = []
            for head in range(heads):
                at = slice(head // (heads // kv_heads) * size, None)
                k = np.array(keys[layer])[:, at][:, :size]
                v = np.array(values[layer])[:, at][:, :size]
                scores = k @ q[head * size : (head + 1) * size] / np.sqrt(size)
                weights = np.exp(scores - scores.max())
                mixed.append(weights / weights.sum() @ v)
            x = x + w["wo"][layer] @ np.concatenate(mixed)
            inputs = norm(x, w["ffn_norm"][layer])
            gate = w["w1"][layer] @ inputs
            x = x + w["w2"][layer] @ (gate / (1 + np.exp(-gate)) * (w["w3"][layer] @ inputs))
        logits.append(w.get("head", w["embedding"]) @ norm(x, w["norm"]))
    return np.array(logits)


@pytest.mark.parametrize("shared", [True, False])
def test_logits_are_those_of_run_c(tmp_path, shared):
    arrays = llama2c_arrays(shared)
    model = load_model(llama2c_written(tmp_path / "tiny.bin", arrays))
    assert model.name == "tiny" and model.architecture.tie_word_embeddings is shared
    assert model.architecture.num_key_value_heads == 1 and model.architecture.vocab_size == 9
    tokens = [3, 0, 8, 5, 5]
    logits = LlamaModel(model.architecture, model.tensors).forward([tokens])[0]
    np.testing.assert_allclose(logits, run_c(arrays, tokens), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="model 'tiny' comes without a tokenizer"):
        _ = model.tokenizer


def test_the_published_checkpoint_writes_the_published_text():
    path = DATA / "stories260K.bin"
    if not path.is_file():
        pytest.skip("../shared/data/stories260K.bin is not beside this repository")
    model = load_model(path)
    assert (model.architecture.hidden_size, model.architecture.intermediate_size) == (64, 172)
    assert sum(tensor.size for tensor in model.tensors.values()) == 264128 - 2 * 512 * 4
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not (digest.startswith("b0a507e7") and digest.endswith("99f2696")):
        pytest.skip(f"{path.name} is not the published file: its SHA-256 is {digest[:16]}...")
    llama, ids = LlamaModel(model.architecture, model.tensors), model.tokenizer.encode("")
    while len(model.tokenizer.decode(ids)) < len(PUBLISHED) + 4:
        ids.append(int(llama.forward([ids])[0, -1].argmax()))
    assert PUBLISHED in model.tokenizer.decode(ids)


def header(tmp_path, size=None, **changes):
    path = llama2c_sample(tmp_path / "m.bin")
    data = path.read_bytes()
    numbers = struct.pack("<7i", *(LLAMA2C | changes).values())
    path.write_bytes((numbers + data[28:])[:size])
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 16}, r"its header asks for \d+ bytes, it has 4412"),
        ({"vocab": -9}, "its header asks for 4700 bytes, it has 4412"),
        ({"context": 7}, "its header asks for 4428 bytes"),
        ({"size": 4411}, "its header asks for 4412 bytes, it has 4411"),
        ({"size": 27}, "it has 27 bytes"),
        ({"dim": 0}, "its dim is 0"),
        ({"vocab": -(2**31), "dim": 2**31 - 4}, "do not fit together|asks for"),
        ({"layers": 2**31 - 1}, "2147483647 layers of dim 8"),
        ({"heads": 3}, "3 heads and 1 KV heads do not fit together"),
        ({"heads": 8}, "8 heads and 1 KV heads do not fit together"),
        ({"kv_heads": -1}, "its n_kv_heads is -1"),
        ({"dim": 0x616B3432}, "is a versioned llama2.c file: only version 0 is read"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        open_tensors(header(tmp_path, **changes))
