"""Ranges of every order: against enumeration of all inputs, by the replay and by numpy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sw.accumulators import layer_bounds
from sw.accumulators.orders import ORDERS, get_order, order_bounds, order_replay
from sw.formats import family_terms, get_family

repeatable = settings(deadline=None, derandomize=True, max_examples=150)
INT4 = family_terms(get_family("int4"))
SIGNS = "popcount"
NUMBERS = [name for name in ORDERS if name not in (SIGNS, "slots")]
#: Rows that leave the range of their final sums somewhere, of the 1168 of the test below.
ESCAPING = {
    "weight_lsb": 698,
    "weight_msb": 831,
    "weight_horner_elements": 644,
    "both_lsb": 858,
    "both_msb": 849,
}


def bits_of(name, row, bits):
    """Weight bits of an order; a magnitude needs one more for the most negative code."""
    return bits + 1 if get_order(name).weights == "magnitude_lsb_first" else bits


def ends(stage, channel):
    """Final and step range of one channel."""
    names = ("final_low", "final_high", "step_low", "step_high")
    return tuple(int(getattr(stage, name)[channel]) for name in names)


def replayed(row, *, order, codes, sequences=(None,), **options):
    """What :func:`ends` should be, inner, outer and corrected, from replays of all inputs."""
    found = [[], [], [], [], []]
    for x in itertools.product(codes, repeat=len(row)):
        for sequence in sequences:
            run = order_replay(row, x, order=order, sequence=sequence, **options)
            found[0] += run.exact_tile_sums
            found[1] += [total for _, total in run.inner_steps]
            found[2].append(run.exact_value)
            found[3] += [total for _, total in run.outer_steps]
            found[4].append(run.exact_corrected)
    return [(min(values), max(values)) if values else None for values in found]


def expected_ends(final, step, order):
    """Of a packed lane every step counts as latched."""
    return (*(step if order == "packed" else final), *step)


@pytest.mark.parametrize("input_range", [(0, 3), (-4, 3), (2, 5), (-5, -2)])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_short_row_has_the_replayed_range(name, input_range):
    """All rows of up to two 3-bit weights, with a bias."""
    for length, lanes in ((1, 1), (2, 1), (2, 2)):
        rows = list(itertools.product(range(-4, 4), repeat=length))
        biases = [(7 * n) % 31 - 15 for n in range(len(rows))]
        options = {
            "order": name,
            "input_range": input_range,
            "lanes": lanes,
            "weight_bits": bits_of(name, rows[0], 3),
        }
        sequences = [None] if name != "any_order" else itertools.permutations(range(length))
        sequences = list(sequences)
        layer = order_bounds(rows, bias=biases, **options)
        codes = range(input_range[0], input_range[1] + 1)
        assert layer.order == name and layer.outer is None and layer.corrected is None
        for channel, row in enumerate(rows):
            final, step, value, _, _ = replayed(
                row, codes=codes, sequences=sequences, bias=biases[channel], **options
            )
            assert final == value
            assert ends(layer.inner, channel) == expected_ends(final, step, name), row


def twos_complement(value, bits):
    digits = [(value >> t & 1) << t for t in range(bits)]
    return [*digits[:-1], -digits[-1]]


def partial_sums(name, row, inputs, weight_bits, input_bits, signed):
    """Every sum on the way, of all inputs (X, K) at once, by numpy; lanes 1."""
    order = get_order(name)
    products = [row[k] * inputs[:, k] for k in range(len(row))]
    if name in ("parallel", "packed", "tree"):
        sums = list(itertools.accumulate(products))
        return sums + ([*products, products[0] + products[1]] if name == "tree" else [])
    if name == "any_order":
        chosen = itertools.product((False, True), repeat=len(row))
        return [sum(itertools.compress(products, some)) for some in chosen if any(some)]
    weights = [[w] for w in row]
    if order.weights == "magnitude_lsb_first":
        weights = [[np.sign(w) * (abs(w) & 1 << t) for t in range(weight_bits)] for w in row]
    elif order.weights != "whole":
        weights = [twos_complement(w, weight_bits) for w in row]
    columns = [[inputs[:, k]] for k in range(len(row))]
    if order.inputs != "whole":
        columns = [
            [(inputs[:, k] >> t & 1) << t for t in range(input_bits)] for k in range(len(row))
        ]
        if signed:
            columns = [[*planes[:-1], -planes[-1]] for planes in columns]
    if order.weights == "msb_first":
        weights = [w[::-1] for w in weights]
    if order.inputs == "msb_first":
        columns = [x[::-1] for x in columns]
    sums, total = [], 0
    planes = list(itertools.product(range(len(weights[0])), range(len(columns[0]))))
    for turn, (w, x) in enumerate(planes):
        # Horner's register is the sum so far, without the factor of the planes still to come
        scale = 1 << len(planes) - 1 - turn if order.shifts else 1
        if order.shifts and not order.fused and turn:
            sums.append(total // scale)
        for k in range(len(row)):
            total = total + weights[k][w] * columns[k][x]
            if not order.fused or k == len(row) - 1:
                sums.append(total // scale)
    return sums


@pytest.mark.parametrize("name", NUMBERS)
def test_every_row_of_three_has_the_enumerated_range(name):
    """All rows of three 3-bit weights, inputs of 2 bits without and 3 bits with a sign."""
    rows = list(itertools.product(range(-4, 4), repeat=3))
    for input_range, input_bits in (((0, 3), 2), ((-4, 3), 3)):
        codes = range(input_range[0], input_range[1] + 1)
        inputs = np.array(list(itertools.product(codes, repeat=3)))
        options = {"order": name, "weight_bits": bits_of(name, rows[0], 3)}
        layer = order_bounds(rows, input_range=input_range, **options)
        for channel, row in enumerate(rows):
            sums = partial_sums(name, row, inputs, 3, input_bits, input_range[0] < 0)
            step = int(np.min(sums)), int(np.max(sums))
            exact = inputs @ row
            final = int(exact.min()), int(exact.max())
            assert ends(layer.inner, channel) == expected_ends(final, step, name), row


@pytest.mark.parametrize("name", NUMBERS)
def test_how_many_rows_leave_the_range_of_their_final_sums(name):
    """Of 1168: up to three 3-bit weights, inputs of 2 bits without and 3 bits with a sign."""
    count = wider = 0
    for length, input_range in itertools.product((1, 2, 3), ((0, 3), (-4, 3))):
        rows = list(itertools.product(range(-4, 4), repeat=length))
        bits = bits_of(name, rows[0], 3)
        inner = order_bounds(rows, order=name, input_range=input_range, weight_bits=bits).inner
        plain = order_bounds(rows, order="parallel", input_range=input_range)
        escapes = (inner.step_low < plain.inner.final_low) | (
            inner.step_high > plain.inner.final_high
        )
        count += int(escapes.sum())
        wider = max(wider, int((inner.bits("flag") - plain.inner_bits("flag")).max()))
        assert (inner.bits("wrap") == plain.inner_bits("wrap")).all()
    assert count == ESCAPING.get(name, 0)
    assert wider == (0 if not count else 1 if name == "weight_horner_elements" else 2)


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
def test_popcount_counts_agreements(lanes):
    """All rows of up to four signs; the value is that of the sum of products."""
    for length in (1, 2, 3, 4):
        rows = list(itertools.product((-1, 1), repeat=length))
        options = {"order": SIGNS, "input_range": (-1, 1), "lanes": lanes}
        layer = order_bounds(rows, bias=[5] * len(rows), **options)
        for channel, row in enumerate(rows):
            final, step, _, _, value = replayed(row, codes=(-1, 1), bias=5, **options)
            assert ends(layer.inner, channel) == (*final, *step) == (0, length, 0, length)
            assert ends(layer.corrected, channel)[:2] == value == (5 - length, 5 + length)
        # an unsigned counter does without the sign bit
        assert layer.max_bits("inner", "wrap") == length.bit_length() + 1


@st.composite
def layers(draw, names=tuple(ORDERS)):
    """A row with everything that an order can have, and the options of the bounds."""
    name = draw(st.sampled_from(names))
    length = draw(st.integers(1, 4))
    low = draw(st.integers(-6, 4))
    signs = name == SIGNS
    weight = st.sampled_from([-1, 1]) if signs else st.integers(-8, 7)
    if name == "slots":
        weight = st.sampled_from(sorted(INT4.terms))
    row = draw(st.lists(weight, min_size=length, max_size=length))
    options = {
        "order": name,
        "input_range": (-1, 1) if signs else (low, low + draw(st.integers(0, 3))),
        "lanes": draw(st.integers(1, 5)),
        "weight_bits": bits_of(name, row, draw(st.integers(4, 5))),
        "bias": draw(st.none() | st.integers(-60, 60)),
    }
    if name == "slots":
        options["terms"] = INT4
    if not signs:
        options["input_bits"] = draw(st.none() | st.integers(4, 5))
        options["input_zero_point"] = draw(st.integers(-6, 4))
    if draw(st.booleans()):
        options["tile"] = draw(st.integers(1, 5))
        tiles = -(-length // options["tile"])
        scales = st.lists(st.integers(0, 3), min_size=tiles, max_size=tiles)
        options["scale_codes"] = draw(st.none() | scales)
    return row, options


def of_layer(options):
    """Options of one row as those of a layer of one row."""
    wrapped = {name: [options[name]] for name in ("bias", "scale_codes") if name in options}
    return options | {name: None if value == [None] else value for name, value in wrapped.items()}


@repeatable
@given(layer=layers())
def test_random_layers_have_the_replayed_range(layer):
    row, options = layer
    name = options["order"]
    low, high = options["input_range"]
    bounds = order_bounds([row], **of_layer(options))
    sequences = [None] if name != "any_order" else list(itertools.permutations(range(len(row))))
    codes = (-1, 1) if name == SIGNS else range(low, high + 1)
    final, step, value, outer_step, corrected = replayed(
        row, codes=codes, sequences=sequences, **options
    )
    assert ends(bounds.inner, 0) == expected_ends(final, step, name)
    assert (bounds.outer is None) == ("tile" not in options)
    if bounds.outer is not None:
        assert ends(bounds.outer, 0) == (*value, *outer_step)
    zero_point = options.get("input_zero_point", 0)
    assert (bounds.corrected is None) == (zero_point == 0 and name != SIGNS)
    if bounds.corrected is not None:
        assert ends(bounds.corrected, 0) == (*corrected, *corrected)


@repeatable
@given(data=st.data())
def test_blocks_and_orders_agree_on_longer_rows(data):
    """Many rows at once give what each gives alone, and whole products what the machine's give."""
    seed = data.draw(st.integers(0, 1 << 30))
    rng = np.random.default_rng(seed)
    rows, length = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40))
    weights = rng.integers(-128, 128, (rows, length)).astype(np.int8)
    tile = data.draw(st.integers(1, 50))
    scales = rng.integers(0, 256, (rows, -(-length // tile)))
    lanes = data.draw(st.integers(1, 9))
    low = data.draw(st.integers(-128, 100))
    options = {"input_range": (low, low + data.draw(st.integers(0, 27))), "tile": tile}
    name = data.draw(st.sampled_from(NUMBERS))
    options |= {"lanes": lanes, "weight_bits": bits_of(name, None, 8)}
    layer = order_bounds(weights, order=name, scale_codes=scales, **options)
    machine = layer_bounds(
        weights,
        terms=None,
        group_size=tile,
        lanes=lanes,
        input_range=options["input_range"],
        scale_codes=scales,
    )
    assert (layer.l1 == machine.l1).all() and layer.weight_bits == machine.weight_bits
    assert (layer.group_size, layer.lanes) == (machine.group_size, lanes)
    for mode in ("wrap", "flag"):
        assert (layer.outer_bits(mode) == machine.outer_bits(mode)).all()
    if name != "packed":
        assert (layer.inner.final_low == machine.inner.final_low).all()
        assert (layer.inner.final_high == machine.inner.final_high).all()
    if name in ("any_order", "weight_lsb", "weight_msb", "both_lsb"):
        own = order_bounds(weights, order=name, scale_codes=scales, **(options | {"lanes": 1}))
        assert (own.inner.step_low <= layer.inner.step_low).all()
        assert (own.inner.step_high >= layer.inner.step_high).all()
    for channel in range(rows):
        alone = order_bounds(
            weights[[channel]], order=name, scale_codes=scales[[channel]], **options
        )
        assert ends(alone.inner, 0) == ends(layer.inner, channel)
        assert ends(alone.outer, 0) == ends(layer.outer, channel)
        assert alone.l1[0] == layer.l1[channel]


def test_many_blocks():
    """More weights than a block holds, of both kinds of look-up."""
    rng = np.random.default_rng(3)
    for spread in (8, 1 << 20):
        weights = rng.integers(-spread, spread, (5, 60_000))
        bits = 21
        layer = order_bounds(weights, order="weight_lsb", input_range=(0, 255), weight_bits=bits)
        for channel in (0, 4):
            alone = order_bounds(
                weights[[channel]], order="weight_lsb", input_range=(0, 255), weight_bits=bits
            )
            assert ends(layer.inner, channel) == ends(alone.inner, 0)


def test_a_magnitude_has_its_own_width():
    plain = order_bounds([[-8, 7]], order="weight_lsb", input_range=(0, 1))
    signed = order_bounds([[-8, 7]], order="weight_sign_magnitude", input_range=(0, 1))
    assert plain.slots == signed.slots == 4 == plain.weight_bits


@pytest.mark.parametrize("exponent", [0, 28, 31, 60, 63])
@pytest.mark.parametrize("name", NUMBERS)
def test_ranges_are_exact_at_any_size(name, exponent):
    """Weights, inputs and scales around the edges of int32 and int64, against the replay."""
    order = get_order(name)
    weights = [3 << exponent, -5, (1 << exponent) + 1]
    options = {"order": name, "tile": 2, "weight_bits": exponent + 4, "bias": -(1 << exponent)}
    low = (1 << exponent) - 2
    span = (-low - 3, low)
    if order.inputs == "whole" or order.enumerates:
        span = (low, low + 1) if exponent < 60 or order.inputs == "whole" else (5, 6)
    options |= {"input_range": span, "scale_codes": [1, 1 << exponent], "input_zero_point": -3}
    bounds = order_bounds([weights], **of_layer(options))
    codes = range(span[0], span[1] + 1)
    if span[0] < 0:  # too many: the ends of the range, and what lies next to 0
        codes = sorted({code for code in (span[0], -1, 0, span[1]) if code in codes})
    sequences = [None] if name != "any_order" else [(0, 1, 2), (1, 0, 2)]
    found = replayed(weights, codes=codes, sequences=sequences, **options)
    assert ends(bounds.inner, 0)[:2] == expected_ends(found[0], found[1], name)[:2]
    assert ends(bounds.outer, 0) == (*found[2], *found[3])
    assert ends(bounds.corrected, 0)[:2] == found[4]
    step = ends(bounds.inner, 0)[2:]
    assert step == found[1] if span[0] >= 0 else step[0] <= found[1][0] and step[1] >= found[1][1]
