"""Points of a published evaluation: an accelerator, a model and a phase each, read from JSON."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from configs.errors import InputError, unknown_name
from configs.load import preset_folder

from .shapes import ModelShape, model_shape

Phase = Literal["prefill", "decode"]
#: ``phase`` of a row -> phase
PHASES: dict[str, Phase] = {
    "discriminative_prefill": "prefill",
    "generation_one_token": "decode",
}
#: every key of a row that is read
ROW_KEYS = (
    "accelerator",
    "phase",
    "model",
    "config",
    "context",
    "batch",
    "weight_sram",
    "activation_sram",
    "dram",
)
FIGURES = ("published_cycles", "published_onchip_uJ", "published_total_uJ")
LARGEST_COUNT = 1 << 24
LARGEST_ENERGY_PJ = 1e12
#: bits that a write to a buffer stores
WRITE_BITS = 64


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """An SRAM of 512 KiB in front of the array.

    Attributes
    ----------
    width_bits : what one access reads.
    read_pj, write_pj : energy of such a read, and of writing 64 bits.
    """

    width_bits: float
    read_pj: float
    write_pj: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """One row: what runs on what.

    Attributes
    ----------
    phase : ``prefill`` of ``context`` tokens, or the ``decode`` of one token that sees ``context``.
    weight_bits, kv_bits : of a weight, of an element of keys and values; weights may be a mean.
    bit_serial : the PEs take two bits of a weight per cycle.
    lanes : products of a PE per step.
    rows, cols : PEs along output channels and along tokens.
    pe_pj : energy of a PE in a cycle, before place and route.
    dram_bits, dram_pj : width of the DRAM bus and the energy of that many bits.
    where : the row's place, for messages.
    """

    accelerator: str
    phase: Phase
    model: ModelShape
    weight_bits: float
    kv_bits: float
    bit_serial: bool
    lanes: int
    rows: int
    cols: int
    pe_pj: float
    context: int
    batch: int
    weight_buffer: Buffer
    activation_buffer: Buffer
    dram_bits: int
    dram_pj: float
    where: str = "point"


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A point with what was published for it: cycles, and energies in uJ."""

    point: Point
    model_name: str
    phase_name: str
    cycles: int
    onchip_uj: float
    total_uj: float


