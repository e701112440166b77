"""The claims that are proved, by name: what ``python -m hw.proofs`` and the tests go through."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from configs.accelerator import RequantizerConfig
from sw.accumulators.width import signed_range
from sw.formats import family_terms, get_family

from .accumulator import GroupOfWeights
from .buffers import Tiles
from .bus import Guard, ResultWords, States
from .lanes import LaneSum
from .loaders import Loader
from .registers import Answers, small_map
from .results import Drain, RequantizerPipeline
from .runner import Harness
from .sequencer import Interlocks

SEED = 68


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A harness, and how it is proved.

    Attributes
    ----------
    harness : makes it.
    induction : cycles of induction.
    covers : cycles within which all its covers are reached; 0 to leave them to a smaller claim.
    slow : takes longer than a few seconds.
    """

    harness: Callable[[], Harness]
    induction: int = 1
    covers: int = 16
    slow: bool = False


def group_of_weights(
    family: str,
    length: int,
    mode: str,
    *,
    lanes: int = 4,
    lane_exponent_bits: int = 2,
    activation_bits: int = 8,
    activation_signed: bool = True,
    activations: tuple[int, int] | None = None,
    adders: str = "chain",
) -> GroupOfWeights:
    """Random weights of a family on an accumulator that is just wide enough.

    Parameters
    ----------
    length : weights in the group, K.
    activations : their range; ``None`` for all of their type.
    """
    terms = family_terms(get_family(family), lane_exponent_bits=lane_exponent_bits)
    levels = np.random.default_rng(SEED).choice(sorted(terms.terms), length)
    full = signed_range(activation_bits) if activation_signed else (0, (1 << activation_bits) - 1)
    group = GroupOfWeights(
        terms=terms,
        levels=tuple(int(level) for level in levels),
        lanes=lanes,
        activation_bits=activation_bits,
        activation_signed=activation_signed,
        activations=activations or full,
        bits=1,
        mode=mode,
        adders=adders,
    )
    return replace(group, bits=group.needed_bits())


