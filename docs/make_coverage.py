"""Write docs/coverage.md from docs/coverage.json and the explanations in docs/coverage_holes.toml.

python docs/make_coverage.py                     write the page
python docs/make_coverage.py --check             exit with 1 if that would change it
python docs/make_coverage.py --measure [NAME..]  measure first: all blocks, or those named
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from pages import table

DOCS = Path(__file__).resolve().parent
MEASURED, HOLES, PAGE = (
    DOCS / name for name in ("coverage.json", "coverage_holes.toml", "coverage.md")
)
#: characters of a hole's name that the page shows
LONGEST_NAME = 90
_HEAD = """\
# Coverage and mutation

How far the tests of single blocks reach into the Verilog that people get. Both measurements replay
the recordings of the batch tests in `tests/hw/`: random cycles with resets in between, corner
lists, and all operands where there are few.

```console
$ python docs/make_coverage.py --measure    # writes docs/coverage.json and this page
$ make agreement                            # mutation again, compared with this page
```

## Coverage

Lines and toggles (each bit, in both directions) counted by Verilator in the emitted Verilog, over
the variants of a block. A block inside another counts for itself only.
"""
_HOLES = """\
## Holes

Everything that was never reached, with the reason. A hole without a reason stops the generator.
"""
_MUTATION = """\
## Mutation

Yosys draws single faults in the block's netlist (`mutate`, seeds {seeds}): a bit of a cell's port
inverted, stuck, or crossed with another. All of them are in one netlist, chosen by an input; with
none chosen it behaves as the block. *Killed*: the recordings find it. *Equivalent*: proved by SAT
to change no output, for every state, or by induction for the reached ones. Of the others, in all
blocks together, at least {threshold} % must be killed.
"""
_LEFT = """\
### Survivors

Neither killed nor proved equivalent.
"""


def explanations(sort: str) -> list[tuple[re.Pattern[str], re.Pattern[str], str]]:
    """(block, hole, reason) of the hand-written table; the first that matches counts."""
    table = tomllib.loads(HOLES.read_text())[sort]
    return [
        (re.compile(entry["block"]), re.compile(entry["hole"]), entry["reason"]) for entry in table
    ]


class Reasons:
    """Finds the reason of a hole, and remembers which entries were needed."""

    def __init__(self, sort: str) -> None:
        self.entries = explanations(sort)
        self.used: set[int] = set()
        self.missing: list[str] = []

    def find(self, block: str, hole: str) -> str:
        """The reason, or an empty one that is reported."""
        for number, (blocks, holes, reason) in enumerate(self.entries):
            if blocks.fullmatch(block) and holes.search(hole):
                self.used.add(number)
                return reason
        self.missing.append(f"{block}: {hole}")
        return ""

    def complaints(self) -> list[str]:
        """Holes without a reason, reasons without a hole."""
        unused = [
            f"no hole: {blocks.pattern}: {holes.pattern}"
            for number, (blocks, holes, _) in enumerate(self.entries)
            if number not in self.used
        ]
        return [f"no reason: {hole}" for hole in self.missing] + unused


def _percent(covered: int, points: int) -> str:
    return f"{100 * covered / points:.1f}" if points else "-"


def coverage_table(measured: dict[str, Any]) -> str:
    """One row per block."""
    rows = []
    for kind, found in measured.items():
        row = [f"`{kind}`", str(found["variants"])]
        for sort in ("line", "toggle"):
            count = found[sort]
            row += [_percent(count["covered"], count["points"]), str(count["points"])]
        rows.append([*row, str(len(found["holes"]))])
    header = ["block", "variants", "lines %", "line points", "toggles %", "toggle points", "holes"]
    return table(header, rows)


def holes_table(measured: dict[str, Any], reasons: Reasons) -> str:
    """Holes by block, those with the same reason together."""
    rows = []
    for kind, found in measured.items():
        by_reason: dict[str, list[str]] = {}
        for hole in found["holes"]:
            name = f"{hole['kind']} {hole['what']}"
            by_reason.setdefault(reasons.find(kind, name), []).append(hole["what"])
        for reason, names in by_reason.items():
            shown = ", ".join(f"`{_short(name)}`" for name in dict.fromkeys(names))
            rows.append([f"`{kind}`", shown.replace("|", "\\|"), reason])
    return table(["block", "never reached", "why"], rows)


def _short(name: str) -> str:
    """A hole's name without most of a long list of bits."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def mutation_table(measured: dict[str, Any]) -> str:
    """One row per block, and all together."""
    rows, total = [], [0, 0, 0]
    for name, found in measured.items():
        counts = [found[key] for key in ("mutants", "killed", "equivalent")]
        total = [a + b for a, b in zip(total, counts, strict=True)]
        rows.append([f"`{name}`", *map(str, counts), _percent(counts[1], counts[0] - counts[2])])
    rows.append(["all", *map(str, total), _percent(total[1], total[0] - total[2])])
    return table(["block", "mutants", "killed", "equivalent", "killed of the others %"], rows)


