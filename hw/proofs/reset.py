"""After a reset of any length the array's accumulators are 0 until a slot comes."""

from dataclasses import dataclass

from amaranth.hdl import Module, ResetSignal, Signal, Value
from amaranth.lib.wiring import Flow

from hw.array import PEArray
from sw.compile import Machine

from .checks import Checks


@dataclass(frozen=True, kw_only=True)
class QuietReset:
    """An array in any state, reset for ``cycles`` cycles; from the second one on no slot issues.

    What slots from before the reset have left in registers that are not reset must not arrive in
    the inner accumulators. Bounded: to be searched for as many cycles as the pipeline is long.

    Parameters
    ----------
    machine : the array's machine.
    cycles : length of the reset.
    """

    machine: Machine
    cycles: int

    def build(self, m: Module) -> Checks:
        """Operands are free."""
        checks = Checks(m)
        m.submodules.array = array = PEArray(machine=self.machine)
        for name, member in array.signature.members.items():
            if member.flow is Flow.In:
                port = Value.cast(getattr(array, name))
                m.d.comb += port.eq(checks.any_input(f"any_{name}", len(port)))
        first = checks.first
        age = Signal(range(self.cycles + 1), reset_less=True)  # cycles since the first, or more
        with m.If(first | (age != self.cycles)):
            m.d.sync += age.eq(age + 1)
        with m.If(first):
            m.d.sync += age.eq(1)
        checks.assume("length of the reset", ResetSignal() == (first | (age < self.cycles)))
        checks.assume("no slots", first | ~array.issue.valid)
        config = self.machine.accelerator
        for row in range(config.rows):
            for col in range(config.cols):
                path = f"array.pe_{row}_{col}.accumulator.ring"
                ring = checks.observe(path, self.machine.inner_bits)
                # the reset's own first cycle still shows what was there
                checks.always(f"pe {row} {col} is 0", ring == 0)
        return checks
