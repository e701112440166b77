"""Total cycles of a job without walking through it, where its longest path is known to be simple.

Slots, queues and words of a machine without tile buffers are sums and maxima of the times before
them (docs/timing.md), so a job takes as long as the longest path through it. The paths from one
word straight to the end are affine in tile, group and chunk but for the word's rounded cycle:
the longest begins at a corner, a first or last one of each. Other paths turn round where a full
queue holds its stream back. :func:`_is_straight` proves for most jobs that none of these is longer;
it says no where it cannot, and such a job is to be simulated.
"""

import math
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sw.compiled import inner_loop, outer_loop

from .state import (
    BUFFERED,
    CHUNKS,
    DELAY,
    DEQUANTIZER,
    FREE,
    GROUPS,
    HEADER_QUEUE,
    KIND,
    LAST_CHUNKS,
    LEAD,
    P1,
    PARAMETER_QUEUE,
    PARAMETER_WORDS,
    Q1,
    QUEUE,
    RESULT,
    RESULT_WORDS,
    RESULTS,
    RULE,
    SLOTS,
    START,
    TILES,
    USE,
    WEIGHTS,
)

#: of a job without walking through it
UNKNOWN = -1
#: products below stay 64-bit integers
_LARGEST = 1 << 61
#: of the job: cycles of a group, of the last one of a tile, of a tile; of each stream: cycles of a
#: word as a fraction, words before the chunks of a tile and of a group, words of a tile, first word
GROUP, LAST, WHOLE, FIELDS = range(4)
P, Q, BEFORE_TILE, BEFORE_GROUP, WORDS, FIRST, STREAM = range(7)


