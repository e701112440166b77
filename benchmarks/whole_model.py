"""Quantizing a model of Llama-2-7B's shapes: time, cores, memory.

    python -m benchmarks.whole_model                  4 of the 32 blocks
    python -m benchmarks.whole_model --layers 32      all of them: 13 GB of disk

Weights are seeded normal numbers in bfloat16, in shards of one block, as Hugging Face stores them.
The time is that of `bitsmith quantize`, start to end, reading, hashing and writing included.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from configs.schema import load_axis
from sw.models import Architecture

GIB = 1 << 30


def write_model(folder: Path, layers: int) -> int:
    """A Hugging Face folder with ``layers`` blocks; returns the number of block weights."""
    described = dict(load_axis("workload", "llama2_7b").architecture)
    # the tables are not quantized: a small vocabulary keeps them off the disk
    described |= {"num_hidden_layers": layers, "vocab_size": 256, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(described))
    architecture = Architecture.from_config(described, "benchmark")
    rng = np.random.default_rng(0)
    shards: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in architecture.expected_shapes().items():
        parts = name.split(".")
        shard = parts[2] if parts[1] == "layers" else "rest"
        shards.setdefault(shard, {})[name] = shape
    for shard, tensors in shards.items():
        _write_shard(folder / f"model-{shard}.safetensors", tensors, rng)
    return sum(linear.weights for linear in architecture.block_linears())


def _write_shard(path: Path, tensors: dict[str, tuple[int, ...]], rng: np.random.Generator) -> None:
    header, offset = {}, 0
    for name, shape in tensors.items():
        size = 2 * int(np.prod(shape))
        header[name] = {
            "dtype": "BF16",
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in tensors.values():
            values = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())


def main() -> int:
    """Write the model, quantize it, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--recipe", default="bitmod_fp4")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        weights = write_model(folder, options.layers)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        arguments = ["quantize", str(folder), "--recipe", options.recipe]
        arguments += ["--output", str(Path(scratch) / "quantized"), "--json"]
        command = [sys.executable, "-m", "bitsmith", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        stored = sum(path.stat().st_size for path in (Path(scratch) / "quantized").iterdir())
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    result = {
        "recipe": options.recipe,
        "layers": options.layers,
        "weights": weights,
        "cores": os.cpu_count(),
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "weights_per_second": round(weights / wall),
        "seconds_for_all_32_layers": round(wall * 32 / options.layers, 1),
        "peak_memory_gib": round(used.ru_maxrss * 1024 / GIB, 3),
        "written_gib": round(stored / GIB, 3),
    }
    print("\n".join(f"{key}: {value}" for key, value in result.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
