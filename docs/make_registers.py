"""Write docs/registers.md from the register map that hardware and drivers are made of.

python docs/make_registers.py            write the file
python docs/make_registers.py --check    exit with 1 if that would change anything
"""

import dataclasses
import sys
from pathlib import Path

from bitsmith.package.registers import ACCESS, markdown_table
from configs.schema import load_axis
from sw.compile import resolve_machine
from sw.compile.registers import MAP_VERSION, RegisterMap, register_map
from sw.formats import get_family

TARGET = Path(__file__).with_name("registers.md")
ACCELERATOR, FORMAT = "tiny_4x4x4", "bitmod_fp4"
HEAD = """\
# Registers

Written by `python docs/make_registers.py` from `sw/compile/registers.py`, the one description
behind the hardware (`hw/bus/registers.py`), the C header, the Python driver and the README of a
package that `bitsmith rtl` writes.

The registers are 32 bits wide, behind AXI4-Lite, at byte addresses from 0. Access: {access}. A
write to a read only register and any access to an address without a register are answered with
SLVERR and do nothing. Byte strobes are obeyed, the two lowest address bits ignored.

This is the map of `{accelerator}` with `{family}` and `programmable: true`, layout
{major}.{minor}. Other machines have other lengths at its end:

- a register of `INNER_OVERFLOW`, `OUTER_OVERFLOW` per 32 columns;
- `INVALID_ACTIVATIONS`, one per 32 rows, behind them where activations are floating-point numbers;
- `SPECIAL_VALUE` and `SPECIAL_WRITE` last, only where special values can be written.

FINGERPRINT and ARRAY are constants of the machine, left out here.

"""


def page() -> str:
    """Text of the page."""
    array = load_axis("accelerator", ACCELERATOR)
    array = dataclasses.replace(array, programmable=True)
    # the map does not depend on the accumulators' widths
    registers = register_map(resolve_machine(array, get_family(FORMAT), 24, 40))
    head = HEAD.format(
        access="; ".join(f"{key}, {text}" for key, text in ACCESS.items()),
        accelerator=ACCELERATOR,
        family=FORMAT,
        major=MAP_VERSION >> 16,
        minor=MAP_VERSION & 0xFFFF,
    )
    return head + markdown_table(_without_its_own(registers))


def _without_its_own(registers: RegisterMap) -> RegisterMap:
    """The map without the values that are this machine's alone."""
    kept = tuple(
        dataclasses.replace(register, value=None)
        if register.name in ("FINGERPRINT", "ARRAY")
        else register
        for register in registers.registers
    )
    return RegisterMap(registers=kept)


def main() -> int:
    """Write or compare."""
    text = page()
    if TARGET.is_file() and TARGET.read_text() == text:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/registers.md is stale: run 'python docs/make_registers.py'", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
