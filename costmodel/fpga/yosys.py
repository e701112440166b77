"""Yosys runs whose results are kept by content."""

import gzip
import hashlib
import importlib.metadata
import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.cache import cache_folder
from configs.files import replace_file
from hw.emit import run_yosys

from .families import FAMILIES


def content_hash(*parts: str | bytes) -> str:
    """Hash of some texts, as the name of what was made of them."""
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        digest.update(b"\0" * (number > 0) + (part if isinstance(part, bytes) else part.encode()))
    return digest.hexdigest()


def keep(path: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)


def statistics(lines: list[str], source: str, liberty: Path | None = None) -> dict[str, Any]:
    """Statistics and ``delay_ps`` after some Yosys commands, in a process of their own.

    (What ran before in a process changes results.) Kept by content, so that an interrupted
    measurement goes on where it was.

    Parameters
    ----------
    lines : commands.
    source : RTLIL text that they start from.
    liberty : library that the commands name; its area is part of the statistics.
    """
    content = [importlib.metadata.version("pyosys"), *lines, source]
    if liberty:
        content = [text.replace(str(liberty), "LIBERTY") for text in content]
        content.append(liberty.read_text())
    kept = cache_folder() / "synthesis" / f"{content_hash(*content)}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stat = f"stat -json -liberty {liberty}" if liberty else "stat -json"
        log = _run(folder, source, [*lines, f"tee -q -o {folder}/stat.json {stat}"])
        found = json.loads((folder / "stat.json").read_text())["design"]
    delays = re.findall(r"Delay =\s*([\d.]+) ps", log)
    found["delay_ps"] = float(delays[-1]) if delays else 0.0
    keep(kept, json.dumps(found).encode())
    return found


def _run(folder: Path, source: str, lines: list[str]) -> str:
    (folder / "design.il").write_text(source)
    return run_yosys("\n".join([f"read_rtlil {folder}/design.il", *lines]))


def map_cells(source: str, family: str, *, top: str, dsp: bool = False) -> dict[str, int]:
    """Cells of an FPGA family: ``lut``, ``flip_flops``, ``carry``, ``bram``, ``dsp``."""
    found = FAMILIES[family]
    cells = statistics([f"{found.script[dsp]} -top {top}"], source)["num_cells_by_type"]
    return asdict(found.resources(cells)) | {"carry": cells.get(found.carry, 0)}


def netlist(source: str, script: str, *, top: str) -> tuple[dict[str, int], bytes]:
    """Cells by kind and the netlist in Yosys' JSON, kept by content.

    Raises
    ------
    RuntimeError : Yosys failed.
    """
    lines = [f"{script} -top {top}"]
    digest = content_hash(importlib.metadata.version("pyosys"), *lines, "netlist", source)
    kept = cache_folder() / "fpga" / f"{digest}.netlist.gz"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            lines += [f"tee -q -o {folder}/stat.json stat -json", f"write_json {folder}/made.json"]
            _run(folder, source, lines)
            cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
            made = {"cells": cells, "netlist": (folder / "made.json").read_text()}
        keep(kept, gzip.compress(json.dumps(made).encode(), 1, mtime=0))
    made = json.loads(gzip.decompress(kept.read_bytes()))
    return made["cells"], made["netlist"].encode()
