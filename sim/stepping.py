"""Words, beats and slots of a job: the recurrences of docs/timing.md, chunk by chunk."""

from typing import Any

from sw.compiled import inlined_loop, inner_loop

from .state import (
    ACCEPTED,
    ACTIVATION_WORDS,
    ACTIVATIONS,
    ACTIVATIONS_WAIT,
    BASE,
    BEATS,
    BEFORE,
    BUFFERED,
    CAUSES,
    CHUNKS,
    COMPUTE,
    DELAY,
    DEPTH,
    DEQUANTIZER,
    DEQUANTIZER_WAIT,
    E_BEATS,
    E_CYCLES,
    E_DEQUANTIZE,
    E_GROUP,
    E_GROUPS,
    E_KIND,
    E_START,
    E_TILE,
    E_WAITS,
    FIRST_SLOT,
    FREE,
    GIVEN,
    GIVEN_AT,
    GIVEN_WORDS,
    GROUP_BEGAN,
    GROUP_ENDED,
    GROUPS,
    HEADER_QUEUE,
    HEADER_WORDS,
    HEADERS,
    HEADS,
    INDEX,
    ISSUED,
    KIND,
    LAST_CHUNKS,
    LEAD,
    LEFT,
    LEFT_ONE,
    LEFT_TWO,
    NOTED,
    OFFSET,
    OPERAND,
    OPERANDS,
    OUTPUT_WAIT,
    P0,
    P1,
    PASS,
    PASSES,
    Q0,
    Q1,
    QUEUE,
    RATE,
    RATES,
    READ,
    SLACK,
    SLOTS,
    START,
    SUM,
    TILE,
    TILE_DONE,
    TILE_WORDS,
    USE,
    VISITED,
    WEIGHT_WORDS,
    WEIGHTS,
    WEIGHTS_WAIT,
    WORD,
)


@inner_loop
def cycles_of(words: int, p: int, q: int) -> int:
    """``words`` times p / q, rounded up, without products of all words."""
    return words // q * p - (-(words % q) * p // q)


@inner_loop
def until(x: Any, s: int, words: int) -> int:
    """Cycles that the first ``words`` words of stream ``s`` take if nothing holds them back."""
    r = RATES + s * RATE
    if x[r + KIND] == FREE or words <= 0:
        return words
    if x[r + KIND] == GIVEN:
        known = min(words, x[r + GIVEN_WORDS])
        return x[x[r + GIVEN_AT] + known] + words - known
    lead = min(words, x[r + LEAD])
    cycles = x[r + DELAY] + cycles_of(words - lead, x[r + P1], x[r + Q1])
    return cycles + cycles_of(lead, x[r + P0], x[r + Q0]) if lead else cycles


@inner_loop
def load(x: Any, s: int) -> int:
    """All words of the next tile enter the buffer; returns the cycle of the first."""
    o = OPERANDS + s * OPERAND
    index = x[o + INDEX]
    through = until(x, s, index + 1)
    offered = x[o + WORD] + through - until(x, s, index)
    first = max(offered, x[o + LEFT_TWO] + 1, x[START])
    x[o + BEFORE] = index
    x[o + INDEX] = index + x[o + TILE_WORDS]
    x[o + BASE] = first - through
    x[o + WORD] = x[o + BASE] + until(x, s, x[o + INDEX])
    return first


@inlined_loop
def accept_beat(x: Any, s: int, words: int, room: int) -> int:
    """The next beat, of so many words, enters its queue in cycle ``room`` or later; returns it."""
    o = OPERANDS + s * OPERAND
    if not x[BUFFERED]:
        index = x[o + INDEX]
        x[o + INDEX] = index + 1
        took = until(x, s, index + 1) - until(x, s, index)
        x[o + ACCEPTED] = max(x[o + ACCEPTED] + took, room, x[START])
        return x[o + ACCEPTED]
    offset = x[o + OFFSET] + words
    read = x[o + ACCEPTED]
    if x[o + PASS] == 0:  # read for the first time: perhaps not there yet
        ready = x[o + BASE] + until(x, s, x[o + BEFORE] + offset) + x[READ]
        x[o + SLACK] = min(x[o + SLACK], read - ready)
        read = max(ready, read)
    x[o + ACCEPTED] = max(read + 1, room)
    if offset == x[o + TILE_WORDS]:
        offset = 0
        x[o + PASS] += 1
        if x[o + PASS] == x[o + PASSES]:
            x[o + PASS] = 0
            x[o + LEFT_TWO] = x[o + LEFT_ONE]
            x[o + LEFT_ONE] = read
    x[o + OFFSET] = offset
    return x[o + ACCEPTED]