def _group(family: str, length: int, mode: str, *, slow: bool = False, **options) -> Claim:
    """Claim about one group, whose last step can come that many cycles after reset."""
    lanes, bits = options.get("lanes", 4), options.get("lane_exponent_bits", 2)
    slots = family_terms(get_family(family), lane_exponent_bits=bits).slots
    steps = -(-length // lanes) * slots
    covers = steps + 3 if steps <= 40 else 0
    harness = partial(group_of_weights, family, length, mode, **options)
    return Claim(harness=harness, covers=covers, slow=slow)


def _lanes(family: str, lanes: int, *, slow: bool = False, **options) -> Claim:
    terms = family_terms(
        get_family(family), lane_exponent_bits=options.pop("lane_exponent_bits", 2)
    )
    harness = LaneSum(terms=terms, lanes=lanes, **({"activation_bits": 8} | options))
    return Claim(harness=lambda: harness, induction=harness.cycles, slow=slow)


_SMALL = RequantizerConfig(multiplier_bits=4, shift_bits=3)
_BOTH = ("products", "shift")
_ALL = ("products", "sums", "shift")

CLAIMS: dict[str, Claim] = {
    "lanes int4 x4": _lanes("int4", 4, activation_bits=5),
    "lanes int8 x3 unsigned": _lanes("int8", 3, activation_bits=4, activation_signed=False),
    "lanes bitmod_fp4 x4 pipelined": _lanes(
        "bitmod_fp4", 4, lane_exponent_bits=1, activation_bits=5, pipeline=_BOTH
    ),
    "lanes bitmod_fp4 x5 sums": _lanes(
        "bitmod_fp4", 5, lane_exponent_bits=1, activation_bits=5, pipeline=("sums",)
    ),
    "lanes int4 x4 all stages unsigned": _lanes(
        "int4", 4, activation_bits=5, activation_signed=False, pipeline=_ALL
    ),
    "lanes int4 x4 compressor": _lanes("int4", 4, activation_bits=5, adders="compressor"),
    "lanes bitmod_fp4 x4 compressor pipelined": _lanes(
        "bitmod_fp4",
        4,
        lane_exponent_bits=1,
        activation_bits=5,
        adders="compressor",
        pipeline=_BOTH,
    ),
    "lanes int8 x4 compressor": _lanes(
        "int8", 4, activation_bits=6, adders="compressor", slow=True
    ),
    "lanes bitmod_fp4 x8": _lanes("bitmod_fp4", 8, slow=True),
    "lanes int8 x4": _lanes("int8", 4, slow=True),
    "group int4 K=16 wrap, positive activations": _group(
        "int4", 16, "wrap", activations=(100, 127)
    ),
    "group int4 K=14 saturate, ragged": _group("int4", 14, "saturate"),
    "group bitmod_fp4 K=16 flag": _group("bitmod_fp4", 16, "flag"),
    "group bitmod_fp4 K=16 saturate, 3 slots": _group(
        "bitmod_fp4", 16, "saturate", lane_exponent_bits=1, adders="compressor"
    ),
    "group int4 K=16 flag, unsigned": _group(
        "int4", 16, "flag", activation_bits=7, activation_signed=False
    ),
    "group int8 K=6 flag, 4 slots": _group("int8", 6, "flag", lanes=2, activation_bits=6),
    "group int4 K=62 flag, ragged": _group("int4", 62, "flag", slow=True),
    "group int4 K=256 flag": _group("int4", 256, "flag", slow=True),
    "group bitmod_fp4 K=256 saturate": _group("bitmod_fp4", 256, "saturate", slow=True),
    "activation loader": Claim(
        harness=lambda: Loader(kinds={"chunk": 4}, depth=3, beat_bits=6),
    ),
    "weight loader": Claim(
        harness=lambda: Loader(kinds={"header": 5, "chunk": 4}, depth=4, beat_bits=6),
    ),
    "weight loader with parameters": Claim(
        harness=lambda: Loader(
            kinds={"parameters": 3, "header": 5, "chunk": 4}, depth=2, beat_bits=6
        ),
    ),
    "requantizer": Claim(
        harness=lambda: RequantizerPipeline(cols=2, bits=6, config=_SMALL),
    ),
    "result drain": Claim(harness=lambda: Drain(rows=3, cols=2, bits=5, result_bits=8)),
    "result drain of one row": Claim(harness=lambda: Drain(rows=1, cols=1, bits=5, result_bits=8)),
    "result drain with requantizer": Claim(
        harness=lambda: Drain(rows=3, cols=2, bits=6, result_bits=8, requantizer=_SMALL),
        slow=True,
    ),
    "result drain of 2 rows with requantizer": Claim(
        harness=lambda: Drain(rows=2, cols=1, bits=5, result_bits=8, requantizer=_SMALL),
    ),
    "sequencer, 1 slot, dequantizer 1 cycle": Claim(
        harness=lambda: Interlocks(slots=1, dequantizer_cycles=1)
    ),
    "sequencer, 2 slots, dequantizer 8 cycles": Claim(
        harness=lambda: Interlocks(slots=2, dequantizer_cycles=8)
    ),
    "sequencer, 3 slots, dequantizer 33 cycles": Claim(
        harness=lambda: Interlocks(slots=3, dequantizer_cycles=33)
    ),
    "stream guard": Claim(harness=lambda: Guard(stream_bits=2)),
    "result port, one word a row": Claim(harness=lambda: ResultWords(row_bits=8, stream_bits=8)),
    "result port, wide stream": Claim(harness=lambda: ResultWords(row_bits=8, stream_bits=16)),
    "result port, three words a row": Claim(
        harness=lambda: ResultWords(row_bits=40, stream_bits=16)
    ),
    "registers": Claim(harness=lambda: Answers(registers=small_map())),
    "job control": Claim(harness=States),
    "tile buffer of one beat": Claim(
        harness=lambda: Tiles(kinds={"chunk": 1}, stream_bits=1, half_beats=1), slow=True
    ),
    "tile buffer, two words a beat": Claim(
        harness=lambda: Tiles(kinds={"chunk": 2}, stream_bits=1, half_beats=2), slow=True
    ),
    "tile buffer of three beats": Claim(
        harness=lambda: Tiles(kinds={"chunk": 2}, stream_bits=1, half_beats=3), slow=True
    ),
    "tile buffer with headers": Claim(
        harness=lambda: Tiles(kinds={"header": 1, "chunk": 2}, stream_bits=1, half_beats=3),
        slow=True,
    ),
    "tile buffer with parameters and headers": Claim(
        harness=lambda: Tiles(
            kinds={"parameters": 3, "header": 1, "chunk": 2}, stream_bits=1, half_beats=4
        ),
        slow=True,
    ),
}
