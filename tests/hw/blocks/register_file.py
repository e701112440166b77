"""The register file: AXI4-Lite in front of every kind of register."""

import random

from amaranth.lib import wiring

from configs.accelerator import AcceleratorConfig
from hw.bus import RegisterFile
from sw.compile import Machine
from sw.compile.registers import Field, Register, RegisterMap, register_map
from sw.formats import get_family

from ..benches_cocotb.designs import small_machine
from .block import RESET, Block, Model, Outputs, Stimulus, Values

PACES = (0.1, 0.5, 0.9, 1.0)
_OKAY, _SLVERR = 0, 2


class FileModel(Model):
    """Half a write (address, data), a response of each kind, and the values that can be written."""

    def __init__(self, registers: RegisterMap) -> None:
        super().__init__()
        self.at = {register.offset // 4: register for register in registers.registers}
        self.writable = [r for r in registers.registers if r.access == "rw"]
        self._reset()

    def _reset(self) -> None:
        self.values = {register.name: 0 for register in self.writable}
        self.address: int | None = None
        self.data: tuple[int, int] | None = None  # bits, and which of them are meant
        self.written: int | None = None  # responses that wait
        self.read: tuple[int, int] | None = None

    def step(self, inputs: Values) -> Outputs:
        outputs: Outputs = {
            "awready": int(self.address is None),
            "wready": int(self.data is None),
            "bvalid": int(self.written is not None),
            "arready": int(self.read is None),
            "rvalid": int(self.read is not None),
        }
        outputs |= {name.lower(): value for name, value in self.values.items()}
        if self.written is not None:
            outputs["bresp"] = self.written
        if self.read is not None:
            outputs["rdata"], outputs["rresp"] = self.read
        found = self._answer(inputs)
        outputs |= self._write(inputs)
        if inputs["rready"]:
            self.read = None
        if inputs["arvalid"] and outputs["arready"]:
            self.read = found
            self.seen["transaction"] += 1
        if inputs["awvalid"] and outputs["awready"]:
            self.address = inputs["awaddr"] // 4
            self.seen["address first"] += self.data is None and not inputs["wvalid"]
        if inputs["wvalid"] and outputs["wready"]:
            strobes = [inputs["wstrb"] >> byte & 1 for byte in range(4)]
            mask = sum(0xFF << 8 * byte for byte, on in enumerate(strobes) if on)
            self.data = inputs["wdata"], mask
            self.seen["data first"] += self.address is None
        if inputs[RESET]:
            self._reset()
        return outputs

    def _answer(self, inputs: Values) -> tuple[int, int]:
        """Data and response for ``araddr``."""
        register = self.at.get(inputs["araddr"] // 4)
        if register is None:
            self.seen["read of nothing"] += inputs["arvalid"]
            return 0, _SLVERR
        if register.value is not None:
            return register.value, _OKAY
        if register.access == "wo":
            return 0, _OKAY
        if register.access == "rw":
            return self.values[register.name], _OKAY
        return inputs[register.name.lower()], _OKAY

    def _write(self, inputs: Values) -> Outputs:
        """Act if there is an address, data and room for the response; what the pulses are."""
        acts = self.address is not None and self.data is not None
        acts = acts and (self.written is None or bool(inputs["bready"]))
        target = self.at.get(self.address) if acts else None
        data, mask = self.data if acts else (0, 0)
        pulses: Outputs = {}
        for register in self.at.values():
            name, here = register.name.lower(), register is target and mask > 0
            size = (1 << max(f.low + f.bits for f in register.fields)) - 1
            if register.access == "wo":
                pulses[name] = data & mask & size if here else 0
                whole = mask & (1 << register.bits) - 1 == (1 << register.bits) - 1
                pulses[f"{name}_written"] = int(here and whole)
            elif register.access == "w1c":
                pulses[f"{name}_clear"] = data & mask & size if here else 0
            elif register.access == "rw" and here:
                old = self.values[register.name]
                self.values[register.name] = (old & ~mask | data & mask) & size
            self.seen[f"write {register.access}"] += here
        if inputs["bready"]:
            self.written = None
        if acts:
            refused = target is None or target.access == "ro" or bool(inputs["refuse"])
            self.written = _SLVERR if refused else _OKAY
            self.seen["transaction"] += 1
            self.seen["write to nothing"] += target is None
            self.address = self.data = None
        return pulses


class FileBlock(Block):
    """A register file of one map."""

    kind = "register_file"
    must_see = (
        *("transaction", "address first", "data first"),
        *("write ro", "write rw", "write wo", "write w1c"),
    )

    def __init__(self, variant: str, registers: RegisterMap) -> None:
        self.registers, self.variant = registers, variant
        if len(registers.registers) < 1 << registers.address_bits - 2:
            self.must_see += ("read of nothing", "write to nothing")

    def component(self) -> wiring.Component:
        return RegisterFile(registers=self.registers)

    def model(self) -> Model:
        return FileModel(self.registers)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Reads and writes of all registers and of none; what is offered stays until accepted."""
        sessions = (rng.choice((1.0, 0.5, 0.1)), *(rng.choice(PACES) for _ in range(4)))
        paces = dict(zip(("refuse", "aw", "w", "b", "r"), sessions, strict=True))
        offers: dict[str, Values] = {"aw": {}, "w": {}, "ar": {}}
        while True:
            for channel, offer in offers.items():
                if not offer and rng.random() < paces.get(channel, paces["r"]):
                    offers[channel] = self._offer(channel, rng)
            inputs = {f"{channel}valid": bool(offer) for channel, offer in offers.items()}
            for offer in offers.values():
                inputs |= offer
            inputs |= {"bready": rng.random() < paces["b"], "rready": rng.random() < paces["r"]}
            inputs["refuse"] = rng.random() > paces["refuse"]
            outputs = yield inputs
            for channel in offers:
                if outputs[f"{channel}ready"]:
                    offers[channel] = {}

    def _offer(self, channel: str, rng: random.Random) -> Values:
        """An address or data, most often one that matters."""
        if channel == "w":
            strobe = rng.choice((15, 15, rng.getrandbits(4)))
            return {"wdata": rng.getrandbits(32), "wstrb": strobe}
        port = f"{channel}addr"
        if rng.randrange(8) == 0:
            return {port: rng.getrandbits(self.registers.address_bits)}
        return {port: rng.choice(self.registers.registers).offset | rng.choice((0, 0, 1, 2, 3))}

    def corners(self) -> Stimulus:
        """Every address of a word, written with ones and zeros, and read."""
        idle = {"awvalid": 0, "wvalid": 0, "arvalid": 0, "bready": 1, "rready": 1, "refuse": 0}
        for offset in range(0, 1 << self.registers.address_bits, 4):
            for data in (0xFFFFFFFF, 0, 0xA5A5A5A5):
                write = {"awvalid": 1, "awaddr": offset, "wvalid": 1, "wdata": data, "wstrb": 15}
                yield idle | write
                yield idle
                yield idle | {"arvalid": 1, "araddr": offset}
                yield idle


def _register(name: str, offset: int, access: str, bits: int, value: int | None = None) -> Register:
    field = Field(name="value", low=0, bits=bits, text=name)
    return Register(
        name=name, offset=offset, access=access, fields=(field,), text=name, value=value
    )


#: one of every kind, with a hole between them and behind them
_SPARSE = RegisterMap(
    registers=(
        _register("CONSTANT", 0, "ro", 32, 0x8000_0001),
        _register("SHOWN", 4, "ro", 9),
        _register("WIDE", 12, "rw", 32),
        _register("BIT", 16, "rw", 1),
        _register("MIDDLE", 20, "rw", 20),
        _register("ACT", 24, "wo", 12),
        _register("STICKY", 32, "w1c", 10),
    )
)
_FLOATS = AcceleratorConfig(
    name="floats", rows=3, cols=33, lanes=1, activation_format="float16", programmable=True
)
_LARGEST = register_map(
    Machine(accelerator=_FLOATS, family=get_family("bitmod_fp4"), inner_bits=16, outer_bits=25)
)

BLOCKS = [
    FileBlock("sparse", _SPARSE),
    FileBlock("small", register_map(small_machine())),
    FileBlock("largest", _LARGEST),
]
