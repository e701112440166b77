"""The register map as a Markdown table, a C header and Python classes."""

import re

from sw.compile import Machine
from sw.compile.registers import (
    CONTROL_BITS,
    ERROR_BITS,
    IRQ_BITS,
    SHAPE,
    STATUS_BITS,
    Register,
    RegisterMap,
    register_map,
)
from sw.compile.transfers import weights_outside

from .identity import Identity

ACCESS = {
    "ro": "read only",
    "rw": "read and write",
    "wo": "write only",
    "w1c": "read, write 1 to clear",
}
#: registers of single bits, as Python's flags
_FLAGS = {
    "Control": ("Bits of CONTROL.", CONTROL_BITS),
    "Status": ("Bits of STATUS.", STATUS_BITS),
    "Errors": ("Bits of ERRORS.", ERROR_BITS),
    "Interrupts": ("Bits of IRQ_ENABLE and IRQ_STATUS.", IRQ_BITS),
}
_STICKY = ("INNER_OVERFLOW", "OUTER_OVERFLOW", "INVALID_ACTIVATIONS")


def markdown_table(registers: RegisterMap) -> str:
    """One row per register; the fields of those that have several in rows of their own."""
    lines = ["| offset | name | bits | access | what |", "|---|---|---|---|---|"]
    for register in registers.registers:
        value = "" if register.value is None else f"; {register.value:#010x}"
        several = len(register.fields) > 1
        bits = "" if several else _range(register.fields[0].low, register.bits)
        lines.append(
            f"| {register.offset:#04x} | `{register.name}` | {bits} | {register.access} | "
            f"{register.text}{value} |"
        )
        for field in register.fields if several else ():
            bits = _range(field.low, field.low + field.bits)
            lines.append(f"| | `{register.name}.{field.name}` | {bits} | | {field.text} |")
    return "\n".join(lines) + "\n"


def _range(low: int, end: int) -> str:
    return str(low) if end == low + 1 else f"{end - 1}..{low}"


def _constants(registers: RegisterMap) -> list[Register]:
    return [register for register in registers.registers if register.value is not None]


def wide(registers: RegisterMap) -> dict[str, tuple[Register, ...]]:
    """Quantities by name, those of several registers (``name_0`` the low bits) put together."""
    found: dict[str, tuple[Register, ...]] = {}
    for register in registers.registers:
        name = re.sub(r"_\d+$", "", register.name)
        found[name] = (*found.get(name, ()), register)
    return found


def counters(registers: RegisterMap) -> dict[str, tuple[Register, ...]]:
    """Registers of each performance counter, by its name in lower case."""
    return {
        name.removeprefix("COUNT_").lower(): parts
        for name, parts in wide(registers).items()
        if name.startswith("COUNT_")
    }


def sticky_flags(registers: RegisterMap) -> dict[str, tuple[Register, ...]]:
    """Registers of each set of sticky flags, by its name in lower case."""
    return {n.lower(): parts for n, parts in wide(registers).items() if n in _STICKY}


def python_block(machine: Machine) -> str:
    """What the Python driver needs to know of ``machine``: the part between its marks."""
    registers = register_map(machine)
    lines = ["class Registers:", '    """Byte addresses."""', ""]
    for register in registers.registers:
        what = f"{ACCESS[register.access]}: {register.text}"
        lines.append(f"    {register.name} = {register.offset:#04x}  # {what}")
    for name, (text, bits) in _FLAGS.items():
        lines += ["", "", f"class {name}(IntFlag):", f'    """{text}"""', ""]
        lines += [f"    {bit.upper()} = {1 << i:#04x}" for i, bit in enumerate(bits)]
    array = machine.accelerator
    lines += ["", "", "#: registers that say which accelerator this is", "CONSTANTS = {"]
    lines += [f"    {r.offset:#04x}: {r.value:#010x},  # {r.name}" for r in _constants(registers)]
    lines += ["}", "#: shape registers and the largest value that each holds", "SHAPE = {"]
    lines += [f'    "{name.upper()}": {(1 << bits) - 1},' for name, (bits, _) in SHAPE.items()]
    lines.append("}")
    lines += _places("registers of each counter, low bits first", "COUNTERS", counters(registers))
    lines += _places(
        "registers of each set of sticky flags, one bit per column or row, low bits first",
        "FLAGS",
        sticky_flags(registers),
    )
    lines += [
        f"ROWS, COLS = {array.rows}, {array.cols}",
        "#: bytes of a result, and whether it is a float32 rather than a signed integer",
        f"VALUE_BYTES, IS_FLOAT = {machine.result_bits // 8}, {array.has_floats}",
        '#: which operand\'s tiles are the outer loop: "weights" or "activations"',
        f'OUTER_LOOP = "{"weights" if weights_outside(machine) else "activations"}"',
    ]
    return "\n".join(lines) + "\n"


def _places(text: str, name: str, parts: dict[str, tuple[Register, ...]]) -> list[str]:
    lines = [f"#: {text}", f"{name}: dict[str, tuple[int, ...]] = {{"]
    for key, registers in parts.items():
        places = ", ".join(f"{register.offset:#04x}" for register in registers)
        lines.append(f'    "{key}": ({places},),')
    return [*lines, "}"]


