"""Compiling loops by numba where it is installed; without it they stay Python.

Functions that call themselves would crash when numba reads them back from its cache. The cache
knows a function by its file: what is compiled into it from other files must not change under it.
"""

from pickle import UnpicklingError
from typing import Any


def _import_njit() -> Any:
    """numba's compiler, or None."""
    try:
        from numba import config, njit
    except ImportError:
        return None
    return None if getattr(config, "DISABLE_JIT", 0) else njit


njit = _import_njit()


def inner_loop(function: Any) -> Any:
    """Compiled together with its callers."""
    return function if njit is None else njit(nogil=True, error_model="numpy")(function)


def inlined_loop(function: Any) -> Any:
    """Compiled into each of its callers: for short functions that are called very often."""
    if njit is None:
        return function
    return njit(nogil=True, error_model="numpy", inline="always")(function)


def outer_loop(function: Any) -> Any:
    """Compiled at its first call, and kept on disk."""
    if njit is None:
        return function
    try:
        kept = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to keep it in
        return inner_loop(function)

    def call(*arguments: Any) -> Any:
        nonlocal kept
        try:
            return kept(*arguments)
        except (EOFError, UnpicklingError):  # a damaged file in the cache
            kept = inner_loop(function)
            return kept(*arguments)

    return call
