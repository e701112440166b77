"""AXI4-Lite: every write and every read is answered once, with what the register map says."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from hw.bus import RegisterFile
from hw.bus.registers import OKAY, SLVERR
from sw.compile.registers import Access, Field, Register, RegisterMap

from .checks import Checks
from .streams import keeps_offer, progresses


def small_map() -> RegisterMap:
    """A register of every kind, with a hole between them and one behind."""

    def register(name: str, offset: int, access: Access, bits: int, value: int | None = None):
        field = Field(name="value", low=0, bits=bits, text=name)
        return Register(
            name=name, offset=offset, access=access, fields=(field,), text=name, value=value
        )

    return RegisterMap(
        registers=(
            register("CONSTANT", 0, "ro", 32, 0x8000_0001),
            register("SHOWN", 4, "ro", 9),
            register("WIDE", 12, "rw", 32),
            register("BIT", 16, "rw", 1),
            register("ACT", 20, "wo", 12),
            register("STICKY", 24, "w1c", 10),
        )
    )


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A register file and any master, also one that withdraws what it has offered.

    Parameters
    ----------
    registers : as in :class:`hw.bus.RegisterFile`.
    strobes : the harness expects that byte strobes are obeyed; without it the claim is false.
    """

    registers: RegisterMap
    strobes: bool = True

    def build(self, m: Module) -> Checks:
        """Any accesses."""
        return _Harness(self, m).checks


class _Harness:
    """What has been accepted and not answered yet, and what the registers must hold."""

    def __init__(self, spec: Answers, m: Module) -> None:
        self.spec, self.m, self.checks = spec, m, Checks(m)
        self.block = block = RegisterFile(registers=spec.registers)
        m.submodules.block = block
        inputs = ("awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready")
        reads = ("araddr", "arvalid", "rready", "refuse")
        shown = [r.name.lower() for r in spec.registers.registers if r.access in ("ro", "w1c")]
        shown = [name for name in shown if name in block.signature.members]
        for name in (*inputs, *reads, *shown):
            port = getattr(block, name)
            m.d.comb += port.eq(self.checks.any_input(f"any_{name}", len(port)))
        self._writes()
        self._reads()

    def _writes(self) -> None:
        m, checks, block = self.m, self.checks, self.block
        addressed = Signal(range(3))  # writes whose address is there, and that are not answered
        supplied = Signal(range(3))  # the same of data
        address = Signal(len(block.awaddr))
        data = Signal(32)
        strobe = Signal(4)
        takes_address = block.awvalid & block.awready
        takes_data = block.wvalid & block.wready
        gives = block.bvalid & block.bready
        m.d.sync += [
            addressed.eq(addressed + takes_address - gives),
            supplied.eq(supplied + takes_data - gives),
        ]
        with m.If(takes_address):
            m.d.sync += address.eq(block.awaddr)
        with m.If(takes_data):
            m.d.sync += [data.eq(block.wdata), strobe.eq(block.wstrb)]
        see = checks.observe
        acts = (addressed > block.bvalid) & (supplied > block.bvalid)
        acts &= ~block.bvalid | block.bready
        same_address = addressed == see("block.has_address", 1) + block.bvalid
        same_data = supplied == see("block.has_data", 1) + block.bvalid
        checks.always("writes under way", same_address & same_data)
        checks.always(
            "no answer without a write", ~block.bvalid | ((addressed != 0) & (supplied != 0))
        )
        checks.always("room for an address", block.awready == (addressed == block.bvalid))
        checks.always("room for data", block.wready == (supplied == block.bvalid))
        held = [see("block.address", len(address)) == address, see("block.data", 32) == data]
        held.append(see("block.strobe", 4) == strobe)
        checks.always("what is kept of a write", Cat(held).all())
        self._acts(
            acts, address, data, strobe if self.spec.strobes else Cat(strobe.any()).replicate(4)
        )
        wanted = (addressed != 0) & (supplied != 0)
        progresses(m, checks, "write answered", wanted, block.bvalid, cycles=2)
        keeps_offer(m, checks, "write", block.bvalid, block.bready, block.bresp)
        checks.reachable("a write behind another", (addressed == 2) & (supplied == 2))

    def _acts(self, acts, address, data, strobe) -> None:
        """Values, pulses and the response of a write."""
        m, checks, block = self.m, self.checks, self.block
        mask = Cat(bit.replicate(8) for bit in strobe)
        writable: Value = Signal()
        expected = Signal(2, init=OKAY)
        for register in self.spec.registers.registers:
            name, bits = register.name.lower(), register.bits
            here = address[2:] == register.offset >> 2
            now = acts & here
            words = name.replace("_", " ")
            if register.access == "rw":
                value = Signal(bits, name=f"value_{name}")
                with m.If(now):
                    m.d.sync += value.eq((value & ~mask) | (data & mask))
                checks.always(f"value of {words}", getattr(block, name) == value)
            elif register.access == "wo":
                written = getattr(block, f"{name}_written")
                checks.always(f"write of {words}", written == (now & mask[:bits].all()))
                bits_written = Mux(now, data & mask, 0)[:bits]
                checks.always(f"bits of {words}", getattr(block, name) == bits_written)
            elif register.access == "w1c":
                cleared = Mux(now, data & mask, 0)[:bits]
                checks.always(f"clear of {words}", getattr(block, f"{name}_clear") == cleared)
            if register.access != "ro":
                writable = writable | here
        with m.If(acts):
            m.d.sync += expected.eq(Mux(writable & ~block.refuse, OKAY, SLVERR))
        checks.always("response", ~block.bvalid | (block.bresp == expected))
        checks.reachable("a refused write", block.bvalid & (block.bresp == SLVERR))

    def _reads(self) -> None:
        m, checks, block = self.m, self.checks, self.block
        asked = Signal()
        expected = Signal(32)
        response = Signal(2)
        takes = block.arvalid & block.arready
        gives = block.rvalid & block.rready
        m.d.sync += asked.eq((asked | takes) & ~(gives & ~takes))
        found = Signal(32)
        known = Signal()
        for register in self.spec.registers.registers:
            with m.If(block.araddr[2:] == register.offset >> 2):
                m.d.comb += known.eq(1)
                if register.value is not None:
                    m.d.comb += found.eq(register.value)
                elif register.access != "wo":
                    m.d.comb += found.eq(getattr(block, register.name.lower()))
        with m.If(takes):
            m.d.sync += [expected.eq(found), response.eq(Mux(known, OKAY, SLVERR))]
        checks.always("an answer for each read", block.rvalid == asked)
        right = (block.rdata == expected) & (block.rresp == response)
        checks.always("right data", ~block.rvalid | right)
        checks.always("one read at a time", ~takes | ~asked)
        offer = Cat(block.rdata, block.rresp)
        keeps_offer(m, checks, "read", block.rvalid, block.rready, offer)
        if len(self.spec.registers.registers) < 1 << len(block.araddr) - 2:
            checks.reachable("a read of nothing", gives & (block.rresp == SLVERR))
