"""The result port: rows cut into words, and the end of a stopped job's packet."""

import random

from amaranth.lib import wiring

from hw.bus import ResultPort

from .block import RESET, Block, Model, Outputs, Stimulus, Values

PACES = (0.1, 0.5, 0.9, 1.0)


class PortModel(Model):
    """Words of the row that is offered, and words still owed after a job was stopped."""

    def __init__(self, row_bytes: int, word_bytes: int) -> None:
        super().__init__()
        self.row_bytes, self.word_bytes = row_bytes, word_bytes
        self._reset()

    def _reset(self) -> None:
        self.owed: list[tuple[int, int, int]] = []  # payload, keep, last
        self.sent = 0  # bytes of the present row
        self.open = False

    def _word(self, inputs: Values) -> tuple[int, int, int]:
        """The word whose turn it is in the offered row."""
        raw = inputs["rows__payload"].to_bytes(self.row_bytes, "little")
        part = raw[self.sent : self.sent + self.word_bytes]
        ends = self.sent + self.word_bytes >= self.row_bytes
        return int.from_bytes(part, "little"), (1 << len(part)) - 1, ends and inputs["rows_last"]

    def step(self, inputs: Values) -> Outputs:
        closing = bool(self.owed)
        offered = self.owed[0] if closing else self._word(inputs) if inputs["rows__valid"] else None
        outputs: Outputs = {"words__valid": int(offered is not None), "closing": int(closing)}
        if offered is not None:
            payload, keep, last = offered
            outputs |= {"words__payload": payload, "keep": keep, "last": int(last)}
        taken = offered is not None and bool(inputs["words__ready"])
        row_ends = self.sent + self.word_bytes >= self.row_bytes
        if inputs["rows__valid"] or closing:
            outputs["rows__ready"] = int(taken and row_ends and not closing)
        if taken:
            self._take(offered, closing, row_ends)
        if inputs["close"]:
            self._close(None if taken else offered)
        if inputs[RESET]:
            self._reset()
        return outputs

    def _take(self, offered: tuple[int, int, int], closing: bool, row_ends: bool) -> None:
        """A word is accepted."""
        self.open = not offered[2]
        self.seen["packet"] += not self.open
        if closing:
            self.owed.pop(0)
            self.seen["owed word sent"] += 1
        else:
            self.seen["transaction"] += 1
            self.sent = 0 if row_ends else self.sent + self.word_bytes

    def _close(self, waiting: tuple[int, int, int] | None) -> None:
        """The job was stopped while ``waiting`` was offered and not taken."""
        self.sent = 0
        self.owed = [] if waiting is None else [waiting]
        if waiting is not None:
            self.seen["closed with an offer"] += 1
            self.seen["closed with the last word"] += waiting[2]
        open_then = self.open if waiting is None else not waiting[2]
        if open_then:
            self.owed.append((0, 0, 1))
        self.seen["closed between words"] += self.open and waiting is None
        self.seen["closed between packets"] += not self.owed


class PortBlock(Block):
    """One pair of widths."""

    kind = "result_port"
    must_see = (
        *("transaction", "packet", "owed word sent", "closed with an offer"),
        *("closed with the last word", "closed between words", "closed between packets"),
    )

    def __init__(self, row_bits: int, stream_bits: int) -> None:
        self.row_bits, self.stream_bits = row_bits, stream_bits
        self.variant = f"{row_bits}_{stream_bits}"

    def component(self) -> wiring.Component:
        return ResultPort(row_bits=self.row_bits, stream_bits=self.stream_bits)

    def model(self) -> Model:
        return PortModel(self.row_bits // 8, self.stream_bits // 8)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Jobs of a few rows; some are stopped, and their rows are noise until the port is done."""
        while True:
            yield from self._job(rng)
            for _ in range(rng.choice((0, 0, 1, 4))):
                yield {"rows__valid": 0, "close": rng.random() < 0.2}

    def _job(self, rng: random.Random) -> Stimulus:
        offer, take = rng.choice(PACES), rng.choice(PACES)
        left, stop = rng.choice((1, 1, 2, 5)), rng.choice((0, 0, 0.1, 0.4))
        row, at_last = Values(), False
        while left:
            if not row and rng.random() < offer:
                row = {"rows__payload": rng.getrandbits(self.row_bits), "rows_last": left == 1}
            close, ready = rng.random() < stop + 0.2 * at_last, rng.random() < take
            controls = {"rows__valid": bool(row), "close": close}
            outputs = yield row | controls | {"words__ready": ready}
            at_last = bool(row) and bool(outputs["last"]) and not ready
            if row and outputs["rows__ready"]:
                row, left = {}, left - 1
            if close:
                break
        closing, owing = left > 0, False
        while closing:
            ready = rng.random() < take
            # rows may do what they like while words are owed for certain
            noise = owing and rng.randrange(2)
            outputs = yield {"close": 0, "words__ready": ready, "rows__valid": noise}
            closing = bool(outputs["closing"])
            owing = closing and not ready


BLOCKS = [
    PortBlock(8, 8),
    PortBlock(64, 16),
    PortBlock(40, 16),
    PortBlock(40, 8),
    PortBlock(24, 64),
]
