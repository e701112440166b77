"""Shipped sweeps are spaces of machines that run, and ask what their pages say."""

from dataclasses import replace

import numpy as np
import pytest

from bitsmith.explore.quality import quality_of
from bitsmith.explore.space import Space
from bitsmith.job import Job
from configs.load import preset_names
from configs.schema import load_axis
from configs.sweep import load_sweep
from sw.quantize.recipe import machine_family

EDGE = [name for name in preset_names("sweeps") if name.startswith("edge_")]
#: longest K of the models
LONGEST = {"edge_llama3_8b": 14336, "edge_bitnet_2b": 6912}


def drawn(space: Space, count: int) -> list[int]:
    """Allowed points, spread over the space."""
    numbers = np.random.default_rng(0).choice(space.size, 4000)
    return [int(number) for number in numbers[space.allowed(numbers)][:count]]


@pytest.mark.parametrize("name", preset_names("sweeps"))
def test_points_load(name) -> None:
    space = Space.of(*load_sweep(name))
    assert space.size <= 10_000_000
    points = drawn(space, 20)
    assert len(points) == 20
    for number in points:
        space.config(space.settings(number))


@pytest.mark.parametrize("name", EDGE)
def test_machines_of_an_edge_sweep_run(name) -> None:
    """The first point of every accelerator with every format; tiles suit the longest layer."""
    space, seen = Space.of(*load_sweep(name)), set()
    for number in drawn(space, 200):
        config = space.config(space.settings(number))
        one_token = replace(config.workload, prefill_tokens=1, decode_tokens=0)
        kind = (config.accelerator.name, config.quantization.format)
        if kind in seen:
            continue
        seen.add(kind)
        job = Job(replace(config, workload=one_token))
        assert job.machine.slots >= 1
        if config.accelerator.buffers is not None:
            assert job.timing.total_cycles > 0
    formats = {format_name for _, format_name in seen}
    assert {array for array, _ in seen} == set(space.axis["accelerator"].values)
    assert len(formats) >= 3


@pytest.mark.parametrize("model", LONGEST)
def test_tile_buffers_hold_the_longest_layer_and_no_more(model) -> None:
    space = Space.of(*load_sweep(f"{model}_tiles"))
    for number in drawn(space, 100):
        array = space.config(space.settings(number)).accelerator
        assert array.buffers is not None
        assert array.buffers.activation_beats * array.lanes == LONGEST[model]
        assert array.buffers.weight_beats > array.buffers.activation_beats


def test_llama_points_have_a_published_quality() -> None:
    """Every pair of weights and activations that the sweep allows."""
    for name in ("edge_llama3_8b", "edge_llama3_8b_tiles"):
        space = Space.of(*load_sweep(name))
        for number in drawn(space, 60):
            quality = quality_of(space.config(space.settings(number)))
            assert quality is not None
            assert quality.quoted


def test_bitnet_formats_hold_ternary_weights_exactly() -> None:
    """One step up and down from zero, in every member of the family."""
    space = Space.of(*load_sweep("edge_bitnet_2b"))
    for name in space.axis["quantization.format"].values:
        for member in machine_family(str(name)).members:
            levels = {level for level in member.levels if level is not None}
            assert any({-step, 0} <= levels for step in levels if step > 0), name


def test_the_memory_of_the_edge_study() -> None:
    """32 GB/s at its pins, as the study says, with and without the SRAM."""
    plain, held = (load_axis("memory", name) for name in ("edge_32gbs", "edge_32gbs_sram"))
    assert plain.dram == held.dram
    assert plain.dram.bus_bits / 8 * plain.dram.transfers_mt_s == 32_000
    assert plain.activation_sram is None
    assert held.activation_sram is not None
    assert held.weight_sram is None
