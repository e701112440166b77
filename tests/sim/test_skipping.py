"""Cycles of machines that skip: a clocked simulation, published expectations, and properties."""

from collections import deque
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sim import simulate_gemm
from sim import skipping_times as times
from sim.skipping import LayerSkipping, Scheme, schemes, skipping_report
from sw.compile import GemmShape
from sw.formats import TermTable, family_terms, fitting_terms, get_family
from sw.quantize import QuantizedMatrix, quantize_matrix
from sw.quantize.ternary import quantize_ternary

from ..agreement.machines import machine

#: int8 has several base shifts, bitmod_fp4 one and members, the others many zeros
FORMATS = ("int3", "int6", "int8", "bitmod_fp4", "bitmod_fp3", "ternary", "minifloat_e3m0")
#: that has no 0, unlike lanes without a weight
WITHOUT_ZERO = "int2_midrise"


def matrix_of(name: str, n: int, k: int, group_size: int, seed: int) -> QuantizedMatrix:
    """Random codes and members; where a format has a 0, more of it than by chance."""
    rng, family = np.random.default_rng(seed), get_family(name)
    groups = -(-k // group_size)
    ids = rng.integers(0, len(family.members), (n, groups)).astype(np.uint8)
    member = family.members[0]
    codes = np.flatnonzero([level is not None for level in member.levels])
    chosen = rng.choice(codes, (n, k)).astype(np.uint8)
    if 0 in member.levels:
        chosen[rng.random((n, k)) < 0.3] = member.levels.index(0)
    return QuantizedMatrix(
        family=family,
        group_size=group_size,
        codes=chosen,
        format_ids=ids,
        scales=np.ones((n, groups), np.float32),
    )


@cache
def terms_of(name: str) -> TermTable:
    return fitting_terms(get_family(name))


def one(matrix: QuantizedMatrix, cols: int, lanes: int, **options: object) -> LayerSkipping:
    terms = terms_of(matrix.family.name)
    report = skipping_report([("x", matrix)], terms=terms, cols=cols, lanes=lanes, **options)
    return report.total


@cache
def fewest(level: int) -> int:
    """Fewest signed powers of two that add up to a level, by breadth-first search."""
    powers = [1 << e for e in range(abs(level).bit_length() + 1)]
    sums, count = {0}, 0
    while level not in sums:
        sums |= {s + sign * p for s in sums for p in powers for sign in (1, -1)}
        count += 1
    return count


# ---- one cycle at a time


def clocked(work: list[list[int]], depth: int, slots: int | None = None) -> int:
    """Cycles of a group: every lane has a weight at work and a queue; ``work[lane][chunk]``.

    With ``slots``, all lanes at work are checked to be in the same slot of their weights.
    """
    lanes, chunks = len(work), len(work[0])
    queues = [deque() for _ in work]
    busy = [0] * lanes
    supplied = cycle = 0
    while True:
        moved = True
        while moved:  # what takes no time
            moved = False
            waiting = [len(q) + (b > 0) for q, b in zip(queues, busy, strict=True)]
            if supplied < chunks and max(waiting) < depth + 1:
                for lane in range(lanes):
                    queues[lane].append(work[lane][supplied])
                supplied, moved = supplied + 1, True
            for lane in range(lanes):
                if not busy[lane] and queues[lane]:
                    busy[lane], moved = queues[lane].popleft(), True
        if not any(busy):
            assert supplied == chunks
            return cycle
        if slots:
            assert len({b % slots for b in busy if b}) == 1
        busy = [max(0, b - 1) for b in busy]
        cycle += 1


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_queues_like_a_clocked_machine(data) -> None:
    lanes, chunks = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    row = st.lists(st.integers(0, 4), min_size=chunks, max_size=chunks)
    work = data.draw(st.lists(row, min_size=lanes, max_size=lanes))
    depth = data.draw(st.integers(0, chunks + 1))
    array = np.array(work, np.uint8).T[:, :, None]
    assert times.run_ahead(array, depth).tolist() == [clocked(work, depth)]
    assert times.run_ahead(array, None).tolist() == [max(map(sum, work))]


def shared_cycles(lanes: list[list[int | None]], terms: TermTable) -> int:
    """Cycles of lanes in lock-step under one base shift; every weight is added up on the way.

    ``lanes`` are levels, chunk by chunk, None without a weight. The controller visits the base
    shifts, and stays at each while any
    lane has a term there.
    """
    cycle = 0
    for levels in zip(*lanes, strict=True):
        left = [
            []
            if level is None
            else [x for x in zip(terms.base_shifts, terms.terms[level], strict=True) if x[1].value]
            for level in levels
        ]
        sums = [0] * len(levels)
        for shift in set(terms.base_shifts):
            while any(s == shift for pending in left for s, _ in pending):
                for lane, pending in enumerate(left):
                    here = [item for item in pending if item[0] == shift]
                    if here:
                        pending.remove(here[0])
                        sums[lane] += here[0][1].value << shift
                cycle += 1
        assert sums == [level or 0 for level in levels]
    return cycle


def expected(
    matrix: QuantizedMatrix, cols: int, lanes: int, scheme: Scheme, digits: str
) -> tuple[int, int]:
    """Cycles of a matrix, and without skipping, weight by weight."""
    terms = terms_of(matrix.family.name)
    n, k = matrix.shape
    levels, total, unskipped = matrix.levels.tolist(), 0, 0
    for top in range(0, n, cols):
        for start in range(0, k, matrix.group_size):
            rows = [r[start : start + matrix.group_size] for r in levels[top : top + cols]]
            chunks = -(-len(rows[0]) // lanes)
            unskipped += chunks * terms.slots
            filled = [r + [None] * (chunks * lanes - len(r)) for r in rows]
            columns = [[r[lane::lanes] for lane in range(lanes)] for r in filled]
            if scheme.scope == "array":
                columns = [[lane for column in columns for lane in column]]
            total += max(column_cycles(c, terms, scheme, digits) for c in columns)
    return total, unskipped


def column_cycles(
    lanes: list[list[int | None]], terms: TermTable, scheme: Scheme, digits: str
) -> int:
    """Cycles of lanes that are supplied together."""
    depth = len(lanes[0]) if scheme.depth is None else scheme.depth
    if scheme.mode == "zero_weights":
        work = [[terms.slots * bool(level) for level in lane] for lane in lanes]
        return clocked(work, depth, terms.slots)
    if scheme.base_shift == "shared" and depth == 0:
        return shared_cycles(lanes, terms)
    in_table = {level: sum(t.value != 0 for t in row) for level, row in terms.terms.items()}
    in_table[None] = 0
    by_table = scheme.base_shift == "shared" or digits == "table"
    return clocked(
        [[in_table[x] if by_table else fewest(x or 0) for x in row] for row in lanes], depth
    )


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_matrices_like_a_clocked_machine(data) -> None:
    name = data.draw(st.sampled_from([*FORMATS, WITHOUT_ZERO]))
    n, k = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 24))
    matrix = matrix_of(name, n, k, data.draw(st.integers(1, 26)), data.draw(st.integers(0, 99)))
    cols, lanes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    digits = data.draw(st.sampled_from(("fewest", "table")))
    found = one(matrix, cols, lanes, depths=(0, 1, 3, None), digits=digits)
    assert found.zero_weights == int((matrix.levels == 0).sum())
    assert found.fewest_terms == sum(fewest(x) for x in matrix.levels.ravel().tolist())
    terms = terms_of(name).terms
    count = fewest if digits == "fewest" else lambda x: sum(t.present for t in terms[x])
    own = np.array([[count(x) for x in row] for row in matrix.levels.tolist()])
    tiles = [own[top : top + cols] for top in range(0, n, cols)]
    balanced = sum(tile.sum() / (len(tile) * lanes) for tile in tiles)
    assert found.balanced_cycles == pytest.approx(balanced)
    for scheme, cycles in found.cycles.items():
        wanted = expected(matrix, cols, lanes, scheme, digits)
        assert (cycles, found.unskipped_cycles) == wanted, scheme


