"""The bridge against a model of its protocol: random requests, slow partners, silence."""

from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from amaranth.sim import Simulator

from configs.errors import InputError
from hw.bus import Bridge
from hw.bus.bridge import PROTOCOL_VERSION, RESET_CYCLES, RESET_KEY

TIMEOUT = 60
DEPTHS = {"weights": 12, "activations": 8, "results": 10}
WEIGHTS, ACTIVATIONS, LAST = 0, 1, 0x80


class Bench:
    """A bridge with a bus slave, two stream sinks and a stream source, all with random pauses."""

    def __init__(self, seed: int = 0, *, taking: bool = True) -> None:
        self.rng = np.random.default_rng(seed)
        self.bridge = Bridge(
            address_bits=5,
            weight_bytes=DEPTHS["weights"],
            activation_bytes=DEPTHS["activations"],
            result_bytes=DEPTHS["results"],
            timeout_cycles=TIMEOUT,
        )
        self.taking = taking
        self.registers: dict[int, int] = {}
        self.accesses: list[tuple] = []
        self.taken: dict[str, list[tuple[int, int]]] = {"weights": [], "activations": []}
        self.results: deque[tuple[int, int, int]] = deque()
        self.resets = 0
        self.offered_twice = False

    def run(self, host: Callable) -> None:
        """Run ``host(ctx)`` to its end."""
        failures: list[AssertionError] = []

        async def guarded(ctx) -> None:
            # an exception that leaves the simulator would bury itself under abandoned coroutines
            try:
                await host(ctx)
            except AssertionError as failure:
                failures.append(failure)

        simulator = Simulator(self.bridge)
        simulator.add_clock(1e-6)
        simulator.add_testbench(guarded)
        for process in (self._slave_writes, self._slave_reads, self._source, self._watch_reset):
            simulator.add_testbench(process, background=True)
        for name in self.taken:
            simulator.add_testbench(partial(self._sink, name=name), background=True)
        simulator.run()
        if failures:
            raise failures[0]
        assert not self.offered_twice

    def pause(self) -> bool:
        """Whether a partner is slow in this cycle."""
        return bool(self.rng.random() < 0.4)

    async def _slave_writes(self, ctx) -> None:
        b = self.bridge
        while True:
            address = data = None
            while address is None or data is None:
                take_a, take_d = (
                    address is None and not self.pause(),
                    data is None and not self.pause(),
                )
                ctx.set(b.awready, take_a)
                ctx.set(b.wready, take_d)
                _, _, av, a, dv, d, strobe = await ctx.tick().sample(
                    b.awvalid, b.awaddr, b.wvalid, b.wdata, b.wstrb
                )
                self.offered_twice |= bool(av and address is not None)
                self.offered_twice |= bool(dv and data is not None)
                if take_a and av:
                    address = a
                if take_d and dv:
                    data = d if strobe == 15 else -1
            ctx.set(b.awready, 0)
            ctx.set(b.wready, 0)
            while self.pause():
                await ctx.tick()
            self.registers[address] = data
            self.accesses.append(("write", address, data))
            ctx.set(b.bresp, 2 if address == 0x1C else 0)
            await self._offer(ctx, b.bvalid, b.bready)

    async def _slave_reads(self, ctx) -> None:
        b = self.bridge
        while True:
            while self.pause():
                await ctx.tick()
            address = await self._offer(ctx, b.arready, b.arvalid, b.araddr)
            while self.pause():
                await ctx.tick()
            self.accesses.append(("read", address))
            ctx.set(b.rdata, self.registers.get(address, 0xDEADBEEF))
            ctx.set(b.rresp, 2 if address == 0x1C else 0)
            await self._offer(ctx, b.rvalid, b.rready)

    async def _offer(self, ctx, mine, theirs, shown=None) -> int:
        """Hold ``mine`` high until ``theirs`` is; the value of ``shown`` then.

        Not with ``until``: a generator in a process that never ends cannot be closed.
        """
        ctx.set(mine, 1)
        met = 0
        while not met:
            _, _, met, value = await ctx.tick().sample(theirs, theirs if shown is None else shown)
        ctx.set(mine, 0)
        return int(value)

    async def _sink(self, ctx, name: str) -> None:
        stream, last = getattr(self.bridge, name), getattr(self.bridge, f"{name}_last")
        while True:
            ready = self.taking and not self.pause()
            ctx.set(stream.ready, ready)
            _, _, valid, payload, is_last = await ctx.tick().sample(
                stream.valid, stream.payload, last
            )
            if valid and ready:
                self.taken[name].append((payload, is_last))

    async def _source(self, ctx) -> None:
        b = self.bridge
        while True:
            if not self.results or self.pause():
                await ctx.tick()
                continue
            data, keep, last = self.results[0]
            ctx.set(b.results.payload, data)
            ctx.set(b.results_keep, keep)
            ctx.set(b.results_last, last)
            await self._offer(ctx, b.results.valid, b.results.ready)
            self.results.popleft()

    async def _watch_reset(self, ctx) -> None:
        while True:
            _, _, high = await ctx.tick().sample(self.bridge.reset)
            self.resets += high

    async def send(self, ctx, data: bytes, *, slow: bool = True) -> None:
        """Bytes from the host, with pauses well below the time limit."""
        b = self.bridge
        for byte in data:
            if slow:
                await ctx.tick().repeat(int(self.rng.integers(1, 6)))
            ctx.set(b.received.payload, byte)
            ctx.set(b.received.valid, 1)
            for _ in range(2000):
                _, _, ready = await ctx.tick().sample(b.received.ready)
                if ready:
                    break
            assert ready, "the bridge takes nothing any more"
            ctx.set(b.received.valid, 0)

    async def get(self, ctx, count: int, *, limit: int = 2000) -> bytes:
        """Bytes to the host, taken with pauses; fewer if nothing comes for ``limit`` cycles."""
        b, data, waited = self.bridge, b"", 0
        while len(data) < count and waited < limit:
            ready = not self.pause()
            ctx.set(b.sent.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(b.sent.valid, b.sent.payload)
            waited += 1
            if valid and ready:
                data, waited = data + bytes([payload]), 0
        ctx.set(b.sent.ready, 0)
        return data

    async def ask(self, ctx, request: bytes, count: int) -> bytes:
        """A request and the ``count`` bytes of its reply."""
        await self.send(ctx, request)
        return await self.get(ctx, count)

    async def silence(self, ctx) -> None:
        """As long as it takes to be forgotten."""
        await ctx.tick().repeat(TIMEOUT + 5)

    async def status(self, ctx) -> tuple[int, ...]:
        """Flags, free bytes of weights and activations, bytes of results."""
        reply = await self.ask(ctx, b"\x02", 9)
        assert reply[:2] == b"\x82\x00"
        return (reply[2], *np.frombuffer(reply[3:], dtype="<u2").tolist())


def word(value: int) -> bytes:
    return value.to_bytes(2, "little")


def test_identify() -> None:
    bench = Bench()

    async def host(ctx) -> None:
        reply = await bench.ask(ctx, b"\x01", 9)
        depths = b"".join(word(depth) for depth in DEPTHS.values())
        assert reply == bytes([0x81, 0, PROTOCOL_VERSION]) + depths

    bench.run(host)


@pytest.mark.parametrize(
    ("request_", "cycles"),
    [
        (b"\x01", 2),
        (b"\x02", 2),
        (b"\x99", 2),
        (b"\x06\x00\x00", 2),
        (b"\x03\xff\x00", 2),
        (bytes([7, RESET_KEY]), 2 + RESET_CYCLES),
        (b"\x05\x00\x00\x00", 3),
        (b"\x05\x00\x01\x00x", 2),
    ],
)
def test_how_soon_a_reply_begins(request_: bytes, cycles: int) -> None:
    bench = Bench()

    async def host(ctx) -> None:
        await bench.send(ctx, request_, slow=False)
        # the tick of `until` has passed: this is the cycle after the acceptance
        waited = 1
        while not ctx.get(bench.bridge.sent.valid):
            assert not ctx.get(bench.bridge.received.ready)
            await ctx.tick()
            waited += 1
        assert waited == cycles

    bench.run(host)


def test_registers() -> None:
    """Random accesses; the slave takes address and data in any order."""
    bench = Bench(1)

    async def host(ctx) -> None:
        known: dict[int, int] = {}
        for _ in range(60):
            address, value = 4 * int(bench.rng.integers(0, 8)), int(bench.rng.integers(0, 1 << 32))
            error = 2 if address == 0x1C else 0
            if bench.rng.random() < 0.5:
                request = b"\x04" + word(address) + value.to_bytes(4, "little")
                assert await bench.ask(ctx, request, 2) == bytes([0x84, error])
                known[address] = value
            else:
                reply = await bench.ask(ctx, b"\x03" + word(address), 6)
                wanted = known.get(address, 0xDEADBEEF).to_bytes(4, "little")
                assert reply == bytes([0x83, error]) + wanted
        before = len(bench.accesses)
        assert before == 60
        # addresses that the bus does not have
        assert await bench.ask(ctx, b"\x03" + word(0x20), 6) == b"\x83\x03" + bytes(4)
        assert await bench.ask(ctx, b"\x04" + word(0x8004) + bytes(4), 2) == b"\x84\x03"
        assert len(bench.accesses) == before
        assert await bench.get(ctx, 1, limit=300) == b""

    bench.run(host)


@pytest.mark.parametrize("seed", range(3))
def test_pushes_reach_the_streams(seed: int) -> None:
    bench = Bench(seed)
    sent: dict[str, list[tuple[int, int]]] = {"weights": [], "activations": []}

    async def host(ctx) -> None:
        for _ in range(25):
            name = ("weights", "activations")[int(bench.rng.integers(0, 2))]
            stream = WEIGHTS if name == "weights" else ACTIVATIONS
            _, *room, _ = await bench.status(ctx)
            data = bench.rng.integers(0, 256, bench.rng.integers(0, room[stream] + 1)).tolist()
            last = bool(bench.rng.random() < 0.5)
            request = bytes([5, stream | (LAST if last else 0)]) + word(len(data)) + bytes(data)
            assert await bench.ask(ctx, request, 4) == b"\x85\x00" + word(len(data))
            sent[name] += [(b, int(last and i == len(data) - 1)) for i, b in enumerate(data)]
        await ctx.tick().repeat(100)
        flags, *room, _ = await bench.status(ctx)
        assert (flags, *room) == (0, DEPTHS["weights"], DEPTHS["activations"])

    bench.run(host)
    assert bench.taken == sent


def test_bytes_without_room_are_dropped_and_told() -> None:
    bench = Bench(taking=False)

    async def host(ctx) -> None:
        for stream, name in ((WEIGHTS, "weights"), (ACTIVATIONS, "activations")):
            depth = DEPTHS[name]
            request = bytes([5, stream | LAST]) + word(depth + 3) + bytes(range(depth + 3))
            assert await bench.ask(ctx, request, 4) == b"\x85\x10" + word(depth)
        assert await bench.status(ctx) == (8, 0, 0, 0)
        assert await bench.status(ctx) == (0, 0, 0, 0)
        bench.taking = True
        await ctx.tick().repeat(100)

    bench.run(host)
    # TLAST went down with its byte
    assert bench.taken["weights"] == [(byte, 0) for byte in range(DEPTHS["weights"])]


@pytest.mark.parametrize("seed", range(3))
def test_pops_end_with_the_packet(seed: int) -> None:
    bench = Bench(seed)
    packets = [[(7, 1, 1)], [(index, 1, int(index == 29)) for index in range(30)]]
    # a stopped job: bytes without TKEEP before the end are nothing, the last one only ends
    packets += [[(50, 1, 0), (9, 0, 0), (51, 1, 0), (0, 0, 1)], [(60, 1, 0), (61, 1, 1)]]
    wanted = [(bytes([7]), 1), (bytes(range(30)), 1), (bytes([50, 51]), 3), (bytes([60, 61]), 1)]

    async def host(ctx) -> None:
        assert await bench.ask(ctx, b"\x06" + word(9), 7) == b"\x86\x00" + bytes(5)
        bench.results.extend(entry for packet in packets for entry in packet)
        for data, end in wanted:
            found, ended = b"", 0
            while not ended:
                await ctx.tick().repeat(int(bench.rng.integers(0, 40)))
                count = int(bench.rng.integers(0, 14))
                head = await bench.ask(ctx, b"\x06" + word(count), 4)
                offered = int.from_bytes(head[2:], "little")
                assert head[:2] == b"\x86\x00" and offered <= min(count, DEPTHS["results"])
                body = await bench.get(ctx, offered + 3)
                used, ended = int.from_bytes(body[offered : offered + 2], "little"), body[-1]
                assert used <= offered and (ended or used == offered)
                assert not any(body[used:offered])
                found += body[: used - (ended >> 1)]
            assert (found, ended) == (data, end)
        assert (await bench.status(ctx))[3] == 0

    bench.run(host)


def test_results_wait_for_room() -> None:
    bench = Bench()
    bench.results.extend((index, 1, 0) for index in range(40))

    async def host(ctx) -> None:
        await ctx.tick().repeat(200)
        assert (await bench.status(ctx))[3] == DEPTHS["results"]
        found = b""
        while len(found) < 40:
            head = await bench.ask(ctx, b"\x06" + word(100), 4)
            found += (await bench.get(ctx, head[2] + 3))[: head[2]]
        assert found == bytes(range(40))

    bench.run(host)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"\x00", b"\x80\x80"),
        (b"\x42", b"\xc2\x80"),
        (b"\xff", b"\xff\x80"),
        (b"\x07\x00", b"\x87\x81"),
        (b"\x05\x02\x01\x00", b"\x85\x81"),
        (b"\x05\x40\x01\x00", b"\x85\x81"),
    ],
)
def test_refused_requests_and_the_silence_after_them(request_: bytes, reply: bytes) -> None:
    bench = Bench()

    async def host(ctx) -> None:
        assert await bench.ask(ctx, request_, 2) == reply
        # a request at once is ignored, and so is all that comes before the line was silent
        for _ in range(3):
            await bench.send(ctx, b"\x01")
            assert await bench.get(ctx, 1, limit=TIMEOUT // 2) == b""
        assert ctx.get(bench.bridge.ignoring)
        await bench.silence(ctx)
        assert not ctx.get(bench.bridge.ignoring)
        assert (await bench.status(ctx))[0] == 16
        assert (await bench.status(ctx))[0] == 0

    bench.run(host)
    assert bench.resets == 0 and bench.taken == {"weights": [], "activations": []}


@pytest.mark.parametrize("part", [b"\x03\x04", b"\x04\x04\x00\x01\x02\x03", b"\x05\x80\x03\x00ab"])
def test_an_incomplete_request_is_forgotten(part: bytes) -> None:
    bench = Bench()

    async def host(ctx) -> None:
        await bench.send(ctx, part)
        await bench.silence(ctx)
        assert await bench.get(ctx, 1, limit=50) == b""
        assert (await bench.status(ctx))[0] == 4
        assert (await bench.status(ctx))[0] == 0

    bench.run(host)
    assert bench.accesses == []
    # bytes that were pushed stay, without TLAST
    assert bench.taken["weights"] == [(ord(c), 0) for c in part[4:].decode()[: 2 * (part[0] == 5)]]


@pytest.mark.parametrize("before", [b"", b"\x04\x04\x00", b"\x05\x00\x05\x00a"])
def test_an_error_of_the_line_stops_a_request(before: bytes) -> None:
    bench = Bench()

    async def host(ctx) -> None:
        await bench.send(ctx, before)
        ctx.set(bench.bridge.line_error, 1)
        await ctx.tick()
        ctx.set(bench.bridge.line_error, 0)
        await bench.send(ctx, b"\x01\x02\x03\x04\x05\x06\x07")
        assert await bench.get(ctx, 1, limit=TIMEOUT // 2) == b""
        await bench.silence(ctx)
        assert (await bench.status(ctx))[0] == 2

    bench.run(host)
    assert bench.accesses == [] and bench.taken["weights"] == [(97, 0)] * (before[:1] == b"\x05")


def test_reset_empties_the_buffers() -> None:
    bench = Bench(taking=False)
    bench.results.extend((index, 1, 0) for index in range(DEPTHS["results"]))

    async def host(ctx) -> None:
        await bench.ask(ctx, b"\x05\x00\x05\x00hello", 4)
        await bench.ask(ctx, b"\x05\x01\x02\x00ab", 4)
        await ctx.tick().repeat(60)
        assert await bench.status(ctx) == (0, 7, 6, 10)
        assert await bench.ask(ctx, bytes([7, RESET_KEY]), 2) == b"\x87\x00"
        assert await bench.status(ctx) == (0, 12, 8, 0)

    bench.run(host)
    assert bench.resets == RESET_CYCLES


def test_the_interrupt_is_shown() -> None:
    bench = Bench()

    async def host(ctx) -> None:
        ctx.set(bench.bridge.interrupt, 1)
        assert (await bench.status(ctx))[0] == 1
        assert (await bench.status(ctx))[0] == 1
        ctx.set(bench.bridge.interrupt, 0)
        assert (await bench.status(ctx))[0] == 0

    bench.run(host)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_a_host_sends_stops_the_bridge(seed: int) -> None:
    bench = Bench(seed)

    async def drain(ctx) -> None:
        while await bench.get(ctx, 50, limit=TIMEOUT + 5):
            pass

    async def host(ctx) -> None:
        bench.results.extend((index % 256, 1, int(index % 7 == 6)) for index in range(60))
        for _ in range(12):
            length = int(bench.rng.integers(1, 12))
            noise = bytes(bench.rng.integers(0, 9 if seed % 2 else 256, length).tolist())
            for byte in noise:
                b = bench.bridge
                ctx.set(b.received.payload, byte)
                ctx.set(b.received.valid, 1)
                for _ in range(8):
                    _, _, ready = await ctx.tick().sample(b.received.ready)
                    if ready:
                        break
                ctx.set(b.received.valid, 0)
                ctx.set(b.line_error, bench.rng.random() < 0.05)
                await ctx.tick()
                ctx.set(b.line_error, 0)
            await drain(ctx)
            await bench.silence(ctx)
            reply = await bench.ask(ctx, b"\x01", 9)
            assert reply[:3] == bytes([0x81, 0, PROTOCOL_VERSION]) and len(reply) == 9

    bench.run(host)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weight_bytes": 2}, "weight_bytes is 2, valid are 4..32768"),
        ({"activation_bytes": 40000}, "activation_bytes is 40000"),
        ({"address_bits": 17}, "address_bits is 17"),
        ({"timeout_cycles": 1}, "timeout_cycles is 1"),
    ],
)
def test_impossible_parameters(wrong: dict[str, int], message: str) -> None:
    right = {"address_bits": 5, "weight_bytes": 8, "activation_bytes": 8, "result_bytes": 8}
    with pytest.raises(InputError, match=message):
        Bridge(**{**right, "timeout_cycles": 100, **wrong})
