"""Files that are written whole or not at all."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to; it takes that name when the block ends well.

    So no half-written file is ever seen.

    Raises
    ------
    OSError : the file cannot be written; the old one is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path``, then rename.

    Raises
    ------
    OSError : the file cannot be written; the old one is still there.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)
