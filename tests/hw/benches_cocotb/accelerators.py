"""Machines that the bench of the whole accelerator runs on, told apart by their fingerprint."""

import numpy as np

from bitsmith.verify import compile_layer
from configs.accelerator import BufferConfig, RequantizerConfig, StreamConfig
from sw.compile import GemmProgram, Machine, machine_activations
from sw.compile.registers import fingerprint
from sw.formats import get_family
from sw.models import LlamaModel, capture_inputs, load_model
from sw.models.text import evaluation_text
from sw.quantize import quantize_matrix
from tests.agreement import float_machines
from tests.agreement.machines import machine

#: tiles of up to 30 inputs in 8 groups
SMALL = {"weight_beats": 40, "activation_beats": 30}
MACHINES: dict[str, Machine] = {
    "direct": machine(
        2, 2, 2, "bitmod_fp4", programmable=True, streams=StreamConfig(result_bits=24)
    ),
    "weights stay": machine(
        2,
        3,
        2,
        "int4",
        zero_point_bits=3,
        requantizer=RequantizerConfig(multiplier_bits=12, shift_bits=5),
        buffers=BufferConfig(**SMALL),
        streams=StreamConfig(weight_bits=8, activation_bits=16, result_bits=8),
    ),
    "activations stay": machine(
        2,
        2,
        1,
        "bitmod_fp3",
        programmable=True,
        modes=("flag", "saturate"),
        widths=(9, 14),
        buffers=BufferConfig(**SMALL, stationary="activations"),
        streams=StreamConfig(weight_bits=64, activation_bits=32, result_bits=128),
    ),
    "floats": float_machines.machine(
        2,
        2,
        2,
        "bitmod_fp4",
        buffers=BufferConfig(**SMALL),
        streams=StreamConfig(weight_bits=32, activation_bits=16, result_bits=32),
    ),
    "layers": machine(
        4,
        4,
        4,
        "bitmod_fp4",
        buffers=BufferConfig(weight_beats=130, activation_beats=120),
        streams=StreamConfig(weight_bits=32, activation_bits=32, result_bits=64),
    ),
}
BY_FINGERPRINT = {fingerprint(built): name for name, built in MACHINES.items()}
#: layers of the shipped model, each cut to this many tokens and channels, at full K
LAYERS = ("layers.0.self_attn.q_proj", "layers.1.mlp.down_proj")
TOKENS, CHANNELS = 6, 10


def layer_programs(built: Machine) -> list[GemmProgram]:
    """Real layers on real inputs, quantized for ``built``."""
    model = load_model("scribe_1m")
    llama = LlamaModel(model.architecture, model.tensors)
    ids = np.array(model.tokenizer.encode(evaluation_text()[:64]))
    inputs = capture_inputs(llama, ids, TOKENS)
    programs = []
    for name in LAYERS:
        weights = model.tensors[f"model.{name}.weight"][:CHANNELS]
        matrix = quantize_matrix(weights, get_family("bitmod_fp4"), group_size=32)
        codes, _ = machine_activations(inputs[name], built.accelerator)
        programs.append(compile_layer(built, name, matrix, codes))
    return programs
