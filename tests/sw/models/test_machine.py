"""A model whose linears run on a machine's arithmetic."""

from dataclasses import replace

import numpy as np
import pytest

from configs.accelerator import AcceleratorConfig, FloatConfig
from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.compile import Machine, machine_layer, resolve_machine
from sw.formats import get_family
from sw.golden import golden_gemm, rescale
from sw.models import quantized_linear
from sw.models.machine import NO_SCALES, MachineModel, float16_layer, with_floating
from sw.quantize import QuantizedModel, float_activations, quantize_model


def machine(family: str = "bitmod_fp4", **settings) -> Machine:
    array = AcceleratorConfig(
        name="t", rows=2, cols=3, lanes=4, **{"activation_format": "float16", **settings}
    )
    return resolve_machine(array, get_family(family), 40, 60)


@pytest.fixture(scope="module")
def quantized() -> QuantizedModel:
    rng = np.random.default_rng(0)
    weights = {"a": rng.standard_normal((6, 40)), "b": rng.standard_normal((5, 20))}
    recipe = QuantizationConfig(format="bitmod_fp4", group_size=16, scale_format="float16")
    return quantize_model({n: w.astype(np.float32) for n, w in weights.items()}, recipe)


def inputs(k: int = 40) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, k)).astype(np.float32)


@pytest.mark.parametrize("datapath", ["aligned", "exact"])
def test_a_hook_gives_what_the_machine_gives(quantized: QuantizedModel, datapath: str) -> None:
    found = machine(floating=FloatConfig(datapath=datapath))
    layer = machine_layer(quantized.layers["a"], found.accelerator)
    codes, scales = float_activations(inputs(), "float16")
    bits = golden_gemm(layer.program(found, "a", codes)).outputs
    wanted = rescale(
        bits.astype(np.int32).view(np.float32),
        channel_scales=layer.channel_factors,
        unit=layer.family.unit,
        activation_scales=scales,
    )
    assert np.array_equal(MachineModel(quantized, found).linear(found)("a", inputs()), wanted)


def test_settings_share_a_model(quantized: QuantizedModel) -> None:
    """One set of weights serves several widths, roundings, alignments and the exact datapath."""
    base = machine()
    model = MachineModel(quantized, base)
    for changes in (
        {"guard_bits": 0, "rounding": "truncate", "mantissa_bits": 9},
        {"alignment": "pe"},
        {"alignment": "pe", "mantissa_bits": 8},
        {"datapath": "exact"},
        {},
    ):
        other = with_floating(base, **changes)
        alone = MachineModel(quantized, other).linear(other)
        assert np.array_equal(model.linear(other)("a", inputs()), alone("a", inputs()))


def test_wide_machines_come_close_to_float32(quantized: QuantizedModel) -> None:
    second_level = replace(
        quantized, layers={n: m.with_uint8_scales() for n, m in quantized.layers.items()}
    )
    wide = machine(floating=FloatConfig(guard_bits=10, mantissa_bits=30))
    x = inputs().astype(np.float16).astype(np.float32)
    wanted = quantized_linear(second_level, None)("a", x)
    found = MachineModel(quantized, wide).linear(wide)("a", x)
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    narrow = with_floating(wide, guard_bits=0, mantissa_bits=6)
    rough = MachineModel(quantized, narrow).linear(narrow)("a", x)
    assert np.abs(rough - wanted).max() > 1e-3 * np.abs(wanted).max()


def test_float16_weights(quantized: QuantizedModel) -> None:
    mac = machine(
        "float16",
        pe="multiplier",
        scale=NO_SCALES,
        floating=FloatConfig(alignment="pe", guard_bits=0, normalization="full", mantissa_bits=25),
    )
    x = inputs().astype(np.float16).astype(np.float32)
    found = MachineModel.of_float16(quantized, mac).linear(mac)("a", x)
    weights = quantized.layers["a"].with_uint8_scales().dequantize().astype(np.float16)
    wanted = x.astype(np.float64) @ weights.astype(np.float64).T
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    with pytest.raises(InputError, match="float16 weights"):
        float16_layer(quantized.layers["a"], machine())


def test_other_layers(quantized: QuantizedModel) -> None:
    model = MachineModel(quantized, machine())
    with pytest.raises(InputError, match="no layer 'head'"):
        model.linear(machine())("head", inputs())
    hook = model.linear(machine(), otherwise=lambda name, x: x[:, :1])
    assert np.array_equal(hook("head", inputs()), inputs()[:, :1])


def test_machines_that_do_not_fit_are_refused(quantized: QuantizedModel) -> None:
    with pytest.raises(InputError, match="integer activations"):
        MachineModel(quantized, machine(activation_format="integer"))
    model = MachineModel(quantized, machine())
    other = machine(lane_exponent_bits=1)
    with pytest.raises(InputError, match="another way"):
        model.linear(other)
