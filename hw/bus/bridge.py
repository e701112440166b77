"""Registers and streams of an accelerator behind a pair of byte streams (docs/boards.md)."""

from amaranth import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from configs.errors import check_range

#: of the protocol; IDENTIFY tells it
PROTOCOL_VERSION = 1
#: first byte of a request, and bytes of its arguments
OPCODES = {
    "identify": (0x01, 0),
    "status": (0x02, 0),
    "read": (0x03, 2),
    "write": (0x04, 6),
    "push": (0x05, 3),
    "pop": (0x06, 2),
    "reset": (0x07, 1),
}
RESET_KEY = 0xA5
#: second byte of a reply beside the other AXI4-Lite responses: there is no such address ...
DECERR = 3
#: ... bytes found no room; unknown opcode, impossible argument, after which nothing follows
DROPPED, UNKNOWN, INVALID = 0x10, 0x80, 0x81
#: bits of the flags that STATUS shows
FLAGS = ("interrupt", "line_error", "timeout", "dropped", "refused")
#: cycles for which RESET holds the accelerator
RESET_CYCLES = 8
_REPLY_BYTES = 9


def _members(address_bits: int) -> dict:
    """Ports of the bridge."""
    bytes_ = stream.Signature(8)
    return {
        "received": In(bytes_),
        "line_error": In(1),
        "sent": Out(bytes_),
        **{name: Out(address_bits) for name in ("awaddr", "araddr")},
        **{name: Out(1) for name in ("awvalid", "wvalid", "bready", "arvalid", "rready")},
        **{name: In(1) for name in ("awready", "wready", "bvalid", "arready", "rvalid")},
        **{"wdata": Out(32), "wstrb": Out(4), "rdata": In(32)},
        **{name: In(2) for name in ("bresp", "rresp")},
        **{name: Out(bytes_) for name in ("weights", "activations")},
        **{f"{name}_last": Out(1) for name in ("weights", "activations")},
        **{"results": In(bytes_), "results_keep": In(1), "results_last": In(1)},
        **{"interrupt": In(1), "reset": Out(1), "ignoring": Out(1)},
    }


