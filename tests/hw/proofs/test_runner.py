"""The runner itself: what it proves, what it refuses, what it must not let pass."""

import pytest
from amaranth.hdl import Module, Mux, Signal

from hw.proofs import (
    Checks,
    Contradiction,
    LostProperty,
    cover,
    missing_solver,
    prove,
    runner,
    search,
    translation,
)
from hw.proofs import __main__ as command
from hw.proofs.encoding import read_encoding

needs_solver = pytest.mark.skipif(missing_solver() is not None, reason=missing_solver() or "")


class Counter:
    """Counts 0 to 9; claims to stay below ``limit``."""

    def __init__(self, *, limit=10, register="count", states=True, contradiction=False) -> None:
        self.limit = limit
        self.register = register
        self.states = states
        self.contradiction = contradiction

    def build(self, m: Module) -> Checks:
        checks = Checks(m)
        count = Signal(4, name="count")
        step = checks.any_input("step", 1)
        m.d.sync += count.eq(Mux(count == 9, 0, count + step))
        seen = checks.observe(self.register, 4)
        if self.states:
            checks.always("below the limit", seen < self.limit)
        if self.contradiction:
            checks.assume("impossible", seen == 12)
        checks.reachable("seven", seen == 7)
        checks.reachable("twelve", seen == 12)
        return checks


@needs_solver
def test_proved():
    verdict = prove(Counter())
    assert (verdict.status, verdict.assertions, verdict.trace) == ("proved", 1, {})


@needs_solver
def test_registers_start_with_anything():
    """In the reset cycle the count may be 15: no assertion looks at it, the next cycle is 0."""
    verdict = search(Counter(limit=0), depth=3)
    assert (verdict.status, verdict.cycle) == ("failed", 1)
    assert verdict.trace["count"][1] == 0


@needs_solver
def test_failure_from_reset_and_in_induction():
    """The counter reaches 9 ten cycles after reset; the induction meets 8, then 9, at once."""
    found = search(Counter(limit=9), depth=12)
    assert (found.status, found.phase, found.cycle) == ("failed", "search", 10)
    assert found.failed == ("below the limit",)
    assert found.trace["count"][1:] == tuple(range(10))
    assert search(Counter(limit=9), depth=10).status == "holds"
    step = prove(Counter(limit=9))
    assert (step.status, step.phase, step.trace["count"]) == ("failed", "induction", (8, 9))


@needs_solver
def test_base_case_counts():
    """True from any state on, but not after reset: the induction alone would prove it."""

    class Stuck:
        def build(self, m: Module) -> Checks:
            checks = Checks(m)
            wrong = Signal(init=1)
            m.d.sync += wrong.eq(wrong)
            checks.always("right", ~checks.observe("wrong", 1))
            return checks

    verdict = prove(Stuck())
    assert (verdict.status, verdict.phase, verdict.cycle) == ("failed", "search", 1)


@needs_solver
def test_covers():
    verdict = cover(Counter(), depth=12)
    assert (verdict.status, verdict.failed) == ("unreached", ("twelve",))
    assert verdict.reached == {"seven": 8}


@needs_solver
def test_timeout():
    assert prove(Counter(), timeout_s=0).status == "timeout"
    assert cover(Counter(), depth=4, timeout_s=0).status == "timeout"


@needs_solver
@pytest.mark.parametrize("kind", ["assert", "assume", "cover"])
def test_lost_properties_are_noticed(kind, monkeypatch):
    script = translation._SCRIPT.replace(
        "chformal -lower", f"chformal -lower\nchformal -{kind} -remove"
    )
    monkeypatch.setattr(translation, "_SCRIPT", script)
    with pytest.raises(LostProperty, match=rf"of kind '{kind}', the solver's file holds 0"):
        prove(Counter())


@needs_solver
def test_nothing_stated():
    with pytest.raises(LostProperty, match="states no assertion"):
        prove(Counter(states=False))


@needs_solver
def test_contradictory_assumptions():
    with pytest.raises(Contradiction, match="no run of 3 cycles satisfies the assumptions"):
        prove(Counter(contradiction=True))


@needs_solver
def test_unknown_register():
    with pytest.raises(LookupError, match="the block has no register 'nowhere'"):
        prove(Counter(register="nowhere"))


@pytest.mark.parametrize("name", ["twice", "under_score"])
def test_bad_names(name):
    checks = Checks(Module())
    checks.always("twice", 1)
    with pytest.raises(ValueError, match=name):
        checks.always(name, 1)


class Ring:
    """Two counters that stay equal; the second claim is shown from ``enough`` alone."""

    def __init__(self, *enough, claim=True) -> None:
        self.enough = enough
        self.claim = claim

    def build(self, m: Module) -> Checks:
        checks = Checks(m)
        first, second = Signal(4, name="first"), Signal(4, name="second")
        m.d.sync += [first.eq(first + 1), second.eq(second + 1)]
        checks.always("equal", checks.observe("first", 4) == checks.observe("second", 4))
        sums = checks.cut("twice", first + second, 4)
        checks.always("even", (sums == (first << 1)[:4]) == self.claim, self.enough)
        return checks


@needs_solver
@pytest.mark.parametrize(
    ("enough", "status"),
    [
        ((), "proved"),
        (("equal", "cut twice"), "proved"),
        (("equal",), "failed"),
        (("cut twice",), "failed"),
    ],
)
def test_enough(enough, status):
    """From these statements and nothing else; a wrong claim does not follow from any."""
    verdict = prove(Ring(*enough))
    assert (verdict.status, verdict.assertions) == (status, 2)
    assert verdict.failed == (("even",) if status == "failed" else ())
    assert prove(Ring(*enough, claim=False)).status == "failed"


def test_enough_is_stated_before():
    """No assertion follows from itself or from a later one."""
    checks = Checks(Module())
    with pytest.raises(ValueError, match="'one' is to follow from 'one', which is not stated yet"):
        checks.always("one", 1, ("one",))


def test_strange_statement():
    with pytest.raises(ValueError, match="cannot unroll"):
        read_encoding("(define-fun |f| ((a Bool)) Bool a)")


def test_missing_solver(monkeypatch, capsys):
    monkeypatch.setattr(runner, "SOLVER", "no-such-solver")
    sentence = "no-such-solver is not installed: pip install 'bitsmith[formal]'"
    assert missing_solver() == sentence
    with pytest.raises(runner.MissingSolver, match="no-such-solver is not installed"):
        prove(Counter())
    assert command.main(["result drain of one row"]) == 2
    assert capsys.readouterr().out == sentence + "\n"


@needs_solver
def test_command(capsys):
    assert command.main(["result drain of one row"]) == 0
    assert "proved" in capsys.readouterr().out
    assert command.main(["nothing like it"]) == 2
    assert "weight loader" in capsys.readouterr().out
