"""Rescaled integers are the layer's real output."""

from fractions import Fraction

import numpy as np
import pytest

from bitsmith import Job, compile_layer, golden_gemm, load_run, quantize_activations
from configs.errors import InputError
from sw.golden import rescale


def test_equals_the_dequantized_product() -> None:
    """Machine integers, rescaled, against float64 arithmetic on dequantized operands."""
    job = Job(config=load_run("quickstart"))
    name = "layers.1.mlp.down_proj"
    weights = job.quantized.layers[name]
    real = job.layer_inputs(5)[name]
    codes, scales = quantize_activations(real)
    outputs = golden_gemm(compile_layer(job.machine, name, weights, codes)).outputs
    got = rescale(
        outputs,
        channel_scales=weights.channel_scales,
        unit=weights.family.unit,
        activation_scales=scales,
    )
    wanted = (codes * scales[:, None].astype(float)) @ weights.dequantize(np.float64).T
    assert got.dtype == np.float32
    assert np.allclose(got, wanted, rtol=1e-5, atol=1e-7)
    # and close to the float model's own output, as 4-bit weights are
    exact = real @ job.model.linear_weights()[name].astype(np.float32).T
    assert np.linalg.norm(got - exact) < 0.15 * np.linalg.norm(exact)


def test_shapes_must_fit() -> None:
    with pytest.raises(InputError, match=r"outputs have shape \(2, 3\), the scales are for"):
        rescale(
            np.zeros((2, 3), dtype=np.int64),
            channel_scales=np.ones(2),
            unit=Fraction(1),
            activation_scales=np.ones(2),
        )
