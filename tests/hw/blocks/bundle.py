"""Blocks side by side in one top, each with ports of its own, so that they are built together."""

from collections.abc import Sequence

from amaranth import Module
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow

from hw.emit import to_verilog

from .block import Block


class Bundle(wiring.Component):
    """Units that share nothing but clock and reset; port ``p`` of unit ``u`` is ``u__p``."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.units = {block.name: block.component() for block in blocks}
        assert len(self.units) == len(blocks), "two blocks have the same name"
        self.links: list[tuple[str, Value, bool]] = []
        members = {}
        for name, unit in self.units.items():
            for path, member, value in unit.signature.flatten(unit):
                own, width = "__".join([name, *map(str, path)]), len(Value.cast(value))
                members[own] = member.flow(width)
                self.links.append((own, Value.cast(value), member.flow is Flow.In))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, unit in self.units.items():
            m.submodules[name] = unit
        for own, value, inward in self.links:
            outer = getattr(self, own)
            m.d.comb += value.eq(outer) if inward else outer.eq(value)
        return m


def bundle_verilog(blocks: Sequence[Block], top: str) -> str:
    """Verilog of a bundle with top module ``top``."""
    return to_verilog(Bundle(blocks), top)
