"""The register map in C and Python is the register map."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from bitsmith.package.registers import c_header, counters, markdown_table, python_block, wide
from sw.compile.registers import register_map

from .machines import SMALL, small_files

MAP = register_map(SMALL)
TEMPLATE = (
    Path(__file__).resolve().parents[3]
    / "bitsmith" / "package" / "driver" / "bitsmith_accelerator.py"
)  # fmt: skip


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.stem}_under_test", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def driver(tmp_path: Path) -> ModuleType:
    """The generated driver."""
    path = tmp_path / "bitsmith_accelerator.py"
    path.write_text(small_files()["driver/bitsmith_accelerator.py"])
    return module(path)


def test_python_registers(driver: ModuleType) -> None:
    found = {k: v for k, v in vars(driver.Registers).items() if k.isupper()}
    assert found == {register.name: register.offset for register in MAP.registers}
    for name, flags in (
        ("CONTROL", driver.Control),
        ("STATUS", driver.Status),
        ("ERRORS", driver.Errors),
        ("IRQ_ENABLE", driver.Interrupts),
        ("IRQ_STATUS", driver.Interrupts),
    ):
        bits = {field.name.upper(): 1 << field.low for field in MAP.by_name[name].fields}
        assert {flag.name: flag.value for flag in flags} == bits
    constants = {r.offset: r.value for r in MAP.registers if r.value is not None}
    assert constants == driver.CONSTANTS
    assert driver.COUNTERS["busy"] == (MAP.offset("COUNT_BUSY_0"), MAP.offset("COUNT_BUSY_1"))
    assert set(driver.COUNTERS) == set(counters(MAP))
    assert set(driver.FLAGS) == {"inner_overflow", "outer_overflow"}
    assert (driver.ROWS, driver.COLS, driver.VALUE_BYTES) == (2, 2, 3)


def test_driver_without_its_machine_agrees_with_the_map() -> None:
    """The source that is in the project can be imported; what it says holds for every machine."""
    source = module(TEMPLATE)
    for name, offset in vars(source.Registers).items():
        if name.isupper():
            assert MAP.offset(name) == offset
    block = python_block(SMALL)
    for flags in ("Control", "Status", "Errors", "Interrupts"):
        pattern = rf"^class {flags}\(IntFlag\):\n.*?\n\n\n"
        found = [re.search(pattern, t, re.M | re.S) for t in (block, TEMPLATE.read_text())]
        texts = [match[0].rstrip() for match in found if match]
        assert len(texts) == 2 and texts[0].split("\n\n#:")[0] == texts[1].split("\n\n#:")[0]


def test_matrix_unpacks_tiles(driver: ModuleType) -> None:
    """Rows x columns of tiles, in both loop orders, negative numbers and floats."""
    import struct

    order = {"weights": (0, 2, 1, 3), "activations": (0, 1, 2, 3)}  # tile (row, column) by place
    for outer, places in order.items():
        driver.OUTER_LOOP = outer
        values = [-(place * 4 + i) for place in range(4) for i in range(4)]
        raw = b"".join(v.to_bytes(3, "little", signed=True) for v in values)
        got = driver.matrix(raw, 3, 4)
        for i in range(3):
            for j in range(4):
                tile = places.index(2 * (i // 2) + j // 2)
                assert got[i][j] == -(4 * tile + 2 * (i % 2) + j % 2)
    driver.IS_FLOAT, driver.VALUE_BYTES = True, 4
    assert driver.matrix(struct.pack("<4f", 1.5, -2, 0, 4), 1, 2) == [[1.5, -2.0]]


def test_memory_mapped_backend(driver: ModuleType, tmp_path: Path) -> None:
    """Registers in a file: the driver's reads and writes are 32-bit words at their offsets."""
    path = tmp_path / "registers"
    memory = bytearray(8192)
    for address, value in driver.CONSTANTS.items():
        memory[4096 + address : 4100 + address] = value.to_bytes(4, "little")
    path.write_bytes(memory)
    moved = []

    def dma(weights: list[bytes], activations: list[bytes], result_bytes: int) -> bytes:
        moved.append((weights, activations))
        return bytes(result_bytes)

    (tmp_path / "memory_backend.py").write_text(small_files()["driver/memory_backend.py"])
    memory_backend = module(tmp_path / "memory_backend.py")
    backend = memory_backend.MemoryMapped(path, dma, offset=4096, size=4096)
    accelerator = driver.Accelerator(backend)
    job = driver.Job(
        shape={name: index + 3 for index, name in enumerate(driver.SHAPE)},
        weights=[b"w"], activations=[b"a"], result_bytes=5,
    )  # fmt: skip
    assert accelerator.run(job) == bytes(5)
    assert moved == [([b"w"], [b"a"])]
    stored = path.read_bytes()

    def register(name: str) -> int:
        at = 4096 + MAP.offset(name)
        return int.from_bytes(stored[at : at + 4], "little")

    assert [register(name) for name in driver.SHAPE] == [3, 4, 5, 6, 7]
    assert register("CONTROL") == driver.Control.START
    # what does not fit into a register is not written at all
    for name, largest in driver.SHAPE.items():
        assert largest == (1 << MAP.by_name[name].bits) - 1
        for value in (largest + 1, -1):
            with pytest.raises(driver.BadShape, match=f"{name} is {value}, .* 0..{largest}"):
                accelerator.run(replace(job, shape={**job.shape, name: value}))
    assert path.read_bytes() == stored
    # a file does not act: what its STATUS says is believed
    backend.write(MAP.offset("STATUS"), driver.Status.FAULT)
    with pytest.raises(driver.NotReady, match="FAULT"):
        accelerator.run(job)
    backend.write(MAP.offset("STATUS"), 0)
    backend.transfer = lambda *_: b""
    with pytest.raises(driver.TransferError, match="0 of 5"):
        accelerator.run(job)
    backend.close()


