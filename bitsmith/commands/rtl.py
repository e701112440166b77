"""``bitsmith rtl``: an accelerator as a folder to integrate."""

import hashlib
from pathlib import Path

from .. import __version__
from ..job import Progress
from ..package import package_files, write_package
from ..package.files import VERILOG
from ..package.fusesoc import TOP
from ..package.writer import check_target
from ..steps import machine_widths
from .chosen import chosen_machine
from .common import Options, emit


def rtl(options: Options, progress: Progress) -> int:
    """``bitsmith rtl``."""
    folder: Path = options.output
    check_target(folder)
    chosen = chosen_machine(options, progress)
    machine, purpose = chosen.machine, chosen.purpose
    files = package_files(machine, __version__, purpose)
    write_package(folder, files)
    verilog = files[VERILOG]
    result = {
        "top": TOP,
        "folder": str(folder),
        "file": str(folder / VERILOG),
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "lines": verilog.count("\n"),
        "files": len(files),
        "k": purpose.k,
        "group_sizes": list(purpose.group_sizes),
        **machine_widths(machine),
    }
    text = (
        f"written: {folder} ({len(files)} files; {VERILOG} has {result['lines']} lines, top module "
        f"{TOP}, K up to {purpose.k} in groups of {purpose.groups_text}, P_I "
        f"{result['inner_bits']}, P_O {result['outer_bits']})\n"
        f"check it: make -C {folder / 'tb'}"
    )
    emit(options, result, text)
    return 0