class Bridge(wiring.Component):
    """Executes requests of a host, one after the other, and answers each.

    It never waits for the host longer than ``timeout_cycles``: a request that stays incomplete for
    so long is forgotten. After an error of the line, an unknown opcode or an impossible argument it
    ignores what arrives until the line was silent for ``timeout_cycles``.

    Timing
    ------
    The first byte of a reply is offered two cycles after the request's last byte was accepted, of
    PUSH one; READ and WRITE take as long as the bus on top, RESET ``RESET_CYCLES``. While it
    executes and answers no byte is accepted.

    Parameters
    ----------
    address_bits : int
        Width of AXI4-Lite addresses, up to 16.
    weight_bytes, activation_bytes, result_bytes : int
        Depths of the stream buffers, 4 to 32768.
    timeout_cycles : int
        What counts as silence.

    Members
    -------
    received : ``In(stream.Signature(8))``
        Bytes from the host.
    line_error : ``In(1)``
        A byte from the host was lost.
    sent : ``Out(stream.Signature(8))``
        Bytes to the host.
    awaddr, awvalid, awready, wdata, wstrb, wvalid, wready, bresp, bvalid, bready
        AXI4-Lite, writes.
    araddr, arvalid, arready, rdata, rresp, rvalid, rready
        AXI4-Lite, reads.
    weights, activations : ``Out(stream.Signature(8))``
        Streams to the accelerator.
    weights_last, activations_last : ``Out(1)``
        The offered byte ends a packet.
    results : ``In(stream.Signature(8))``
        Stream from the accelerator.
    results_keep, results_last : ``In(1)``
        The offered byte is a result; ends a packet. A byte that is neither is dropped.
    interrupt : ``In(1)``
        For the host to see.
    reset : ``Out(1)``
        Reset the accelerator.
    ignoring : ``Out(1)``
        What arrives is ignored.
    """

    def __init__(
        self,
        *,
        address_bits: int,
        weight_bytes: int,
        activation_bytes: int,
        result_bytes: int,
        timeout_cycles: int,
    ) -> None:
        check_range("address_bits", address_bits, 3, 16)
        self.depths = {
            "weights": weight_bytes,
            "activations": activation_bytes,
            "results": result_bytes,
        }
        for name, depth in self.depths.items():
            check_range(f"{name.removesuffix('s')}_bytes", depth, 4, 1 << 15)
        check_range("timeout_cycles", timeout_cycles, 2, 1 << 30)
        self.timeout_cycles = timeout_cycles
        super().__init__(_members(address_bits))
        self._opcode = Signal(8)
        self._arguments = Signal(48)  # the last byte received on top
        self._missing = Signal(range(8))  # bytes of the arguments
        self._count = Signal(16)  # bytes of a stream still to come
        self._moved = Signal(16)  # bytes that entered or left a buffer
        self._reply = Signal(8 * _REPLY_BYTES)
        self._length = Signal(range(_REPLY_BYTES + 1))
        self._refused = Signal()
        self._popping = Signal()  # results follow the reply
        self._ended = Signal()  # POP has met the end of a packet ...
        self._null = Signal()  # ... that is no result
        self._flags = Signal(len(FLAGS) - 1)
        self._silence = Signal(range(self.timeout_cycles))
        self._line_failed = Signal()
        self._timed_out = Signal()
        self._buffers: dict[str, SyncFIFOBuffered] = {}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, depth in self.depths.items():
            width = 10 if name == "results" else 9
            self._buffers[name] = buffer = SyncFIFOBuffered(width=width, depth=depth)
            m.submodules[f"{name}_buffer"] = ResetInserter(self.reset)(buffer)
        self._connect(m)
        m.d.comb += self._timed_out.eq(self._silence == self.timeout_cycles - 1)
        with m.If(self.received.valid & self.received.ready | self.line_error):
            m.d.sync += self._silence.eq(0)
        with m.Elif(~self._timed_out):
            m.d.sync += self._silence.eq(self._silence + 1)
        with m.If(self.line_error):
            m.d.sync += [self._line_failed.eq(1), self._flags[0].eq(1)]
        with m.FSM():
            self._request(m)
            self._execute(m)
            self._registers(m)
            self._push(m)
            self._answer(m)
            self._pop(m)
            with m.State("ignore"):
                m.d.comb += [self.received.ready.eq(1), self.ignoring.eq(1)]
                m.d.sync += self._line_failed.eq(0)
                with m.If(self._timed_out & ~self.line_error):
                    m.next = "idle"
        return m

    def _connect(self, m: Module) -> None:
        """Buffers to streams, arguments to the bus."""
        for name in ("weights", "activations"):
            buffer, bytes_ = self._buffers[name], getattr(self, name)
            m.d.comb += [
                Cat(bytes_.payload, getattr(self, f"{name}_last")).eq(buffer.r_data),
                bytes_.valid.eq(buffer.r_rdy),
                buffer.r_en.eq(bytes_.ready),
            ]
        results = self._buffers["results"]
        m.d.comb += [
            results.w_data.eq(Cat(self.results.payload, self.results_last, ~self.results_keep)),
            results.w_en.eq(self.results.valid & (self.results_keep | self.results_last)),
            self.results.ready.eq(results.w_rdy),
            self.awaddr.eq(self._arguments),
            self.araddr.eq(self._arguments[32:]),
            self.wdata.eq(self._arguments[16:]),
            self.wstrb.eq(0b1111),
        ]

    def _request(self, m: Module) -> None:
        """Opcode and arguments."""
        with m.State("idle"):
            m.d.comb += self.received.ready.eq(~self._line_failed)
            with m.If(self._line_failed):
                m.next = "ignore"
            with m.Elif(self.received.valid):
                m.d.sync += [self._opcode.eq(self.received.payload), self._refused.eq(0)]
                m.d.sync += [self._moved.eq(0), self._ended.eq(0), self._null.eq(0)]
                m.next = "execute"
                with m.Switch(self.received.payload):
                    for opcode, arguments in OPCODES.values():
                        with m.Case(opcode):
                            m.d.sync += self._missing.eq(arguments)
                            m.next = "arguments" if arguments else "execute"
        with m.State("arguments"):
            m.d.comb += self.received.ready.eq(~self._line_failed)
            with m.If(self._line_failed):
                m.next = "ignore"
            with m.Elif(self.received.valid):
                m.d.sync += [
                    self._arguments.eq(Cat(self._arguments[8:], self.received.payload)),
                    self._missing.eq(self._missing - 1),
                ]
                with m.If(self._missing == 1):
                    m.next = "execute"
            with m.Elif(self._timed_out):
                self._forget(m)

    def _forget(self, m: Module) -> None:
        """The request stays incomplete."""
        m.d.sync += self._flags[1].eq(1)
        m.next = "idle"

    def _load(self, m: Module, status, *values) -> None:
        """Prepare a reply of opcode, status and values of whole bytes."""
        reply = Cat(self._opcode[:7], Const(1, 1), status, *values)
        m.d.sync += [self._reply.eq(reply), self._length.eq(len(reply) // 8)]
        m.next = "reply"

    def _refuse(self, m: Module, status: int) -> None:
        """A request that cannot be."""
        m.d.sync += [self._refused.eq(1), self._flags[3].eq(1)]
        self._load(m, Const(status, 8))

    def _execute(self, m: Module) -> None:
        """What a complete request starts."""
        okay, buffers = Const(0, 8), self._buffers
        levels = {name: Signal(16, name=f"{name}_level") for name in buffers}
        m.d.comb += [levels[name].eq(buffers[name].level) for name in buffers]
        free = [self.depths[name] - levels[name] for name in ("weights", "activations")]
        count = self._arguments[32:48]
        done = Signal(range(RESET_CYCLES))
        with m.State("execute"), m.Switch(self._opcode):
            with m.Case(OPCODES["identify"][0]):
                depths = [Const(depth, 16) for depth in self.depths.values()]
                self._load(m, okay, Const(PROTOCOL_VERSION, 8), *depths)
            with m.Case(OPCODES["status"][0]):
                flags = Cat(self.interrupt, self._flags, Const(0, 8 - len(FLAGS)))
                shown = [Cat(value)[:16] for value in (*free, levels["results"])]
                m.d.sync += self._flags.eq(0)
                self._load(m, okay, flags, *shown)
            with m.Case(OPCODES["read"][0]):
                m.next = "read address"
                with m.If(self._arguments[32:] >> len(self.araddr)):
                    self._load(m, Const(DECERR, 8), Const(0, 32))
            with m.Case(OPCODES["write"][0]):
                m.next = "write"
                with m.If(self._arguments[:16] >> len(self.awaddr)):
                    self._load(m, Const(DECERR, 8))
            with m.Case(OPCODES["push"][0]):
                m.d.sync += self._count.eq(count)
                m.next = "push"
                with m.If(self._arguments[25:31].any()):
                    self._refuse(m, INVALID)
            with m.Case(OPCODES["pop"][0]):
                held = levels["results"]
                popped = Mux(count < held, count, held)
                m.d.sync += [self._count.eq(popped), self._popping.eq(1)]
                self._load(m, okay, Cat(popped)[:16])
            with m.Case(OPCODES["reset"][0]):
                m.d.sync += done.eq(RESET_CYCLES - 1)
                m.next = "reset"
                with m.If(self._arguments[40:48] != RESET_KEY):
                    self._refuse(m, INVALID)
            with m.Default():
                self._refuse(m, UNKNOWN)
        with m.State("reset"):
            m.d.comb += self.reset.eq(1)
            m.d.sync += done.eq(done - 1)
            with m.If(done == 0):
                self._load(m, okay)

    def _registers(self, m: Module) -> None:
        """Accesses on the bus."""
        address_done, data_done = Signal(), Signal()
        with m.State("write"):
            m.d.comb += [
                self.awvalid.eq(~address_done),
                self.wvalid.eq(~data_done),
                self.bready.eq(1),
            ]
            with m.If(self.awready):
                m.d.sync += address_done.eq(1)
            with m.If(self.wready):
                m.d.sync += data_done.eq(1)
            with m.If(self.bvalid):
                m.d.sync += [address_done.eq(0), data_done.eq(0)]
                self._load(m, Cat(self.bresp, Const(0, 6)))
        with m.State("read address"):
            m.d.comb += self.arvalid.eq(1)
            with m.If(self.arready):
                m.next = "read data"
        with m.State("read data"):
            m.d.comb += self.rready.eq(1)
            with m.If(self.rvalid):
                self._load(m, Cat(self.rresp, Const(0, 6)), self.rdata)

    def _push(self, m: Module) -> None:
        """Bytes into a stream's buffer."""
        activations, last = self._arguments[24], self._arguments[31]
        weight_buffer, activation_buffer = (
            self._buffers[name] for name in ("weights", "activations")
        )
        entered = Mux(activations, activation_buffer.w_rdy, weight_buffer.w_rdy)
        for buffer in (weight_buffer, activation_buffer):
            m.d.comb += buffer.w_data.eq(Cat(self.received.payload, last & (self._count == 1)))
        with m.State("push"):
            m.d.comb += self.received.ready.eq(~self._line_failed & self._count.any())
            with m.If(self._line_failed):
                m.next = "ignore"
            with m.Elif(~self._count.any()):
                dropped = Mux(self._ended, DROPPED, 0)
                self._load(m, Cat(dropped)[:8] | Const(0, 8), self._moved)
            with m.Elif(self.received.valid):
                m.d.comb += [
                    weight_buffer.w_en.eq(~activations),
                    activation_buffer.w_en.eq(activations),
                ]
                m.d.sync += [self._count.eq(self._count - 1), self._moved.eq(self._moved + entered)]
                with m.If(~entered):
                    m.d.sync += [self._ended.eq(1), self._flags[2].eq(1)]
            with m.Elif(self._timed_out):
                self._forget(m)

    def _answer(self, m: Module) -> None:
        """Send the prepared reply."""
        with m.State("reply"):
            m.d.comb += [self.sent.valid.eq(1), self.sent.payload.eq(self._reply)]
            with m.If(self.sent.ready):
                m.d.sync += [self._reply.eq(self._reply >> 8), self._length.eq(self._length - 1)]
                with m.If(self._length == 1):
                    m.next = "idle"
                    with m.If(self._refused):
                        m.next = "ignore"
                    with m.Elif(self._popping):
                        m.next = "pop"

    def _pop(self, m: Module) -> None:
        """Bytes out of the buffer of the results, up to the end of a packet; zeros after it."""
        buffer = self._buffers["results"]
        data, last, null = buffer.r_data[:8], buffer.r_data[8], buffer.r_data[9]
        with m.State("pop"):
            with m.If(~self._count.any()):
                m.d.sync += self._popping.eq(0)
                self._trailer(m)
            with m.Else():
                m.d.comb += [
                    self.sent.valid.eq(buffer.r_rdy | self._ended),
                    self.sent.payload.eq(Mux(self._ended, 0, data)),
                    buffer.r_en.eq(self.sent.ready & ~self._ended),
                ]
                with m.If(self.sent.valid & self.sent.ready):
                    m.d.sync += self._count.eq(self._count - 1)
                    with m.If(~self._ended):
                        m.d.sync += [
                            self._moved.eq(self._moved + 1),
                            self._ended.eq(last),
                            self._null.eq(null),
                        ]

    def _trailer(self, m: Module) -> None:
        """The end of the reply to POP."""
        trailer = Cat(self._moved, self._ended, self._null, Const(0, 6))
        m.d.sync += [self._reply.eq(trailer), self._length.eq(len(trailer) // 8)]
        m.next = "reply"