def c_header(machine: Machine, who: Identity) -> str:
    """``bitsmith_accelerator.h``: offsets, masks and helpers, for C99 and C++."""
    registers = register_map(machine)
    lines = [
        f"/* Generated by bitsmith: do not edit.\n * {who.line}",
        " *",
        " * Registers of the accelerator. `base` is where they begin in memory; reads and writes",
        " * are single 32-bit accesses. Put a barrier of your platform between writing a buffer",
        " * that a DMA reads and starting it. */",
        "",
        "#ifndef BITSMITH_ACCELERATOR_H",
        "#define BITSMITH_ACCELERATOR_H",
        "",
        "#include <stdint.h>",
        "",
    ]
    for register in registers.registers:
        name = f"BITSMITH_{register.name}"
        lines.append(f"/* {register.text} ({ACCESS[register.access]}) */")
        lines.append(f"#define {name} 0x{register.offset:02X}u")
        if register.value is not None:
            lines.append(f"#define {name}_VALUE 0x{register.value:08X}u")
        for field in register.fields:
            mask = (1 << field.bits) - 1 << field.low
            single = len(register.fields) == 1
            key = f"{name}_{'' if single else field.name.upper() + '_'}"
            lines.append(f"#define {key}MASK 0x{mask:08X}u")
            if not single and field.bits > 1:
                lines.append(f"#define {key}SHIFT {field.low}u")
    array = machine.accelerator
    sizes = {
        "ROWS": array.rows,
        "COLS": array.cols,
        "LANES": array.lanes,
        "VALUE_BYTES": machine.result_bits // 8,
    }
    lines += ["", *(f"#define BITSMITH_{name} {value}" for name, value in sizes.items())]
    return "\n".join(lines) + "\n" + _HELPERS + _counter_helpers(registers) + _END


def _counter_helpers(registers: RegisterMap) -> str:
    lines = []
    for name, parts in counters(registers).items():
        reads = [f"bitsmith_read(base, BITSMITH_{part.name})" for part in parts]
        value = f"(uint64_t){reads[0]}"
        if len(reads) > 1:
            value += f"\n        | (uint64_t){reads[1]} << 32"
        lines.append(
            f"static inline uint64_t bitsmith_count_{name}(volatile uint32_t *base)\n"
            f"{{\n    return {value};\n}}\n"
        )
    return "\n".join(lines)


_HELPERS = """
/* Values of the shape registers, which say what a job is (README.md). */
struct bitsmith_shape {
    uint32_t tiles, inner_tiles, groups, chunks, last_chunks;
};

static inline void bitsmith_write(volatile uint32_t *base, uint32_t offset, uint32_t value)
{
    base[offset / 4u] = value;
}

static inline uint32_t bitsmith_read(volatile uint32_t *base, uint32_t offset)
{
    return base[offset / 4u];
}

/* 1 if these are the registers of the accelerator that this header was made for. */
static inline int bitsmith_matches(volatile uint32_t *base)
{
    return bitsmith_read(base, BITSMITH_ID) == BITSMITH_ID_VALUE
        && bitsmith_read(base, BITSMITH_VERSION) == BITSMITH_VERSION_VALUE
        && bitsmith_read(base, BITSMITH_FINGERPRINT) == BITSMITH_FINGERPRINT_VALUE;
}

/* 1 if a job can be started. */
static inline int bitsmith_ready(volatile uint32_t *base)
{
    return bitsmith_read(base, BITSMITH_STATUS) == 0u;
}

/* 1 if every value of the shape fits into its register. */
static inline int bitsmith_shape_fits(const struct bitsmith_shape *shape)
{
    return shape->tiles <= BITSMITH_TILES_MASK
        && shape->inner_tiles <= BITSMITH_INNER_TILES_MASK
        && shape->groups <= BITSMITH_GROUPS_MASK
        && shape->chunks <= BITSMITH_CHUNKS_MASK
        && shape->last_chunks <= BITSMITH_LAST_CHUNKS_MASK;
}

/* Start a job; 0 if a value does not fit into its register (bitsmith_shape_fits), or if the
 * accelerator is not ready or refused the shape (see ERRORS). */
static inline int bitsmith_start(volatile uint32_t *base, const struct bitsmith_shape *shape)
{
    if (!bitsmith_shape_fits(shape) || !bitsmith_ready(base))
        return 0;
    bitsmith_write(base, BITSMITH_TILES, shape->tiles);
    bitsmith_write(base, BITSMITH_INNER_TILES, shape->inner_tiles);
    bitsmith_write(base, BITSMITH_GROUPS, shape->groups);
    bitsmith_write(base, BITSMITH_CHUNKS, shape->chunks);
    bitsmith_write(base, BITSMITH_LAST_CHUNKS, shape->last_chunks);
    bitsmith_write(base, BITSMITH_CONTROL, BITSMITH_CONTROL_START_MASK);
    return (bitsmith_read(base, BITSMITH_STATUS) & BITSMITH_STATUS_FAULT_MASK) == 0u;
}

static inline void bitsmith_abort(volatile uint32_t *base)
{
    bitsmith_write(base, BITSMITH_CONTROL, BITSMITH_CONTROL_ABORT_MASK);
}

/* Leave the error state; ready again once bitsmith_ready() says so. */
static inline void bitsmith_clear(volatile uint32_t *base)
{
    bitsmith_write(base, BITSMITH_CONTROL, BITSMITH_CONTROL_CLEAR_MASK);
}

/* Performance counters of the last job. */
"""
_END = "\n#endif\n"
