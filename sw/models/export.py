"""A quantized model as ordinary weights again, for evaluation elsewhere."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from configs.errors import InputError
from configs.files import replacing
from sw.quantize import QuantizedModel

from .apply import prepared_model
from .architecture import Architecture
from .readers.onnx_file import OnnxFile
from .readers.onnx_graph import attribute, onnx_library
from .registry import model_path
from .weights import Model

SHARD_BYTES = 1 << 30
CONFIG = "config.json"
FILE_SUFFIXES = (".bin", ".gguf", ".npy", ".npz", ".pt", ".pth")
#: what people need beside the weights to run a model
COMPANIONS = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "generation_config*")


def export_folder(
    model: Model, quantized: QuantizedModel, folder: Path, *, source: str, dtype: str = "float32"
) -> list[str]:
    """Write a Hugging Face folder: dequantized layers, all other tensors, ``config.json``.

    Tensors are read and written a shard of at most 1 GiB at a time (one tensor may be larger). The
    folder appears whole or not at all.

    Parameters
    ----------
    model : the float model, before transforms.
    quantized : its quantized layers; their float tensors replace those of ``model``.
    folder : must not exist.
    source : name or path of the model, whose tokenizer files are copied where it has any.
    dtype : of all tensors, ``"float16"`` or ``"float32"``.

    Returns
    -------
    Names of the files.

    Raises
    ------
    InputError : the folder exists, layers that the model does not have, or biases that transforms
        added and a checkpoint has no place for.
    """
    prepared = prepared_model(model, quantized)
    architecture = prepared.architecture
    if architecture is None:
        raise InputError(f"model '{model.name}' has no architecture: export it as .safetensors")
    if folder.exists():
        raise InputError(f"--output: '{folder}' exists already")
    if folder.suffix in FILE_SUFFIXES:
        raise InputError(f"--output: '{folder}' looks like a file, a model becomes a folder")
    _check_layers(prepared, quantized)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            names = _write_shards(_tensors(prepared, quantized, dtype), scratch)
            config = _config(model_path(source), architecture)
            config |= {"torch_dtype": dtype}
            (scratch / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
            names += [CONFIG, *_copy_companions(model_path(source), scratch)]
            scratch.chmod(0o755)
            os.rename(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(f"--output: cannot write '{folder}': {error.strerror}") from None
    return names


def export_file(
    model: Model, quantized: QuantizedModel, path: Path, *, source: str, dtype: str = "float32"
) -> None:
    """Write one file: a ``.safetensors`` of all matrices, or the ``.onnx`` graph with new ones.

    In an ONNX graph each node that multiplied by a quantized matrix multiplies by the dequantized
    one, a new initialiser; QONNX nodes before it and constants that nothing uses any more are
    dropped. The file appears whole or not at all.

    Parameters
    ----------
    model : of a file without an architecture.
    path : must not exist; its suffix says what is written.

    Raises
    ------
    InputError : the file exists, another suffix, layers that the model does not have, or an ONNX
        file made from another kind of source.
    """
    if path.exists():
        raise InputError(f"--output: '{path}' exists already")
    _check_layers(model, quantized)
    if quantized.float_tensors:
        raise InputError("transforms changed more than the layers: export the model to a folder")
    if path.suffix == ".onnx" and dtype != "float32":
        raise InputError(f"an .onnx file is written in float32, not {dtype}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            if path.suffix == ".onnx":
                _write_onnx(model_path(source), quantized, temporary)
            elif path.suffix == ".safetensors":
                layers = {name: m.dequantize(np.float32) for name, m in quantized.layers.items()}
                save_file(
                    {name: _narrowed(name, m, dtype) for name, m in layers.items()}, temporary
                )
            else:
                raise InputError(f"--output: '{path}' ends neither in .safetensors nor in .onnx")
            temporary.chmod(0o644)
    except OSError as error:
        raise InputError(f"--output: cannot write '{path}': {error.strerror}") from None


def _write_onnx(source: Path, quantized: QuantizedModel, target: Path) -> None:
    """The graph of ``source`` with dequantized matrices."""
    if source.suffix != ".onnx":
        raise InputError(f"--output: an .onnx file is made from an .onnx source, not '{source}'")
    read, onnx = OnnxFile(source), onnx_library()
    model = onnx.load(str(source))
    graph = model.graph
    for name, matrix in quantized.layers.items():
        values, first = matrix.dequantize(np.float32), graph.node[read.users[name][0]]
        if first.op_type == "Conv":
            values = values.reshape(read.kernel_shape(name))
        elif first.op_type == "MatMul" or not attribute(first, "transB", 0):
            values = values.T
        new = f"{name}.dequantized"
        array = np.ascontiguousarray(values)
        graph.initializer.append(onnx.numpy_helper.from_array(array, name=new))
        for place in read.users[name]:
            graph.node[place].input[1] = new
    _drop_unused(graph)
    onnx.save(model, str(target))


def _drop_unused(graph: Any) -> None:
    """Remove nodes and initialisers whose results nothing uses, last ones first."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output) or node.op_type in ("If", "Loop", "Scan"):
            needed |= set(node.input)
            kept.append(node)
    if any(node.op_type in ("If", "Loop", "Scan") for node in kept):
        return  # inner graphs may use anything
    used = [i for i in graph.initializer if i.name in needed]
    nodes = list(reversed(kept))
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(used)


