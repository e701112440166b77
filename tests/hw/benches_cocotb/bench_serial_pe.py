"""The bit-serial PE against plain integers, group after group."""

import random
from dataclasses import dataclass, field

import cocotb
from blocks_clock import edge, reset, settle
from designs import pe_cases
from integer_accumulator import Register

GROUPS = 600


@dataclass
class Slot:
    """One slot, or a gap (not valid) whose data and other controls are noise."""

    valid: bool
    clear: bool
    latch: bool
    shift_index: int
    terms: list[tuple[int, int, int]] = field(default_factory=list)
    activations: list[int] = field(default_factory=list)


class Stimulus:
    """Draws slots for one PE.

    Exponents stay within those that the term table uses: the adder tree is no wider.
    """

    def __init__(self, case: dict, rng: random.Random) -> None:
        self.rng, self.lanes, terms = rng, case["lanes"], case["terms"]
        self.exponent_bits = terms.lane_exponent_bits
        self.largest = max(t.exponent for row in terms.terms.values() for t in row)
        self.shifts = sorted(set(terms.base_shifts))
        self.half = 1 << (case["activation_bits"] - 1)

    def slot(self, *, valid: bool, clear: bool, latch: bool, push: int) -> Slot:
        """Random data, or with ``push`` +1 or -1 the largest step up or down."""
        rng, lanes = self.rng, range(self.lanes)
        slot = Slot(valid, clear, latch, rng.randrange(len(self.shifts)))
        if push:
            slot.shift_index = len(self.shifts) - 1
            slot.terms = [(1, int(push > 0), self.largest) for _ in lanes]
            slot.activations = [-self.half for _ in lanes]
            return slot
        slot.terms = [
            (rng.randrange(4) > 0, rng.randrange(2), rng.randint(0, self.largest)) for _ in lanes
        ]
        values = (-self.half, self.half - 1, 0, rng.randrange(-self.half, self.half))
        slot.activations = [rng.choice(values) for _ in lanes]
        return slot

    def slots(self) -> list[Slot]:
        """All groups with gaps inside and between them."""
        listed = []
        for _ in range(GROUPS):
            length, push = self.rng.randint(1, 9), self.rng.choice((0, 0, 0, 1, -1))
            for index in range(length):
                while self.rng.randrange(4) == 0:
                    noise = self.rng.randrange(2)
                    listed.append(self.slot(valid=False, clear=bool(noise), latch=False, push=0))
                ends = {"clear": index == 0, "latch": index == length - 1}
                listed.append(self.slot(valid=True, **ends, push=push))
        return listed

    def packed_terms(self, slot: Slot) -> int:
        """Bits of ``terms_in``, lane 0 low."""
        width = 2 + self.exponent_bits
        bits = [p | n << 1 | e << 2 for p, n, e in slot.terms]
        return sum(b << width * lane for lane, b in enumerate(bits))

    def packed_activations(self, slot: Slot) -> int:
        """Bits of ``activations``, lane 0 low."""
        modulus = 2 * self.half
        return sum(a % modulus * modulus**lane for lane, a in enumerate(slot.activations))

    def step(self, slot: Slot) -> int:
        """What the slot adds: lane products times the base shift."""
        lanes = zip(slot.terms, slot.activations, strict=True)
        total = sum((-a if n else a) * 2**e for (p, n, e), a in lanes if p)
        return total * 2 ** self.shifts[slot.shift_index]


@cocotb.test()
@cocotb.parametrize(name=list(pe_cases()))
async def group_sums_match(dut, name):
    case = pe_cases()[name]
    stimulus, register = Stimulus(case, random.Random(7)), Register(case["bits"], case["mode"])
    port = {p: getattr(dut, f"{name}_{p}") for p in ("terms_in", "activations", "accumulate")}
    port |= {p: getattr(dut, f"{name}_{p}") for p in ("clear", "latch", "group_sum", "overflow")}
    select = getattr(dut, f"{name}_shift_select") if len(stimulus.shifts) > 1 else None
    await reset(dut)
    slots, latched, groups = stimulus.slots(), None, 0
    for cycle, (data, control) in enumerate(zip(slots[1:], slots, strict=False)):
        if cycle == 0:  # data runs one cycle ahead of its controls
            port["terms_in"].value = stimulus.packed_terms(control)
            port["activations"].value = stimulus.packed_activations(control)
            port["accumulate"].value = port["latch"].value = 0
            await settle(dut)
            await edge(dut)
        port["terms_in"].value = stimulus.packed_terms(data)
        port["activations"].value = stimulus.packed_activations(data)
        port["accumulate"].value = control.valid
        port["clear"].value = control.clear
        port["latch"].value = control.latch
        if select is not None:
            select.value = control.shift_index
        overflow = control.valid and register.step(stimulus.step(control), control.clear)
        await settle(dut)
        place = f"cycle {cycle}, group {groups}"
        assert int(port["overflow"].value) == overflow, f"{place}: overflow is not {overflow}"
        if latched is not None:
            got = port["group_sum"].value.to_signed()
            assert got == latched, f"{place}: group_sum expected {latched}, got {got}"
        if control.latch:
            latched, groups = register.value, groups + 1
        await edge(dut)
    assert groups >= 500 and min(register.left) > 20, "the stimulus did not reach both limits"
