"""Batch bench of blocks: a recording replayed on a Verilated bundle in one C call."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from amaranth.hdl import Fragment

from hw.benches.verilated import build_library

from .block import RESET, Block, Port, ports_of
from .bundle import bundle_verilog
from .recording import Recording

#: name of the port that chooses a mutant
MUTANT = "mutant"

_PRELUDE = """\
// One function per unit: replays rows of inputs and compares rows of outputs.
#include <cstdint>
#include <cstring>
#include <memory>
#include "verilated.h"
#include "Vtop.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

namespace {
// Ports are little-endian words whatever C++ type Verilator chose for their width.
template <typename Port> void put(Port& port, const uint32_t* words) {
    std::memcpy(&port, words, sizeof(Port));
}
template <typename Port> void get(const Port& port, uint32_t* words) {
    std::memcpy(words, &port, sizeof(Port));
}
}  // namespace
"""
_UNIT = """
// Returns the first cycle whose outputs differ where it matters, or `cycles`; `got` is its outputs.
extern "C" uint64_t {unit}_run(uint64_t cycles, const uint32_t* in, const uint32_t* expected,
                               const uint32_t* care, uint32_t* got, uint32_t mutant,
                               const char* coverage) {{
    const auto context = std::make_unique<VerilatedContext>();
    const auto top = std::make_unique<Vtop>(context.get(), "top");
    uint64_t cycle = 0;
    bool equal = true;
    {mutant}
    for (; cycle < cycles && equal; ++cycle) {{
{inputs}
        {low}
        top->eval();
{outputs}
        for (unsigned word = 0; word < {output_words}; ++word)
            equal = equal && ((got[word] ^ expected[word]) & care[word]) == 0;
        {high}
        in += {input_words}, expected += {output_words}, care += {output_words};
    }}
    top->final();
#if VM_COVERAGE
    if (coverage) context->coveragep()->write(coverage);
#endif
    return equal ? cycles : cycle - 1;
}}
"""


def _words(ports: list[Port]) -> int:
    return max(port.shift // 32 + -(-port.width // 32) for port in ports)


def _unit_shim(block: Block, ports: list[Port], *, mutants: bool) -> str:
    """C++ of one unit's function, from its signature."""
    ins, outs = ([p for p in ports if p.output is wanted] for wanted in (False, True))
    # Verilator writes a double underscore of a name like this
    own = {p: f"{block.name}__{p.name}".replace("__", "___05F") for p in ports}
    verilog = own | {p: p.name for p in ports if p.name == RESET}
    return _UNIT.format(
        unit=block.name,
        mutant=f"put(top->{MUTANT}, &mutant);" if mutants else "(void)mutant;",
        inputs="\n".join(f"        put(top->{verilog[p]}, in + {p.shift // 32});" for p in ins),
        outputs="\n".join(f"        get(top->{verilog[p]}, got + {p.shift // 32});" for p in outs),
        low="top->clk = 0;" if block.clocked else "",
        high="top->clk = 1; top->eval();" if block.clocked else "",
        input_words=_words(ins),
        output_words=_words(outs),
    )


def shim(blocks: Sequence[Block], *, mutants: bool = False) -> str:
    """The C++ bench of a bundle."""
    units = []
    for block in blocks:
        component = block.component()
        Fragment.get(component, None)
        ports = ports_of(component, clocked=block.clocked)
        units.append(_unit_shim(block, ports, mutants=mutants))
    return _PRELUDE + "".join(units)


@dataclass(frozen=True)
class Mismatch:
    """The first cycle in which a meaningful output is wrong."""

    recording: Recording
    cycle: int
    got: int

    def __str__(self) -> str:
        recording, cycle = self.recording, self.cycle
        expected = recording.unpack(recording.expected[cycle], output=True)
        care = recording.unpack(recording.care[cycle], output=True)
        got = recording.unpack(self.got, output=True)
        wrong = [
            f"{name} expected {expected[name]:#x}, got {got[name]:#x}"
            for name in got
            if (expected[name] ^ got[name]) & care[name]
        ]
        history = [
            f"  inputs in cycle {c}: {recording.unpack(recording.inputs[c], output=False)}"
            for c in range(max(0, cycle - 5), cycle + 1)
        ]
        head = f"{recording.block.name}, cycle {cycle} of {len(recording)}: {'; '.join(wrong)}"
        return "\n".join([head, *history])


class Batch:
    """A bundle of blocks, Verilated, as a shared library.

    Parameters
    ----------
    blocks : the units of the bundle.
    verilog : text to build instead of the bundle's own, with the same ports.
    mutants : ``verilog`` has an input ``mutant``.
    coverage : count line and toggle coverage.
    """

    TOP = "blocks"

    def __init__(
        self,
        blocks: Sequence[Block],
        *,
        verilog: str | None = None,
        mutants: bool = False,
        coverage: bool = False,
    ) -> None:
        self.blocks = blocks
        self.verilog = bundle_verilog(blocks, self.TOP) if verilog is None else verilog
        self._bench = shim(blocks, mutants=mutants)
        self._coverage = coverage

    @cached_property
    def library(self) -> ctypes.CDLL:
        """The library, built when it is first needed."""
        path = build_library(self.verilog, top=self.TOP, bench=self._bench, coverage=self._coverage)
        return ctypes.CDLL(str(path))

    def replay(
        self, recording: Recording, *, mutant: int = 0, coverage: Path | None = None
    ) -> Mismatch | None:
        """Replay a recording on a new instance; None if every meaningful output is right."""
        function = getattr(self.library, f"{recording.block.name}_run")
        function.restype = ctypes.c_uint64
        inputs = recording.words(recording.inputs, output=False)
        expected = recording.words(recording.expected, output=True)
        care = recording.words(recording.care, output=True)
        got = np.zeros(expected.shape[1], dtype=np.uint32)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (inputs, expected, care, got)]
        path = None if coverage is None else ctypes.c_char_p(str(coverage).encode())
        cycles = len(recording)
        done = function(ctypes.c_uint64(cycles), *pointers, ctypes.c_uint32(mutant), path)
        if done == cycles:
            return None
        return Mismatch(recording, done, int.from_bytes(got.tobytes(), "little"))
