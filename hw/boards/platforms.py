"""The boards, and a board top between their pins."""

import importlib
from dataclasses import dataclass
from typing import Any

from amaranth import Module
from amaranth.hdl import Elaboratable
from amaranth.lib import io

from configs.errors import InputError, unknown_name
from hw.bus.uart import SMALLEST_DIVISOR
from sw.compile import Machine

from .top import BoardTop, LinkConfig

#: what to install when a tool is missing
INSTALL = "pip install 'bitsmith[fpga]'"
DEFAULT_BAUD = 1_000_000
#: silence after which a request is forgotten: longer than a host's pauses between two packets
SILENCE_MS = 100
#: baud rates that serial adapters make are a few permille off, so may be the divisor's
_LARGEST_DEVIATION = 0.01


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board with a serial port.

    Attributes
    ----------
    title : maker's name.
    module, platform : class of its platform in ``amaranth_boards``.
    clock_hz : its clock, which the design runs on.
    device : FPGA and package.
    synthesis : options of Yosys.
    bitstream : suffix of the bitstream.
    programming : the command that loads it, with the user's tool.
    """

    title: str
    module: str
    platform: str
    clock_hz: int
    device: str
    synthesis: str
    bitstream: str
    programming: str

    def link(self, baud: int) -> LinkConfig:
        """The serial line at ``baud`` bits per second.

        Raises
        ------
        InputError : no whole number of clock cycles comes near that rate.
        """
        if baud < 1:
            raise InputError(f"--baud is {baud}, a positive number of bits per second is needed")
        highest = self.clock_hz // SMALLEST_DIVISOR
        divisor = round(self.clock_hz / baud)
        if divisor < SMALLEST_DIVISOR:
            raise InputError(
                f"--baud is {baud}, the highest rate that a clock of {self.clock_hz / 1e6:g} MHz "
                f"makes is {highest}: a bit needs {SMALLEST_DIVISOR} cycles or more"
            )
        if abs(self.clock_hz / divisor / baud - 1) > _LARGEST_DEVIATION:
            raise InputError(
                f"--baud {baud}: the nearest rate that a clock of {self.clock_hz / 1e6:g} MHz "
                f"makes is {self.clock_hz / divisor:.0f}"
            )
        silence_cycles = self.clock_hz * SILENCE_MS // 1000
        return LinkConfig(divisor=divisor, timeout_cycles=max(silence_cycles, 20 * divisor))

    def make_platform(self) -> Any:
        """The platform of ``amaranth_boards``.

        Raises
        ------
        InputError : the package is not installed.
        """
        try:
            module = importlib.import_module(f"amaranth_boards.{self.module}")
        except ImportError:
            raise InputError(f"amaranth-boards is not installed: {INSTALL}") from None
        return getattr(module, self.platform)()


BOARDS = {
    "icebreaker": Board(
        title="1BitSquared iCEBreaker",
        module="icebreaker",
        platform="ICEBreakerPlatform",
        clock_hz=12_000_000,
        device="iCE40UP5K-SG48",
        synthesis="-dsp -abc9",
        bitstream="bin",
        programming="iceprog {file}",
    ),
    "ulx3s_85f": Board(
        title="Radiona ULX3S 85F",
        module="ulx3s",
        platform="ULX3S_85F_Platform",
        clock_hz=25_000_000,
        device="LFE5U-85F-6BG381",
        synthesis="-abc9",
        bitstream="bit",
        programming="openFPGALoader -b ulx3s {file}",
    ),
}


def get_board(name: str) -> Board:
    """A board by name.

    Raises
    ------
    InputError : no such board; the message has the nearest name.
    """
    if name not in BOARDS:
        raise unknown_name("board", name, BOARDS)
    return BOARDS[name]


class BoardDesign(Elaboratable):
    """A board top with the pins of a platform.

    Parameters
    ----------
    machine : the accelerator, with streams of 8 bits.
    link : its serial line.
    """

    def __init__(self, *, machine: Machine, link: LinkConfig) -> None:
        self.top = BoardTop(machine=machine, link=link)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.top = self.top
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [self.top.rx.eq(rx.i), tx.o.eq(self.top.tx)]
        for index, shown in enumerate(self.top.leds):
            led = io.Buffer("o", platform.request("led", index, dir="-"))
            m.submodules[f"led_{index}"] = led
            m.d.comb += led.o.eq(shown)
        return m
