"""Memory: flat however large the files are, and bounded for files that want it otherwise."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)
ROOT = Path(__file__).resolve().parents[4]

# ru_maxrss would count the parent too, where a process is started without a copy of it
PEAK = """
import sys
from pathlib import Path
from configs.errors import InputError
from sw.models.readers import open_tensors

def peak_mb():
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024
"""
READ_ALL = (
    PEAK
    + """
source, values = open_tensors(sys.argv[1]), 0
for name in source:
    values += source[name].size
print(len(source), values, peak_mb())
"""
)
TRY = (
    PEAK
    + """
before = peak_mb()
try:
    source = open_tensors(sys.argv[1])
    for key in source.metadata:
        source.metadata[key]
    for name in source:
        source[name]
    message = "read"
except InputError as error:
    message = str(error)
print(peak_mb() - before, message)
"""
)


def run(script: str, path: Path) -> list[str]:
    command = [sys.executable, "-c", script, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.split(maxsplit=2)


MB = 1 << 20


def sparse_shards(folder: Path, tensors: int, shards: int) -> Path:
    """Tensors of 32 MB of holes, every fourth bfloat16, the others float32."""
    from .test_safetensors import write

    folder.mkdir()
    for shard in range(shards):
        entries, place = {}, 0
        for i in range(tensors // shards):
            kind, rows = ("BF16", 4096) if i % 4 == 3 else ("F32", 2048)
            entries[f"t{shard}.{i}"] = (kind, [rows, 4096], place, place + 32 * MB)
            place += 32 * MB
        path = write(folder / f"model-{shard}.safetensors", entries, b"")
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size + place)
    return folder


def test_peak_memory_does_not_grow_with_the_file(tmp_path):
    """0.5 GB and 2 GB of tensors of the same size in one file, and 0.5 GB in shards."""
    peaks = {}
    for name, tensors, shards in (("small", 16, 1), ("large", 64, 1), ("shards", 16, 4)):
        found, values, peak = run(READ_ALL, sparse_shards(tmp_path / name, tensors, shards))
        assert int(found) == tensors and int(values) == tensors * 10 * MB
        peaks[name] = float(peak)
    assert max(peaks.values()) - peaks["small"] < 16, peaks
    # one float32 tensor of 64 MB, what is being read of it, and which of it is finite
    assert max(peaks.values()) < 200, peaks


def safetensors_header(path):
    """A header of 8 MB that is all tensors of no bytes."""
    entry = b'"%06d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
    text = b"{" + b"".join(entry % i for i in range(143_000))[:-1] + b"}"
    text += b" " * (8 * MB - len(text))
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def sparse(path, head: bytes, size: int):
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)


def gguf_pairs(kind: int, count: int) -> bytes:
    from .test_gguf import header, string, struct

    return header(pairs=[string(b"k") + struct.pack("<IIQ", 9, kind, count)])


def onnx_nodes(path, count):
    """Nodes of nothing: two bytes each in the file."""
    from .test_onnx import message

    path.write_bytes(message(7, message(1, b"") * count))


def npz_directory(path):
    """An archive whose directory would be most of 8 GB of holes."""
    import struct

    size = 8 << 30
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 0xFFFFFFF0, 0, 0)
    sparse(path, b"PK\3\4", size)
    with open(path, "r+b") as file:
        file.seek(size)
        file.write(end)


def npz_bomb(path):
    import numpy as np

    np.savez_compressed(path, a=np.zeros(60_000_000, dtype=np.float32))


HOSTILE = {
    "many.safetensors": (safetensors_header, "has type U8"),
    "sparse.safetensors": (lambda p: sparse(p, b"\0\0\0\0\2", 16 << 30), "are read"),
    "json/model.safetensors.index.json": (lambda p: sparse(p, b"{", 8 << 30), "JSON files of up"),
    "deep/model.safetensors.index.json": (
        lambda p: p.write_bytes(b"[" * (16 * MB)),
        "is not valid JSON",
    ),
    "strings.gguf": (lambda p: sparse(p, gguf_pairs(8, 1 << 21), 1 << 30), "read"),
    "more_strings.gguf": (lambda p: sparse(p, gguf_pairs(8, 1 << 22), 1 << 30), "4194304 elem"),
    "numbers.gguf": (lambda p: sparse(p, gguf_pairs(12, 1 << 21), 1 << 30), "read"),
    "more_numbers.gguf": (lambda p: sparse(p, gguf_pairs(0, 1 << 33), 16 << 30), "8589934592 elem"),
    "nodes.onnx": (lambda p: onnx_nodes(p, 499_000), "holds no constant"),
    "more_nodes.onnx": (lambda p: onnx_nodes(p, 3_000_000), "more than 500000 nodes"),
    "directory.npz": (npz_directory, "the directory of the archive has 4294967280 bytes"),
    "bomb.npz": (npz_bomb, "refused"),
    "huge.npy": (
        lambda p: sparse(p, b"\x93NUMPY\2\0\xff\xff\xff\x7f", 4 << 30),
        "header would have 2147483647",
    ),
    "zeros.bin": (lambda p: sparse(p, b"", 8 << 30), "its dim is 0"),
    "zeros.onnx": (lambda p: sparse(p, b"", 8 << 30), "at byte 0 is cut off or corrupt"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_take_little_memory(tmp_path, name):
    make, expected = HOSTILE[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    make(path)
    grown, *message = run(TRY, path.parent if path.suffix == ".json" else path)
    assert expected in " ".join(message)
    assert float(grown) < 200