def survivors_table(measured: dict[str, Any], reasons: Reasons) -> str:
    """One row per survivor."""
    rows = [
        [f"`{name}`", f"`{mutant}`", reasons.find(name, mutant)]
        for name, found in measured.items()
        for mutant in found["survivors"]
    ]
    return table(["block", "mutant", "why it is not found"], rows)


def page(measured: dict[str, Any]) -> tuple[str, list[str]]:
    """The page, and what is wrong with the explanations."""
    coverage, mutation = Reasons("coverage"), Reasons("mutation")
    facts = {"seeds": ", ".join(map(str, measured["seeds"])), "threshold": measured["threshold"]}
    parts = [
        _HEAD,
        coverage_table(measured["coverage"]),
        _HOLES,
        holes_table(measured["coverage"], coverage),
        _MUTATION.format(**facts),
        mutation_table(measured["mutation"]),
        _LEFT,
        survivors_table(measured["mutation"], mutation),
    ]
    text = "\n\n".join(part.strip("\n") for part in parts) + "\n"
    return text, coverage.complaints() + mutation.complaints()


def measure(names: list[str]) -> None:
    """Measure blocks, each stored as soon as it is done."""
    sys.path.insert(0, str(DOCS.parent))
    from tests.hw.blocks import coverage, mutation
    from tests.hw.blocks.registry import blocks_by_kind

    stored = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    kinds = list(blocks_by_kind())
    stored["seeds"], stored["threshold"] = list(mutation.SEEDS), round(100 * mutation.THRESHOLD)
    jobs = [("coverage", kind, coverage.measure) for kind in kinds]
    jobs += [("mutation", name, mutation.measure) for name in mutation.MUTATED]
    for sort, name, function in jobs:
        if not names or name.split("__")[0] in names:
            print(sort, name, file=sys.stderr, flush=True)
            stored.setdefault(sort, {})[name] = function(name)
            for part, order in (("coverage", kinds), ("mutation", mutation.MUTATED)):
                had = stored.get(part, {})
                stored[part] = {key: had[key] for key in order if key in had}
            MEASURED.write_text(json.dumps(stored, indent=1) + "\n")


def main() -> int:
    """Measure if wanted; rewrite the page, or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when stale")
    parser.add_argument("--measure", nargs="*", metavar="NAME", help="measure blocks first")
    options = parser.parse_args()
    if options.measure is not None:
        measure(options.measure)
    text, complaints = page(json.loads(MEASURED.read_text()))
    if complaints:
        print("docs/coverage_holes.toml:", *complaints, sep="\n", file=sys.stderr)
        return 1
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    if options.check:
        print("docs/coverage.md is stale: run 'python docs/make_coverage.py'", file=sys.stderr)
        return 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