def read_rows(path: Path) -> list[Any]:
    """The rows of a file: an object with ``rows``, or the list alone; not yet checked.

    Raises
    ------
    InputError : the file cannot be read or holds no such list.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"'{path}' is not valid JSON: {reason}") from None
    rows = data.get("rows") if isinstance(data, Mapping) else data
    if not isinstance(rows, list):
        raise InputError(f"'{path}' must hold an object with a list 'rows', or a list of rows")
    return rows


def read_points(path: Path) -> list[Point]:
    """The points of a file in the format of ``configs/published/bitmod_hpca25.json``.

    Raises
    ------
    InputError : unreadable file, or a malformed row: the message names row and field.
    """
    rows = read_rows(path)
    return [point_of(row, f"{path}: rows[{i}]", path.parent) for i, row in enumerate(rows)]


def published_rows() -> list[PublishedRow]:
    """The 60 published figures of BitMoD (HPCA 2025), release of 2024, with their points."""
    path = preset_folder("published") / "bitmod_hpca25.json"
    rows = []
    for i, row in enumerate(read_rows(path)):
        cycles, onchip, total = (row[name] for name in FIGURES)
        rows.append(
            PublishedRow(
                point=point_of(row, f"{path.name}: rows[{i}]", path.parent),
                model_name=row["model"],
                phase_name=row["phase"],
                cycles=cycles,
                onchip_uj=onchip,
                total_uj=total,
            )
        )
    return rows


def point_of(row: object, where: str, folder: Path) -> Point:
    """The point of one row; ``folder`` is where the path of a ``config.json`` starts.

    Keys that are not read are the file's own notes, unless one looks like a misspelt key: every
    key that changes a result is required, so a note cannot change one.

    Raises
    ------
    InputError : a field is missing, of the wrong type or out of range.
    """
    fields = _Fields(row, where)
    fields.refuse_misspelt(ROW_KEYS)
    config, dram = fields.inner("config"), fields.inner("dram")
    phase = fields.get("phase")
    if not isinstance(phase, str) or phase not in PHASES:
        raise InputError(f"{where}: {unknown_name('phase', phase, PHASES)}")
    dim = config.get("dim")
    if not isinstance(dim, list) or len(dim) != 2:
        raise InputError(f"{config.where}: field 'dim' is {dim!r}, it must be [rows, columns]")
    sizes = _Fields({"dim[0]": dim[0], "dim[1]": dim[1]}, config.where)
    return Point(
        accelerator=str(fields.fields.get("accelerator", "custom")),
        phase=PHASES[phase],
        model=model_shape(fields.get("model"), f"{where}: field 'model'", folder),
        weight_bits=config.number("w_prec", 1, 64),
        kv_bits=config.number("kv", 1, 64),
        bit_serial=config.flag("bs"),
        lanes=config.count("dp"),
        rows=sizes.count("dim[0]"),
        cols=sizes.count("dim[1]"),
        pe_pj=config.number("pe_energy", 0, LARGEST_ENERGY_PJ),
        context=fields.count("context"),
        batch=fields.count("batch"),
        weight_buffer=_buffer(fields.inner("weight_sram")),
        activation_buffer=_buffer(fields.inner("activation_sram")),
        dram_bits=dram.count("bits"),
        dram_pj=dram.number("cost_pJ", 0, LARGEST_ENERGY_PJ),
        where=where,
    )


def _buffer(fields: "_Fields") -> Buffer:
    """A buffer; the energy of a 64-bit write is the access's share where it is not given."""
    width = fields.number("rw_bits", 1, LARGEST_COUNT)
    if "write_pJ_per64b" in fields.fields or "write_pJ" not in fields.fields:
        write = fields.number("write_pJ_per64b", 0, LARGEST_ENERGY_PJ)
    else:
        write = fields.number("write_pJ", 0, LARGEST_ENERGY_PJ) * WRITE_BITS / width
    read = fields.number("read_pJ", 0, LARGEST_ENERGY_PJ)
    return Buffer(width_bits=width, read_pj=read, write_pj=write)


class _Fields:
    """Typed access to an object of a row."""

    def __init__(self, fields: object, where: str) -> None:
        if not isinstance(fields, Mapping):
            raise InputError(f"{where} is {fields!r}, it must be an object")
        self.fields: Mapping[str, Any] = fields
        self.where = where

    def get(self, key: str) -> Any:
        if key not in self.fields:
            raise InputError(f"{self.where}: field '{key}' is missing")
        return self.fields[key]

    def wrong(self, key: str, valid: str) -> InputError:
        return InputError(f"{self.where}: field '{key}' is {self.fields[key]!r}, valid is {valid}")

    def inner(self, key: str) -> "_Fields":
        return _Fields(self.get(key), f"{self.where}: field '{key}'")

    def number(self, key: str, low: float, high: float) -> float:
        value = self.get(key)
        valid = not isinstance(value, bool) and isinstance(value, int | float)
        if not valid or not low <= value <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def count(self, key: str) -> int:
        value = self.get(key)
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not 1 <= value <= LARGEST_COUNT:
            raise self.wrong(key, f"a whole number from 1 to {LARGEST_COUNT}")
        return int(value)

    def flag(self, key: str) -> bool:
        value = self.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def refuse_misspelt(self, known: tuple[str, ...]) -> None:
        for key in self.fields:
            if key in known or key in FIGURES:
                continue
            if near := difflib.get_close_matches(str(key), known, n=1, cutoff=0.8):
                raise InputError(f"{self.where}: unknown field '{key}': did you mean '{near[0]}'?")
