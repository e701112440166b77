"""Any block: a random recording of its description, cycle by cycle through its ports."""

import cocotb
from blocks_clock import edge, settle

from tests.hw.blocks.block import RESET
from tests.hw.blocks.recording import Recording, random_recording
from tests.hw.blocks.registry import cocotb_blocks

TRANSACTIONS = 2000
BLOCKS = {block.name: block for block in cocotb_blocks()}


class Replay:
    """Drives one unit of the bundle and compares it."""

    def __init__(self, dut, recording: Recording) -> None:
        self.recording = recording
        prefix = recording.block.name
        names = {p: p.name if p.name == RESET else f"{prefix}__{p.name}" for p in recording.ports}
        self.inputs = [(p, getattr(dut, name)) for p, name in names.items() if not p.output]
        self.outputs = [(p, getattr(dut, name)) for p, name in names.items() if p.output]
        self.driven: dict[str, int] = {}
        for port, handle in [*self.inputs, *self.outputs]:
            assert len(handle) == port.width, f"{port.name} has {len(handle)} bits"

    def drive(self, row: int) -> None:
        """Inputs of a cycle; unchanged ones are left alone."""
        for port, handle in self.inputs:
            value = row >> port.shift & port.mask
            if self.driven.get(port.name) != value:
                handle.value = self.driven[port.name] = value

    def compare(self, cycle: int) -> None:
        """Meaningful outputs of a cycle."""
        expected, care = self.recording.expected[cycle], self.recording.care[cycle]
        for port, handle in self.outputs:
            relevant = care >> port.shift & port.mask
            if relevant:
                wanted, got = expected >> port.shift & port.mask, int(handle.value)
                place = f"{self.recording.block.name}, cycle {cycle}: {port.name}"
                assert (wanted ^ got) & relevant == 0, f"{place} expected {wanted:#x}, got {got:#x}"


@cocotb.test()
@cocotb.parametrize(name=list(BLOCKS))
async def recording_matches(dut, name):
    recording = random_recording(BLOCKS[name], transactions=TRANSACTIONS)
    assert recording.model.seen["transaction"] >= TRANSACTIONS
    replay = Replay(dut, recording)
    for cycle, row in enumerate(recording.inputs):
        replay.drive(row)
        await settle(dut)
        replay.compare(cycle)
        await edge(dut)
