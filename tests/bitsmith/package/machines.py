"""A small machine for the tests of packages: few words, most of what a package must say."""

from functools import cache
from pathlib import Path

from configs.accelerator import BufferConfig, StreamConfig
from hw.benches.toolchain import verilator_root

from ...agreement.machines import machine

#: buffers, narrow streams, a result row whose last word is not full, a special value, flags
SMALL = machine(
    2,
    2,
    2,
    "bitmod_fp4",
    programmable=True,
    modes=("flag", "wrap"),
    widths=(13, 24),
    buffers=BufferConfig(weight_beats=24, activation_beats=16),
    streams=StreamConfig(weight_bits=16, activation_bits=8, result_bits=32),
)
VERSION = "1.2.3"


@cache
def small_files() -> dict[str, str]:
    """Files of the package of ``SMALL``."""
    from bitsmith.package import package_files

    return package_files(SMALL, VERSION)


def tools(folder: Path, *names: str) -> dict[str, str]:
    """An environment in which only ``names``, a C++ compiler's parts and Verilator are found."""
    import shutil

    folder.mkdir()
    for name in ("g++", "as", "ld", "sh", "perl", *names):
        found = shutil.which(name)
        assert found, f"{name} is missing"
        (folder / name).symlink_to(found)
    return {"PATH": f"{verilator_root() / 'bin'}:{folder}", "HOME": str(folder)}
