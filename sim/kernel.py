"""The recurrences of docs/timing.md: one job, slot by slot, on plain integers.

Compiled by numba where it is installed; the same functions run without it. Both views of the
simulator are this code: stepped, it visits every chunk and can note every event; fast, it also
recognises that a state has come back, between groups, tiles or rounds, and skips what repeats.
"""

from typing import Any

import numpy as np

from sw.quantize.compiled import inner_loop, outer_loop

LONG_AGO = -(1 << 40)
#: columns of a job's parameters: those of docs/timing.md (latencies too: compiled code that is kept
#: on disk must not depend on constants of other files)
(
    SLOTS,
    DEQUANTIZER,
    RESULT,
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
    WEIGHT_PASSES,
    ACTIVATION_PASSES,
    RESULT_WORDS,
    SUM,
    START,
    USE,
    READ,
    HEADER_QUEUE,
    PARAMETER_QUEUE,
    PARAMETERS,
) = range(24)
#: how fast a stream's words can come: at once, by a rule (below), or after given gaps
FREE, RULE, GIVEN = range(3)
#: columns of a stream's rate. Rule: after ``DELAY`` cycles, the first ``FIRST`` words take P0 / Q0
#: cycles each, all others P1 / Q1; a word comes in the cycle that completes it
KIND, DELAY, FIRST, P0, Q0, P1, Q1, RATES = range(8)
WEIGHTS, ACTIVATIONS, RESULTS = range(3)
#: state of an operand: beat accepted by its queue, word accepted by its buffer, words so far; of
#: the tile being read: cycle that its words count from, words before it, words read, passes done;
#: reading of the tiles two before and one before ended; least time that a beat waited in the buffer
ACCEPTED, WORD, INDEX, BASE, BEFORE, OFFSET, PASS, LEFT_TWO, LEFT_ONE, SLACK, OPERAND = range(11)
#: state of the array
(
    ISSUED,
    GROUP_BEGAN,
    GROUP_ENDED,
    TILE_DONE,
    RESULT_INDEX,
    FIRST_SLOT,
    TILE,
    NOTED,
    VISITED,
    ARRAY,
) = range(10)
#: queues, numbered as the operands and two more
HEADER_RING, PARAMETER_RING, RINGS = 2, 3, 4
#: columns of an event
E_KIND, E_TILE, E_GROUP, E_START, E_CYCLES, EVENT_COLUMNS = range(6)
_OUTPUT, _DEQUANTIZER, _WEIGHTS, _ACTIVATIONS, _COMPUTE, CAUSE_COUNT = range(6)
_T, _G, _D, _R, _LOAD, _WAIT = 0, 1, 2, 3, 4, 6  # kinds of events, sim/trace.py
_FAR = 1 << 60
#: columns of a result
F_TOTAL, F_FIRST, F_LAST, F_CAUSES = range(4)
FOUND = F_CAUSES + CAUSE_COUNT
#: where a job stood
S_PLACE, S_ISSUED, S_RESULTS, S_INDEX, S_OFFSET, S_CAUSES = 0, 1, 2, 3, 5, 7
SEEN = S_CAUSES + CAUSE_COUNT


