"""The register map of an accelerator: the one description that hardware, drivers and pages read."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from configs.timing import CAUSES, COUNTER_BITS, GROUP_COUNT_BITS, TILE_COUNT_BITS

from .machine import Machine
from .stages import special_value_bits

#: ``BSMT`` in ASCII, first letter in the top byte
ID_VALUE = 0x42534D54
#: layout of the registers: a driver refuses another major number
MAP_VERSION = 0x00010000
WORD_BITS = 32
#: errors that stop the job, then those that do not; bit numbers of ERRORS
ERROR_BITS = {
    "weights_short": "TLAST came before the end of a weight packet",
    "weights_long": "the last word of a weight packet had no TLAST",
    "weights_too_large": "a weight tile does not fit into half its buffer",
    "activations_short": "TLAST came before the end of an activation packet",
    "activations_long": "the last word of an activation packet had no TLAST",
    "activations_too_large": "an activation tile does not fit into half its buffer",
    "bad_shape": "a shape register was 0 at the start, or INNER_TILES above TILES",
    "aborted": "the job was aborted",
    "start_refused": "START was written while the accelerator was not ready; no job started",
}
#: bit numbers of STATUS
STATUS_BITS = {
    "busy": "a job is running",
    "fault": "a job was stopped by an error or an abort; both inputs discard what arrives",
    "weights_draining": "the weight stream discards the rest of a packet",
    "activations_draining": "the activation stream discards the rest of a packet",
    "results_closing": "the result stream finishes the packet of a stopped job",
}
CONTROL_BITS = {
    "start": "start a job with the shape registers as they are",
    "abort": "stop the job; FAULT follows",
    "clear": "clear FAULT and ERRORS",
    "flush": "let draining streams take the next word as the first of a packet; not while busy",
}
IRQ_BITS = {"done": "a job has sent its last result", "error": "FAULT was entered"}
SHAPE = {
    "tiles": (TILE_COUNT_BITS, "tile passes: row tiles times column tiles"),
    "inner_tiles": (TILE_COUNT_BITS, "tile passes of the inner loop"),
    "groups": (GROUP_COUNT_BITS, "groups of weights along K"),
    "chunks": (GROUP_COUNT_BITS, "chunks of a full group"),
    "last_chunks": (GROUP_COUNT_BITS, "chunks of the last group"),
}

Access = Literal["ro", "rw", "wo", "w1c"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits of a register."""

    name: str
    low: int
    bits: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Register:
    """One 32-bit register.

    Attributes
    ----------
    name : upper case.
    offset : byte address.
    access : read only; read and write; write only, bits act once; read, write 1 to clear.
    fields : used bits, from low to high; the others read 0.
    text : what it is for.
    value : of a constant register, else None.
    """

    name: str
    offset: int
    access: Access
    fields: tuple[Field, ...]
    text: str
    value: int | None = None

    @property
    def bits(self) -> int:
        """Used bits."""
        return max(field.low + field.bits for field in self.fields)


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """Registers by rising offset."""

    registers: tuple[Register, ...]

    @cached_property
    def by_name(self) -> dict[str, Register]:
        """Registers by name."""
        return {register.name: register for register in self.registers}

    @property
    def address_bits(self) -> int:
        """Width of the address ports: whole words, the last register included."""
        return max(4, self.registers[-1].offset.bit_length())

    def offset(self, name: str) -> int:
        """Byte address of a register."""
        return self.by_name[name].offset


