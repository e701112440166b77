"""Job control: when jobs start and stop, and what the registers say about it."""

import random

from amaranth.lib import wiring

from hw.bus import JobControl
from sw.compile.registers import SHAPE

from .block import RESET, Block, Model, Outputs, Stimulus, Values

_START, _ABORT, _CLEAR, _FLUSH = 1, 2, 4, 8
#: bits of ERRORS behind the six of loading
_BAD_SHAPE, _ABORTED, _REFUSED = 1 << 6, 1 << 7, 1 << 8
_DONE, _STOPPED = 1, 2


class ControlModel(Model):
    """The rules of docs/blocks/job_control.md."""

    def __init__(self) -> None:
        super().__init__()
        self._reset()

    def _reset(self) -> None:
        self.fault = self.was_busy = False
        self.errors = self.irq = self.inner = self.cycles = 0
        self.single = self.abort = self.starting = False

    def step(self, inputs: Values) -> Outputs:
        wish = inputs["control"]
        starts = self.starting
        busy = (starts or bool(inputs["running"])) and not self.fault
        rest = inputs["draining"] == 0 and not inputs["closing"]
        ready = rest and not busy and not self.fault
        shape = {name: inputs[name] for name in SHAPE}
        possible = 0 not in shape.values() and shape["inner_tiles"] <= shape["tiles"]
        found = inputs["errors_of_loading"]
        if wish & _START and ready and not possible:
            found |= _BAD_SHAPE
        aborted = self.abort and busy
        if aborted:
            found |= _ABORTED
        closes = (inputs["errors_of_loading"] != 0 or aborted) and not self.fault
        self.abort = bool(wish & _ABORT) and busy
        fatal = found != 0 and not self.fault
        refused = bool(wish & _START) and not ready
        self.starting = bool(wish & _START) and ready and possible
        clear = bool(wish & _CLEAR) and self.fault
        outputs: Outputs = {
            "start": int(starts),
            "stop": int(fatal),
            "close": int(closes),
            "fault": int(self.fault),
            "clear": int(clear),
            "flush": int(bool(wish & _FLUSH) and not busy),
            "refuse": int(refused),
            "status": busy | self.fault << 1 | inputs["draining"] << 2 | inputs["closing"] << 4,
            "errors": self.errors,
            "irq_status": self.irq,
            "interrupt": int(self.irq & inputs["irq_enable"] != 0),
            "inner": self.inner,
            "single": int(self.single),
            "busy_cycles": self.cycles,
        }
        self._count(outputs, busy, found)
        happened = (_DONE if self.was_busy and not busy and not self.fault else 0) | (
            _STOPPED if fatal else 0
        )
        self.irq = self.irq & ~inputs["irq_status_clear"] | happened
        kept = 0 if self.starting or wish & _CLEAR else self.errors
        self.errors = kept | found | (_REFUSED if refused else 0)
        self.was_busy = busy
        self.cycles += busy
        if starts:
            self.inner, self.single, self.cycles = (
                shape["inner_tiles"],
                shape["inner_tiles"] == 1,
                0,
            )
        self.fault = fatal or (self.fault and not clear)
        if inputs[RESET]:
            self._reset()
        return outputs

    def _count(self, outputs: Outputs, busy: bool, found: int) -> None:
        """What happened."""
        self.seen["transaction"] += outputs["start"]
        self.seen["refused"] += outputs["refuse"]
        self.seen["cleared"] += outputs["clear"]
        self.seen["done"] += self.was_busy and not busy and not self.fault
        self.seen["bad shape"] += bool(found & _BAD_SHAPE)
        self.seen["aborted"] += bool(found & _ABORTED)
        self.seen["error of loading"] += outputs["stop"] and not found & (_BAD_SHAPE | _ABORTED)


class ControlBlock(Block):
    """The one job control there is."""

    kind = "job_control"
    variant = ""
    must_see = (
        *("transaction", "refused", "cleared", "done", "bad shape", "aborted"),
        "error of loading",
    )

    def component(self) -> wiring.Component:
        return JobControl()

    def model(self) -> Model:
        return ControlModel()

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Writes at any time; a core that runs after a start and stops when reset by a fault."""
        running, left = False, 0
        draining, closing = 0, False
        calm = rng.choice((0.0, 0.5, 1.0))  # share of jobs that nothing happens to
        peaceful = False
        while True:
            wish = 0
            if rng.random() < 0.3:
                wish = rng.choice((_START, _START, _CLEAR, _FLUSH, rng.getrandbits(4)))
                wish |= _ABORT * (not peaceful and rng.random() < 0.2)
            if peaceful and running:
                wish &= ~_ABORT
            errors = 0
            if running and not peaceful and rng.random() < 0.1:
                errors = 1 << rng.randrange(6) | (rng.getrandbits(6) if rng.random() < 0.2 else 0)
            inputs = {"control": wish, "running": running, "errors_of_loading": errors}
            inputs |= {"draining": draining, "closing": closing, **self._shape(rng)}
            inputs["irq_status_clear"] = rng.choice((0, 0, 0, rng.getrandbits(2)))
            outputs = yield inputs
            if outputs["start"]:
                running, left = True, rng.choice((1, 2, 10, 50))
                peaceful = rng.random() < calm
            elif running:
                left -= 1
                running = left > 0 and not outputs["fault"]
            busy = outputs["stop"] or outputs["fault"]
            draining = rng.getrandbits(2) if busy else draining & rng.choice((0, 1, 2, 3))
            closing = bool(rng.getrandbits(1)) if busy else closing and rng.random() < 0.5
            closing = closing or rng.random() < 0.03  # while a job runs, too

    def _shape(self, rng: random.Random) -> Values:
        """Shape registers: mostly possible, now and then one that is 0, or too many inner tiles."""
        shape = {}
        for name, (bits, _) in SHAPE.items():
            shape[name] = rng.getrandbits(rng.randint(1, bits)) or 1
        if rng.randrange(8):
            shape["tiles"] = max(shape["tiles"], shape["inner_tiles"])
        if rng.randrange(4) == 0:
            shape["inner_tiles"] = rng.choice(
                (1, shape["tiles"], min(shape["tiles"] + 1, 0xFFFFFF))
            )
        if rng.randrange(10) == 0:
            shape[rng.choice(list(shape))] = 0
        return shape

    def corners(self) -> Stimulus:
        """One bit in one register of the shape, each; a long job."""
        rest = {"running": 0, "errors_of_loading": 0, "draining": 0, "closing": 0}
        for name, (bits, _) in SHAPE.items():
            for bit in range(bits):
                # every other register is 1, tiles as large as they can be
                shape = dict.fromkeys(SHAPE, 1) | {name: 1 << bit}
                if name == "inner_tiles":
                    shape["tiles"] = 1 << bit
                yield rest | shape | {"control": _START}
                yield rest | {"control": _CLEAR}
                if name in ("tiles", "inner_tiles"):
                    off_by_one = {"tiles": 1 << bit, "inner_tiles": (1 << bit) + 1}
                    yield rest | shape | off_by_one | {"control": _START}
                    yield rest | {"control": _CLEAR}
        yield rest | dict.fromkeys(SHAPE, 1) | {"control": _START}
        for _ in range(70_000):
            yield rest | {"control": 0, "running": 1}
        yield rest | {"control": 0}
        yield rest | {"control": 0}


BLOCKS = [ControlBlock()]