@inner_loop
def room(x: Any, queue: int) -> int:
    """First cycle in which the next beat fits."""
    return x[LEFT + queue * x[DEPTH] + x[HEADS + queue]] + 1


@inner_loop
def pop(x: Any, queue: int, depth: int, cycle: int) -> None:
    """The head of a queue of ``depth`` places leaves in ``cycle``."""
    head = x[HEADS + queue]
    x[LEFT + queue * x[DEPTH] + head] = cycle
    x[HEADS + queue] = head + 1 if head + 1 < depth else 0


@inner_loop
def note(x: Any, events: Any, kind: int, group: int, start: int, end: int) -> None:
    """One more event, from cycle ``start`` to ``end``."""
    if len(events):
        row = x[NOTED]
        events[row, E_KIND], events[row, E_TILE], events[row, E_GROUP] = kind, x[TILE], group
        events[row, E_START], events[row, E_CYCLES] = start, end - start + 1
        x[NOTED] = row + 1


@inlined_loop
def _wait(x: Any, events: Any, group: int, cause: int, until: int) -> None:
    """Hold the next slot back until cycle ``until``."""
    cycle = x[ISSUED] + 1
    if until > cycle:
        x[cause] += until - cycle
        x[ISSUED] = until - 1
        note(x, events, E_WAITS + cause - CAUSES, group, cycle, until - 1)


@inlined_loop
def _issue(x: Any, events: Any, group: int, weights: int, activations: int, drained: int) -> None:
    """The slots of one chunk.

    ``weights``, ``activations`` : cycles from which they can be used. ``drained`` : that from which
    the last slot of a tile may issue; of a group that does not end a tile 0, of no group -1.
    """
    slots = x[SLOTS]
    if slots > 1:
        _wait(x, events, group, WEIGHTS_WAIT, weights)
        _wait(x, events, group, ACTIVATIONS_WAIT, activations)
        if x[GROUP_BEGAN] < 0:
            x[GROUP_BEGAN] = x[ISSUED] + 1
        x[ISSUED] += slots - 1
    if drained >= 0:  # the chunk ends a group
        _wait(x, events, group, OUTPUT_WAIT, drained)
        _wait(x, events, group, DEQUANTIZER_WAIT, x[GROUP_ENDED] + x[DEQUANTIZER])
    if slots == 1:  # the only slot waits for everything
        _wait(x, events, group, WEIGHTS_WAIT, weights)
        _wait(x, events, group, ACTIVATIONS_WAIT, activations)
        if x[GROUP_BEGAN] < 0:
            x[GROUP_BEGAN] = x[ISSUED] + 1
    x[ISSUED] += 1
    x[COMPUTE] += slots


@inner_loop
def run_group(x: Any, events: Any, group: int) -> None:
    """One group: its header and its chunks."""
    ends_tile = group == x[GROUPS] - 1
    drained = x[TILE_DONE] + 1 if ends_tile else 0
    last = (x[LAST_CHUNKS] if ends_tile else x[CHUNKS]) - 1
    x[GROUP_BEGAN] = -1
    x[VISITED] += 1
    header = accept_beat(x, WEIGHTS, x[HEADER_WORDS], room(x, HEADERS))
    if x[BEATS]:
        note(x, events, E_BEATS + WEIGHTS, group, header, header)
    for chunk in range(last + 1):
        weights = accept_beat(x, WEIGHTS, x[WEIGHT_WORDS], room(x, WEIGHTS))
        activations = accept_beat(x, ACTIVATIONS, x[ACTIVATION_WORDS], room(x, ACTIVATIONS))
        if x[BEATS]:
            note(x, events, E_BEATS + WEIGHTS, group, weights, weights)
            note(x, events, E_BEATS + ACTIVATIONS, group, activations, activations)
        usable = max(header, weights) + x[USE]
        until = drained if chunk == last else -1
        _issue(x, events, group, usable, activations + x[USE], until)
        pop(x, WEIGHTS, x[QUEUE], x[ISSUED])
        pop(x, ACTIVATIONS, x[QUEUE], x[ISSUED])
    pop(x, HEADERS, x[HEADER_QUEUE], x[ISSUED])
    x[GROUP_ENDED] = x[ISSUED]
    if x[FIRST_SLOT] < 0:
        x[FIRST_SLOT] = x[GROUP_BEGAN]
    note(x, events, E_GROUPS, group, x[GROUP_BEGAN], x[ISSUED])
    start = x[ISSUED] + x[SUM]
    note(x, events, E_DEQUANTIZE, group, start, start + x[DEQUANTIZER] - 1)
