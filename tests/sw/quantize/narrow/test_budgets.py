"""Budgets of A2Q, A2Q+ and AXE: the published table, the exact widths, brevitas."""

import json
from pathlib import Path

import numpy as np
import pytest

from configs.target import AccumulatorTarget
from sw.accumulators import single_stage_bounds
from sw.quantize.narrow import a2q_budget, a2q_plus_budget, per_sign_budget, register_limit
from sw.quantize.narrow.budgets import Room

DATA = Path(__file__).parents[5] / "shared" / "data" / "accumulator_bounds_brevitas.json"

#: P, N: A2Q unsigned, A2Q signed, A2Q+, per sign
TABLE = {
    (8, 1): (63, 127, 254, 127),
    (8, 4): (7, 15, 16, 8),
    (8, 8): (0, 0, 0, 0),
    (12, 1): (1023, 2047, 4094, 2047),
    (12, 4): (127, 255, 272, 136),
    (12, 8): (7, 15, 16, 8),
    (16, 1): (16383, 32767, 65534, 32767),
    (16, 4): (2047, 4095, 4368, 2184),
    (16, 8): (127, 255, 256, 128),
    (20, 1): (262143, 524287, 1048574, 524287),
    (20, 4): (32767, 65535, 69904, 34952),
    (20, 8): (2047, 4095, 4112, 2056),
}


@pytest.mark.parametrize(("widths", "expected"), TABLE.items())
def test_published_budgets(widths, expected):
    bits, inputs = widths
    limit = register_limit(bits)
    found = (
        a2q_budget(limit, inputs, False),
        a2q_budget(limit, inputs, True),
        a2q_plus_budget(limit, inputs),
        per_sign_budget(limit, inputs),
    )
    assert found == expected


def bits_of(positive, negative, input_range):
    """Exact width of weights with these sums of either sign."""
    return single_stage_bounds([[positive, -negative]], input_range).max_bits("inner", "flag")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(2, 20))
@pytest.mark.parametrize("inputs", [1, 2, 4, 8])
def test_room_is_exactly_the_register(bits, inputs, signed):
    """A pair of sums fits the room if and only if the exact bound fits the register."""
    if signed and inputs == 1:
        inputs = 2
    target = AccumulatorTarget(inner_bits=bits, input_bits=inputs, input_signed=signed)
    room = Room.of(target, np.array([register_limit(bits)]))
    edge = max(1, register_limit(bits) // max(room.up, room.down))
    rng = np.random.default_rng(bits)
    pairs = [(edge + i, j) for i in (-1, 0, 1, 2) for j in (0, 1)]
    pairs += [(b, a) for a, b in pairs]
    pairs += [(int(a), edge + i - int(a)) for a in rng.integers(0, edge + 1, 8) for i in (-1, 0, 1)]
    for positive, negative in pairs:
        if min(positive, negative) >= 0:
            held = room.holds(np.array([positive]), np.array([negative]))[0]
            assert held == (bits_of(positive, negative, target.input_range) <= bits)


@pytest.mark.parametrize("signed", [False, True])
def test_units_are_the_most_that_fit(signed):
    for bits in range(3, 16):
        target = AccumulatorTarget(inner_bits=bits, input_bits=3, input_signed=signed)
        room = Room.of(target, np.array([register_limit(bits)]))
        above, below = (int(found[0]) for found in room.units())
        assert bits_of(above, 0, target.input_range) <= bits
        assert bits_of(above + 1, 0, target.input_range) > bits
        assert bits_of(0, below, target.input_range) <= bits
        assert bits_of(0, below + 1, target.input_range) > bits


def test_room_left_is_what_the_codes_do_not_take():
    target = AccumulatorTarget(inner_bits=12, input_bits=4)
    room = Room.of(target, np.array([2047, 100]))
    left = room.less(np.array([[3, -2], [0, 1]])).less(np.array([-1, 4]))
    assert left.high.tolist() == [2047 - 3 * 7 - 3 * 8, 100 - 5 * 7]
    assert left.low.tolist() == [2048 - 3 * 8 - 3 * 7, 101 - 5 * 8]


@pytest.fixture(scope="module")
def brevitas():
    if not DATA.exists():
        pytest.skip("../shared/data/accumulator_bounds_brevitas.json is not beside this repository")
    return json.loads(DATA.read_text())


def test_l1_budgets_are_those_of_brevitas(brevitas):
    entries = brevitas["a2q_get_upper_bound_on_l1_norm"]
    assert len(entries) == 64
    for entry in entries:
        found = a2q_budget(register_limit(entry["P"]), entry["N"], entry["input_signed"])
        assert found == entry["floor"] == entry["ref_integer_budget"], entry


def test_tiles_of_brevitas_fit_as_recorded(brevitas):
    """Sums of its multi-stage layers: what it calls within its target is within our room."""
    verdicts = {}
    for key in ("axe_layers", "axe_layers_frozen_scale"):
        assert len(brevitas[key]) == 6
        for entry in brevitas[key]:
            bits = entry["P_I_target"]
            target = AccumulatorTarget(
                inner_bits=bits, input_bits=entry["N"], input_signed=entry["input_signed"]
            )
            room = Room.of(target, np.array([register_limit(bits)]))
            sums = entry["max_tile_pos_sum"], entry["max_tile_neg_sum"]
            held = bool(room.holds(*(np.array([s]) for s in sums))[0])
            assert held == (entry["exact_P_I"] <= bits), entry
            verdicts.setdefault(key, []).append(held)
    assert all(verdicts["axe_layers_frozen_scale"])
    # the default scale of brevitas is made again from shrunk weights: its codes grow back
    assert verdicts["axe_layers"].count(False) == 4


def test_accumulator_aware_layers_of_brevitas_fit(brevitas):
    for entry in brevitas["layers"]:
        target = AccumulatorTarget(
            inner_bits=entry["P_target"],
            input_bits=entry["N"],
            input_signed=entry["input_signed"],
        )
        room = Room.of(target, np.array([register_limit(entry["P_target"])]))
        assert room.holds(
            np.array([entry["max_pos_sum"]]), np.array([entry["max_neg_sum"]])
        ).all(), entry
