"""Writes brevitas/: small networks as brevitas exports them, and the integers it multiplies by.

``python tests/sw/models/readers/make_brevitas_samples.py`` needs brevitas 0.13.4, PyTorch (made
with 2.15.0), onnx, onnxscript and onnxoptimizer; the tests need only onnx. Weights are drawn from
PyTorch's generator, which is seeded; other releases may draw others, and then truth.npz changes
with the files.
"""

import contextlib
import io
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import onnx
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import (
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int32Bias,
    Uint8ActPerTensorFloat,
)
from brevitas.quant.scaled_int import (
    Int8AccumulatorAwareWeightQuant,
    Int8AccumulatorAwareZeroCenterWeightQuant,
)
from torch import nn

FOLDER = Path(__file__).parent / "brevitas"
UNSIGNED = {"act_quant": Uint8ActPerTensorFloat, "bit_width": 4, "return_quant_tensor": True}


def linear(quantizer, bits: int) -> nn.Module:
    """A layer whose training was to keep sums within ``bits``, behind unsigned inputs."""
    layer = qnn.QuantLinear(
        48,
        3,
        bias=True,
        bias_quant=Int32Bias,
        weight_quant=quantizer,
        weight_bit_width=4,
        weight_accumulator_bit_width=bits,
    )
    return nn.Sequential(qnn.QuantIdentity(**UNSIGNED), layer)


def images() -> nn.Module:
    """A padded convolution with a scale per channel, then a transposed one."""
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=5, return_quant_tensor=True),
        qnn.QuantConv2d(
            2,
            3,
            3,
            padding=1,
            bias=True,
            bias_quant=Int32Bias,
            weight_quant=Int8WeightPerChannelFloat,
            weight_bit_width=3,
        ),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConvTranspose2d(
            3,
            2,
            3,
            stride=2,
            bias=True,
            bias_quant=Int32Bias,
            weight_quant=Int8WeightPerTensorFloat,
            weight_bit_width=4,
        ),
    )


#: name -> network, inputs
NETWORKS = {
    "a2q": (lambda: linear(Int8AccumulatorAwareWeightQuant, 10), (5, 48)),
    "a2q_plus": (lambda: linear(Int8AccumulatorAwareZeroCenterWeightQuant, 10), (5, 48)),
    "images": (images, (1, 2, 3, 3)),
}
#: what is written: network, name, exporter, whether PyTorch's new one
EXPORTS = [
    ("a2q", "qonnx", export_qonnx, False),
    ("a2q", "qcdq", export_onnx_qcdq, False),
    ("a2q_plus", "qonnx", export_qonnx, False),
    ("a2q_plus", "qcdq", export_onnx_qcdq, False),
    ("images", "qonnx", export_qonnx, False),
    ("images", "qcdq", export_onnx_qcdq, False),
    ("images", "dynamo", export_qonnx, True),
]


def truth(network: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Integers of every layer, and those of its inputs and sums on ``x``, by layer and name."""
    found, value = {}, x
    for index, layer in enumerate(network):
        given, value = value, layer(value)
        if not hasattr(layer, "quant_weight"):
            continue
        weight = layer.quant_weight(given)
        entries = {"weight": weight.int(), "input": given.int()}
        scale = given.scale * weight.scale
        scale = scale.reshape(-1)
        if layer.bias is not None:
            entries["bias"] = layer.bias_quant(layer.bias, given, weight).int()
        shape = [1, -1] + [1] * (value.dim() - 2)
        plain = value.value if hasattr(value, "value") else value
        entries["sum"] = torch.round(plain / scale.reshape(shape)).int()
        # the sums are whole up to rounding of floats
        assert torch.allclose(entries["sum"] * scale.reshape(shape), plain, atol=1e-5)
        for name, tensor in entries.items():
            array = tensor.detach().numpy()
            small = array.astype(np.int16)
            assert (small == array).all()
            found[f"{index}.{name}"] = small
    return found


def without_remarks(path: Path) -> None:
    """Drop what exporters write about the source of every node: it is most of a file."""
    model = onnx.load(path)
    for item in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input):
        del item.metadata_props[:]
        item.doc_string = ""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    # what was in it is in the file now
    path.with_name(path.name + ".data").unlink(missing_ok=True)


def main() -> None:
    """Write all samples and truth.npz."""
    FOLDER.mkdir(exist_ok=True)
    arrays = {}
    for name, kind, export, dynamo in EXPORTS:
        make, shape = NETWORKS[name]
        torch.manual_seed(7)
        network, x = make(), torch.rand(shape) * 2 - 0.5
        network.train()
        for _ in range(3):
            network(x)
        network.eval()
        path = FOLDER / f"{name}_{kind}.onnx"
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            for key, array in truth(network, x).items():
                assert np.array_equal(arrays.setdefault(f"{name}.{key}", array), array)
            export(network, x, export_path=str(path), dynamo=dynamo)
        without_remarks(path)
    np.savez_compressed(FOLDER / "truth.npz", **arrays)


if __name__ == "__main__":
    main()
