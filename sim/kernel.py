"""The recurrences of docs/timing.md: one job, slot by slot, on plain integers.

Compiled by numba where it is installed; the same functions run without it. Both views of the
simulator are this code: stepped, it visits every chunk and can note every event; fast, it also
recognises that a state has come back, between groups, tiles or rounds, and skips what repeats.

A job is one int64 array ``x``: numbers are passed between compiled functions faster in one array
than in several. :func:`new_job` makes it.
"""

from typing import Any

import numpy as np

from sw.quantize.compiled import inlined_loop, inner_loop, outer_loop

LONG_AGO = -(1 << 40)
_FAR = 1 << 60
#: what a job is, in the terms of docs/timing.md (latencies too: compiled code that is kept on disk
#: must not depend on constants of other files)
(
    SLOTS,
    DEQUANTIZER,
    RESULT,
    SUM,
    QUEUE,
    TILES,
    GROUPS,
    CHUNKS,
    LAST_CHUNKS,
    INNER,
    BUFFERED,
    PARAMETER_WORDS,
    HEADER_WORDS,
    WEIGHT_WORDS,
    ACTIVATION_WORDS,
    RESULT_WORDS,
    WEIGHT_PASSES,
    ACTIVATION_PASSES,
    START,
    USE,
    READ,
    HEADER_QUEUE,
    PARAMETER_QUEUE,
    PARAMETERS,
) = range(24)
#: where it stands: latest slot, first slot of the group and of the job, last slot of the latest
#: group, last result word of the latest tile, result words, tiles, events, groups gone through;
#: whether beats are events too
(
    ISSUED,
    GROUP_BEGAN,
    FIRST_SLOT,
    GROUP_ENDED,
    TILE_DONE,
    RESULT_INDEX,
    TILE,
    NOTED,
    VISITED,
    BEATS,
    CAUSES,
) = range(PARAMETERS, PARAMETERS + 11)
CAUSE_COUNT = 5
_OUTPUT, _DEQUANTIZER, _WEIGHTS, _ACTIVATIONS, _COMPUTE = range(CAUSES, CAUSES + CAUSE_COUNT)
#: streams; the first two are operands, with a queue each, and there are two more queues
WEIGHTS, ACTIVATIONS, RESULTS = range(3)
HEADERS, TILE_PARAMETERS, QUEUES = 2, 3, 4
#: oldest place of each queue; places of a queue
HEADS = CAUSES + CAUSE_COUNT
DEPTH = HEADS + QUEUES
#: how fast a stream's words can come: at once, by a rule, or after given gaps
FREE, RULE, GIVEN = range(3)
#: of each stream: kind; by the rule, after ``DELAY`` cycles the first ``LEAD`` words take P0 / Q0
#: cycles each and all others P1 / Q1, and a word comes in the cycle that completes it; where gaps
#: are given, the cycles that 0 to ``GIVEN_WORDS`` words take begin at ``GIVEN_AT``
RATES = DEPTH + 1
KIND, DELAY, LEAD, P0, Q0, P1, Q1, GIVEN_AT, GIVEN_WORDS, RATE = range(10)
#: of each operand: beat accepted by its queue, word accepted by its buffer, words so far; of the
#: tile being read: cycle that its words count from, words before it, words read, passes done;
#: reading of the tiles two before and one before ended; least time that a beat waited in the
#: buffer; words of a tile, passes that read it
OPERANDS = RATES + 3 * RATE
(
    ACCEPTED,
    WORD,
    INDEX,
    BASE,
    BEFORE,
    OFFSET,
    PASS,
    LEFT_TWO,
    LEFT_ONE,
    SLACK,
    TILE_WORDS,
    PASSES,
    OPERAND,
) = range(13)
#: when beats left each queue, ``DEPTH`` places a queue; behind them the cycles that are given
LEFT = OPERANDS + 2 * OPERAND
#: columns of an event, and its kinds in the order of sim/trace.py
E_KIND, E_TILE, E_GROUP, E_START, E_CYCLES, EVENT_COLUMNS = range(6)
_TILE, _GROUP, _DEQUANTIZE, _RESULTS, _LOAD, _WAIT, _BEAT = 0, 1, 2, 3, 4, 6, 10
#: columns of a result, and of where a job stood
F_TOTAL, F_FIRST, F_LAST, F_CAUSES = range(4)
FOUND = F_CAUSES + CAUSE_COUNT
S_PLACE, S_ISSUED, S_RESULTS, S_INDEX, S_OFFSET, S_CAUSES = 0, 1, 2, 3, 5, 7
SEEN = S_CAUSES + CAUSE_COUNT


