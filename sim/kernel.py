"""The recurrences of docs/timing.md: one job, slot by slot, on plain integers.

Compiled by numba where it is installed; the same functions run without it. Both views of the
simulator are this code: stepped, it visits every chunk and can note every event; fast, it also
recognises that a state has come back, between groups, tiles or rounds, and skips what repeats.

A job is one int64 array ``x`` (:mod:`sim.state`); :func:`new_job` makes it.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sw.compiled import inner_loop, outer_loop

from .periods import group_key, keep, repeat_groups, repeat_tiles, returned, tile_key
from .state import (
    ACTIVATION_PASSES,
    ACTIVATION_WORDS,
    BEATS,
    BUFFERED,
    CAUSE_COUNT,
    CAUSES,
    CHUNKS,
    DEPTH,
    E_BEATS,
    E_LOADS,
    E_RESULTS,
    E_TILES,
    EVENT_COLUMNS,
    F_CAUSES,
    F_FIRST,
    F_LAST,
    F_TOTAL,
    FAR,
    FIRST_SLOT,
    GIVEN_AT,
    GROUP_BEGAN,
    GROUP_ENDED,
    GROUPS,
    HEADER_QUEUE,
    HEADER_WORDS,
    INNER,
    ISSUED,
    LAST_CHUNKS,
    LEFT,
    LEFT_ONE,
    LEFT_TWO,
    LONG_AGO,
    NOTED,
    OPERAND,
    OPERANDS,
    PARAMETER_QUEUE,
    PARAMETER_WORDS,
    PARAMETERS,
    PASS,
    PASSES,
    QUEUE,
    QUEUES,
    RATE,
    RATES,
    RESULT,
    RESULT_INDEX,
    RESULT_WORDS,
    RESULTS,
    SEEN,
    SLACK,
    START,
    TILE,
    TILE_DONE,
    TILE_PARAMETERS,
    TILE_WORDS,
    TILES,
    WEIGHT_PASSES,
    WEIGHT_WORDS,
    WEIGHTS,
    WORD,
)
from .stepping import accept_beat, load, note, pop, room, run_group, until


@inner_loop
def _groups(x: Any, events: Any, skip: bool, keys: Any, seen: Any, search: Any) -> int:
    """All groups of a tile; returns the cycle of the first slot."""
    search[1, :] = 0
    run_group(x, events, 0)
    began, group = x[GROUP_BEGAN], 1
    while group < x[GROUPS]:
        left = x[GROUPS] - 1 - group  # the last one is not like the others
        if skip and left > 0:
            if returned(search, keys, 1, group_key(x, keys[0])):
                group += repeat_groups(x, seen[1], group, left)
                search[1, :] = 0
            elif search[1, 0]:
                keep(x, group, seen[1])
                for s in range(2):
                    x[OPERANDS + s * OPERAND + SLACK] = FAR
        run_group(x, events, group)
        group += 1
    return began


@inner_loop
def _tile(x: Any, events: Any, skip: bool, keys: Any, seen: Any, search: Any) -> None:
    """One tile pass and its result words."""
    for s in range(2):
        if x[BUFFERED] and x[OPERANDS + s * OPERAND + PASS] == 0:
            first = load(x, s)
            note(x, events, E_LOADS + s, -1, first, x[OPERANDS + s * OPERAND + WORD])
    if x[PARAMETER_WORDS]:
        accepted = accept_beat(x, WEIGHTS, x[PARAMETER_WORDS], room(x, TILE_PARAMETERS))
        if x[BEATS]:
            note(x, events, E_BEATS + WEIGHTS, -1, accepted, accepted)
    began = _groups(x, events, skip, keys, seen, search)
    note(x, events, E_TILES, -1, began, x[ISSUED])
    index, offered = x[RESULT_INDEX], x[ISSUED] + x[RESULT]
    through = until(x, RESULTS, index + 1)
    first = max(x[TILE_DONE] + through - until(x, RESULTS, index), offered)
    x[RESULT_INDEX] = index + x[RESULT_WORDS]
    x[TILE_DONE] = first - through + until(x, RESULTS, x[RESULT_INDEX])
    note(x, events, E_RESULTS, -1, offered, x[TILE_DONE])
    if x[PARAMETER_WORDS]:
        pop(x, TILE_PARAMETERS, x[PARAMETER_QUEUE], x[TILE_DONE])


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
            if returned(search, keys, level, tile_key(x, keys[0])):
                x[TILE] += repeat_tiles(x, seen[level], last - 1 - x[TILE])
                search[level, :] = 0
            elif search[level, 0]:
                keep(x, x[TILE], seen[level])
        _tile(x, events, skip, keys, seen, search)
        x[TILE] += 1


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


_new_job = inner_loop(new_job)


def _sources() -> str:
    """Hash of the code that is compiled into the two functions below."""
    folder = Path(__file__).parent
    names = ("state.py", "stepping.py", "periods.py", "kernel.py")
    return sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()


def _compiled(sources: str) -> tuple[Any, Any]:
    """The entry points. What they enclose is part of the key under which numba keeps them."""

    @outer_loop
    def run_job(x: Any, events: Any, end: int, skip: bool) -> None:
        """Run a job up to tile ``end``.

        Parameters
        ----------
        x : of :func:`new_job`.
        events : int64 (events, EVENT_COLUMNS), filled from row 0, or of length 0.
        skip : repeat what is known to repeat; no stream's rate may be given.
        """
        assert sources
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
        assert sources
        none = np.zeros(0, dtype=np.int64)
        events = np.zeros((0, EVENT_COLUMNS), dtype=np.int64)
        for i in range(len(parameters)):
            x = _new_job(parameters[i], rates[i], none)
            _run(x, events, x[TILES], True)
            found[i, F_TOTAL], found[i, F_FIRST], found[i, F_LAST] = (
                x[TILE_DONE],
                x[FIRST_SLOT],
                x[ISSUED],
            )
            for cause in range(CAUSE_COUNT):
                found[i, F_CAUSES + cause] = x[CAUSES + cause]
            found[i, F_CAUSES] += x[TILE_DONE] - x[ISSUED]  # output comes first

    return run_job, run_jobs


run_job, run_jobs = _compiled(_sources())
