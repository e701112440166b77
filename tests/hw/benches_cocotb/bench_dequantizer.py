"""The bit-serial dequantizer in all modes against ``group sum x scale`` as plain integers."""

import random
from dataclasses import dataclass

import cocotb
from blocks_clock import edge, reset, settle
from designs import DEQUANTIZER_BITS, GROUP_BITS, SCALE_BITS
from integer_accumulator import Register

GROUPS = 600
_HALF = 1 << (GROUP_BITS - 1)


@dataclass
class Group:
    """A group sum, its scale, and the cycle of the first scale bit."""

    group_sum: int
    scale: int
    start: int
    first_of_tile: bool


def draw(rng: random.Random) -> list[Group]:
    """Groups of random tiles, mostly back to back; extremes in runs so that the sums overflow."""
    groups, start = [], 1
    while len(groups) < GROUPS:
        push = rng.choice((0, 0, _HALF - 1, -_HALF))
        for index in range(rng.randint(1, 12)):
            low_or_high = rng.choice((-_HALF, _HALF - 1, 0, -1, rng.randrange(-_HALF, _HALF)))
            scale = rng.choice((0, 1, 128, 255, rng.randrange(256)))
            scale = 255 if push else scale
            groups.append(Group(push or low_or_high, scale, start, index == 0))
            start += SCALE_BITS + rng.choice((0, 0, 0, 1, 2, 7))
    return groups


def drive(dut, group: Group, finished: Group | None, bit: int, rng: random.Random) -> None:
    """Inputs of one cycle; those without meaning in it are noise."""
    multiply = 0 <= bit < SCALE_BITS
    noise = rng.getrandbits(GROUP_BITS)
    dut.dequantizer_multiply.value = multiply
    dut.dequantizer_first.value = bit == 0 if multiply else rng.getrandbits(1)
    dut.dequantizer_group_sum.value = group.group_sum % (2 * _HALF) if multiply else noise
    scale_bit = group.scale >> (SCALE_BITS - 1 - bit) & 1 if multiply else rng.getrandbits(1)
    dut.dequantizer_scale_bit.value = scale_bit
    dut.dequantizer_accumulate.value = finished is not None
    dut.dequantizer_clear.value = finished.first_of_tile if finished else rng.getrandbits(1)


@cocotb.test()
async def results_match(dut):
    rng = random.Random(11)
    groups = draw(rng)
    ends = {group.start + SCALE_BITS: group for group in groups}
    starts = {group.start: group for group in groups}
    registers = {mode: Register(bits, mode) for mode, bits in DEQUANTIZER_BITS.items()}
    await reset(dut)
    current, overlaps = groups[0], 0
    for cycle in range(max(ends) + 1):
        current, finished = starts.get(cycle, current), ends.get(cycle)
        overlaps += finished is not None and cycle in starts
        drive(dut, current, finished, cycle - current.start, rng)
        await settle(dut)
        for mode, register in registers.items():
            expected = False
            if finished is not None:
                product = finished.group_sum * finished.scale
                expected = register.step(product, finished.first_of_tile)
                got = getattr(dut, f"{mode}_result").value.to_signed()
                place = f"{mode}, cycle {cycle}, {finished}"
                assert got == register.value, f"{place}: expected {register.value}, got {got}"
            overflow = int(getattr(dut, f"{mode}_overflow").value)
            assert overflow == expected, f"{mode}, cycle {cycle}: overflow is {overflow}"
        await edge(dut)
    assert overlaps > 100, "too few groups were back to back"
    assert all(min(register.left) > 20 for register in registers.values())
