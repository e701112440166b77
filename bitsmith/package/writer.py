"""A package on disk: written whole or not at all, never over somebody else's files."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from configs.errors import InputError

from .files import MANIFEST, as_bytes

#: file that marks a folder as bitsmith's own and lists it; the key that must be in it; its name
MARKS = {MANIFEST: ("bitsmith_package", "package"), "board.json": ("bitsmith_board", "board")}
#: what tools leave inside a package
_LEFT_BY_TOOLS = ("tb/build/", "__pycache__/", "build/")


def write_package(folder: Path, files: Mapping[str, str | bytes], manifest: str = MANIFEST) -> None:
    """Write ``files`` (path to content) as ``folder``; a package that was there is replaced.

    Parameters
    ----------
    manifest : the one of ``files`` that lists the others, with a key of ``MARKS``.

    Raises
    ------
    InputError : something else is there, or the folder cannot be written.
    """
    folder = folder.absolute()
    check_target(folder, manifest)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise InputError(f"cannot write '{folder}': {error.strerror}") from None
    try:
        made, old = scratch / "made", scratch / "old"
        for path, content in files.items():
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(as_bytes(content))
        if folder.exists():
            os.rename(folder, old)
        os.rename(made, folder)
    except OSError as error:
        raise InputError(f"cannot write '{folder}': {error.strerror}") from None
    finally:
        # should the second rename have failed, the old package goes back
        if (scratch / "old").exists() and not folder.exists():
            os.rename(scratch / "old", folder)
        shutil.rmtree(scratch, ignore_errors=True)


def check_target(folder: Path, manifest: str = MANIFEST) -> None:
    """Refuse to replace what is not a package, and files that no package had.

    Raises
    ------
    InputError : something else is there.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"cannot write '{folder}': it is a file, a folder is needed")
    found = sorted(path for path in folder.rglob("*") if not path.is_dir())
    if not found:
        return
    listed = former_files(folder, manifest)
    if listed is None:
        raise InputError(
            f"'{folder}' is not empty and not a {MARKS[manifest][1]} of bitsmith: "
            "name another folder with --out"
        )
    for path in found:
        name = path.relative_to(folder).as_posix()
        if name not in listed and not any(part in f"{name}/" for part in _LEFT_BY_TOOLS):
            raise InputError(
                f"'{folder}' holds '{name}', which bitsmith did not write: move it away, or name "
                "another folder with --out"
            )


def former_files(folder: Path, manifest: str = MANIFEST) -> set[str] | None:
    """Files of the package in ``folder``; None if there is none."""
    try:
        found = json.loads((folder / manifest).read_text())
        if MARKS[manifest][0] not in found:
            return None
        return {manifest, *found["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