# ---- what must hold for any weights


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("digits", ("fewest", "table"))
def test_order_of_the_schemes(name: str, digits: str) -> None:
    """Deeper queues, columns of their own and own shifts never cost; nothing beats balance."""
    found = one(
        matrix_of(name, 21, 96, 40, 5), 4, 3, depths=(0, 1, 2, 4, 8, 13, None), digits=digits
    )
    for scheme, cycles in found.cycles.items():
        if scheme.mode == "zero_terms":
            assert found.balanced_cycles <= cycles <= found.unskipped_cycles
        if scheme.base_shift == "shared" and scheme.mode == "zero_terms":
            assert found.cycles[replace(scheme, base_shift="own")] <= cycles
        if scheme.scope == "column":
            assert cycles <= found.cycles[replace(scheme, scope="array")]
    for mode, base_shift in (("zero_terms", "own"), ("zero_weights", "shared")):
        for scope in ("array", "column"):
            depths = (0, 1, 2, 4, 8, 13, None)
            keys = [Scheme(mode=mode, base_shift=base_shift, scope=scope, depth=d) for d in depths]
            row = [found.cycles[key] for key in keys]
            assert row == sorted(row, reverse=True)
            assert row[-1] == row[-2]  # a group has 14 chunks


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_depth_0_is_lock_step_and_a_whole_group_is_no_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 8, 3))
    work = rng.integers(0, 5, shape).astype(np.uint8)
    assert (times.run_ahead(work, 0) == times.lock_step([work])).all()
    # one chunk of no work more, and the shortcut is not taken
    longer = np.concatenate([work, np.zeros((1, *shape[1:]), np.uint8)])
    free = work.sum(axis=0).max(axis=0)
    assert (times.run_ahead(longer, len(work) - 1) == free).all()