@inner_loop
def _until(x: Any, s: int, words: int) -> int:
    """Cycles that the first ``words`` words of stream ``s`` take if nothing holds them back."""
    r = RATES + s * RATE
    if x[r + KIND] == FREE or words <= 0:
        return words
    if x[r + KIND] == GIVEN:
        known = min(words, x[r + GIVEN_WORDS])
        return x[x[r + GIVEN_AT] + known] + words - known
    lead = min(words, x[r + LEAD])
    cycles = x[r + DELAY] - (-(words - lead) * x[r + P1] // x[r + Q1])
    return cycles - (-lead * x[r + P0] // x[r + Q0]) if lead else cycles


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
def _load(x: Any, s: int) -> int:
    """All words of the next tile enter the buffer; returns the cycle of the first."""
    o = OPERANDS + s * OPERAND
    index = x[o + INDEX]
    through = _until(x, s, index + 1)
    offered = x[o + WORD] + through - _until(x, s, index)
    first = max(offered, x[o + LEFT_TWO] + 1, x[START])
    x[o + BEFORE] = index
    x[o + INDEX] = index + x[o + TILE_WORDS]
    x[o + BASE] = first - through
    x[o + WORD] = x[o + BASE] + _until(x, s, x[o + INDEX])
    return first


@inlined_loop
def _beat(x: Any, s: int, words: int, room: int) -> int:
    """The next beat, of so many words, enters its queue in cycle ``room`` or later; returns it."""
    o = OPERANDS + s * OPERAND
    if not x[BUFFERED]:
        index = x[o + INDEX]
        x[o + INDEX] = index + 1
        took = _until(x, s, index + 1) - _until(x, s, index)
        x[o + ACCEPTED] = max(x[o + ACCEPTED] + took, room, x[START])
        return x[o + ACCEPTED]
    offset = x[o + OFFSET] + words
    read = x[o + ACCEPTED]
    if x[o + PASS] == 0:  # read for the first time: perhaps not there yet
        ready = x[o + BASE] + _until(x, s, x[o + BEFORE] + offset) + x[READ]
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
def _room(x: Any, queue: int) -> int:
    """First cycle in which the next beat fits."""
    return x[LEFT + queue * x[DEPTH] + x[HEADS + queue]] + 1


@inner_loop
def _pop(x: Any, queue: int, depth: int, cycle: int) -> None:
    """The head of a queue of ``depth`` places leaves in ``cycle``."""
    head = x[HEADS + queue]
    x[LEFT + queue * x[DEPTH] + head] = cycle
    x[HEADS + queue] = head + 1 if head + 1 < depth else 0


@inner_loop
def _note(x: Any, events: Any, kind: int, group: int, start: int, end: int) -> None:
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
        _note(x, events, _WAIT + cause - CAUSES, group, cycle, until - 1)


@inlined_loop
def _issue(x: Any, events: Any, group: int, weights: int, activations: int, drained: int) -> None:
    """The slots of one chunk.

    ``weights``, ``activations`` : cycles from which they can be used. ``drained`` : that from which
    the last slot of a tile may issue; of a group that does not end a tile 0, of no group -1.
    """
    slots = x[SLOTS]
    if slots > 1:
        _wait(x, events, group, _WEIGHTS, weights)
        _wait(x, events, group, _ACTIVATIONS, activations)
        if x[GROUP_BEGAN] < 0:
            x[GROUP_BEGAN] = x[ISSUED] + 1
        x[ISSUED] += slots - 1
    if drained >= 0:  # the chunk ends a group
        _wait(x, events, group, _OUTPUT, drained)
        _wait(x, events, group, _DEQUANTIZER, x[GROUP_ENDED] + x[DEQUANTIZER])
    if slots == 1:  # the only slot waits for everything
        _wait(x, events, group, _WEIGHTS, weights)
        _wait(x, events, group, _ACTIVATIONS, activations)
        if x[GROUP_BEGAN] < 0:
            x[GROUP_BEGAN] = x[ISSUED] + 1
    x[ISSUED] += 1
    x[_COMPUTE] += slots


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
def _group_key(x: Any, key: Any) -> int:
    """What the next group depends on, but for words that are still to come into a buffer."""
    for s in range(2):
        o = OPERANDS + s * OPERAND
        words = x[o + BEFORE] + x[o + OFFSET] if x[BUFFERED] else x[o + INDEX]
        key[2 * s] = x[o + ACCEPTED] - x[ISSUED]
        key[2 * s + 1] = 0 if x[BUFFERED] and x[o + PASS] else _phase(x, s, words)
    return _queue_key(x, key, 4)


@inner_loop
def _tile_key(x: Any, key: Any) -> int:
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
def _keep(x: Any, place: int, seen: Any) -> None:
    """Note where the job stands: before tile, or group, ``place``."""
    seen[S_PLACE], seen[S_ISSUED], seen[S_RESULTS] = place, x[ISSUED], x[RESULT_INDEX]
    for s in range(2):
        seen[S_INDEX + s] = x[OPERANDS + s * OPERAND + INDEX]
        seen[S_OFFSET + s] = x[OPERANDS + s * OPERAND + OFFSET]
    for i in range(CAUSE_COUNT):
        seen[S_CAUSES + i] = x[CAUSES + i]


@inner_loop
def _repeat_groups(x: Any, seen: Any, group: int, left: int) -> int:
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
            took = _until(x, s, now) - _until(x, s, before)
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
def _repeat_tiles(x: Any, seen: Any, left: int) -> int:
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
def _returned(search: Any, keys: Any, row: int, size: int) -> bool:
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


@inner_loop
def _group(x: Any, events: Any, group: int) -> None:
    """One group: its header and its chunks."""
    ends_tile = group == x[GROUPS] - 1
    drained = x[TILE_DONE] + 1 if ends_tile else 0
    last = (x[LAST_CHUNKS] if ends_tile else x[CHUNKS]) - 1
    x[GROUP_BEGAN] = -1
    x[VISITED] += 1
    header = _beat(x, WEIGHTS, x[HEADER_WORDS], _room(x, HEADERS))
    if x[BEATS]:
        _note(x, events, _BEAT + WEIGHTS, group, header, header)
    for chunk in range(last + 1):
        weights = _beat(x, WEIGHTS, x[WEIGHT_WORDS], _room(x, WEIGHTS))
        activations = _beat(x, ACTIVATIONS, x[ACTIVATION_WORDS], _room(x, ACTIVATIONS))
        if x[BEATS]:
            _note(x, events, _BEAT + WEIGHTS, group, weights, weights)
            _note(x, events, _BEAT + ACTIVATIONS, group, activations, activations)
        usable = max(header, weights) + x[USE]
        until = drained if chunk == last else -1
        _issue(x, events, group, usable, activations + x[USE], until)
        _pop(x, WEIGHTS, x[QUEUE], x[ISSUED])
        _pop(x, ACTIVATIONS, x[QUEUE], x[ISSUED])
    _pop(x, HEADERS, x[HEADER_QUEUE], x[ISSUED])
    x[GROUP_ENDED] = x[ISSUED]
    if x[FIRST_SLOT] < 0:
        x[FIRST_SLOT] = x[GROUP_BEGAN]
    _note(x, events, _GROUP, group, x[GROUP_BEGAN], x[ISSUED])
    start = x[ISSUED] + x[SUM]
    _note(x, events, _DEQUANTIZE, group, start, start + x[DEQUANTIZER] - 1)


@inner_loop
def _groups(x: Any, events: Any, skip: bool, keys: Any, seen: Any, search: Any) -> int:
    """All groups of a tile; returns the cycle of the first slot."""
    search[1, :] = 0
    _group(x, events, 0)
    began, group = x[GROUP_BEGAN], 1
    while group < x[GROUPS]:
        left = x[GROUPS] - 1 - group  # the last one is not like the others
        if skip and left > 0:
            if _returned(search, keys, 1, _group_key(x, keys[0])):
                group += _repeat_groups(x, seen[1], group, left)
                search[1, :] = 0
            elif search[1, 0]:
                _keep(x, group, seen[1])
                for s in range(2):
                    x[OPERANDS + s * OPERAND + SLACK] = _FAR
        _group(x, events, group)
        group += 1
    return began


@inner_loop
def _tile(x: Any, events: Any, skip: bool, keys: Any, seen: Any, search: Any) -> None:
    """One tile pass and its result words."""
    for s in range(2):
        if x[BUFFERED] and x[OPERANDS + s * OPERAND + PASS] == 0:
            first = _load(x, s)
            _note(x, events, _LOAD + s, -1, first, x[OPERANDS + s * OPERAND + WORD])
    if x[PARAMETER_WORDS]:
        accepted = _beat(x, WEIGHTS, x[PARAMETER_WORDS], _room(x, TILE_PARAMETERS))
        if x[BEATS]:
            _note(x, events, _BEAT + WEIGHTS, -1, accepted, accepted)
    began = _groups(x, events, skip, keys, seen, search)
    _note(x, events, _TILE, -1, began, x[ISSUED])
    index, offered = x[RESULT_INDEX], x[ISSUED] + x[RESULT]
    through = _until(x, RESULTS, index + 1)
    first = max(x[TILE_DONE] + through - _until(x, RESULTS, index), offered)
    x[RESULT_INDEX] = index + x[RESULT_WORDS]
    x[TILE_DONE] = first - through + _until(x, RESULTS, x[RESULT_INDEX])
    _note(x, events, _RESULTS, -1, offered, x[TILE_DONE])
    if x[PARAMETER_WORDS]:
        _pop(x, TILE_PARAMETERS, x[PARAMETER_QUEUE], x[TILE_DONE])


@inner_loop
def _run(x: Any, events: Any, end: int, skip: bool) -> None:
    """As :func:`run_job`."""
    # row 0: the state now; 1: kept between groups; 2: between tiles of a round; 3: between rounds
    keys = np.zeros((4, 12 + x[PARAMETER_QUEUE] + x[HEADER_QUEUE] + 2 * x[QUEUE]), dtype=np.int64)
    seen = np.zeros((4, SEEN), dtype=np.int64)
    search = np.zeros((4, 3), dtype=np.int64)
    x[NOTED] = 0
    round_tiles = x[INNER] if x[BUFFERED] else 1
    while x[TILE] < end:
        if skip:
            place = x[TILE] % round_tiles
            level = 2 if place else 3
            # the last tile of a round is not like the others: it frees a buffer
            last = x[TILE] - place + round_tiles - 1 if place else x[TILES]
            if not place:
                search[2, :] = 0
            if _returned(search, keys, level, _tile_key(x, keys[0])):
                x[TILE] += _repeat_tiles(x, seen[level], last - 1 - x[TILE])
                search[level, :] = 0
            elif search[level, 0]:
                _keep(x, x[TILE], seen[level])
        _tile(x, events, skip, keys, seen, search)
        x[TILE] += 1


@inner_loop
def new_job(parameters: Any, rates: Any, given: Any) -> Any:
    """A job before its start, int64.

    Parameters
    ----------
    parameters : int64 (PARAMETERS,).
    rates : int64 (3, RATE), of the streams; ``GIVEN_AT`` counts from the start of ``given``.
    given : int64, cycles by number of words.
    """
    p = parameters
    depth = max(p[QUEUE], p[HEADER_QUEUE], p[PARAMETER_QUEUE])
    at = LEFT + QUEUES * depth
    x = np.zeros(at + len(given), dtype=np.int64)
    x[:PARAMETERS] = parameters
    x[at:] = given
    x[LEFT:at] = LONG_AGO
    x[DEPTH] = depth
    for s in range(3):
        r = RATES + s * RATE
        x[r : r + RATE] = rates[s]
        x[r + GIVEN_AT] += at
    chunks = (p[GROUPS] - 1) * p[CHUNKS] + p[LAST_CHUNKS]
    for s in range(2):
        o = OPERANDS + s * OPERAND
        x[o + LEFT_TWO] = x[o + LEFT_ONE] = LONG_AGO
        x[o + TILE_WORDS] = chunks * p[ACTIVATION_WORDS if s else WEIGHT_WORDS]
        x[o + PASSES] = p[ACTIVATION_PASSES if s else WEIGHT_PASSES]
    x[OPERANDS + TILE_WORDS] += p[GROUPS] * p[HEADER_WORDS] + p[PARAMETER_WORDS]
    x[ISSUED] = p[START] - 1
    x[GROUP_ENDED] = LONG_AGO
    x[FIRST_SLOT] = -1
    return x


@outer_loop
def run_job(x: Any, events: Any, end: int, skip: bool) -> None:
    """Run a job up to tile ``end``.

    Parameters
    ----------
    x : of :func:`new_job`.
    events : int64 (events, EVENT_COLUMNS), filled from row 0, or of length 0.
    skip : repeat what is known to repeat; no stream's rate may be given.
    """
    _run(x, events, end, skip)


@outer_loop
def run_jobs(parameters: Any, rates: Any, found: Any) -> None:
    """Run many jobs, skipping what repeats.

    Parameters
    ----------
    parameters : int64 (jobs, PARAMETERS).
    rates : int64 (jobs, 3, RATE), none of them given.
    found : int64 (jobs, FOUND), filled: cycles, the first and the last slot, cycles by cause.
    """
    none = np.zeros(0, dtype=np.int64)
    events = np.zeros((0, EVENT_COLUMNS), dtype=np.int64)
    for i in range(len(parameters)):
        x = new_job(parameters[i], rates[i], none)
        _run(x, events, x[TILES], True)
        found[i, F_TOTAL], found[i, F_FIRST], found[i, F_LAST] = (
            x[TILE_DONE],
            x[FIRST_SLOT],
            x[ISSUED],
        )
        for cause in range(CAUSE_COUNT):
            found[i, F_CAUSES + cause] = x[CAUSES + cause]
        found[i, F_CAUSES] += x[TILE_DONE] - x[ISSUED]  # output comes first
