"""Control of tile buffers, as in ``hw/memory/``; the block RAM itself is ``sram_bits``."""

from configs.timing import GROUP_COUNT_BITS, TILE_COUNT_BITS
from sw.compile.transfers import OperandPort

from .structure import COMPARE_GATES, Structure, adder, counter, enabled_register, register


def buffer_control(port: OperandPort) -> Structure:
    """``TileBuffer`` without its memory: filling, reading, and what a tile is made of."""
    return _filling(port) + _reading(port)


def _place_bits(port: OperandPort) -> int:
    return max(1, (port.half_beats - 1).bit_length())


def _filling(port: OperandPort) -> Structure:
    """Words into the free half, a cycle behind their arrival; which of them end what."""
    places, words = _place_bits(port), max(port.words.values())
    # with a word a beat, bits beyond a beat are not stored
    payload = min(port.stream_bits, port.beat_bits) if words == 1 else port.stream_bits
    parts = register(payload + words)
    # filled beats; with the half and a cycle later the address; halves that are full, on both sides
    parts += counter(places) + register(places + 1) + enabled_register(4)
    parts += Structure(gates=places * COMPARE_GATES) + counter((max(2, words) - 1).bit_length())
    # tile and beat of that cycle: of two words each, a beat is there with its second
    parts += register(1 + (set(port.words.values()) != {2}))
    # half; what comes next
    parts += enabled_register(1 + len(port.words) - 1)
    # chunks and groups of a tile, as a walker without its tiles
    parts += counter(GROUP_COUNT_BITS).times(2) + register(4) + enabled_register(3)
    parts += Structure(gates=6 * GROUP_COUNT_BITS * COMPARE_GATES)
    # passes that no tile was loaded for: less those of a tile, or all
    missing = enabled_register(TILE_COUNT_BITS + 1)
    return parts + missing + adder(TILE_COUNT_BITS).times(2) + Structure(mux2_bits=TILE_COUNT_BITS)


def _reading(port: OperandPort) -> Structure:
    """Beats of the other half, pass after pass."""
    places = _place_bits(port)
    # passes left, passes of the tile; half, valid, flags
    passes = counter(TILE_COUNT_BITS).times(2) + enabled_register(6)
    passes += Structure(gates=4 * TILE_COUNT_BITS * COMPARE_GATES, mux2_bits=TILE_COUNT_BITS)
    # place and length; whether the next is there, and the last, of three candidates each
    walk = counter(places) + enabled_register(places + 3)
    return passes + walk + Structure(gates=5 * places * COMPARE_GATES)
