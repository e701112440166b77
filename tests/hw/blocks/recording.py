"""Inputs of a block cycle by cycle, with the outputs that its model expects."""

import random
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Fragment
from numpy.typing import NDArray

from .block import RESET, Block, Model, Outputs, Port, Stimulus, Values, first, ports_of

#: sessions between resets are this long, as powers of ten of cycles
_SESSION = (0.5, 4.3)


@dataclass
class Recording:
    """One row per cycle; a row is an integer with each port at its ``shift``.

    Attributes
    ----------
    inputs, expected : what goes in and what must come out.
    care : bits of ``expected`` that have a meaning.
    model : the model after the last cycle, for what it has seen.
    """

    block: Block
    ports: list[Port]
    model: Model
    inputs: list[int] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    care: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inputs)

    def words(self, rows: list[int], *, output: bool) -> NDArray[np.uint32]:
        """Rows as a matrix of 32-bit words, (cycles, words)."""
        ends = [p.shift // 32 + -(-p.width // 32) for p in self.ports if p.output is output]
        count = max(ends)
        raw = b"".join(row.to_bytes(4 * count, "little") for row in rows)
        return np.frombuffer(raw, dtype="<u4").reshape(-1, count)

    def unpack(self, row: int, *, output: bool) -> Values:
        """Values of the ports in a row."""
        ports = [p for p in self.ports if p.output is output]
        return {p.name: row >> p.shift & p.mask for p in ports}


class Recorder:
    """Runs stimulus and model side by side; cycles after each other, resets in between."""

    def __init__(self, block: Block, seed: int = 0) -> None:
        component = block.component()
        Fragment.get(component, None)
        self.rng = random.Random(f"{block.name} {seed}")
        ports = ports_of(component, clocked=block.clocked)
        self.recording = Recording(block, ports, block.model())
        self._inputs = {p.name: p for p in ports if not p.output}
        self._outputs = {p.name: p for p in ports if p.output}
        if block.clocked:
            self.reset(2)

    def cycle(self, chosen: Values) -> Outputs:
        """Add one cycle; returns what must come out."""
        seen, row = {}, 0
        for name, port in self._inputs.items():
            if name in chosen:
                value = chosen[name] & port.mask
            elif name == RESET:
                value = 0
            else:
                value = self.rng.getrandbits(port.width)
            seen[name] = value
            row |= value << port.shift
        unknown = chosen.keys() - seen.keys()
        assert not unknown, f"no such input: {sorted(unknown)}"
        outputs = self.recording.model.step(seen)
        expected = care = 0
        for name, value in outputs.items():
            port = self._outputs[name]
            meaningful = port.mask
            if isinstance(value, tuple):
                value, meaningful = value
            expected |= (value & port.mask) << port.shift
            care |= meaningful << port.shift
        self.recording.inputs.append(row)
        self.recording.expected.append(expected)
        self.recording.care.append(care)
        return outputs

    def reset(self, cycles: int) -> None:
        """Hold reset while other inputs do what they like."""
        for _ in range(cycles):
            self.cycle(self.recording.block.in_reset(self.rng) | {RESET: 1})

    def run(self, stimulus: Stimulus, cycles: int | None = None) -> None:
        """Record a stimulus to its end, or its first cycles."""
        limited = stimulus if cycles is None else first(stimulus, cycles)
        outputs: Outputs | None = None
        while True:
            try:
                inputs = next(limited) if outputs is None else limited.send(outputs)
            except StopIteration:
                return
            outputs = self.cycle(inputs)

    def random(self, *, cycles: int = 0, transactions: int = 0) -> Recording:
        """Record random sessions with resets between them, until there is enough of both."""
        recording, block = self.recording, self.recording.block
        while len(recording) < cycles or recording.model.seen["transaction"] < transactions:
            length = int(10 ** self.rng.uniform(*_SESSION))
            limit = max(cycles - len(recording), 1000)
            self.run(block.stimulus(self.rng), min(length, limit))
            if block.clocked:
                self.reset(self.rng.randint(1, 3))
        return recording


def random_recording(block: Block, *, cycles: int = 0, transactions: int = 0) -> Recording:
    """Random sessions with resets in between."""
    return Recorder(block).random(cycles=cycles, transactions=transactions)


def listed_recording(block: Block) -> Recording:
    """The corner list and, where there is one, every combination of operands."""
    recorder = Recorder(block, seed=1)
    recorder.run(block.corners())
    exhaustive = block.exhaustive()
    if exhaustive is not None:
        if block.clocked:
            recorder.reset(1)
        recorder.run(exhaustive)
    return recorder.recording
