"""The folder for what is made once and kept: Verilated machines, unpacked model files."""

import os
from pathlib import Path

from configs.errors import InputError


def cache_folder() -> Path:
    """``BITSMITH_CACHE`` or ``~/.cache/bitsmith``; made if it is not there.

    Raises
    ------
    InputError : the folder cannot be made.
    """
    folder = Path(os.environ.get("BITSMITH_CACHE", Path.home() / ".cache" / "bitsmith"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the cache folder '{folder}' ({error.strerror}): set BITSMITH_CACHE"
        ) from None
    return folder