def test_no_format_skips_more_than_its_shifts_allow() -> None:
    """Terms of several base shifts cannot drift apart under a shared one."""
    for name, deep in (("int8", False), ("int6", False), ("bitmod_fp4", True), ("int3", True)):
        found = schemes(terms_of(name), (0, 2))
        assert deep == any(
            s.mode == "zero_terms" and s.base_shift == "shared" and s.depth for s in found
        )


@pytest.mark.parametrize(("name", "speed_up"), (("int8", 1.0), ("int3", 1.0)))
def test_weights_without_zeros_gain_nothing(name: str, speed_up: float) -> None:
    level = max(terms_of(name).terms, key=lambda x: sum(t.present for t in terms_of(name).terms[x]))
    family = get_family(name)
    matrix = matrix_of(name, 8, 64, 16, 1)
    matrix = replace(
        matrix, codes=np.full((8, 64), family.members[0].levels.index(level), np.uint8)
    )
    found = one(matrix, 4, 4)
    assert {found.speed_up(s) for s in found.cycles if s.base_shift == "shared"} == {speed_up}


def test_zeros_alone_take_no_time() -> None:
    matrix = matrix_of("int4", 8, 64, 16, 1)
    matrix = replace(
        matrix, codes=np.full((8, 64), get_family("int4").members[0].levels.index(0), np.uint8)
    )
    found = one(matrix, 4, 4)
    assert set(found.cycles.values()) == {0} and found.largest_speed_up == float("inf")


def test_long_groups_do_not_overflow() -> None:
    """More cycles in a group than 16 bits count."""
    work = np.full((20_000, 2, 1), 4, np.uint8)
    work[::2, 0] = 0
    assert times.run_ahead(work, 1).tolist() == [80_000]


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = matrix_of("bitmod_fp4", 37, 100, 24, 3)
    whole = one(matrix, 4, 3)
    monkeypatch.setattr(times, "BLOCK_WEIGHTS", 300)
    assert one(matrix, 4, 3) == whole


@pytest.mark.parametrize("shape", ((6, 12, 64, 16), (5, 7, 50, 20)))
def test_unskipped_cycles_are_the_simulators(shape: tuple[int, int, int, int]) -> None:
    """Compute cycles of the timing model, which the RTL agrees with."""
    m, n, k, group_size = shape
    built = machine(m, 4, 3, "bitmod_fp4")
    report = simulate_gemm(built, GemmShape(m=m, n=n, k=k, group_size=group_size))
    found = one(matrix_of("bitmod_fp4", n, k, group_size, 2), 4, 3)
    assert found.unskipped_cycles == report.causes["compute"]


def test_layers_add_up() -> None:
    parts = [(str(seed), matrix_of("int6", 9, 40, 16, seed)) for seed in range(3)]
    report = skipping_report(parts, terms=terms_of("int6"), cols=4, lanes=4, depths=(0, 2))
    assert report.slots == 3 and report.own_slots == 3 and len(report.layers) == 3
    for scheme, cycles in report.total.cycles.items():
        assert cycles == sum(layer.cycles[scheme] for layer in report.layers)
    assert report.total.weights == 3 * 360