C_PROGRAM = """
#include <stdio.h>
#include "bitsmith_accelerator.h"
static volatile uint32_t memory[64];
int main(void)
{{
    struct bitsmith_shape shape = {{ 1, 2, 3, 4, 5 }};
    memory[BITSMITH_ID / 4] = BITSMITH_ID_VALUE;
    memory[BITSMITH_VERSION / 4] = BITSMITH_VERSION_VALUE;
    if (bitsmith_matches(memory)) return 1;
    memory[BITSMITH_FINGERPRINT / 4] = BITSMITH_FINGERPRINT_VALUE;
    if (!bitsmith_matches(memory)) return 2;
    if (!bitsmith_start(memory, &shape)) return 3;
    if (memory[BITSMITH_LAST_CHUNKS / 4] != 5 || memory[BITSMITH_TILES / 4] != 1) return 4;
    if (memory[BITSMITH_CONTROL / 4] != BITSMITH_CONTROL_START_MASK) return 5;
    shape.chunks = 0x10000u;
    if (bitsmith_shape_fits(&shape) || bitsmith_start(memory, &shape)) return 10;
    if (memory[BITSMITH_CHUNKS / 4] != 4) return 11;
    shape.chunks = 0xFFFFu;
    if (!bitsmith_shape_fits(&shape)) return 12;
    memory[BITSMITH_STATUS / 4] = BITSMITH_STATUS_FAULT_MASK;
    if (bitsmith_start(memory, &shape)) return 6;
    bitsmith_abort(memory);
    if (memory[BITSMITH_CONTROL / 4] != BITSMITH_CONTROL_ABORT_MASK) return 7;
    bitsmith_clear(memory);
    if (memory[BITSMITH_CONTROL / 4] != BITSMITH_CONTROL_CLEAR_MASK) return 8;
    memory[BITSMITH_COUNT_BUSY_0 / 4] = 0xFFFFFFFFu;
    memory[BITSMITH_COUNT_BUSY_1 / 4] = 0x12u;
    if (bitsmith_count_busy(memory) != 0x12FFFFFFFFull) return 9;
{prints}
    return 0;
}}
"""


@pytest.mark.parametrize(
    "command",
    [
        ("gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"),
        ("g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-x", "c++", "-Wno-long-long"),
    ],
    ids=lambda command: command[0],
)
def test_c_header(command: tuple[str, ...], tmp_path: Path) -> None:
    """Compiles without a warning; every number in it is the map's."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is missing")
    header = small_files()["driver/bitsmith_accelerator.h"]
    (tmp_path / "bitsmith_accelerator.h").write_text(header)
    macros = re.findall(r"^#define (BITSMITH_\w+) \S", header, re.MULTILINE)
    prints = "".join(f'    printf("{m} %lu\\n", (unsigned long)({m}));\n' for m in macros)
    (tmp_path / "try.c").write_text(C_PROGRAM.format(prints=prints))
    subprocess.run([*command, "try.c", "-o", "try"], cwd=tmp_path, check=True)
    done = subprocess.run(["./try"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.returncode
    values = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()}
    for register in MAP.registers:
        key = f"BITSMITH_{register.name}"
        assert values.pop(key) == register.offset
        if register.value is not None:
            assert values.pop(f"{key}_VALUE") == register.value
        for field in register.fields:
            part = "" if len(register.fields) == 1 else f"{field.name.upper()}_"
            mask = sum(1 << bit for bit in range(field.low, field.low + field.bits))
            assert values.pop(f"{key}_{part}MASK") == mask
            if part and field.bits > 1:
                assert values.pop(f"{key}_{part}SHIFT") == field.low
    sizes = {"ROWS": 2, "COLS": 2, "LANES": 2, "VALUE_BYTES": 3}
    assert values == {f"BITSMITH_{name}": value for name, value in sizes.items()}


def test_markdown_table() -> None:
    rows = re.findall(r"^\| (0x\w+) \| `(\w+)` \|", markdown_table(MAP), re.MULTILINE)
    assert [(int(at, 16), name) for at, name in rows] == [
        (register.offset, register.name) for register in MAP.registers
    ]
    assert "| | `ERRORS.aborted` | 7 | |" in markdown_table(MAP)
    assert markdown_table(MAP) in small_files()["README.md"]


def test_wide_quantities() -> None:
    assert [r.name for r in wide(MAP)["COUNT_BUSY"]] == ["COUNT_BUSY_0", "COUNT_BUSY_1"]
    assert c_header.__doc__
