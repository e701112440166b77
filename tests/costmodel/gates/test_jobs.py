"""What measured cores run: drawn by seed, real, random and mostly zeros."""

import numpy as np
import pytest

from costmodel.gates.jobs import ZERO_ACTIVATIONS, random_job, real_job, zero_rich_job
from costmodel.gates.points import CorePoint, draw_cores, draw_layers


@pytest.fixture(scope="module")
def point() -> CorePoint:
    return next(p for p in draw_cores() if p.weights == "bitmod_fp4")


def test_one_of_each_kind_is_held_out() -> None:
    """Every component is both fitted and tested."""
    cores = draw_cores()
    for settings in ("zero_point_bits", "pe", "requantizer", "activation_format"):
        uses = {p.use for p in cores if settings in p.core.array}
        assert uses == {"fit", "held_out"}
    assert 14 <= len(cores) <= 30
    assert draw_cores() == cores
    layers = [draw_layers(seed) for seed in range(4)]
    assert all(not set(found.fit) & set(found.held_out) for found in layers)
    assert len({found.fit for found in layers}) > 1


def test_jobs(point: CorePoint) -> None:
    real = real_job(point, draw_layers().fit[0])
    array = point.core.machine.accelerator
    assert real.codes.shape == (2 * array.cols, 160)
    assert real.activations.shape == (2 * array.rows, 160)
    random, again = random_job(real, [1]), random_job(real, [1])
    assert np.array_equal(random.codes, again.codes)
    assert not np.array_equal(random.codes, random_job(real, [2]).codes)
    assert random.shape == real.shape
    # uniform activations are larger than real ones
    assert np.abs(random.activations).mean() > np.abs(real.activations).mean()


def test_zero_rich(point: CorePoint) -> None:
    real = real_job(point, draw_layers().fit[0])
    found = zero_rich_job(real, [1])
    assert np.mean(found.activations == 0) == pytest.approx(ZERO_ACTIVATIONS, abs=0.1)
    assert np.mean(found.levels == 0) > 0.45 > np.mean(real.levels == 0)
    assert np.array_equal(found.scale_codes, real.scale_codes)
