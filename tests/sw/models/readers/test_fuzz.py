"""Damaged files of every kind: one clear error or a valid result, never anything else.

Seeded, so that a failure can be had again: the assertion names what was damaged.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from .samples import SAMPLES, floats, safetensors_sample, survives

HUGE = [b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0\0\0\0\0\1\0\0", b"\xff" * 4, b"\xff\xff\xff\x7f"]


@pytest.fixture(params=SAMPLES)
def sample(request, tmp_path):
    """A small valid file and its bytes."""
    write, suffix = SAMPLES[request.param]
    path = write(tmp_path / f"m{suffix}")
    assert survives(path)
    return path, path.read_bytes()


def attempt(path, data: bytes, what: object) -> bool:
    path.write_bytes(data)
    try:
        return survives(path)
    except Exception as error:
        raise AssertionError(f"{what} of {path.name}: {error!r}") from error


def places(data: bytes) -> list[int]:
    """Every byte of the beginning and the end, some in between."""
    size = len(data)
    return sorted({*range(min(250, size)), *range(0, size, 37), *range(max(0, size - 120), size)})


def test_cut_off_anywhere(sample):
    path, data = sample
    opened = [cut for cut in places(data) if attempt(path, data[:cut], f"the first {cut} bytes")]
    # a protobuf message may end after any field, and the writer of GGUF pads the last tensor
    assert path.suffix == ".onnx" or all(path.suffix == ".gguf" and n > 670 for n in opened)


def test_flipped_bytes(sample):
    path, data = sample
    rng, opened = np.random.default_rng(1), 0
    for trial in range(400):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 1 + trial % 4):
            damaged[place] = (
                rng.integers(256) if trial % 2 else damaged[place] ^ 1 << trial // 8 % 8
            )
        opened += attempt(path, bytes(damaged), f"trial {trial}")
    assert opened < 400


def resident_mb(field: str) -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0]) / 1024


def test_huge_numbers_anywhere(sample):
    path, data = sample
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # the peak starts anew
        before = resident_mb("VmRSS")
    for place in places(data):
        for huge in HUGE[place % 2 :: 2]:
            damaged = data[:place] + huge + data[place + len(huge) :]
            attempt(path, damaged, f"{huge!r} at {place}")
    if clear.exists():
        assert resident_mb("VmHWM") - before < 64


def test_bytes_put_in_taken_out_and_repeated(sample):
    path, data = sample
    rng = np.random.default_rng(2)
    for trial in range(200):
        start, stop = sorted(rng.integers(0, len(data) + 1, 2))
        middle = [b"", data[start:stop] * 2, rng.bytes(8), data[::-1][start:stop]][trial % 4]
        attempt(path, data[:start] + middle + data[stop:], f"trial {trial}")


def test_garbage(sample):
    path, data = sample
    rng = np.random.default_rng(3)
    for trial in range(100):
        head = data[: trial % 25]
        assert not attempt(path, head + rng.bytes(trial * 7), f"trial {trial}")


def test_damaged_indexes(tmp_path):
    safetensors_sample(tmp_path / "one.safetensors")
    placed = {name: "one.safetensors" for name in "abc"}
    path = tmp_path / "model.safetensors.index.json"
    data = json.dumps({"metadata": {"total_size": 1}, "weight_map": placed}).encode()
    path.write_bytes(data)
    assert survives(tmp_path)
    rng = np.random.default_rng(4)
    for trial in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(256)
        cut = trial if trial % 2 else None
        path.write_bytes(bytes(damaged[:cut]))
        survives(tmp_path)


def test_values_that_are_not_finite_never_come_out(tmp_path):
    """Any bits in the data of a tensor: refused or finite."""
    path = tmp_path / "m.npy"
    for seed in range(50):
        bits = np.random.default_rng(seed).integers(0, 1 << 32, (2, 2), dtype=np.uint32)
        bits.flat[seed % 4] |= 0x7F800000 if seed % 3 else 0
        np.save(path, bits.view(np.float32))
        assert survives(path)
    np.save(path, floats(2, 2))
    assert survives(path)
