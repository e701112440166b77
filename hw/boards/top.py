"""What a board's FPGA holds: accelerator, bridge and serial line."""

from dataclasses import dataclass

from amaranth import Cat, ClockSignal, DomainRenamer, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from configs.errors import InputError, check_range
from hw.bus import Bridge, UartReceiver, UartTransmitter
from hw.bus.uart import check_divisor
from hw.top import Accelerator
from sw.compile import Machine
from sw.compile.registers import register_map
from sw.compile.transfers import activation_port, result_stream_bits, weight_port

_MASTER = ("awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arvalid", "rready")
_SLAVE = ("awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid")


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """The serial line of a board.

    Attributes
    ----------
    divisor : clock cycles of a bit.
    timeout_cycles : after so many cycles of silence a request is forgotten.
    weight_bytes, activation_bytes, result_bytes : depths of the bridge's buffers.
    """

    divisor: int
    timeout_cycles: int
    weight_bytes: int = 512
    activation_bytes: int = 512
    result_bytes: int = 512

    def __post_init__(self) -> None:
        check_divisor(self.divisor)
        # a byte takes 10 bits
        check_range("timeout_cycles", self.timeout_cycles, 20 * self.divisor, 1 << 30)


def check_streams(machine: Machine) -> None:
    """Refuse a machine that the bridge does not fit.

    Raises
    ------
    InputError : a stream is not 8 bits wide.
    """
    widths = {
        "weight_bits": weight_port(machine).stream_bits,
        "activation_bits": activation_port(machine).stream_bits,
        "result_bits": result_stream_bits(machine),
    }
    for name, bits in widths.items():
        if bits != 8:
            raise InputError(
                f"streams: {name} is {bits}, a board's bridge carries bytes: set weight_bits, "
                "activation_bits and result_bits to 8 (the first two need buffers)"
            )


class BoardTop(wiring.Component):
    """An accelerator that a host reaches over a serial line (docs/boards.md).

    Timing
    ------
    Everything runs on the clock of the ``sync`` domain, whose reset resets all.

    Parameters
    ----------
    machine : :class:`sw.compile.machine.Machine`
        The accelerator, with streams of 8 bits.
    link : :class:`LinkConfig`
        The serial line.

    Members
    -------
    rx : ``In(1)``
        Serial line from the host.
    tx : ``Out(1)``
        Serial line to the host.
    leds : ``Out(2)``
        The interrupt; what arrives is ignored.
    """

    def __init__(self, *, machine: Machine, link: LinkConfig) -> None:
        check_streams(machine)
        self.machine = machine
        self.link = link
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "leds": Out(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self.link
        m.submodules.receiver = receiver = UartReceiver(divisor=link.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=link.divisor)
        m.submodules.bridge = bridge = Bridge(
            address_bits=register_map(self.machine).address_bits,
            weight_bytes=link.weight_bytes,
            activation_bytes=link.activation_bytes,
            result_bytes=link.result_bytes,
            timeout_cycles=link.timeout_cycles,
        )
        accelerator = Accelerator(machine=self.machine)
        # its own domain has the same name
        m.submodules.accelerator = DomainRenamer("accelerator")(accelerator)
        wiring.connect(m, receiver.bytes, bridge.received)
        wiring.connect(m, bridge.sent, transmitter.bytes)
        m.d.comb += [
            receiver.line.eq(self.rx),
            self.tx.eq(transmitter.line),
            bridge.line_error.eq(receiver.error),
            accelerator.aclk.eq(ClockSignal()),
            accelerator.aresetn.eq(~(ResetSignal(allow_reset_less=True) | bridge.reset)),
            bridge.interrupt.eq(accelerator.interrupt),
            self.leds.eq(Cat(accelerator.interrupt, bridge.ignoring)),
        ]
        for name in _MASTER:
            m.d.comb += getattr(accelerator, f"s_axi_{name}").eq(getattr(bridge, name))
        for name in _SLAVE:
            m.d.comb += getattr(bridge, name).eq(getattr(accelerator, f"s_axi_{name}"))
        for name in ("weights", "activations"):
            bytes_ = getattr(bridge, name)
            m.d.comb += [
                getattr(accelerator, f"s_axis_{name}_tdata").eq(bytes_.payload),
                getattr(accelerator, f"s_axis_{name}_tvalid").eq(bytes_.valid),
                getattr(accelerator, f"s_axis_{name}_tlast").eq(getattr(bridge, f"{name}_last")),
                bytes_.ready.eq(getattr(accelerator, f"s_axis_{name}_tready")),
            ]
        m.d.comb += [
            bridge.results.payload.eq(accelerator.m_axis_results_tdata),
            bridge.results.valid.eq(accelerator.m_axis_results_tvalid),
            bridge.results_keep.eq(accelerator.m_axis_results_tkeep),
            bridge.results_last.eq(accelerator.m_axis_results_tlast),
            accelerator.m_axis_results_tready.eq(bridge.results.ready),
        ]
        return m
