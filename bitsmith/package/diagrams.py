"""Timing diagrams as text, every cycle number from a simulation."""

import warnings

from amaranth.sim import Simulator

from hw.bus import RegisterFile
from sw.compile import Machine
from sw.compile.registers import register_map

from .jobs import RecordedJob, Word

_CELL = 5


def _wave(name: str, levels: list[int]) -> str:
    """One signal: a line of cells, high as ``~``, low as ``_``."""
    text, before = "", levels[0]
    for level in levels:
        fill = "~" if level else "_"
        edge = fill if level == before else "/" if level else "\\"
        text += edge + fill * (_CELL - 1)
        before = level
    return f"{name:<20}{text}"


def _numbers(first: int, count: int) -> str:
    return f"{'cycle':<20}" + "".join(f" {first + i:<{_CELL - 1}}" for i in range(count))


def register_access(machine: Machine) -> str:
    """A write of CONTROL and a read of STATUS, from a simulation of the register file.

    Cycle 0 is the one in which the write acts.
    """
    registers = register_map(machine)
    file = RegisterFile(registers=registers)
    write = ("awvalid", "awready", "wvalid", "wready", "control_written", "bvalid", "bready")
    read = ("arvalid", "arready", "rvalid", "rready")
    seen: dict[str, list[int]] = {name: [] for name in (*write, *read)}

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(file.awaddr, registers.offset("CONTROL"))
        ctx.set(file.araddr, registers.offset("STATUS"))
        ctx.set(file.wdata, 1)
        ctx.set(file.wstrb, 15)
        ctx.set(file.bready, 1)
        ctx.set(file.rready, 1)
        for cycle in range(6):
            for name in ("awvalid", "wvalid", "arvalid"):
                ctx.set(getattr(file, name), cycle == 1)
            for name, levels in seen.items():
                levels.append(ctx.get(getattr(file, name)))
            await ctx.tick()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(file)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    acts = seen["control_written"].index(1)
    lines = [_numbers(-acts, 6)]
    for name in (*write, *read):
        shown = "(the write acts)" if name == "control_written" else f"s_axi_{name}"
        lines.append(_wave(shown, seen[name]))
    return "\n".join(lines) + "\n"


def job_streams(job: RecordedJob) -> str:
    """When the words of a job cross its streams, from the cycle simulator.

    ``w0`` is the first weight word, and so on; ``*`` marks TLAST. Stretches in which nothing new
    is to be seen are left out.
    """
    streams = {
        "s_axis_weights": ("w", job.weights),
        "s_axis_activations": ("a", job.activations),
        "m_axis_results": ("r", job.results),
    }
    shown = {0, 1, job.cycles}
    for _, words in streams.values():
        cycles = [word.cycle for word in words]
        shown |= {*cycles[:4], *cycles[-2:]}
    columns = _columns(sorted(shown))
    lines = [f"{'cycle':<20}" + "".join(f"{'..' if c is None else c:<5}" for c in columns)]
    start = ["start" if c == 0 else "" for c in columns]
    lines.append(f"{'(the job)':<20}" + "".join(f"{text:<5}" for text in start))
    for name, (letter, words) in streams.items():
        cells = _cells(letter, words)
        between = _between(columns, {word.cycle for word in words})
        row = [
            (".." if between[i] else "") if cycle is None else cells.get(cycle, "")
            for i, cycle in enumerate(columns)
        ]
        lines.append(f"{name:<20}" + "".join(f"{text:<5}" for text in row))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _cells(letter: str, words: tuple[Word, ...]) -> dict[int, str]:
    return {
        word.cycle: f"{letter}{index}{'*' if word.last else ''}" for index, word in enumerate(words)
    }


def _columns(shown: list[int]) -> list[int | None]:
    """Cycles to show, None where some are left out."""
    columns: list[int | None] = []
    for cycle in shown:
        previous = columns[-1] if columns else None
        if previous is not None and cycle > previous + 1:
            columns.append(None)
        columns.append(cycle)
    return columns


def _between(columns: list[int | None], cycles: set[int]) -> dict[int, bool]:
    """For every gap in the columns, whether words cross there."""
    found = {}
    for index, cycle in enumerate(columns):
        if cycle is None:
            before, after = columns[index - 1], columns[index + 1]
            assert before is not None and after is not None
            found[index] = any(before < c < after for c in cycles)
    return found
