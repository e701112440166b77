"""A harness in Amaranth as statements for SMT solvers, through RTLIL and Yosys."""

import re
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Module

from hw.emit import run_yosys

from .checks import Checks
from .encoding import Encoding, read_encoding

_CHECK = re.compile(r'(  cell \$check \S+\n    parameter \\FORMAT )"([^"]*)"')
# `proc` without -norom would turn switches into memories, whose contents induction does not know;
# without initial values a register holds anything until it is reset
_SCRIPT = """
read_rtlil {source}
{netlist}
hierarchy -top top
proc -norom
flatten
memory_map
{observe}
setattr -unset init w:*
async2sync
chformal -lower
dffunmap
wreduce
opt_clean
write_smt2 -wires {target}
"""


def encode(m: Module, checks: Checks) -> Encoding:
    """What is in ``m``, with a check's message as its name.

    Raises
    ------
    LookupError : an observed register does not exist.
    RuntimeError : Yosys stopped with an error.
    """

    def named(check: re.Match[str]) -> str:
        return f'  attribute \\src "{check[2].replace(" ", "_")}"\n{check[1]}""'

    text = rtlil.convert(Fragment.get(m, None), name="top", ports=checks.ports, emit_src=False)
    observe = "".join(
        f"delete -port w:{port}\nconnect -nounset -set {port} {path}\n"
        for port, path in checks.observed.items()
    )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "design.il", Path(folder) / "design.smt2"
        source.write_text(_CHECK.sub(named, text))
        netlist = Path(folder) / "netlist.v"
        netlist.write_text(checks.netlist)
        read = f"read_verilog {netlist}" if checks.netlist else ""
        try:
            run_yosys(_SCRIPT.format(source=source, target=target, observe=observe, netlist=read))
        except RuntimeError as error:
            missing = re.search(r"Failed to parse set rhs expression `(.*)'", str(error))
            if missing:
                raise LookupError(f"the block has no register '{missing[1]}'") from None
            raise
        return read_encoding(target.read_text())
