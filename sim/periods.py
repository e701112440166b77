"""What repeats in a job: states that come back between groups, tiles or rounds, and skipping."""

from typing import Any

from sw.compiled import inner_loop

from .state import (
    ACCEPTED,
    ACTIVATIONS,
    BEFORE,
    BUFFERED,
    CAUSE_COUNT,
    CAUSES,
    DEPTH,
    GROUP_ENDED,
    HEADER_QUEUE,
    HEADERS,
    HEADS,
    INDEX,
    ISSUED,
    KIND,
    LEAD,
    LEFT,
    LEFT_ONE,
    LEFT_TWO,
    OFFSET,
    OPERAND,
    OPERANDS,
    P0,
    P1,
    PARAMETER_QUEUE,
    PARAMETER_WORDS,
    PASS,
    Q0,
    Q1,
    QUEUE,
    RATE,
    RATES,
    RESULT_INDEX,
    RESULTS,
    RULE,
    S_CAUSES,
    S_INDEX,
    S_ISSUED,
    S_OFFSET,
    S_PLACE,
    S_RESULTS,
    SLACK,
    TILE,
    TILE_DONE,
    TILE_PARAMETERS,
    WEIGHTS,
    WORD,
)
from .stepping import until


@inner_loop
def _phase(x: Any, s: int, words: int) -> int:
    """What the rule makes of the words behind the first ``words``."""
    r = RATES + s * RATE
    if x[r + KIND] != RULE:
        return 0
    if words < x[r + LEAD] or not words:
        return -1 - (words % x[r + Q0] if words else x[r + Q0])
    return (words - x[r + LEAD]) % x[r + Q1]


