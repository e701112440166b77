"""The host's driver against the Verilated board top, bit by bit over the serial line."""

import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bitsmith.package.driver.uart_backend import (
    ACTIVATIONS,
    BYTES_DROPPED,
    LINE_ERROR,
    REQUEST_REFUSED,
    TIMEOUT,
    WEIGHTS,
    LinkError,
    RegisterError,
    TransferError,
    UartBackend,
)
from bitsmith.package.files import driver_source
from bitsmith.package.identity import identity
from bitsmith.package.jobs import job_file, recorded_jobs
from bitsmith.verify import random_program
from sw.compile import GemmProgram
from sw.compile.registers import CONTROL_BITS, ERROR_BITS, STATUS_BITS, register_map
from sw.compile.transfers import Transfers, activation_port, as_bytes, weight_port
from sw.golden import golden_gemm

from .verilated_board import CLOCK_HZ, LINK, VerilatedPort, board_machine

pytestmark = pytest.mark.rtl

MACHINE = board_machine()
OFFSETS = {register.name: register.offset for register in register_map(MACHINE).registers}
NAMES = {offset: name for name, offset in OFFSETS.items()}
CONTROL = {name: 1 << bit for bit, name in enumerate(CONTROL_BITS)}
ERRORS = {name: 1 << bit for bit, name in enumerate(ERROR_BITS)}
STATUS = {name: 1 << bit for bit, name in enumerate(STATUS_BITS)}
SILENCE_S = 1.25 * LINK.timeout_cycles / CLOCK_HZ


def make_module(source: str) -> types.ModuleType:
    """The stand-alone driver's text as a module."""
    module = types.ModuleType("stand_alone_driver")
    sys.modules[module.__name__] = module  # dataclasses look there
    exec(source, module.__dict__)
    return module


@pytest.fixture
def port() -> Iterator[VerilatedPort]:
    """A board after power-on."""
    opened = VerilatedPort(MACHINE)
    yield opened
    assert opened.state()["errors"] == 0
    opened.close()


def connect(port: VerilatedPort) -> UartBackend:
    """The driver on a port."""
    return UartBackend(
        port, silence_s=SILENCE_S, pause=port.pause, status_address=OFFSETS["STATUS"]
    )


def job(seed: int, m: int = 5, n: int = 5, k: int = 21) -> GemmProgram:
    """A job of several tiles with a ragged last group."""
    return random_program(MACHINE, m, n, k, 6, np.random.default_rng(seed))


