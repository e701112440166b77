"""The inner accumulators of one group of weights, step by step, over many tokens at once.

Tokens lie side by side, so that one instruction serves many of them. The caller picks an integer
type in which nothing below can overflow.
"""

from typing import Any

from sw.compiled import inner_loop, outer_loop

#: group inputs (K, T), the columns' places in the term table (n, K), term table (slots, levels)
#: and lanes
Steps = tuple[Any, Any, Any, int]


@inner_loop
def _addend(steps: Steps, channel: int, slot: int, chunk: int, addend: Any) -> bool:
    """Exact lane sum of one step into ``addend`` (T,); False, and nothing, if all terms are 0."""
    inputs, places, table, lanes = steps
    found = False
    for k in range(chunk * lanes, min(chunk * lanes + lanes, places.shape[1])):
        term = table[slot, places[channel, k]]
        if term == 0:
            continue
        if found:
            for t in range(addend.size):
                addend[t] += term * inputs[k, t]
        else:
            for t in range(addend.size):
                addend[t] = term * inputs[k, t]
        found = True
    return found


@outer_loop
def bounded_sums(steps: Steps, low: Any, high: Any, saturate: bool, sums: Any, left: Any) -> None:
    """Latched group sums of registers that hold ``low`` to ``high``.

    Parameters
    ----------
    steps : see :data:`Steps`; the inputs' integer type is that of the sums.
    low, high : ends of the register, of the same type; high - low + 1 is a power of two.
    saturate : clamp a sum that leaves the range; else keep its low bits.
    sums : (n, T), written.
    left : int64 (n,), raised by the steps whose exact sum left the range.
    """
    inputs, places, table, lanes = steps
    register, addend, gone = inputs[0].copy(), inputs[0].copy(), inputs[0].copy()
    chunks = -(-places.shape[1] // lanes)
    for channel in range(places.shape[0]):
        register[:] = 0
        gone[:] = 0
        for step in range(chunks * table.shape[0]):
            chunk, slot = divmod(step, table.shape[0])
            if not _addend(steps, channel, slot, chunk, addend):
                continue
            if saturate:
                for t in range(register.size):
                    total = register[t] + addend[t]
                    register[t] = min(max(total, low), high)
                    gone[t] += total != register[t]
            else:
                for t in range(register.size):
                    total = register[t] + addend[t]
                    register[t] = (total - low & high - low) + low
                    gone[t] += total != register[t]
        sums[channel, :] = register
        left[channel] += gone.sum()


@outer_loop
def extreme_sums(steps: Steps, lows: Any, highs: Any) -> None:
    """Lowest and highest sum after any step of unlimited registers.

    Parameters
    ----------
    steps : see :data:`Steps`; the inputs' integer type is that of the sums.
    lows, highs : (n,) of the same type, lowered and raised.
    """
    inputs, places, table, lanes = steps
    register, addend = inputs[0].copy(), inputs[0].copy()
    low, high = inputs[0].copy(), inputs[0].copy()
    chunks = -(-places.shape[1] // lanes)
    for channel in range(places.shape[0]):
        register[:] = 0
        low[:] = lows[channel]
        high[:] = highs[channel]
        for step in range(chunks * table.shape[0]):
            chunk, slot = divmod(step, table.shape[0])
            if not _addend(steps, channel, slot, chunk, addend):
                addend[:] = 0
            for t in range(register.size):
                register[t] += addend[t]
                low[t] = min(low[t], register[t])
                high[t] = max(high[t], register[t])
        lows[channel] = low.min()
        highs[channel] = high.max()
