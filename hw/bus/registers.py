"""AXI4-Lite registers, generated from a register map."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sw.compile.registers import Register, RegisterMap

#: responses of AXI4-Lite
OKAY, SLVERR = 0, 2


class RegisterFile(wiring.Component):
    """Registers behind an AXI4-Lite port.

    Writes to read-only registers, and accesses to addresses without a register, are answered with
    SLVERR and do nothing. Byte strobes are obeyed. The two lowest address bits are ignored.

    Timing
    ------
    A write acts in the cycle after the one that has accepted both its address and its data, if the
    response before was taken. Data of a read is offered in the cycle after its address, and the
    next address is taken once the data was: no output depends on an input of the same cycle.

    Parameters
    ----------
    registers : :class:`sw.compile.registers.RegisterMap`
        What there is. Port names are register names in lower case.

    Members
    -------
    awaddr, awvalid, awready, wdata, wstrb, wvalid, wready, bresp, bvalid, bready
        AXI4-Lite, writes.
    araddr, arvalid, arready, rdata, rresp, rvalid, rready
        AXI4-Lite, reads.
    refuse : ``In(1)``
        The write that acts in this cycle is to be answered with SLVERR.
    <name> : ``In(bits)`` or ``Out(bits)``
        Of every register that is not constant: its value; of a write-only one the bits written.
    <name>_clear : ``Out(bits)``
        Of registers that are cleared by writing 1: the bits that are to be cleared.
    <name>_written : ``Out(1)``
        Of write-only registers: a write of all their bytes acts in this cycle.
    """

    def __init__(self, *, registers: RegisterMap) -> None:
        self.map = registers
        bits = registers.address_bits
        members = {
            "awaddr": In(bits),
            "awvalid": In(1),
            "awready": Out(1),
            "wdata": In(32),
            "wstrb": In(4),
            "wvalid": In(1),
            "wready": Out(1),
            "bresp": Out(2),
            "bvalid": Out(1),
            "bready": In(1),
            "araddr": In(bits),
            "arvalid": In(1),
            "arready": Out(1),
            "rdata": Out(32),
            "rresp": Out(2),
            "rvalid": Out(1),
            "rready": In(1),
            "refuse": In(1),
        }
        for register in registers.registers:
            name = register.name.lower()
            if register.value is not None:
                continue
            flow = Out if register.access in ("rw", "wo") else In
            members[name] = flow(register.bits)
            if register.access == "w1c":
                members[f"{name}_clear"] = Out(register.bits)
            if register.access == "wo":
                members[f"{name}_written"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        """Collect address and data, then act."""
        address = Signal(len(self.awaddr))
        data = Signal(32)
        strobe = Signal(4)
        has_address = Signal()
        has_data = Signal()
        act = Signal()
        known = Signal()
        m.d.comb += [
            self.awready.eq(~has_address),
            self.wready.eq(~has_data),
            act.eq(has_address & has_data & (~self.bvalid | self.bready)),
        ]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(self.awvalid & self.awready):
            m.d.sync += [has_address.eq(1), address.eq(self.awaddr)]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [has_data.eq(1), data.eq(self.wdata), strobe.eq(self.wstrb)]
        with m.If(act):
            m.d.sync += [
                has_address.eq(0),
                has_data.eq(0),
                self.bvalid.eq(1),
                self.bresp.eq(Mux(known & ~self.refuse, OKAY, SLVERR)),
            ]
        mask = Cat(bit.replicate(8) for bit in strobe)
        with m.Switch(address[2:]):
            for register in self.map.registers:
                if register.access != "ro":
                    with m.Case(register.offset >> 2):
                        m.d.comb += known.eq(1)
                        self._act(m, register, act, data, mask)

    def _act(self, m: Module, register: Register, act, data, mask) -> None:
        """What a write does to one register."""
        name, bits = register.name.lower(), register.bits
        if register.access == "rw":
            value = getattr(self, name)
            with m.If(act):
                kept = value & ~mask[:bits]
                m.d.sync += value.eq(kept | (data & mask)[:bits])
        else:
            target = name if register.access == "wo" else f"{name}_clear"
            m.d.comb += getattr(self, target).eq(Mux(act, data & mask, 0))
        if register.access == "wo":
            m.d.comb += getattr(self, f"{name}_written").eq(act & mask[:bits].all())

    def _read(self, m: Module) -> None:
        """Answer reads."""
        found = Signal(32)
        known = Signal()
        m.d.comb += self.arready.eq(~self.rvalid)
        with m.Switch(self.araddr[2:]):
            for register in self.map.registers:
                with m.Case(register.offset >> 2):
                    m.d.comb += known.eq(1)
                    if register.value is not None:
                        m.d.comb += found.eq(Const(register.value, 32))
                    elif register.access != "wo":
                        m.d.comb += found.eq(getattr(self, register.name.lower()))
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(self.arvalid & self.arready):
            m.d.sync += [
                self.rvalid.eq(1),
                self.rdata.eq(found),
                self.rresp.eq(Mux(known, OKAY, SLVERR)),
            ]