@inner_loop
def _ceil(a: int, b: int) -> int:
    return -(-a // b)


@inner_loop
def _cycles(words: int, p: int, q: int) -> int:
    """``words`` times p / q, rounded up."""
    return words // q * p + _ceil(words % q * p, q)


@inner_loop
def _job(x: Any) -> Any:
    """Cycles between the ends of groups and tiles, if all words are there."""
    found = np.zeros(FIELDS, dtype=np.int64)
    found[GROUP] = max(x[SLOTS] * x[CHUNKS], x[DEQUANTIZER])
    found[LAST] = max(x[SLOTS] * x[LAST_CHUNKS], x[DEQUANTIZER])
    found[WHOLE] = (x[GROUPS] - 1) * found[GROUP] + found[LAST]
    return found


@inner_loop
def _stream(x: Any, rates: Any, s: int) -> Any:
    """One operand's stream."""
    rate, found = rates[s], np.zeros(STREAM, dtype=np.int64)
    is_free = rate[KIND] == FREE
    found[P], found[Q] = (1, 1) if is_free else (rate[P1], rate[Q1])
    found[BEFORE_TILE] = x[PARAMETER_WORDS] if s == WEIGHTS else 0
    found[BEFORE_GROUP] = 1 if s == WEIGHTS else 0
    chunks = (x[GROUPS] - 1) * x[CHUNKS] + x[LAST_CHUNKS]
    found[WORDS] = found[BEFORE_TILE] + x[GROUPS] * found[BEFORE_GROUP] + chunks
    # in this cycle the first word comes; it cannot before the start
    found[FIRST] = max(x[START], (0 if is_free else rate[DELAY]) + _ceil(found[P], found[Q]))
    return found


@inner_loop
def _word(x: Any, stream: Any, tile: int, group: int, chunk: int) -> int:
    """Words before that of a chunk, since the job's start."""
    before = tile * stream[WORDS] + stream[BEFORE_TILE]
    return before + group * (x[CHUNKS] + stream[BEFORE_GROUP]) + stream[BEFORE_GROUP] + chunk


@inner_loop
def _comes(stream: Any, word: int) -> int:
    """Cycle in which a word comes if its stream is never held back."""
    p, q = stream[P], stream[Q]
    return stream[FIRST] - _ceil(p, q) + _cycles(word + 1, p, q)


@inner_loop
def _corner(x: Any, i: int) -> Any:
    """Tile, group and chunk of corner ``i`` of 12; a group of -1 where the job has no such."""
    tile = (x[TILES] - 1) * (i & 1)
    if i < 4:
        return tile, x[GROUPS] - 1, (x[LAST_CHUNKS] - 1) * (i >> 1)
    group = -1 if x[GROUPS] == 1 else (x[GROUPS] - 2) * (i >> 1 & 1)
    return tile, group, (x[CHUNKS] - 1) * ((i - 4) >> 2)


@inner_loop
def _last_slot(x: Any, job: Any, streams: Any) -> int:
    """Cycle of the last slot: the longest straight path."""
    found = 0
    for i in range(12):
        tile, group, chunk = _corner(x, i)
        if group < 0:
            continue
        rest = (x[TILES] - 1 - tile) * job[WHOLE]
        if group == x[GROUPS] - 1:
            rest += x[SLOTS] * (x[LAST_CHUNKS] - 1 - chunk)
        else:
            rest += x[SLOTS] * (x[CHUNKS] - 1 - chunk) + job[LAST]
            rest += (x[GROUPS] - 2 - group) * job[GROUP]
        for stream in streams:
            comes = _comes(stream, _word(x, stream, tile, group, chunk))
            found = max(found, comes + x[USE] + x[SLOTS] - 1 + rest)
    return found


@inner_loop
def _later(x: Any, streams: Any, s: int) -> int:
    """At most so many cycles after that of one stream comes a chunk's word of the other."""
    here, other = streams[s], streams[1 - s]
    most = 0.0
    for i in range(12):
        tile, group, chunk = _corner(x, i)
        if group >= 0:
            ends = (_word(x, other, tile, group, chunk) + 1.0) * other[P] / other[Q]
            own = (_word(x, here, tile, group, chunk) + 1.0) * here[P] / here[Q]
            # with what a float64 may be wrong by
            most = max(most, ends - own + 1e-15 * (ends + own))
    # each is rounded up, so that the difference is less than one cycle more
    shift = other[FIRST] - _ceil(other[P], other[Q]) - here[FIRST] + _ceil(here[P], here[Q])
    return max(0, shift + math.ceil(most))


@inner_loop
def _most(x: Any, chunk: Any, group: Any, last: Any, tile: Any, begin: Any, before: Any) -> Any:
    """Most that chunks in a row can add up to, wherever they begin and end.

    ``chunk``: what another chunk of a group adds, ``group`` and ``last`` from the end of a group to
    that of the next, ``tile`` from the end of a tile to that of the next, ``begin`` and ``before``
    beside its chunks the beginning of a group and of a tile.
    """
    alone = max(0, chunk) * (x[CHUNKS] - 1)
    if x[TILES] * x[GROUPS] == 1:
        return alone
    # to the end of the first group, whole groups of the first and of the last tile, and a part
    steps = 2 * x[GROUPS] * max(0, group) + max(0, last)
    part = max(chunk, chunk * x[CHUNKS]) + begin
    if x[TILES] > 1:
        steps += max(0, tile) * x[TILES]
        part += max(0, before)
    return alone + steps + max(0, part)


@inner_loop
def _excess(x: Any, job: Any, stream: Any, sign: int) -> int:
    """Bound of how much longer words take than slots (sign 1), or slots than words (sign -1).

    Over any chunks in a row, in cycles times Q; negative if there is no bound.
    """
    p, q, head = stream[P], stream[Q], stream[BEFORE_GROUP]
    tile = sign * (p * stream[WORDS] - job[WHOLE] * q)
    if x[TILES] > 1 and tile > 0:
        return -1
    return _most(
        x,
        sign * (p - x[SLOTS] * q),
        sign * (p * (x[CHUNKS] + head) - job[GROUP] * q),
        sign * (p * (x[LAST_CHUNKS] + head) - job[LAST] * q),
        0,
        sign * p * head,
        sign * p * stream[BEFORE_TILE],
    )


@inner_loop
def _slower(x: Any, stream: Any, other: Any) -> float:
    """Bound of how much longer words of one stream take than those of the other."""
    own, less = stream[P] / stream[Q], other[P] / other[Q]
    head, other_head = stream[BEFORE_GROUP], other[BEFORE_GROUP]
    return _most(
        x,
        own - less,
        own * (x[CHUNKS] + head) - less * (x[CHUNKS] + other_head),
        own * (x[LAST_CHUNKS] + head) - less * (x[LAST_CHUNKS] + other_head),
        own * stream[WORDS] - less * other[WORDS],
        own * head - less * other_head,
        own * stream[BEFORE_TILE] - less * other[BEFORE_TILE],
    )


@inner_loop
def _tail(x: Any, rates: Any) -> int:
    """At most so many cycles from a tile's last slot until its results have left."""
    p, q = rates[RESULTS, P1], rates[RESULTS, Q1]
    if rates[RESULTS, KIND] == FREE:
        p, q = 1, 1
    return x[RESULT] + _ceil(p * (x[RESULT_WORDS] - 1), q) + max(1, _ceil(p, q) - x[RESULT])


@inner_loop
def _place(x: Any, job: Any, streams: Any, s: int, kind: int) -> Any:
    """A queue's place, from the last slot that uses it to the next beat in it.

    ``kind``: of chunks, headers or parameters. Returns words until that beat's, those of the other
    stream until its chunk's, cycles of the slots between, words from the beat to its chunk's.
    """
    words, others = streams[s], streams[1 - s]
    if kind == 0:
        return x[QUEUE], x[QUEUE], x[SLOTS] * x[QUEUE], 0
    if kind == 1:
        groups = x[HEADER_QUEUE] - 1
        several = x[GROUPS] > 1
        chunks = groups * (min(x[CHUNKS], x[LAST_CHUNKS]) if several else x[LAST_CHUNKS])
        slots = groups * (min(job[GROUP], job[LAST]) if several else job[LAST])
        return chunks + groups + 1, chunks + 1, slots + x[SLOTS], 1
    tiles = x[PARAMETER_QUEUE] - 1
    return tiles * words[WORDS] + 1, tiles * others[WORDS] + 1, tiles * job[WHOLE] + x[SLOTS], 2


@inner_loop
def _is_held_back(x: Any, job: Any, streams: Any, s: int, tail: int) -> bool:
    """Whether full queues might hold a stream back so long that a path over them is longest.

    A path leaves the array where a slot frees a place of a queue and comes back with a later word.
    It does no harm if the slots between take as long; if the place is free before its word comes
    anyway; or if the other stream's words take as long.
    """
    stream, other = streams[s], streams[1 - s]
    p, q = stream[P], stream[Q]
    late, early = _excess(x, job, stream, 1), _excess(x, job, stream, -1)
    others_early = _excess(x, job, other, -1)
    behind, slower = _later(x, streams, s), _slower(x, stream, other)
    for kind in range(3 if s == WEIGHTS else 1):
        if kind == 2 and (not x[PARAMETER_WORDS] or x[TILES] <= x[PARAMETER_QUEUE]):
            continue
        words, others, slots, extra = _place(x, job, streams, s, kind)
        free = x[USE] + x[SLOTS] + (tail if kind == 2 else 0)
        if late >= 0 and _ceil(late + extra * p, q) + free <= slots:
            continue
        if early < 0 or free * q + early > p * words:
            return True
        if (behind + free) * q + early <= p * words:
            continue
        # from a word of the other stream, over the place, to a later word of the other stream
        wait = slower + extra * p / q + free + others_early / other[Q] + 1.000001
        if others_early < 0 or wait > others * other[P] / other[Q]:
            return True
    return False


@inner_loop
def _is_straight(x: Any, rates: Any, job: Any, streams: Any) -> bool:
    """Whether no path that turns round is longer than the straight ones."""
    tail = _tail(x, rates)
    apart = _LARGEST
    for stream in streams:
        apart = min(apart, max(job[WHOLE], stream[P] * stream[WORDS] // stream[Q]))
    if x[TILES] > 1 and tail > apart:
        return False  # results of a tile may hold up the next one
    return not (_is_held_back(x, job, streams, 0, tail) or _is_held_back(x, job, streams, 1, tail))


@inner_loop
def _is_small(x: Any, streams: Any) -> bool:
    """Whether no product here overflows."""
    for stream in streams:
        most = 4.0 * stream[P] * max(stream[WORDS], x[QUEUE]) * x[PARAMETER_QUEUE]
        slots = 4.0 * stream[Q] * (x[SLOTS] + x[DEQUANTIZER]) * (stream[WORDS] + x[QUEUE])
        whole = 2.0 * stream[P] / stream[Q] * stream[WORDS] * x[TILES]
        if max(most, slots * x[PARAMETER_QUEUE], whole) >= _LARGEST:
            return False
    return True


@inner_loop
def _total(x: Any, rates: Any) -> int:
    """As :func:`straight_cycles`, of one job."""
    if x[TILES] == 0:
        return 0
    if x[BUFFERED]:
        return UNKNOWN
    for s in range(3):
        if rates[s, KIND] > RULE or (rates[s, KIND] == RULE and rates[s, LEAD]):
            return UNKNOWN
    job = _job(x)
    streams = (_stream(x, rates, 0), _stream(x, rates, 1))
    if not (_is_small(x, streams) and _is_straight(x, rates, job, streams)):
        return UNKNOWN
    words, p, q, delay = x[RESULT_WORDS], rates[RESULTS, P1], rates[RESULTS, Q1], 0
    if rates[RESULTS, KIND] == FREE:
        p, q = 1, 1
    else:
        delay = rates[RESULTS, DELAY]
    offered = _last_slot(x, job, streams) + x[RESULT]
    before = (x[TILES] - 1) * words
    end = _word(x, streams[1], 0, x[GROUPS] - 1, x[LAST_CHUNKS] - 1)
    if delay + _ceil(p, q) > _comes(streams[1], end) + x[RESULT]:
        return UNKNOWN  # the first result word may wait for its stream
    return offered + _cycles(before + words, p, q) - _cycles(before + 1, p, q)


def _sources() -> str:
    """Hash of the code that is compiled into the function below."""
    folder = Path(__file__).parent
    return sha256(
        b"".join((folder / f).read_bytes() for f in ("state.py", "critical.py"))
    ).hexdigest()


def _compiled(sources: str) -> Any:
    @outer_loop
    def straight_cycles(parameters: Any, rates: Any, found: Any) -> None:
        """Total cycles of many jobs.

        Parameters
        ----------
        parameters, rates : as for :func:`sim.kernel.run_jobs`.
        found : int64 (jobs,), filled; :data:`UNKNOWN` where a job is to be simulated.
        """
        assert sources
        for i in range(len(parameters)):
            found[i] = _total(parameters[i], rates[i])

    return straight_cycles


straight_cycles = _compiled(_sources())