def packets(program: GemmProgram) -> tuple[list[bytes], list[bytes]]:
    """Packets of both operands."""
    transfers, found = Transfers(program=program), []
    for port, image in (
        (weight_port(MACHINE), transfers.weights),
        (activation_port(MACHINE), transfers.activations),
    ):
        order = port.packets(program.tiling)
        tiles = [as_bytes(tile, 8).tobytes() for tile in image]
        found.append([tiles[p // order.repeat % order.images] for p in range(order.count)])
    return found[0], found[1]


def start(backend: UartBackend, program: GemmProgram) -> None:
    """Shape registers, then the start bit."""
    for name, value in Transfers(program=program).shape_registers.items():
        backend.write(OFFSETS[name], value)
        assert backend.read(OFFSETS[name]) == value
    backend.write(OFFSETS["CONTROL"], CONTROL["start"])


def run_job(backend: UartBackend, program: GemmProgram) -> None:
    """A whole job, results equal to the golden model's."""
    transfers = Transfers(program=program)
    start(backend, program)
    found = backend.transfer(*packets(program), transfers.result_count)
    words = np.zeros((transfers.result_count, 4), dtype=np.uint8)
    words[:, 0] = np.frombuffer(found, dtype=np.uint8)
    outputs = transfers.outputs(words.view("<u4"))
    np.testing.assert_array_equal(outputs, golden_gemm(program).outputs)
    assert backend.read(OFFSETS["ERRORS"]) == 0
    assert backend.read(OFFSETS["STATUS"]) == 0
    for name, words_sent in transfers.stream_words.items():
        assert backend.read(OFFSETS[f"COUNT_{name.upper()}"]) == words_sent


def test_whole_jobs(port: VerilatedPort) -> None:
    backend = connect(port)
    assert backend.depths == (LINK.weight_bytes, LINK.activation_bytes, LINK.result_bytes)
    assert backend.read(OFFSETS["ID"]) == 0x42534D54
    run_job(backend, job(1))
    run_job(backend, job(2, m=1, n=3, k=33))
    run_job(backend, job(3, m=4, n=1, k=5))


@pytest.mark.parametrize("skew", [0.98, 1.02])
def test_a_host_whose_clock_is_off(skew: float) -> None:
    port = VerilatedPort(MACHINE, skew=skew)
    run_job(connect(port), job(4))
    port.close()


def test_refused_accesses(port: VerilatedPort) -> None:
    backend = connect(port)
    with pytest.raises(RegisterError, match=r"writing 0x5 to 0x0 .* bus error 2"):
        backend.write(OFFSETS["ID"], 5)
    with pytest.raises(RegisterError, match=r"reading 0x100 .* bus error 3"):
        backend.read(0x100)
    with pytest.raises(RegisterError, match=r"writing 0x1 to 0x80.. .* bus error 3"):
        backend.write(0x8000 + OFFSETS["TILES"], 1)
    backend.write(OFFSETS["TILES"], 0)
    backend.write(OFFSETS["CONTROL"], CONTROL["start"])
    assert backend.read(OFFSETS["ERRORS"]) == ERRORS["bad_shape"]
    assert backend.read(OFFSETS["STATUS"]) == STATUS["fault"]
    backend.write(OFFSETS["CONTROL"], CONTROL["clear"])
    run_job(backend, job(5))


def test_an_abort_in_the_middle(port: VerilatedPort) -> None:
    backend, program = connect(port), job(6)
    weights, activations = packets(program)
    start(backend, program)
    backend.push(WEIGHTS, weights[0][:25], last=False)
    backend.push(ACTIVATIONS, activations[0][:20], last=False)
    assert backend.read(OFFSETS["STATUS"]) == STATUS["busy"]
    backend.write(OFFSETS["CONTROL"], CONTROL["abort"])
    assert backend.read(OFFSETS["STATUS"]) == STATUS["fault"]
    assert backend.read(OFFSETS["ERRORS"]) == ERRORS["aborted"]
    # the rest of both packets is discarded, whether it comes before or after the clearing
    backend.push(WEIGHTS, weights[0][25:], last=True)
    backend.write(OFFSETS["CONTROL"], CONTROL["clear"])
    assert backend.read(OFFSETS["STATUS"]) == STATUS["activations_draining"]
    backend.push(ACTIVATIONS, activations[0][20:], last=True)
    assert backend.read(OFFSETS["STATUS"]) == 0
    run_job(backend, job(7))


def test_an_abort_after_results(port: VerilatedPort) -> None:
    """The packet that was begun ends with an empty word."""
    backend, program = connect(port), job(8)
    weights, activations = packets(program)
    start(backend, program)
    while backend.status()[3] < LINK.result_bytes:
        free = backend.status()
        for stream, queue, room in (
            (WEIGHTS, weights, free[1]),
            (ACTIVATIONS, activations, free[2]),
        ):
            if queue and room:
                backend.push(stream, queue[0][:room], last=len(queue[0]) <= room)
                queue[:1] = [queue[0][room:]] if len(queue[0]) > room else []
    backend.write(OFFSETS["CONTROL"], CONTROL["abort"])
    assert backend.read(OFFSETS["STATUS"]) == STATUS["fault"] | STATUS["results_closing"]
    data, ended, empty = b"", False, False
    while not ended:
        part, ended, empty = backend.pop(5)
        data += part
    assert empty and len(data) >= LINK.result_bytes
    assert backend.status()[3] == 0
    backend.reset()
    assert backend.read(OFFSETS["STATUS"]) == 0
    run_job(backend, job(9))


@pytest.mark.parametrize(
    ("broken", "error"), [("short", "weights_short"), ("long", "weights_long")]
)
def test_a_wrong_packet_and_its_clearing(port: VerilatedPort, broken: str, error: str) -> None:
    backend, program = connect(port), job(10)
    weights, activations = packets(program)
    wrong = weights[0][:-1] if broken == "short" else weights[0] + bytes(3)
    start(backend, program)
    with pytest.raises(TransferError, match=r"stopped|ends too early"):
        backend.transfer([wrong], activations, Transfers(program=program).result_count)
    assert backend.read(OFFSETS["ERRORS"]) == ERRORS[error]
    assert backend.status()[1:] == (*backend.depths[:2], 0)
    backend.write(OFFSETS["CONTROL"], CONTROL["clear"])
    assert backend.read(OFFSETS["STATUS"]) == 0
    run_job(backend, job(11))


def test_more_results_than_expected(port: VerilatedPort) -> None:
    """The rest is thrown away: the next job must not find it."""
    backend, program = connect(port), job(18)
    start(backend, program)
    with pytest.raises(TransferError, match="ends too late"):
        backend.transfer(*packets(program), Transfers(program=program).result_count - 3)
    assert backend.status()[3] == 0
    assert backend.read(OFFSETS["STATUS"]) == 0
    run_job(backend, job(19))


def test_missing_operands_do_not_hang_the_driver(port: VerilatedPort) -> None:
    backend, program = connect(port), job(12)
    backend.patience_s = 0.0
    start(backend, program)
    with pytest.raises(TransferError, match="are all of its packets there"):
        backend.transfer(packets(program)[0][:1], [], Transfers(program=program).result_count)
    backend.reset()
    run_job(backend, job(13))


def test_recorded_jobs_with_the_stand_alone_driver(port: VerilatedPort, tmp_path: Path) -> None:
    """The jobs of the package, errors and aborts among them, by the driver that goes with it."""
    driver = make_module(driver_source(MACHINE, "test"))
    backend = connect(port)
    accelerator = driver.Accelerator(backend)
    stopped = 0
    for recorded in recorded_jobs(MACHINE):
        path = tmp_path / "job.txt"
        path.write_text(job_file(recorded, MACHINE, identity(MACHINE, "test")))
        described = driver.read_job(path)
        if described.errors & ~driver.Errors.START_REFUSED:
            stopped += 1
            with pytest.raises(driver.AcceleratorError):
                accelerator.run(described.job)
            if not accelerator.errors:
                accelerator.abort()
            backend.discard()
            accelerator.clear(flush=True)
            assert accelerator.acknowledge() == driver.Interrupts.ERROR
        else:
            assert accelerator.run(described.job) == described.results
            counters = {a: v for a, v in described.expected.items() if "COUNT" not in NAMES[a]}
            assert {address: backend.read(address) for address in counters} == counters
            accelerator.acknowledge()
    assert stopped


def test_an_abort_by_another_thread(port: VerilatedPort) -> None:
    driver = make_module(driver_source(MACHINE, "test"))
    accelerator = driver.Accelerator(connect(port))
    program = job(16)
    weights, activations = packets(program)
    shape = Transfers(program=program).shape_registers
    # one packet of weights is missing: without the abort the job would wait
    waiting = driver.Job(shape, weights[:-1], activations, Transfers(program=program).result_count)
    raised: list[Exception] = []

    def run() -> None:
        try:
            accelerator.run(waiting)
        except driver.AcceleratorError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not accelerator.status & driver.Status.BUSY:
        pass
    accelerator.abort()
    thread.join()
    assert [type(error) for error in raised] == [driver.Aborted]
    accelerator.clear(flush=True)
    run_job(accelerator.backend, job(17))


@pytest.mark.parametrize("seed", range(12))
def test_garbage_then_resync(port: VerilatedPort, seed: int) -> None:
    """Whatever the host sends, silence brings the bridge back."""
    rng = np.random.default_rng(seed)
    backend = connect(port)
    for _ in range(20):
        noise = rng.integers(0, 10 if seed % 2 else 256, size=rng.integers(1, 40))
        broken = rng.random(len(noise)) < 0.02
        port.send([int(byte) | int(bad) << 8 for byte, bad in zip(noise, broken, strict=True)])
        if rng.random() < 0.3:
            backend.resync()
            assert backend.status()[0] & ~1 == 0
    backend.resync()
    backend.reset()
    run_job(backend, job(14 + seed))


def test_each_kind_of_broken_request(port: VerilatedPort) -> None:
    backend = connect(port)
    with pytest.raises(LinkError, match="refused with 0x80"):
        backend._request(0x55, b"", 0)
    # ignored until the line was silent
    with pytest.raises(LinkError, match="fell silent"):
        port.write(bytes([2]))
        backend._receive(1)
    assert backend.resync() == REQUEST_REFUSED
    with pytest.raises(LinkError, match="refused with 0x81"):
        backend._request(7, b"\x00", 0)
    assert backend.resync() == REQUEST_REFUSED
    with pytest.raises(LinkError, match="refused with 0x81"):
        backend.push(0x02, b"x", last=False)
    assert backend.resync() == REQUEST_REFUSED
    port.write(bytes([4, 0x10, 0]))  # a write without its data
    assert backend.resync() == TIMEOUT
    port.send([2, 0x103])
    assert backend.resync() == LINE_ERROR
    assert backend.push(ACTIVATIONS, bytes(30), last=True) == LINK.activation_bytes
    assert backend.status()[0] == BYTES_DROPPED
    assert backend.status() == (0, LINK.weight_bytes, 0, 0)
    backend.reset()
    assert backend.status() == (0, LINK.weight_bytes, LINK.activation_bytes, 0)


def test_interrupt_and_leds(port: VerilatedPort) -> None:
    backend = connect(port)
    backend.write(OFFSETS["IRQ_ENABLE"], 3)
    run_job(backend, job(30))
    assert backend.status()[0] == 1
    assert port.state()["leds"] == 1
    backend.write(OFFSETS["IRQ_STATUS"], 3)
    assert backend.status()[0] == 0
    port.write(b"\xee")
    assert port.read(2) == b"\xee\x80"
    port.write(b"\x00")
    assert port.state()["leds"] == 2


def test_default_address_of_the_status_register() -> None:
    default = UartBackend.__init__.__kwdefaults__["status_address"]
    assert default == OFFSETS["STATUS"]


def test_another_protocol_is_refused() -> None:
    class Port:
        """Answers IDENTIFY of protocol 2."""

        def __init__(self) -> None:
            self.answer = b""

        def write(self, data: bytes) -> None:
            self.answer = bytes([0x81, 0, 2, 0, 0, 0, 0, 0, 0])

        def read(self, count: int) -> bytes:
            part, self.answer = self.answer[:count], self.answer[count:]
            return part

    with pytest.raises(LinkError, match="speaks protocol 2, this driver 1"):
        UartBackend(Port(), pause=lambda seconds: None)