def _check_layers(prepared: Model, quantized: QuantizedModel) -> None:
    wanted = prepared.linear_shapes
    for name, shape in quantized.shapes.items():
        if wanted.get(name) != shape:
            raise InputError(
                f"model '{prepared.name}' has no layer '{name}' of shape {shape}: "
                "it is not what was quantized"
            )
    if prepared.architecture is None:
        return
    known = prepared.architecture.expected_shapes()
    extra = [name for name in quantized.float_tensors or {} if name not in known]
    if extra:
        raise InputError(
            f"tensor '{extra[0]}' of the transforms has no place in a checkpoint of this kind: "
            "this recipe cannot be exported"
        )


def _tensors(
    prepared: Model, quantized: QuantizedModel, dtype: str
) -> Iterator[tuple[str, NDArray]]:
    """Every tensor of the exported checkpoint, one at a time."""
    architecture = prepared.architecture
    assert architecture is not None
    stored = {architecture.weight_name(name): name for name in quantized.layers}
    for name in architecture.expected_shapes():
        if name in stored:
            tensor = quantized.layers[stored[name]].dequantize(np.float32)
        else:
            tensor = prepared.tensors[name]
        yield name, _narrowed(name, tensor, dtype)


def _narrowed(name: str, tensor: NDArray, dtype: str) -> NDArray:
    """``tensor`` as ``dtype``, refused where that cannot hold it."""
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(tensor, dtype=dtype)
    if not np.isfinite(narrow).all():
        raise InputError(f"tensor '{name}' has values beyond {dtype}: export it as float32")
    return narrow


def _write_shards(tensors: Iterator[tuple[str, NDArray]], folder: Path) -> list[str]:
    """One file, or several with an index."""
    shards: list[dict[str, int]] = []
    held: dict[str, NDArray] = {}

    def write() -> None:
        part = folder / f"{len(shards)}.part"
        save_file(held, part, metadata={"format": "pt"})
        part.chmod(0o644)
        shards.append({name: tensor.nbytes for name, tensor in held.items()})
        held.clear()

    for name, tensor in tensors:
        if held and sum(t.nbytes for t in held.values()) + tensor.nbytes > SHARD_BYTES:
            write()
        held[name] = tensor
    write()
    if len(shards) == 1:
        os.rename(folder / "0.part", folder / "model.safetensors")
        return ["model.safetensors"]
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for number, name in enumerate(names):
        os.rename(folder / f"{number}.part", folder / name)
    index = {
        "metadata": {"total_size": sum(sum(shard.values()) for shard in shards)},
        "weight_map": {t: name for name, shard in zip(names, shards, strict=True) for t in shard},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return [*names, "model.safetensors.index.json"]


def _config(source: Path, architecture: Any) -> dict[str, Any]:
    """The source's own ``config.json``, or one from the architecture."""
    if source.is_dir():
        config = json.loads((source / CONFIG).read_text())
    else:
        config = {key: value for key, value in asdict(architecture).items() if key != "rope_type"}
        config |= {"architectures": ["LlamaForCausalLM"], "hidden_act": "silu"}
    if isinstance(architecture, Architecture):
        config["tie_word_embeddings"] = architecture.tie_word_embeddings
    return config


def _copy_companions(source: Path, folder: Path) -> list[str]:
    if not source.is_dir():
        return []
    found = sorted({p for pattern in COMPANIONS for p in source.glob(pattern) if p.is_file()})
    for path in found:
        shutil.copyfile(path, folder / path.name)
    return [path.name for path in found]
