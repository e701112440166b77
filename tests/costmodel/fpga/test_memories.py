"""Block RAM, LUT RAM and flip-flops of memories: the rules against synthesis and by hand."""

import pytest
from amaranth import ClockDomain, ClockSignal, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from configs.accelerator import AcceleratorConfig, BufferConfig, RequantizerConfig, StreamConfig
from configs.errors import InputError
from costmodel.fpga import FAMILIES, map_cells, statistics
from costmodel.fpga.memories import Storage, buffer_shape, machine_memories, storage
from hw.array import Queue
from hw.emit import to_rtlil, without_collision_checks
from hw.memory import TileBuffer
from sw.compile import Machine
from sw.compile.transfers import activation_port, weight_port
from sw.formats import get_family


class Ram(wiring.Component):
    """A memory with a port to write and one to read, as buffers and queues have."""

    def __init__(self, width: int, depth: int, word_bits: int, *, synchronous: bool) -> None:
        self.shape = width, depth, word_bits
        self.synchronous = synchronous
        address = max(1, (depth - 1).bit_length())
        members = {"aclk": In(1), "read_enable": In(1), "write_data": In(width)}
        members |= {"read_address": In(address), "write_address": In(address)}
        members |= {"write_enable": In(width // word_bits), "read_data": Out(width)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        width, depth, word_bits = self.shape
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.aclk)
        attributes = {"no_rw_check": 1} if self.synchronous else {}
        memory = Memory(shape=unsigned(width), depth=depth, init=[], attrs=attributes)
        m.submodules.memory = memory
        write = memory.write_port(granularity=None if word_bits == width else word_bits)
        if self.synchronous:
            read = memory.read_port()
            m.d.comb += read.en.eq(self.read_enable)
        else:
            read = memory.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m


def mapped(ram: Ram, family: str) -> tuple[int, int]:
    """Block RAMs and look-up tables of LUT RAM, behind Yosys' mapping of memories."""
    source = without_collision_checks(to_rtlil(ram, "top"))
    script = f"{FAMILIES[family].script[0]} -top top -run begin:map_ffs"
    cells = statistics([script], source)["num_cells_by_type"]
    used = FAMILIES[family].resources(cells)
    rams = {name: n for name, n in cells.items() if "DPR" in name or name.startswith("RAM")}
    luts = FAMILIES[family].resources(rams).lut
    return used.bram, luts


#: width, depth, bits of a word, read in a cycle of its own
ECP5 = [
    (64, 32, 64, True),
    (32, 64, 32, True),
    (64, 1048, 8, True),
    (40, 1024, 40, True),
    (16, 3000, 16, True),
    (80, 114, 80, True),
    (5, 2, 5, False),
    (9, 33, 9, False),
]
ICE40 = [
    (8, 8, 8, True),
    (8, 9, 8, True),
    (24, 600, 8, True),
    (20, 1030, 20, True),
    (64, 300, 16, True),
    (8, 16, 8, False),
]
XC7 = [(64, 128, 64, True), (64, 1048, 8, True), (13, 4, 13, False)]
CASES = [
    (family, *case)
    for family, cases in (("ecp5", ECP5), ("ice40", ICE40), ("xc7", XC7))
    for case in cases
]


@pytest.mark.rtl
@pytest.mark.parametrize(("family", "width", "depth", "word_bits", "synchronous"), CASES)
def test_rule_is_what_yosys_does(family, width, depth, word_bits, synchronous):
    found = storage(family, width, depth, word_bits=word_bits, synchronous=synchronous)
    ram = Ram(width, depth, word_bits, synchronous=synchronous)
    assert (found.bram, found.ram_luts) == mapped(ram, family)


def small(*, buffers: BufferConfig | None = None, lanes: int = 4, **options) -> Machine:
    array = AcceleratorConfig(
        name="test", rows=2, cols=2, lanes=lanes, buffers=buffers, queue_beats=4, **options
    )
    return Machine(accelerator=array, family=get_family("bitmod_fp4"), inner_bits=20, outer_bits=32)


@pytest.mark.rtl
@pytest.mark.parametrize("family", ["ecp5", "ice40"])
@pytest.mark.parametrize("port_of", [weight_port, activation_port])
def test_tile_buffers(family, port_of):
    built = small(buffers=BufferConfig(weight_beats=200, activation_beats=100))
    port = port_of(built)
    source = without_collision_checks(to_rtlil(TileBuffer(port=port), "top"))
    used = map_cells(source, family, top="top")
    assert machine_memories(built, family)[f"buffer.{port.name}"].bram == used["bram"] > 0


@pytest.mark.rtl
def test_queue_on_ice40_is_made_of_flip_flops():
    built = small()
    queue = Queue(width=built.chunk_bits, depth=4)
    used = map_cells(to_rtlil(queue, "top"), "ice40", top="top")
    kept = machine_memories(built, "ice40")["queue.weights"].flip_flops
    # places, whether there is room and a word
    assert used["flip_flops"] == kept + 2 * 2 + 2


def test_memories_of_a_machine():
    plain, parts = small(), machine_memories(small(), "ecp5")
    assert set(parts) == {"queue.headers", "queue.weights", "queue.activations"}
    # 2 columns of 4 lanes of 4 bits: 32 bits, 4 of them in a distributed RAM of 4 look-up tables
    assert parts["queue.weights"] == Storage(ram_luts=32)
    whole = small(
        requantizer=RequantizerConfig(), buffers=BufferConfig(weight_beats=16, activation_beats=16)
    )
    assert set(machine_memories(whole, "xc7")) == {
        *parts,
        "queue.parameters",
        "buffer.weights",
        "buffer.activations",
    }
    assert plain.parameter_bits == 0


def test_shape_of_a_tile_buffer():
    built = small(buffers=BufferConfig(weight_beats=200, activation_beats=100))
    # the half that is written first is as large as an address can be
    assert buffer_shape(weight_port(built)) == (32, 256 + 200, 32)
    assert buffer_shape(activation_port(built)) == (64, 128 + 100, 64)


def test_bits_of_a_tile_buffer_that_nothing_reads():
    streams = StreamConfig(weight_bits=32, activation_bits=32)
    buffers = BufferConfig(weight_beats=16, activation_beats=16)
    # 2 rows of 3 lanes of 6 bits: 36 bits in a beat of 40, of two words
    built = small(buffers=buffers, streams=streams, lanes=3, activation_bits=6)
    assert buffer_shape(activation_port(built)) == (36, 32, 32)
    assert buffer_shape(activation_port(built), alone=True) == (40, 32, 32)


def test_sum_of_storages():
    one = Storage(bram=1, ram_luts=2, flip_flops=3)
    assert one + one == Storage(bram=2, ram_luts=4, flip_flops=6)


def test_unknown_family():
    with pytest.raises(InputError, match="unknown FPGA family 'ecp': did you mean 'ecp5'"):
        storage("ecp", 8, 8, synchronous=True)
