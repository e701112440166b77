"""Errors that a user can mend, and the nearest valid name for a mistyped one."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message is one sentence that names the place, the value and what is valid.

    The command line prints it without a traceback and exits with code 2.
    """


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> InputError:
    """Build the error for a name that is not in ``valid``.

    Parameters
    ----------
    kind : what the name stands for, with its place, such as ``"number format"``.
    name : the value given.
    valid : every accepted name.
    """
    options = sorted(set(valid))
    near = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"valid are {', '.join(options)}"
    return InputError(f"unknown {kind} '{name}': {hint}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a ``value`` outside ``low..high``, both inclusive."""
    if not low <= value <= high:
        raise InputError(f"{name} is {value}, valid are {low}..{high}")
