"""What every block between streams owes: nothing lost, nothing twice, order kept, offers kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, ResetSignal, Signal, Value

from .checks import Checks


@dataclass(frozen=True, kw_only=True)
class Place:
    """One place in a block that can hold a token.

    Attributes
    ----------
    occupied : whether it holds one.
    content : what it holds; compared with ``stored`` of the scoreboard.
    stored : what a token becomes in this place; ``None`` if it stays what it was.
    """

    occupied: Value
    content: Value
    stored: Callable[[Value], Value] | None = None


@dataclass(frozen=True, kw_only=True)
class Passage:
    """The way of tokens through a block.

    Parameters
    ----------
    name : prefix of the properties.
    enter, token : a token is taken in this cycle, and which.
    leave, result : a token is given in this cycle, and as what.
    expected : what becomes of a token.
    places : where tokens wait, the one that leaves first first.
    """

    name: str
    enter: Value
    token: Value
    leave: Value
    result: Value
    expected: Callable[[Value], Value]
    places: Sequence[Place]


def follow_tokens(m: Module, checks: Checks, passage: Passage) -> Signal:
    """State that every token leaves once, in its turn, as what is expected of it.

    One token, chosen freely among all that ever enter, is followed: how many are before it when it
    enters, and one less with each that leaves. When none is before it, the next to leave must be
    this one. As the choice is free, this holds for all tokens. For the induction, the block's
    places hold as many tokens as are underway, and the followed one is where its turn says.

    Returns
    -------
    Signal : tokens underway.
    """
    name, places = passage.name, passage.places
    underway = Signal(range(len(places) + 2), name=f"underway_{name}")
    ahead = Signal(range(len(places) + 2), name=f"ahead_{name}")
    followed = Signal(name=f"followed_{name}")
    token = Signal(len(passage.token), name=f"token_{name}")
    choose = checks.any_input(f"choose_{name}", 1)
    m.d.sync += underway.eq(underway + passage.enter - passage.leave)
    with m.If(followed & passage.leave):
        m.d.sync += [ahead.eq(ahead - 1), followed.eq(ahead != 0)]
    with m.Elif(~followed & passage.enter & choose):
        m.d.sync += [
            followed.eq(1),
            token.eq(passage.token),
            ahead.eq(underway - passage.leave),
        ]
    occupied = sum((p.occupied for p in places[1:]), start=places[0].occupied)
    checks.always(f"{name}: places hold what is underway", occupied == underway)
    checks.always(f"{name}: the followed token is underway", ~followed | (ahead < underway))
    before: Value = Const(0)
    for number, place in enumerate(places):
        here = followed & place.occupied & (before == ahead)
        kept = token if place.stored is None else place.stored(token)
        checks.always(f"{name}: place {number} keeps the token", ~here | (place.content == kept))
        before = before + place.occupied
    turn = followed & (ahead == 0) & passage.leave
    checks.always(f"{name}: the token leaves", ~turn | (passage.result == passage.expected(token)))
    checks.always(f"{name}: nothing leaves that did not enter", ~passage.leave | (underway != 0))
    full = underway == len(places)
    was_full = Signal(name=f"was_full_{name}")
    m.d.sync += was_full.eq((was_full | full) & ~ResetSignal())
    checks.reachable(f"{name}: full", full)
    checks.reachable(f"{name}: empty after full", was_full & (underway == 0))
    checks.reachable(f"{name}: a followed token leaves", turn & was_full)
    return underway


def keeps_offer(m: Module, checks: Checks, name: str, valid, ready, payload) -> None:
    """AXI-stream: an offer that is not taken is repeated, with the same payload."""
    stalled = Signal(name=f"stalled_{name}")
    offered = Signal(len(payload), name=f"offered_{name}")
    m.d.sync += [stalled.eq(valid & ~ready), offered.eq(payload)]
    same = valid & (payload == offered)
    checks.always(f"{name}: an offer stays", ~stalled | same)
    checks.reachable(f"{name}: an offer waits", stalled & valid)


def progresses(m: Module, checks: Checks, name: str, wanted, done, *, cycles: int) -> Signal:
    """While ``wanted`` holds, ``done`` comes in the ``cycles``-th cycle at the latest.

    Returns
    -------
    Signal : how many cycles ``wanted`` has held without ``done``, for invariants.
    """
    waiting = Signal(range(cycles + 2), name=f"waiting_{name}".replace(" ", "_"))
    m.d.sync += waiting.eq(Mux(wanted & ~done, waiting + 1, 0))
    checks.always(f"{name}: within {cycles} cycles", waiting + (wanted & ~done) < cycles)
    return waiting