class _Builder:
    """Registers one after the other."""

    def __init__(self) -> None:
        self.registers: list[Register] = []

    def add(
        self, name: str, access: Access, fields: list[Field], text: str, value: int | None = None
    ) -> None:
        """The next register."""
        self.registers.append(
            Register(
                name=name,
                offset=4 * len(self.registers),
                access=access,
                fields=tuple(fields),
                text=text,
                value=value,
            )
        )

    def whole(
        self, name: str, access: Access, bits: int, text: str, value: int | None = None
    ) -> None:
        """A register of one field."""
        field = Field(name="value", low=0, bits=bits, text=text)
        self.add(name, access, [field], text, value)

    def flags(self, name: str, access: Access, bits: dict[str, str], text: str) -> None:
        """A register of single bits."""
        fields = [
            Field(name=key, low=place, bits=1, text=what)
            for place, (key, what) in enumerate(bits.items())
        ]
        self.add(name, access, fields, text)

    def wide(self, name: str, access: Access, bits: int, text: str) -> None:
        """A value in as many registers as it needs, ``name_0`` the low bits."""
        for index, low in enumerate(range(0, bits, WORD_BITS)):
            width = min(WORD_BITS, bits - low)
            part = f"{text}, bits {low + width - 1}..{low}"
            self.whole(f"{name}_{index}", access, width, part)


def fingerprint(machine: Machine) -> int:
    """32 bits that tell configurations apart: the first of a SHA-256 over all of ``machine``."""
    return int.from_bytes(hashlib.sha256(repr(machine).encode()).digest()[:4], "big")


def register_map(machine: Machine) -> RegisterMap:
    """The registers of ``machine``."""
    array, build = machine.accelerator, _Builder()
    build.whole("ID", "ro", 32, "'BSMT'", ID_VALUE)
    build.whole("VERSION", "ro", 32, "layout of the registers, major and minor", MAP_VERSION)
    build.whole(
        "FINGERPRINT", "ro", 32, "first bits of the configuration's SHA-256", fingerprint(machine)
    )
    array_fields = [("rows", array.rows), ("cols", array.cols), ("lanes", array.lanes)]
    fields = [Field(name=n, low=9 * i, bits=9, text=n) for i, (n, _) in enumerate(array_fields)]
    value = sum(count << 9 * index for index, (_, count) in enumerate(array_fields))
    build.add("ARRAY", "ro", fields, "shape of the array", value)
    build.flags("CONTROL", "wo", CONTROL_BITS, "what to do; reads 0")
    build.flags("STATUS", "ro", STATUS_BITS, "ready for START when 0")
    build.flags("ERRORS", "ro", ERROR_BITS, "sticky; cleared by CLEAR, by the next start too")
    build.flags("IRQ_ENABLE", "rw", IRQ_BITS, "which of IRQ_STATUS raise the interrupt")
    build.flags("IRQ_STATUS", "w1c", IRQ_BITS, "sticky; write 1 to clear")
    for name, (bits, text) in SHAPE.items():
        build.whole(name.upper(), "rw", bits, text)
    for cause in CAUSES:
        build.wide(f"COUNT_{cause.upper()}", "ro", COUNTER_BITS, f"cycles: {cause}")
    build.wide("COUNT_BUSY", "ro", COUNTER_BITS, "cycles of the job")
    build.whole("COUNT_TILES", "ro", TILE_COUNT_BITS, "tile passes whose results were sent")
    for stream in ("weight", "activation", "result"):
        build.whole(
            f"COUNT_{stream.upper()}_WORDS", "ro", 32, f"{stream} words of the job, modulo 2**32"
        )
    for stage in ("inner", "outer"):
        text = f"sticky overflow bits of the {stage} accumulators, per column"
        build.wide(f"{stage.upper()}_OVERFLOW", "ro", array.cols, text)
    if array.has_floats:
        text = "sticky: an activation was Inf or NaN, per row"
        build.wide("INVALID_ACTIVATIONS", "ro", array.rows, text)
    if array.programmable:
        members = len(machine.family.members)
        build.wide(
            "SPECIAL_VALUE", "rw", special_value_bits(machine.terms), "terms of a special value"
        )
        bits = max(1, (members - 1).bit_length())
        text = "writes SPECIAL_VALUE to this member of the family; not while busy"
        build.whole("SPECIAL_WRITE", "wo", bits, text)
    return RegisterMap(registers=tuple(build.registers))
