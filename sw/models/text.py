"""Text to calibrate and to measure on: what bitsmith ships, or a file."""

import re
from pathlib import Path

from configs.errors import InputError

from . import registry

SENTENCE_CHARACTERS = (20, 300)
# after a full stop, question or exclamation mark (and a closing quote), or at a line's end
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|(?<=[.?!][\"')\]])\s+|\n+")


def calibration_text(path: str | Path | None = None) -> str:
    """Text from which quantizers learn ranges: ``path``, or the 64 KiB that bitsmith ships.

    The shipped text is half Shakespeare, half King James Bible, from the part that ``scribe_1m``
    was trained on; no 32 bytes of it occur in :func:`evaluation_text`.

    Raises
    ------
    InputError : a file that is missing, empty or not UTF-8.
    """
    return _read(path, "calibration.txt")


def evaluation_text(path: str | Path | None = None) -> str:
    """Text to measure accuracy on: ``path``, or the 64 KiB that bitsmith ships.

    The shipped text is half Shakespeare, half King James Bible, and ``scribe_1m`` has not seen it;
    other models probably have, so that their figures on it are good for comparisons only.

    Raises
    ------
    InputError : a file that is missing, empty or not UTF-8.
    """
    return _read(path, "heldout.txt")


def _read(path: str | Path | None, shipped: str) -> str:
    file = registry.shipped_folder() / shipped if path is None else Path(path)
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise InputError(f"cannot read text file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text (byte {error.start})") from error
    if not text.strip():
        raise InputError(f"text file {file} is empty")
    return text


def sentences(text: str) -> list[str]:
    """Sentences of ``text`` with 20 to 300 characters, in order, blanks inside them made single.

    A sentence ends at ``.``, ``?`` or ``!`` before a blank, and at the end of a line.
    """
    low, high = SENTENCE_CHARACTERS
    parts = (" ".join(part.split()) for part in _SENTENCE_END.split(text))
    return [part for part in parts if low <= len(part) <= high]
