"""The loaders split and queue their stream, and lose, double or reorder nothing."""

from dataclasses import dataclass
from functools import partial

from amaranth.hdl import Array, Cat, Const, Module, Mux, ResetSignal, Signal

from configs.timing import HEADER_QUEUE_GROUPS, PARAMETER_QUEUE_TILES
from hw.array import ActivationLoader, WeightLoader

from .checks import Checks
from .jobs import Job
from .streams import Passage, Place, follow_tokens, keeps_offer, progresses


@dataclass(frozen=True, kw_only=True)
class Loader:
    """An activation loader, or a weight loader with its two or three kinds of beat.

    Every beat goes to the queue of its kind, in order, cut to the width used there.

    Parameters
    ----------
    kinds : used bits by kind of beat, of ``"parameters"``, ``"header"`` and ``"chunk"``.
    depth : chunks that fit into the queue.
    beat_bits : width of the stream.
    """

    kinds: dict[str, int]
    depth: int
    beat_bits: int

    def _block(self):
        if set(self.kinds) == {"chunk"}:
            bits = self.kinds["chunk"]
            return ActivationLoader(chunk_bits=bits, beat_bits=self.beat_bits, depth=self.depth)
        return WeightLoader(
            header_bits=self.kinds["header"],
            chunk_bits=self.kinds["chunk"],
            parameter_bits=self.kinds.get("parameters", 0),
            beat_bits=self.beat_bits,
            depth=self.depth,
        )

    def build(self, m: Module) -> Checks:
        """Any beats, any back-pressure, any jobs."""
        checks = Checks(m)
        m.submodules.loader = loader = self._block()
        job = Job(m, checks)
        accepted = loader.beats.valid & loader.beats.ready
        kind = _Kind(m, checks, job, accepted, self.kinds)
        job.run(kind.accepted["chunk"], idle=1, walker="loader.walker")
        m.d.comb += [
            loader.job.eq(job.seen),
            loader.start.eq(job.start),
            loader.beats.valid.eq(checks.any_input("valid", 1)),
            loader.beats.payload.eq(checks.any_input("payload", self.beat_bits)),
            loader.last.eq(checks.any_input("last", 1)),
        ]
        depths = {"header": HEADER_QUEUE_GROUPS, "parameters": PARAMETER_QUEUE_TILES}
        taken = []
        for name, bits in self.kinds.items():
            out = getattr(loader, name)
            m.d.comb += out.ready.eq(checks.any_input(f"ready_{name}", 1))
            plural = name if name == "parameters" else f"{name}s"
            depth = depths.get(name, self.depth)
            passage = Passage(
                name=name,
                enter=kind.accepted[name],
                token=loader.beats.payload,
                leave=out.valid & out.ready,
                result=out.payload,
                expected=partial(_low_bits, bits=bits),
                places=[
                    Place(
                        occupied=p.occupied, content=p.content, stored=partial(_low_bits, bits=bits)
                    )
                    for p in queue_places(checks, f"loader.{plural}", width=bits, depth=depth)
                ],
            )
            underway = follow_tokens(m, checks, passage)
            progresses(m, checks, f"{name} offers", underway != 0, out.valid, cycles=1)
            keeps_offer(m, checks, name, out.valid, out.ready, out.payload)
            taken.append(out.ready)
        last = kind.is_chunk & job.last_chunk & job.last_group
        checks.always("error", loader.error == (accepted & (loader.last != last)))
        wanted = Cat(taken).all() & loader.beats.valid & job.active & ~ResetSignal()
        progresses(m, checks, "accepts", wanted, loader.beats.ready, cycles=2)
        checks.reachable("last beat of a job", accepted & last & (job.tiles == 1))
        checks.reachable(
            "last beat of a tile that is not the last", accepted & last & (job.tiles == 2)
        )
        return checks


class _Kind:
    """Which kind of beat comes next, by the order that the numerics page lays down."""

    def __init__(
        self, m: Module, checks: Checks, job: Job, accepted, kinds: dict[str, int]
    ) -> None:
        names = list(kinds)
        self.accepted = {name: Signal(name=f"accepted_{name}") for name in names}
        if names == ["chunk"]:
            self.is_chunk = Const(1)
            m.d.comb += self.accepted["chunk"].eq(accepted)
            return
        first = names.index("parameters") if "parameters" in kinds else names.index("header")
        now = Signal(range(len(names)), init=first)
        for number, name in enumerate(names):
            m.d.comb += self.accepted[name].eq(accepted & (now == number))
        self.is_chunk = now == names.index("chunk")
        after_chunk = Mux(job.last_group, first, names.index("header"))
        after = {"chunk": Mux(job.last_chunk, after_chunk, names.index("chunk"))}
        after |= {"header": names.index("chunk"), "parameters": names.index("header")}
        with m.If(accepted), m.Switch(now):
            for number, name in enumerate(names):
                with m.Case(number):
                    m.d.sync += now.eq(after[name])
        see = checks.observe
        parameters = now == names.index("parameters") if "parameters" in kinds else Const(0)
        header = ~self.is_chunk
        checks.always("kind exists", now < len(names))
        checks.always("header next", see("loader.header_next", 1) == header)
        checks.always("parameters next", see("loader.parameters_next", 1) == parameters)
        waiting = now == first
        at_start = (job.groups == job.shape.groups) & job.first_chunk()
        checks.always("order of kinds", Mux(job.active, ~parameters | at_start, waiting))
        checks.always("header before chunks", ~job.active | self.is_chunk | job.first_chunk())


def queue_places(checks: Checks, path: str, *, width: int, depth: int) -> list[Place]:
    """Places of a :class:`hw.array.Queue` of the block, oldest token first, and its invariant.

    For depths of 2 and up; one place needs no proof.
    """
    valid, room = checks.observe(f"{path}.head__valid", 1), checks.observe(f"{path}.room", 1)
    words = [checks.observe(f"{path}.storage[{word}]", width) for word in range(depth)]
    name = path.replace(".", " ").replace("_", " ")
    checks.always(f"{name}: not full and empty", valid | room)
    consume = checks.observe(f"{path}.consume", range(depth))
    produce = checks.observe(f"{path}.produce", range(depth))
    ahead = Mux(produce >= consume, produce - consume, produce + depth - consume)
    level = Mux(room, ahead, depth)
    checks.always(f"{name}: places", (consume < depth) & (produce < depth))
    checks.always(f"{name}: is there a word", valid == (level != 0))
    checks.always(f"{name}: full when they meet", room | (produce == consume))
    places = []
    for number in range(depth):
        index = consume + number
        word = Array(words)[Mux(index >= depth, index - depth, index)]
        places.append(Place(occupied=level > number, content=word))
    return places


def _low_bits(token, bits: int):
    return token[:bits]
