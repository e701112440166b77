"""What the scripts that write pages of this folder share."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def between_markers(text: str, script: str, tables: dict[str, str]) -> str:
    """``text`` with fresh tables between the markers that name the table and the script."""
    for name, made in tables.items():
        begin, end = f"<!-- {name}: made by docs/{script} -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        after = rest.split(end)[1]
        text = f"{before}{begin}\n\n{made}\n\n{end}{after}"
    return text


def rewrite(path: Path, page: Callable[[str], str], script: str, summary: str | None) -> int:
    """Command line of a script: write ``page`` of the old text, or compare with ``--check``.

    Returns
    -------
    int : exit code, 1 if the page is stale and may not be written.
    """
    parser = argparse.ArgumentParser(prog=script, description=(summary or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when stale")
    check = parser.parse_args().check
    old = path.read_text()
    new = page(old)
    if old == new:
        return 0
    if check:
        print(f"docs/{path.name} is stale: run 'python docs/{script}'", file=sys.stderr)
        return 1
    path.write_text(new)
    return 0
