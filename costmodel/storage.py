"""Memory macros of a machine: its tile buffers, and what stands between streams and DRAM."""

from configs.memory import MemoryConfig
from sw.compile import Machine
from sw.compile.transfers import activation_port, weight_port

from .memory.sram import Sram


def tile_srams(machine: Machine) -> dict[str, Sram]:
    """Tile buffers, both halves in one macro; none without buffers."""
    if machine.accelerator.buffers is None:
        return {}
    return {
        f"sram.tiles.{port.name}": Sram(
            bits=2 * port.half_beats * port.beat_bits, width_bits=port.beat_bits, ports="1r1w"
        )
        for port in (weight_port(machine), activation_port(machine))
    }


def memory_srams(memory: MemoryConfig | None) -> dict[str, Sram]:
    """Buffers between DRAM and streams: ``sram.weights``, ``sram.activations``, as configured."""
    if memory is None:
        return {}
    found = {"sram.weights": memory.weight_sram, "sram.activations": memory.activation_sram}
    return {
        name: Sram(
            bits=config.kib * 8192,
            width_bits=config.width_bits,
            banks=config.banks,
            ports=config.ports,
        )
        for name, config in found.items()
        if config is not None
    }