@pytest.mark.parametrize(
    ("name", "digits", "pe"),
    (
        ("int8", "fewest", (4, 3)),  # 128 - 1: exponents up to 7
        ("int8", "table", (4, 3)),
        ("int4", "fewest", (2, 2)),
        ("bitmod_fp4", "fewest", (2, 3)),  # 16 in one term
        ("bitmod_fp4", "table", (2, 2)),  # 8 + 8
        ("float6_e3m2fn", "fewest", (2, 4)),
        ("ternary", "fewest", (1, 1)),
    ),
)
def test_what_own_shifts_take(name: str, digits: str, pe: tuple[int, int]) -> None:
    report = skipping_report(
        [("x", matrix_of(name, 2, 8, 8, 0))], terms=terms_of(name), cols=2, lanes=2, digits=digits
    )
    assert (report.own_slots, report.own_exponent_bits) == pe


# ---- published expectation: Gaussian weights, lanes in lock-step with shifts of their own

#: non-zero terms in the non-adjacent form, share of zeros, mean of the largest of 4 and of 32
#: lanes; N(0, 1) in groups of 128 with absmax scales (ternary: absmean), rounded to two or three
#: places
GAUSSIAN = {
    "ternary": (0.69, 0.308, 0.99, 1.00),
    "int3": (0.66, 0.361, 1.08, 1.54),
    "int4": (1.07, 0.159, 1.64, 2.00),
    "int5": (1.43, 0.075, 2.03, 2.55),
    "int6": (1.78, 0.036, 2.44, 2.99),
    "int7": (2.12, 0.018, 2.84, 3.38),
    "int8": (2.45, 0.009, 3.22, 3.92),
    "minifloat_e2m0": (0.72, 0.275, 0.99, 1.00),
    "float4_e2m1fn": (1.21, 0.093, 1.77, 2.00),
    "minifloat_e3m0": (0.98, 0.018, 1.00, 1.00),
    "minifloat_e2m2": (1.54, 0.040, 1.97, 2.00),
    "minifloat_e3m1": (1.47, 0.006, 1.92, 2.00),
    "float6_e2m3fn": (1.91, 0.019, 2.52, 3.00),
    "float6_e3m2fn": (1.73, 0.003, 2.00, 2.00),
    "flint4s": (1.21, 0.070, 1.73, 2.00),
    "pot4": (0.98, 0.018, 1.00, 1.00),
    "apot4": (1.17, 0.112, 1.73, 2.00),
    "posit8_es0": (1.71, 0.000, 2.37, 3.17),
}


@cache
def gaussian() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((512, 4096)).astype(np.float32)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_weights(name: str) -> None:
    family = get_family(name)
    matrix = (
        quantize_ternary(gaussian(), group_size=128)
        if name == "ternary"
        else quantize_matrix(gaussian(), family, group_size=128)
    )
    mean, zero, of_4, of_32 = GAUSSIAN[name]
    scheme = Scheme(mode="zero_terms", base_shift="own", scope="array", depth=0)
    for lanes, largest in ((4, of_4), (32, of_32)):
        found = one(matrix, 1, lanes, depths=(0,))
        assert found.fewest_terms / found.weights == pytest.approx(mean, abs=0.01)
        assert found.zero_weights / found.weights == pytest.approx(zero, abs=0.002)
        assert found.cycles[scheme] / found.chunks == pytest.approx(largest, abs=0.012)
        assert found.balanced_cycles == pytest.approx(found.fewest_terms / lanes)


# ---- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"cols": 0}, "cols is 0"),
        ({"lanes": -1}, "lanes is -1"),
        ({"depths": ()}, "no queue depths"),
        ({"depths": (1, -2)}, "a queue depth is -2"),
        ({"digits": "most"}, "digits is 'most', valid are fewest, table"),
        ({"terms": terms_of("int3")}, "level -7 of 'int4' has no terms on this machine"),
    ),
)
def test_bad_input(options: dict, message: str) -> None:
    given = {"terms": family_terms(get_family("int4")), "cols": 2, "lanes": 2, **options}
    with pytest.raises(InputError, match=message):
        skipping_report([("x", matrix_of("int4", 2, 8, 8, 0))], **given)


def test_layers_that_cannot_be_together() -> None:
    given = {"terms": terms_of("int4"), "cols": 2, "lanes": 2}
    with pytest.raises(InputError, match="no layers"):
        skipping_report([], **given)
    both = [(name, matrix_of(name, 2, 8, 8, 0)) for name in ("int4", "int3")]
    with pytest.raises(InputError, match="layer 'int3' is in 'int3', layers before it in 'int4'"):
        skipping_report(both, **given)
    plane = matrix_of("int4", 2, 8, 8, 0)
    planes = replace(plane, residual=plane)
    with pytest.raises(InputError, match="layer 'x' has several planes"):
        skipping_report([("x", planes)], **given)
