"""Which reader opens which file, and what is refused by name."""

import os
import pickle

import numpy as np
import pytest

from configs.errors import InputError
from sw.models.readers import Llama2cFile, open_tensors

from .samples import SAMPLES, use_up


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_kind_is_opened_by_its_suffix(tmp_path, kind):
    write, suffix = SAMPLES[kind]
    path = write(tmp_path / f"m{suffix}")
    use_up(open_tensors(str(path)))
    upper = path.rename(tmp_path / f"M{suffix.upper()}")
    use_up(open_tensors(upper))


@pytest.mark.parametrize("kind", ["gguf", "npy"])
def test_some_kinds_are_known_by_their_first_bytes(tmp_path, kind):
    path = SAMPLES[kind][0](tmp_path / f"m{SAMPLES[kind][1]}").rename(tmp_path / "blob")
    use_up(open_tensors(path))


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.pkl", "m.pickle", "m.ckpt", "m.bin", "blob"])
@pytest.mark.parametrize("protocol", [2, 4, "torch"])
def test_pickles_are_refused_by_name(tmp_path, name, protocol):
    data = b"PK\3\4rest" if protocol == "torch" else pickle.dumps([1, 2], protocol=protocol)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="is a pickle, which can run code: convert it to safetens"):
        open_tensors(tmp_path / name)


def test_a_checkpoint_of_dim_640_is_no_pickle(tmp_path):
    numbers = np.array([640, 1, 1, 1, 1, 1, 1], dtype="<i4")
    values = 640 + 640 + 4 * 640 * 640 + 640 + 3 * 640 + 640 + 2 * 320
    (tmp_path / "m.bin").write_bytes(numbers.tobytes() + bytes(4 * values))
    assert isinstance(open_tensors(tmp_path / "m.bin"), Llama2cFile)


def test_what_is_no_file_of_tensors_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match=r"cannot tell what .*a.txt holds: tensors are read from "):
        open_tensors(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"cannot read .*missing.gguf: No such file"):
        open_tensors(tmp_path / "missing.gguf")
    with pytest.raises(InputError, match="embedded null"):
        open_tensors("a\0.gguf")
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(InputError, match=r"pipe.gguf: it is not a regular file"):
        open_tensors(tmp_path / "pipe.gguf")
    for suffix in (".safetensors", ".gguf", ".npz", ".npy", ".bin", ".onnx"):
        (tmp_path / f"empty{suffix}").write_bytes(b"")
        with pytest.raises(InputError, match="empty"):
            open_tensors(tmp_path / f"empty{suffix}")