@inner_loop
def _within(x: Any, s: int, words: int, period: int, repeats: int) -> int:
    """Repeats of ``period`` words that do not pass from one part of the rule to the other."""
    lead = x[RATES + s * RATE + LEAD]
    if x[RATES + s * RATE + KIND] != RULE or words >= lead or period <= 0:
        return repeats
    return min(repeats, (lead - words) // period)


@inner_loop
def _same(keys: Any, row: int, size: int) -> bool:
    for i in range(size):  # noqa: SIM110
        if keys[0, i] != keys[row, i]:
            return False
    return True


@inner_loop
def _queue_key(x: Any, key: Any, size: int) -> int:
    """Departures from the queues, oldest first, relative to the latest slot; returns the size.

    Those before the latest beat of their stream hold nothing back any more and count as equal.
    """
    for queue in range(HEADERS + 1):
        depth = x[HEADER_QUEUE] if queue == HEADERS else x[QUEUE]
        stream = ACTIVATIONS if queue == ACTIVATIONS else WEIGHTS
        latest = x[OPERANDS + stream * OPERAND + ACCEPTED]
        for i in range(depth):
            place = x[HEADS + queue] + i
            place = place if place < depth else place - depth
            key[size + i] = max(x[LEFT + queue * x[DEPTH] + place], latest) - x[ISSUED]
        size += depth
    return size


@inner_loop
def group_key(x: Any, key: Any) -> int:
    """What the next group depends on, but for words that are still to come into a buffer."""
    for s in range(2):
        o = OPERANDS + s * OPERAND
        words = x[o + BEFORE] + x[o + OFFSET] if x[BUFFERED] else x[o + INDEX]
        key[2 * s] = x[o + ACCEPTED] - x[ISSUED]
        key[2 * s + 1] = 0 if x[BUFFERED] and x[o + PASS] else _phase(x, s, words)
    return _queue_key(x, key, 4)


@inner_loop
def tile_key(x: Any, key: Any) -> int:
    """Everything the next tile depends on, relative to the latest slot; returns the size."""
    issued, r, size = x[ISSUED], RATES + RESULTS * RATE, 2
    slowest = 2 + max(x[r + P0] // x[r + Q0], x[r + P1] // x[r + Q1])
    key[0] = max(x[TILE_DONE] - issued, -slowest)
    key[1] = _phase(x, RESULTS, x[RESULT_INDEX])
    for s in range(2):
        o = OPERANDS + s * OPERAND
        word = x[o + WORD]
        loads = x[BUFFERED] and x[o + PASS] == 0
        key[size] = x[o + ACCEPTED] - issued
        key[size + 1] = _phase(x, s, x[o + INDEX]) if loads or not x[BUFFERED] else 0
        key[size + 2] = word - issued if loads else 0
        key[size + 3] = max(x[o + LEFT_TWO], word) - issued if loads else 0
        key[size + 4] = max(x[o + LEFT_ONE], word) - issued if loads else 0
        size += 5
    depth, latest = x[PARAMETER_QUEUE], x[OPERANDS + WEIGHTS * OPERAND + ACCEPTED]
    for i in range(depth):
        place = LEFT + TILE_PARAMETERS * x[DEPTH] + (x[HEADS + TILE_PARAMETERS] + i) % depth
        key[size + i] = max(x[place], latest) - issued if x[PARAMETER_WORDS] else 0
    return _queue_key(x, key, size + depth)


@inner_loop
def _later(x: Any, cycles: int) -> None:
    """Move what the next group depends on ``cycles`` later."""
    x[ISSUED] += cycles
    x[GROUP_ENDED] += cycles
    for s in range(2):
        x[OPERANDS + s * OPERAND + ACCEPTED] += cycles
    for i in range((HEADERS + 1) * x[DEPTH]):
        x[LEFT + i] += cycles


@inner_loop
def keep(x: Any, place: int, seen: Any) -> None:
    """Note where the job stands: before tile, or group, ``place``."""
    seen[S_PLACE], seen[S_ISSUED], seen[S_RESULTS] = place, x[ISSUED], x[RESULT_INDEX]
    for s in range(2):
        seen[S_INDEX + s] = x[OPERANDS + s * OPERAND + INDEX]
        seen[S_OFFSET + s] = x[OPERANDS + s * OPERAND + OFFSET]
    for i in range(CAUSE_COUNT):
        seen[S_CAUSES + i] = x[CAUSES + i]


@inner_loop
def repeat_groups(x: Any, seen: Any, group: int, left: int) -> int:
    """Repeat the groups since ``seen`` before ``group``, at most ``left``; returns those skipped.

    Words that are still to come into a buffer may be slower than the array: then only until one of
    them would be waited for.
    """
    period = group - seen[S_PLACE]
    repeats = left // period
    cycles = x[ISSUED] - seen[S_ISSUED]
    for s in range(2):
        o = OPERANDS + s * OPERAND
        if not x[BUFFERED]:
            repeats = _within(x, s, x[o + INDEX], x[o + INDEX] - seen[S_INDEX + s], repeats)
        elif x[o + PASS] == 0:
            now, before = x[o + BEFORE] + x[o + OFFSET], x[o + BEFORE] + seen[S_OFFSET + s]
            repeats = _within(x, s, now, now - before, repeats)
            took = until(x, s, now) - until(x, s, before)
            if took != cycles and x[o + SLACK] < 0:
                return 0
            if took > cycles:
                repeats = min(repeats, x[o + SLACK] // (took - cycles))
    if repeats < 1:
        return 0
    name, was = (OFFSET, S_OFFSET) if x[BUFFERED] else (INDEX, S_INDEX)
    for s in range(2):
        place = OPERANDS + s * OPERAND + name
        x[place] += repeats * (x[place] - seen[was + s])
    for i in range(CAUSE_COUNT):
        x[CAUSES + i] += repeats * (x[CAUSES + i] - seen[S_CAUSES + i])
    _later(x, repeats * cycles)
    return repeats * period


@inner_loop
def repeat_tiles(x: Any, seen: Any, left: int) -> int:
    """Repeat the tiles since ``seen``, at most ``left`` of them; returns the tiles skipped."""
    period = x[TILE] - seen[S_PLACE]
    results = x[RESULT_INDEX] - seen[S_RESULTS]
    repeats = _within(x, RESULTS, x[RESULT_INDEX], results, left // period)
    for s in range(2):
        index = x[OPERANDS + s * OPERAND + INDEX]
        repeats = _within(x, s, index, index - seen[S_INDEX + s], repeats)
    if repeats < 1:
        return 0
    cycles = repeats * (x[ISSUED] - seen[S_ISSUED])
    x[RESULT_INDEX] += repeats * results
    x[TILE_DONE] += cycles
    for s in range(2):
        o = OPERANDS + s * OPERAND
        x[o + INDEX] += repeats * (x[o + INDEX] - seen[S_INDEX + s])
        if x[BUFFERED] and x[o + PASS]:  # read again: nothing is loaded meanwhile
            x[o + PASS] += repeats * period
        else:
            x[o + WORD] += cycles
            x[o + LEFT_TWO] += cycles
            x[o + LEFT_ONE] += cycles
    for i in range(x[PARAMETER_QUEUE]):
        x[LEFT + TILE_PARAMETERS * x[DEPTH] + i] += cycles
    for i in range(CAUSE_COUNT):
        x[CAUSES + i] += repeats * (x[CAUSES + i] - seen[S_CAUSES + i])
    _later(x, cycles)
    return repeats * period


@inner_loop
def returned(search: Any, keys: Any, row: int, size: int) -> bool:
    """Whether the state in row 0 of ``keys`` is that in ``row``; if not, whether to keep it there.

    Brent's search for a period: the state kept is replaced after 1, 2, 4, 8 ... more of them.
    """
    search[row, 0] = 0
    if search[row, 1] and _same(keys, row, size):
        return True
    if search[row, 2] == search[row, 1]:
        search[row, 0], search[row, 1], search[row, 2] = 1, max(1, 2 * search[row, 1]), 0
        for i in range(size):
            keys[row, i] = keys[0, i]
    search[row, 2] += 1
    return False
