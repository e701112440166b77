"""Mutants of a block: many single faults in one netlist, chosen at run time by an input.

Yosys lists the faults (an inverted or stuck bit of a cell's port, or one crossed with its
neighbour) and puts each behind a comparison with the input ``mutant``; 0 chooses none.
"""

import re
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hw.emit import run_yosys, to_rtlil

from .batch import MUTANT, Batch
from .block import Block
from .bundle import Bundle

SEEDS = (1, 2, 3)
_FLATTEN = """
read_rtlil {source}
hierarchy -top {top}
proc
flatten
opt -purge
memory_map
opt -purge
write_rtlil {target}
"""
#: blocks inside blocks, by instance name; they have mutants of their own
_NESTED = re.compile(r"\.\\?(accumulator|decoder\w*|special|pair_\d+|requantizer|encoder|walker)\.")
_FIELD = re.compile(r"-(\w+) (\S+)")


@dataclass(frozen=True)
class Mutant:
    """One fault: ``number`` chooses it, ``command`` made it."""

    number: int
    command: str

    def __str__(self) -> str:
        found = dict(_FIELD.findall(self.command))
        place = f"{found['cell']}.{found['port']}[{found['portbit']}]"
        crossed = f" with bit {found['ctrlbit']}" if "ctrlbit" in found else ""
        wire = f" ({found['wire']}[{found['wirebit']}])" if "wire" in found else ""
        return f"{found['mode']} {place}{crossed}{wire}".replace("\\\\", "")


class Mutants:
    """Mutants of one block.

    Parameters
    ----------
    block : the block.
    per_seed : mutants drawn with each seed of ``SEEDS``.
    """

    def __init__(self, block: Block, per_seed: int) -> None:
        self.block = block
        self.per_seed = per_seed
        self.width = (len(SEEDS) * per_seed).bit_length()

    @cached_property
    def flat(self) -> str:
        """RTLIL of the block without hierarchy, processes and memories."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.il", Path(folder) / "out.il"
            source.write_text(to_rtlil(Bundle([self.block]), Batch.TOP))
            run_yosys(_FLATTEN.format(source=source, target=target, top=Batch.TOP))
            return target.read_text()

    @cached_property
    def mutants(self) -> list[Mutant]:
        """All mutants, numbered from 1, each place and fault once."""
        commands: dict[str, None] = {}
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.il", Path(folder) / "list.txt"
            source.write_text(self.flat)
            # Yosys fails when asked for more mutants than there are places
            drawn = 5 * self.per_seed if _NESTED.search(self.flat) else self.per_seed
            for seed in SEEDS:
                draw = f"mutate -list {drawn} -seed {seed} -o {target}"
                run_yosys(f"read_rtlil {source}\n{draw}")
                own = [line for line in target.read_text().splitlines() if not _NESTED.search(line)]
                commands |= dict.fromkeys(own[: self.per_seed])
        return [Mutant(number, command) for number, command in enumerate(commands, start=1)]

    def netlist(self, mutants: list[Mutant], output: str) -> str:
        """The flat block with some mutants in it, as ``output``: ``verilog`` or ``rtlil``."""
        commands = [f"{m.command} -ctrl {MUTANT} {self.width} {m.number}" for m in mutants]
        write = {"verilog": "write_verilog -noattr -norename", "rtlil": "write_rtlil"}[output]
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.il", Path(folder) / "out"
            source.write_text(self.flat)
            script = [f"read_rtlil {source}", *commands, f"{write} {target}"]
            run_yosys("\n".join(script))
            return target.read_text()

    @cached_property
    def batch(self) -> Batch:
        """One build with all mutants."""
        verilog = self.netlist(self.mutants, "verilog")
        return Batch([self.block], verilog=verilog, mutants=True)
