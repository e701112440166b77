"""The worked timing examples on block pages, cycle by cycle against the blocks themselves."""

import re
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow
from amaranth.sim import Simulator

from hw.array import Queue
from hw.bus import JobControl, RegisterFile, ResultPort, StreamGuard
from hw.memory import TileBuffer
from sw.compile.registers import register_map
from sw.compile.transfers import OperandPort

from ..hw.benches_cocotb.designs import small_machine

BLOCKS = Path(__file__).resolve().parents[2] / "docs" / "blocks"
#: page -> the component of its examples
COMPONENTS = {
    "job_control": JobControl,
    "register_file": lambda: RegisterFile(registers=register_map(small_machine())),
    "result_port": lambda: ResultPort(row_bits=40, stream_bits=16),
    "queue": lambda: Queue(width=8, depth=2),
    "stream_guard": lambda: StreamGuard(stream_bits=8),
    "tile_buffer": lambda: TileBuffer(
        port=OperandPort(
            name="activations",
            kinds={"chunk": 16},
            beat_bits=16,
            stream_bits=8,
            half_beats=2,
            stationary=True,
        )
    ),
}


def tables(page: str) -> list[dict[str, list[int | None]]]:
    """Examples of a page: port -> value in each cycle, None where it does not matter."""
    found = re.findall(r"^```timing\n(.*?)^```", (BLOCKS / f"{page}.md").read_text(), re.M | re.S)
    return [table(text) for text in found]


def table(text: str) -> dict[str, list[int | None]]:
    """Rows ``port | values``, hexadecimal; the row ``cycle`` counts."""
    rows = dict(line.split("|") for line in text.splitlines())
    values = {
        name.strip(): [None if cell == "." else int(cell, 16) for cell in cells.split()]
        for name, cells in rows.items()
        if name.strip() != "cycle"
    }
    cycles = [int(cell) for cell in rows[next(n for n in rows if n.strip() == "cycle")].split()]
    assert cycles == list(range(len(cycles)))
    assert {len(cells) for cells in values.values()} == {len(cycles)}, "a row is too short"
    return values


def resolve(component: wiring.Component, name: str) -> tuple[Value, bool]:
    """A port, or a part of one, by its dotted name; and whether it is an output."""
    flows = {
        ".".join(map(str, path)): member.flow is Flow.Out
        for path, member, _ in component.signature.flatten(component)
    }
    port: Any = component
    for part in name.split("."):
        port = getattr(port, part)
    whole = name if name in flows else name.rpartition(".")[0]
    return Value.cast(port), flows[whole]


def differences(component: wiring.Component, rows: dict[str, list[int | None]]) -> list[str]:
    """What the block does otherwise."""
    ports = {name: resolve(component, name) for name in rows}
    wrong: list[str] = []

    async def bench(ctx) -> None:
        for cycle in range(len(next(iter(rows.values())))):
            for name, (port, output) in ports.items():
                if not output:
                    ctx.set(port, rows[name][cycle] or 0)
            for name, (port, output) in ports.items():
                wanted = rows[name][cycle]
                if output and wanted is not None and ctx.get(port) != wanted:
                    wrong.append(f"{name} in cycle {cycle} is {ctx.get(port):x}, not {wanted:x}")
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return wrong


@pytest.mark.parametrize("page", COMPONENTS)
def test_examples_are_real(page: str) -> None:
    found = tables(page)
    assert found
    for rows in found:
        component = COMPONENTS[page]()
        assert any(resolve(component, name)[1] for name in rows), "no output is shown"
        assert differences(COMPONENTS[page](), rows) == []


def test_every_example_is_checked() -> None:
    with_examples = {p.stem for p in BLOCKS.glob("*.md") if "```timing" in p.read_text()}
    assert with_examples == set(COMPONENTS)


def test_a_wrong_example_is_found() -> None:
    rows = tables("stream_guard")[0]
    rows["passed"][0] = 1 - (rows["passed"][0] or 0)
    assert len(differences(COMPONENTS["stream_guard"](), rows)) == 1
