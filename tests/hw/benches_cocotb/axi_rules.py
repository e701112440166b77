"""What AXI demands of a design, checked cycle by cycle, and when words were offered and accepted.

Written from the AMBA specifications (AXI4-Lite: IHI 0022, AXI4-Stream: IHI 0051), with no part of
the bus models. Everything is sampled at the falling edge, where it has settled.
"""

from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import FallingEdge

#: channels by prefix of their names: payload, and whether the design offers
CHANNELS = {
    "s_axi_aw": (("addr",), False),
    "s_axi_w": (("data", "strb"), False),
    "s_axi_b": (("resp",), True),
    "s_axi_ar": (("addr",), False),
    "s_axi_r": (("data", "resp"), True),
    "s_axis_weights_t": (("data", "last"), False),
    "s_axis_activations_t": (("data", "last"), False),
    "m_axis_results_t": (("data", "keep", "last"), True),
}
RESULTS = "m_axis_results_t"


@dataclass
class Record:
    """Words of a stream since the last ``begin``: the cycles of first offer and of acceptance."""

    offered: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)


class Channel:
    """One channel: stability of what is offered, and a record of what was accepted."""

    def __init__(self, dut, prefix: str) -> None:
        payload, self.by_design = CHANNELS[prefix]
        self.prefix = prefix
        self.valid = getattr(dut, f"{prefix}valid")
        self.ready = getattr(dut, f"{prefix}ready")
        self.payload = [getattr(dut, f"{prefix}{name}") for name in payload]
        self.has_last = "last" in payload
        self.stalled: tuple[int, ...] | None = None
        self.record = Record()
        self.count = 0  # words accepted since reset
        self.inside = False  # of a packet
        self.latest = 0  # cycle of the latest acceptance

    def sample(self, cycle: int) -> None:
        """One cycle; ``int`` raises if a value is unknown."""
        valid, ready = int(self.valid.value), int(self.ready.value)
        if self.stalled is not None:
            assert valid, f"{self.prefix}valid was withdrawn"
        if not valid:
            return
        word = tuple(int(port.value) for port in self.payload)
        if self.stalled is None:
            self.record.offered.append(cycle)
        else:
            assert word == self.stalled, f"{self.prefix}: {self.stalled} became {word}"
        self.stalled = None if ready else word
        if ready:
            self.record.accepted.append(cycle)
            self.count += 1
            self.latest = cycle
            self.inside = self.has_last and not word[-1]

    def begin(self) -> None:
        """Record from here on; a word that waits already is in."""
        self.record = Record(offered=[] if self.stalled is None else [0])


class Rules:
    """All channels of the accelerator, from the end of reset."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.cycle = 0
        self.channels = {prefix: Channel(dut, prefix) for prefix in CHANNELS}
        self.keep_bits = len(dut.m_axis_results_tkeep)
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            await FallingEdge(self.dut.aclk)
            self.cycle += 1
            if not int(self.dut.aresetn.value):
                for channel in self.channels.values():
                    offered = channel.by_design and int(channel.valid.value)
                    assert self.cycle < 2 or not offered, f"{channel.prefix}valid during reset"
                continue
            self._responses()
            for channel in self.channels.values():
                channel.sample(self.cycle)
            self._results()

    def _responses(self) -> None:
        """A response comes after its whole request, and there is one for each."""
        count = {name: self.channels[f"s_axi_{name}"].count for name in ("aw", "w", "b", "ar", "r")}
        if int(self.dut.s_axi_bvalid.value):
            assert count["b"] < min(count["aw"], count["w"]), "a response before its write"
            assert int(self.dut.s_axi_bresp.value) in (0, 2)
        if int(self.dut.s_axi_rvalid.value):
            assert count["r"] < count["ar"], "data before its read"
            assert int(self.dut.s_axi_rresp.value) in (0, 2)

    def _results(self) -> None:
        """Null bytes come last in a word, and a word without bytes only ends a packet."""
        if int(self.dut.m_axis_results_tvalid.value):
            keep = int(self.dut.m_axis_results_tkeep.value)
            assert keep & keep + 1 == 0, f"tkeep is {keep:#x}"
            assert keep or int(self.dut.m_axis_results_tlast.value), "an empty word in a packet"
            assert keep >> self.keep_bits == 0
