"""Where everything of a job stands: columns of the arrays that :mod:`sim.kernel` works on.

A job is one int64 array ``x``: numbers are passed between compiled functions faster in one array
than in several.
"""

LONG_AGO = -(1 << 40)
FAR = 1 << 60
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
OUTPUT_WAIT, DEQUANTIZER_WAIT, WEIGHTS_WAIT, ACTIVATIONS_WAIT, COMPUTE = range(
    CAUSES, CAUSES + CAUSE_COUNT
)
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
E_TILES, E_GROUPS, E_DEQUANTIZE, E_RESULTS, E_LOADS, E_WAITS, E_BEATS = 0, 1, 2, 3, 4, 6, 10
#: columns of a result, and of where a job stood
F_TOTAL, F_FIRST, F_LAST, F_CAUSES = range(4)
FOUND = F_CAUSES + CAUSE_COUNT
S_PLACE, S_ISSUED, S_RESULTS, S_INDEX, S_OFFSET, S_CAUSES = 0, 1, 2, 3, 5, 7
SEEN = S_CAUSES + CAUSE_COUNT