@inner_loop
def _until(rate: Any, given: Any, words: int) -> int:
    """Cycles that the first ``words`` words take if nothing holds them back."""
    if rate[KIND] == FREE or words <= 0:
        return words
    if rate[KIND] == GIVEN:
        known = len(given) - 1
        return given[words] if words <= known else given[known] + words - known
    first = min(words, rate[FIRST])
    cycles = rate[DELAY] - (-first * rate[P0] // rate[Q0])
    return cycles - (-(words - first) * rate[P1] // rate[Q1])


@inner_loop
def _phase(rate: Any, words: int) -> int:
    """What the rule makes of the words behind the first ``words``."""
    if rate[KIND] != RULE:
        return 0
    if words < rate[FIRST] or not words:
        return -1 - (words % rate[Q0] if words else rate[Q0])
    return (words - rate[FIRST]) % rate[Q1]


@inner_loop
def _within(rate: Any, words: int, period: int, repeats: int) -> int:
    """Repeats of ``period`` words that do not pass from one part of the rule to the other."""
    if rate[KIND] != RULE or words >= rate[FIRST] or period <= 0:
        return repeats
    return min(repeats, (rate[FIRST] - words) // period)


@inner_loop
def _load(op: Any, rate: Any, given: Any, words: int, start: int) -> int:
    """All words of the next tile enter the buffer; returns the cycle of the first."""
    index = op[INDEX]
    through = _until(rate, given, index + 1)
    first = max(op[WORD] + through - _until(rate, given, index), op[LEFT_TWO] + 1, start)
    op[BASE] = first - through
    op[WORD] = op[BASE] + _until(rate, given, index + words)
    op[BEFORE] = index
    op[INDEX] = index + words
    return first


@inner_loop
def _beat(op: Any, rate: Any, given: Any, words: int, room: int, buffer: Any) -> int:
    """The next beat enters its queue, not before cycle ``room``; returns the cycle.

    ``buffer``: whether there is one, words of a tile, passes that read it, and the cycles from the
    last word of a beat to its reading; without a buffer the first cycle of all.
    """
    if not buffer[0]:
        index = op[INDEX]
        op[INDEX] = index + 1
        took = _until(rate, given, index + 1) - _until(rate, given, index)
        op[ACCEPTED] = max(op[ACCEPTED] + took, room, buffer[3])
        return op[ACCEPTED]
    op[OFFSET] += words
    read = op[ACCEPTED]
    if op[PASS] == 0:  # read for the first time: perhaps not there yet
        ready = op[BASE] + _until(rate, given, op[BEFORE] + op[OFFSET]) + buffer[3]
        op[SLACK] = min(op[SLACK], read - ready)
        read = max(ready, read)
    op[ACCEPTED] = max(read + 1, room)
    if op[OFFSET] == buffer[1]:
        op[OFFSET] = 0
        op[PASS] += 1
        if op[PASS] == buffer[2]:
            op[PASS] = 0
            op[LEFT_TWO] = op[LEFT_ONE]
            op[LEFT_ONE] = read
    return op[ACCEPTED]


@inner_loop
def _room(rings: Any, heads: Any, queue: int) -> int:
    """First cycle in which the next beat fits."""
    return rings[queue, heads[queue]] + 1


@inner_loop
def _pop(rings: Any, heads: Any, queue: int, depth: int, cycle: int) -> None:
    """The head leaves in ``cycle``."""
    rings[queue, heads[queue]] = cycle
    heads[queue] = heads[queue] + 1 if heads[queue] + 1 < depth else 0


@inner_loop
def _note(events: Any, array: Any, kind: int, group: int, start: int, end: int) -> None:
    """One more event, from cycle ``start`` to ``end``."""
    if len(events):
        row = events[array[NOTED]]
        row[E_KIND], row[E_TILE], row[E_GROUP] = kind, array[TILE], group
        row[E_START], row[E_CYCLES] = start, end - start + 1
        array[NOTED] += 1


@inner_loop
def _wait(array: Any, causes: Any, events: Any, group: int, first: Any, second: Any) -> None:
    """Issue one slot when two causes, each with the cycle that it holds until, have passed."""
    cycle = array[ISSUED] + 1
    for cause, until in (first, second):
        if until > cycle:
            causes[cause] += until - cycle
            _note(events, array, _WAIT + cause, group, cycle, until - 1)
            cycle = until
    array[ISSUED] = cycle


@inner_loop
def _issue(
    p: Any,
    array: Any,
    causes: Any,
    events: Any,
    group: int,
    usable: Any,
    ends_group: bool,
    drained: int,
) -> None:
    """The slots of one chunk.

    ``usable`` : cycles from which its weights and activations can be used. ``drained`` : what the
    last slot of a tile waits for.
    """
    slots = p[SLOTS]
    causes[_COMPUTE] += slots
    free = array[GROUP_ENDED] + p[DEQUANTIZER] if ends_group else LONG_AGO
    at_end = (_OUTPUT, drained), (_DEQUANTIZER, free)
    if slots == 1:  # the only slot waits for everything
        _wait(array, causes, events, group, at_end[0], at_end[1])
        array[ISSUED] -= 1
    _wait(array, causes, events, group, (_WEIGHTS, usable[0]), (_ACTIVATIONS, usable[1]))
    if array[FIRST_SLOT] < 0:
        array[FIRST_SLOT] = array[ISSUED]
    if array[GROUP_BEGAN] < 0:
        array[GROUP_BEGAN] = array[ISSUED]
    if slots > 1:
        array[ISSUED] += slots - 2
        _wait(array, causes, events, group, at_end[0], at_end[1])


@inner_loop
def _same(a: Any, b: Any, size: int) -> bool:
    for i in range(size):  # noqa: SIM110
        if a[i] != b[i]:
            return False
    return True


@inner_loop
def _queue_key(p: Any, ops: Any, array: Any, rings: Any, heads: Any, key: Any, size: int) -> int:
    """Departures from the queues, oldest first, relative to the latest slot; returns the size.

    Those before the latest beat of their stream hold nothing back any more and count as equal.
    """
    for queue in range(HEADER_RING + 1):
        depth = p[HEADER_QUEUE] if queue == HEADER_RING else p[QUEUE]
        latest = ops[ACTIVATIONS if queue == ACTIVATIONS else WEIGHTS, ACCEPTED]
        for i in range(depth):
            place = heads[queue] + i
            left = rings[queue, place if place < depth else place - depth]
            key[size + i] = max(left, latest) - array[ISSUED]
        size += depth
    return size


@inner_loop
def _group_key(p: Any, rates: Any, ops: Any, array: Any, rings: Any, heads: Any, key: Any) -> int:
    """What the next group depends on, but for words that are still to come into a buffer."""
    for s in range(2):
        op = ops[s]
        words = op[INDEX]
        if p[BUFFERED]:
            words = op[BEFORE] + op[OFFSET] if op[PASS] == 0 else 0
        key[2 * s] = op[ACCEPTED] - array[ISSUED]
        key[2 * s + 1] = _phase(rates[s], words) if not p[BUFFERED] or op[PASS] == 0 else 0
    return _queue_key(p, ops, array, rings, heads, key, 4)


@inner_loop
def _tile_key(p: Any, rates: Any, ops: Any, array: Any, rings: Any, heads: Any, key: Any) -> int:
    """Everything the next tile depends on, relative to the latest slot; returns the size."""
    issued, size = array[ISSUED], 2
    slowest = 2 + max(
        rates[RESULTS, P0] // rates[RESULTS, Q0], rates[RESULTS, P1] // rates[RESULTS, Q1]
    )
    key[0] = max(array[TILE_DONE] - issued, -slowest)
    key[1] = _phase(rates[RESULTS], array[RESULT_INDEX])
    for s in range(2):
        op = ops[s]
        loads = p[BUFFERED] and op[PASS] == 0
        key[size] = op[ACCEPTED] - issued
        key[size + 1] = _phase(rates[s], op[INDEX]) if loads or not p[BUFFERED] else 0
        key[size + 2] = op[WORD] - issued if loads else 0
        key[size + 3] = max(op[LEFT_TWO], op[WORD]) - issued if loads else 0
        key[size + 4] = max(op[LEFT_ONE], op[WORD]) - issued if loads else 0
        size += 5
    depth = p[PARAMETER_QUEUE]
    for i in range(depth):
        left = rings[PARAMETER_RING, (heads[PARAMETER_RING] + i) % depth]
        key[size + i] = max(left, ops[WEIGHTS, ACCEPTED]) - issued if p[PARAMETER_WORDS] else 0
    return _queue_key(p, ops, array, rings, heads, key, size + depth)


@inner_loop
def _later(p: Any, ops: Any, array: Any, rings: Any, cycles: int) -> None:
    """Move what the next group depends on ``cycles`` later."""
    array[ISSUED] += cycles
    array[GROUP_ENDED] += cycles
    for s in range(2):
        ops[s, ACCEPTED] += cycles
    for queue in range(HEADER_RING + 1):
        depth = p[HEADER_QUEUE] if queue == HEADER_RING else p[QUEUE]
        for i in range(depth):
            rings[queue, i] += cycles


@inner_loop
def _keep(ops: Any, array: Any, causes: Any, place: int, seen: Any) -> None:
    """Note where the job stands: before tile, or group, ``place``."""
    seen[S_PLACE], seen[S_ISSUED], seen[S_RESULTS] = place, array[ISSUED], array[RESULT_INDEX]
    for s in range(2):
        seen[S_INDEX + s], seen[S_OFFSET + s] = ops[s, INDEX], ops[s, OFFSET]
    for i in range(CAUSE_COUNT):
        seen[S_CAUSES + i] = causes[i]


@inner_loop
def _repeat_groups(
    p: Any,
    rates: Any,
    givens: Any,
    ops: Any,
    array: Any,
    rings: Any,
    causes: Any,
    seen: Any,
    left: Any,
) -> int:
    """Repeat the groups since ``seen``; returns the groups skipped.

    ``left`` : the group that comes next, and how many may be skipped. Words that are still to come
    into a buffer may be slower than the array: then only until one of them would be waited for.
    """
    period = left[0] - seen[S_PLACE]
    repeats = left[1] // period
    cycles = array[ISSUED] - seen[S_ISSUED]
    for s in range(2):
        op, rate, given = ops[s], rates[s], givens[s]
        if not p[BUFFERED]:
            repeats = _within(rate, op[INDEX], op[INDEX] - seen[S_INDEX + s], repeats)
        elif op[PASS] == 0:
            now, before = op[BEFORE] + op[OFFSET], op[BEFORE] + seen[S_OFFSET + s]
            repeats = _within(rate, now, now - before, repeats)
            behind = _until(rate, given, now) - _until(rate, given, before) - cycles
            if behind and op[SLACK] < 0:
                return 0
            if behind > 0:
                repeats = min(repeats, op[SLACK] // behind)
    if repeats < 1:
        return 0
    for s in range(2):
        if p[BUFFERED]:
            ops[s, OFFSET] += repeats * (ops[s, OFFSET] - seen[S_OFFSET + s])
        else:
            ops[s, INDEX] += repeats * (ops[s, INDEX] - seen[S_INDEX + s])
    for i in range(CAUSE_COUNT):
        causes[i] += repeats * (causes[i] - seen[S_CAUSES + i])
    _later(p, ops, array, rings, repeats * cycles)
    return repeats * period


@inner_loop
def _repeat_tiles(
    p: Any, rates: Any, ops: Any, array: Any, rings: Any, causes: Any, seen: Any, left: int
) -> int:
    """Repeat the tiles since ``seen``, at most ``left`` of them; returns the tiles skipped."""
    period = array[TILE] - seen[S_PLACE]
    results = array[RESULT_INDEX] - seen[S_RESULTS]
    repeats = _within(rates[RESULTS], array[RESULT_INDEX], results, left // period)
    for s in range(2):
        repeats = _within(rates[s], ops[s, INDEX], ops[s, INDEX] - seen[S_INDEX + s], repeats)
    if repeats < 1:
        return 0
    cycles = repeats * (array[ISSUED] - seen[S_ISSUED])
    array[RESULT_INDEX] += repeats * results
    array[TILE_DONE] += cycles
    for s in range(2):
        op = ops[s]
        op[INDEX] += repeats * (op[INDEX] - seen[S_INDEX + s])
        if p[BUFFERED] and op[PASS]:  # read again: nothing is loaded meanwhile
            op[PASS] += repeats * period
        else:
            op[WORD] += cycles
            op[LEFT_TWO] += cycles
            op[LEFT_ONE] += cycles
    for i in range(p[PARAMETER_QUEUE]):
        rings[PARAMETER_RING, i] += cycles
    for i in range(CAUSE_COUNT):
        causes[i] += repeats * (causes[i] - seen[S_CAUSES + i])
    _later(p, ops, array, rings, cycles)
    return repeats * period


@inner_loop
def _returned(search: Any, key: Any, kept: Any, size: int) -> bool:
    """Whether the state of ``key`` is the kept one; if not, ``search[0]`` says whether to keep it.

    Brent's search for a period: the state kept is replaced after 1, 2, 4, 8 ... more of them.
    """
    search[0] = 0
    if search[1] and _same(key, kept, size):
        return True
    if search[2] == search[1]:
        search[0], search[1], search[2] = 1, max(1, 2 * search[1]), 0
        for i in range(size):
            kept[i] = key[i]
    search[2] += 1
    return False


@inner_loop
def _group(
    p: Any, rates: Any, givens: Any, job: Any, group: int, buffers: Any, events: Any
) -> None:
    """One group: its header and its chunks."""
    ops, array, rings, heads, causes = job
    ends_tile = group == p[GROUPS] - 1
    drained = array[TILE_DONE] + 1 if ends_tile else LONG_AGO
    chunks = p[LAST_CHUNKS] if ends_tile else p[CHUNKS]
    w, a = ops[WEIGHTS], ops[ACTIVATIONS]
    array[GROUP_BEGAN] = -1
    array[VISITED] += 1
    room, words = _room(rings, heads, HEADER_RING), p[HEADER_WORDS]
    header = _beat(w, rates[WEIGHTS], givens[WEIGHTS], words, room, buffers[0]) + p[USE]
    for chunk in range(chunks):
        room, words = _room(rings, heads, WEIGHTS), p[WEIGHT_WORDS]
        weights = _beat(w, rates[WEIGHTS], givens[WEIGHTS], words, room, buffers[0])
        room, words = _room(rings, heads, ACTIVATIONS), p[ACTIVATION_WORDS]
        activations = _beat(a, rates[ACTIVATIONS], givens[ACTIVATIONS], words, room, buffers[1])
        usable = max(header, weights + p[USE]), activations + p[USE]
        last = chunk == chunks - 1
        _issue(p, array, causes, events, group, usable, last, drained if last else LONG_AGO)
        _pop(rings, heads, WEIGHTS, p[QUEUE], array[ISSUED])
        _pop(rings, heads, ACTIVATIONS, p[QUEUE], array[ISSUED])
    _pop(rings, heads, HEADER_RING, p[HEADER_QUEUE], array[ISSUED])
    array[GROUP_ENDED] = array[ISSUED]
    _note(events, array, _G, group, array[GROUP_BEGAN], array[ISSUED])
    start = array[ISSUED] + p[SUM]
    _note(events, array, _D, group, start, start + p[DEQUANTIZER] - 1)


@inner_loop
def _tile(
    p: Any, rates: Any, givens: Any, job: Any, buffers: Any, skip: bool, memory: Any, events: Any
) -> None:
    """One tile pass and its result words."""
    ops, array, rings, heads, causes = job
    key, kept, seen, search = memory
    for s in range(2):
        if p[BUFFERED] and ops[s, PASS] == 0:
            first = _load(ops[s], rates[s], givens[s], buffers[s][1], p[START])
            _note(events, array, _LOAD + s, -1, first, ops[s, WORD])
    if p[PARAMETER_WORDS]:
        room = _room(rings, heads, PARAMETER_RING)
        words = p[PARAMETER_WORDS]
        _beat(ops[WEIGHTS], rates[WEIGHTS], givens[WEIGHTS], words, room, buffers[0])
    began = array[ISSUED]
    search[:] = 0
    group = 0
    while group < p[GROUPS]:
        _group(p, rates, givens, job, group, buffers, events)
        began = array[GROUP_BEGAN] if group == 0 else began
        group += 1
        if skip and group < p[GROUPS] - 1:
            size = _group_key(p, rates, ops, array, rings, heads, key)
            if _returned(search, key, kept, size):
                left = group, p[GROUPS] - 1 - group
                group += _repeat_groups(p, rates, givens, ops, array, rings, causes, seen, left)
                search[:] = 0
            elif search[0]:
                _keep(ops, array, causes, group, seen)
                for s in range(2):
                    ops[s, SLACK] = _FAR
    _note(events, array, _T, -1, began, array[ISSUED])
    index, offered = array[RESULT_INDEX], array[ISSUED] + p[RESULT]
    rate, given = rates[RESULTS], givens[RESULTS]
    through = _until(rate, given, index + 1)
    gap = through - _until(rate, given, index)
    first = max(array[TILE_DONE] + gap, offered)
    array[RESULT_INDEX] = index + p[RESULT_WORDS]
    array[TILE_DONE] = first - through + _until(rate, given, index + p[RESULT_WORDS])
    _note(events, array, _R, -1, offered, array[TILE_DONE])
    if p[PARAMETER_WORDS]:
        _pop(rings, heads, PARAMETER_RING, p[PARAMETER_QUEUE], array[TILE_DONE])


@inner_loop
def _run(
    p: Any,
    rates: Any,
    given_w: Any,
    given_a: Any,
    given_r: Any,
    job: Any,
    end: int,
    skip: bool,
    events: Any,
) -> None:
    """As :func:`run_job`."""
    ops, array, rings, heads, causes = job
    givens = given_w, given_a, given_r
    words = p[GROUPS] * p[HEADER_WORDS] + p[PARAMETER_WORDS]
    chunks = (p[GROUPS] - 1) * p[CHUNKS] + p[LAST_CHUNKS]
    delay = p[READ] if p[BUFFERED] else p[START]
    buffers = (
        (p[BUFFERED], words + chunks * p[WEIGHT_WORDS], p[WEIGHT_PASSES], delay),
        (p[BUFFERED], chunks * p[ACTIVATION_WORDS], p[ACTIVATION_PASSES], delay),
    )
    size = 12 + p[PARAMETER_QUEUE] + p[HEADER_QUEUE] + 2 * p[QUEUE]
    keys = np.zeros((4, size), dtype=np.int64)
    seen = np.zeros((3, SEEN), dtype=np.int64)
    search = np.zeros((3, 3), dtype=np.int64)
    memory = keys[0], keys[1], seen[0], search[0]
    array[NOTED] = 0
    round_tiles = p[INNER] if p[BUFFERED] else 1
    while array[TILE] < end:
        if skip:
            place = array[TILE] % round_tiles
            level = 2 if place == 0 else 1
            last = p[TILES] if place == 0 else array[TILE] - place + round_tiles - 1
            if place == 0:
                search[1, :] = 0
            size = _tile_key(p, rates, ops, array, rings, heads, keys[0])
            if _returned(search[level], keys[0], keys[level + 1], size):
                left = last - 1 - array[TILE]
                array[TILE] += _repeat_tiles(p, rates, ops, array, rings, causes, seen[level], left)
                search[level, :] = 0
            elif search[level, 0]:
                _keep(ops, array, causes, array[TILE], seen[level])
        _tile(p, rates, givens, job, buffers, skip, memory, events)
        array[TILE] += 1


@inner_loop
def new_job(p: Any) -> Any:
    """State of a job with parameters ``p`` (PARAMETERS,), before its start."""
    ops = np.zeros((2, OPERAND), dtype=np.int64)
    ops[:, LEFT_TWO] = LONG_AGO
    ops[:, LEFT_ONE] = LONG_AGO
    array = np.zeros(ARRAY, dtype=np.int64)
    array[ISSUED] = p[START] - 1
    array[GROUP_ENDED] = LONG_AGO
    array[FIRST_SLOT] = -1
    depth = max(p[QUEUE], p[HEADER_QUEUE], p[PARAMETER_QUEUE])
    rings = np.full((RINGS, depth), LONG_AGO, dtype=np.int64)
    heads = np.zeros(RINGS, dtype=np.int64)
    causes = np.zeros(CAUSE_COUNT, dtype=np.int64)
    return ops, array, rings, heads, causes


@outer_loop
def run_job(
    p: Any,
    rates: Any,
    given_w: Any,
    given_a: Any,
    given_r: Any,
    job: Any,
    end: int,
    skip: bool,
    events: Any,
) -> None:
    """Run a job up to tile ``end``.

    Parameters
    ----------
    p : int64 (PARAMETERS,).
    rates : int64 (3, RATES), of the streams.
    given_w, given_a, given_r : int64 (words + 1,), cycles that so many words of each stream take.
    job : state, of :func:`new_job`.
    skip : repeat what is known to repeat; needs rates that are not given.
    events : int64 (events, EVENT_COLUMNS), filled from row 0, or of length 0.
    """
    _run(p, rates, given_w, given_a, given_r, job, end, skip, events)


@outer_loop
def run_jobs(parameters: Any, rates: Any, found: Any) -> None:
    """Run many jobs, skipping what repeats.

    Parameters
    ----------
    parameters : int64 (jobs, PARAMETERS).
    rates : int64 (jobs, 3, RATES), none of them given.
    found : int64 (jobs, FOUND), filled: cycles, the first and the last slot, cycles by cause.
    """
    none = np.zeros(1, dtype=np.int64)
    events = np.zeros((0, EVENT_COLUMNS), dtype=np.int64)
    for i in range(len(parameters)):
        p = parameters[i]
        job = new_job(p)
        _run(p, rates[i], none, none, none, job, p[TILES], True, events)
        array = job[1]
        found[i, F_TOTAL], found[i, F_FIRST] = array[TILE_DONE], array[FIRST_SLOT]
        found[i, F_LAST] = array[ISSUED]
        for cause in range(CAUSE_COUNT):
            found[i, F_CAUSES + cause] = job[4][cause]
        found[i, F_CAUSES + _OUTPUT] += array[TILE_DONE] - array[ISSUED]
