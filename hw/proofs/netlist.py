"""A PE whose insides are given as Verilog: the text that is proved is the text that is built."""

import re
from functools import lru_cache

from amaranth.hdl import ClockSignal, Fragment, Instance, Module, ResetSignal, Value, signed

from hw.pe import MultiplierPE, SerialPE

from .checks import Checks

#: name of the PE's module in that Verilog
TOP = "pe"
_PORTS = ("input ", "output ")
_DECLARED = ("wire ", "reg ")


def place(m: Module, checks: Checks, pe: SerialPE | MultiplierPE, verilog: str) -> Value:
    """Put the PE into a harness as ``pe``: the component, or the Verilog that was made of it.

    Parameters
    ----------
    pe : gives the ports, whichever it is; they are driven and read by the harness.
    verilog : module :data:`TOP` and those below it; empty for the component itself.

    Returns
    -------
    Value : what its accumulator adds in this cycle.
    """
    addend = pe.accumulator.addend
    if verilog:
        Fragment.get(pe, None)  # Amaranth warns of components that are never elaborated
        checks.netlist = verilog
        ports = {
            ("i_" if member.flow.value == "In" else "o_") + name: Value.cast(getattr(pe, name))
            for name, member in pe.signature.members.items()
        }
        clocks = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        m.submodules.pe = Instance(TOP, **clocks, **ports)
        addend = checks.observe("pe.accumulator.addend", signed(len(addend)))
    else:
        m.submodules.pe = pe
    return -addend if pe.accumulator.subtract else addend


def module_in(machine: str, verilog: str) -> str | None:
    """Name of the module of a machine's Verilog that has the PE's logic; None if none has.

    Line by line: the modules may differ in the names of modules, clock, reset and ``last``, in the
    order of ports and declarations, in wires that drive nothing, and in an ``overflow`` that the
    machine does not use.

    Parameters
    ----------
    machine, verilog : as :func:`hw.emit.to_verilog` writes them.
    """
    wanted, found = _modules(verilog), _modules(machine)
    unused = {TOP: _logic(wanted[TOP], unused=True)} if TOP in wanted else {}
    logic = {module: _logic(text) for module, text in wanted.items()}
    for name in found:
        below = [other for other in found if other == name or other.startswith(name + "__")]
        texts = {TOP + other.removeprefix(name): found[other] for other in below}
        same = texts.keys() == wanted.keys() and all(
            _logic(text.replace(name, TOP)) in (logic[module], unused.get(module))
            for module, text in texts.items()
        )
        if same:
            return name
    return None


def _modules(verilog: str) -> dict[str, str]:
    """Module name -> its text, in the order of the file."""
    pattern = r"^module (\w+).*?^endmodule$"
    return {m[1]: m[0] for m in re.finditer(pattern, verilog, re.MULTILINE | re.DOTALL)}


@lru_cache(maxsize=64)  # a machine's PEs are alike
def _logic(text: str, *, unused: bool = False) -> tuple[list[str], list[str]]:
    """Declarations and statements of a module, sorted declarations first, ports left out."""
    for old, new in (("core_clk", "clk"), ("core_rst", "rst"), (r"initialize_\d+", "initialize")):
        text = re.sub(rf"\b{old}\b", new, text)
    if text.startswith(f"module {TOP}(") and "input clear;" in text:
        text = re.sub(r"(?<!\.)\bclear\b", "last", text).replace("  assign last = last;\n", "")
    lines = [line.strip().rstrip(",") for line in text.splitlines()[1:]]
    ports = {re.split(r"[ ;]", line)[-2] for line in lines if line.startswith(_PORTS)}
    if unused:
        lines = [line for line in lines if not re.search(r"\boverflow\b", line)]
    inner = _without_idle_wires([line for line in lines if not line.startswith(_PORTS)], ports)
    declared = [
        line
        for line in inner
        if line.startswith(_DECLARED) and re.split(r"[ ;]", line)[-2] not in ports
    ]
    done = [line for line in inner if not line.startswith(_DECLARED)]
    return sorted(declared), sorted(done)


def _without_idle_wires(lines: list[str], ports: set[str]) -> list[str]:
    """Without wires that drive nothing: second names, which the rest of a design can number."""
    text = "\n".join(lines)
    while True:
        for wire in re.findall(r"^wire .*?(\w+);$", text, re.MULTILINE):
            once = rf"^assign {wire} = .*;\n?"
            alone = re.sub(once, "", text, count=1, flags=re.MULTILINE)
            if wire not in ports and len(re.findall(rf"(?<!\.)\b{wire}\b", alone)) == 1:
                text = re.sub(rf"^wire .*\b{wire};\n?", "", alone, flags=re.MULTILINE)
                break
        else:
            return text.splitlines()
