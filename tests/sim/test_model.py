"""Whole models: sums of layers, and a published shape list."""

from configs.schema import load_axis
from sim import array_linears, simulate_gemm, simulate_model
from sim.model import JOB_GAP_CYCLES
from sw.compile import GemmShape, Machine
from sw.formats import get_family
from sw.models import Architecture


def test_llama2_7b_without_weights() -> None:
    workload = load_axis("workload", "llama2_7b")
    architecture = Architecture.from_config(workload.architecture, "test")
    built = Machine(
        accelerator=load_axis("accelerator", "bitmod_32x32x4"),
        family=get_family("bitmod_fp4"),
        inner_bits=20,
        outer_bits=34,
    )
    linears = array_linears(architecture)
    # 6,476,005,376 block weights plus the head (published shapes)
    assert sum(linear.weights for linear in linears) == 6_476_005_376 + 32000 * 4096
    timing = simulate_model(built, linears, group_size=128, prefill_tokens=256, decode_tokens=3)
    # without stalls: tiles x chunks x slots, the bulk of the time
    ideal = sum(
        -(-x.out_features // 32) * (8 if x.name != "lm_head" else 1) * (x.in_features // 4) * 2
        for x in linears
    )
    assert ideal < timing.prefill_cycles < 1.001 * ideal
    assert timing.total_cycles == timing.prefill_cycles + 3 * timing.decode_step_cycles
    gaps = len(linears) * 4
    assert sum(timing.causes.values()) + JOB_GAP_CYCLES * gaps == timing.total_cycles
    assert timing.activity.macs == sum(
        x.weights * ((256 if x.name != "lm_head" else 1) + 3) for x in linears
    )


def test_layers_are_single_gemms() -> None:
    built = Machine(
        accelerator=load_axis("accelerator", "tall_6x3x5"),
        family=get_family("int8"),
        inner_bits=24,
        outer_bits=40,
    )
    config = load_axis("workload", "llama2_7b").architecture
    small = {**config, "hidden_size": 20, "intermediate_size": 33, "num_hidden_layers": 1}
    small |= {"num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": True}
    linears = array_linears(Architecture.from_config(small, "test"))
    assert [linear.name.rsplit(".", 1)[-1] for linear in linears][-1] == "down_proj"
    timing = simulate_model(built, linears, group_size=7, prefill_tokens=9, decode_tokens=0)
    for layer in timing.layers:
        shape = GemmShape(m=9, n=layer.n, k=layer.k, group_size=7)
        assert layer.prefill == simulate_gemm(built, shape)
        assert layer.decode is None
        assert 0 < layer.utilization < 1
