"""A virtual environment for each peer, with pinned versions, made once and kept."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from configs.cache import cache_folder

from .measure import PeerError

_PINS = Path(__file__).parent / "requirements"
#: pip's words can be long; the table has one line for them
_MESSAGE_LENGTH = 160


def pins(peer: str) -> Path:
    """The file of everything that ``peer`` needs, in pip's format."""
    return _PINS / f"{peer}.txt"


def _folder(peer: str) -> Path:
    """Where the environment is: named after the pins, the Python version and the machine."""
    system = f"{sys.version_info[:2]} {sys.platform} {os.uname().machine}\n"
    digest = hashlib.sha256(system.encode() + pins(peer).read_bytes()).hexdigest()[:16]
    return cache_folder() / "peers" / f"{peer}-{digest}"


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def installed_python(peer: str) -> Path | None:
    """The interpreter of an environment that is there already, or None."""
    python = _python(_folder(peer))
    return python if python.exists() else None


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment; installs what is not there.

    An environment is made beside its place and renamed, so that it is whole or absent. Its scripts
    hold the old path: only the interpreter is used.

    Raises
    ------
    PeerError : the environment cannot be made.
    InputError : there is no cache folder.
    """
    folder = _folder(peer)
    if not _python(folder).exists():
        _install(peer, folder)
    return _python(folder)


def _install(peer: str, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise PeerError(f"{peer} is not installed: {error.strerror}: '{folder.parent}'") from None
    try:
        _command(peer, [sys.executable, "-m", "venv", scratch])
        pip: list[str | Path] = [_python(scratch), "-m", "pip", "install", "--quiet", "--no-input"]
        pip += ["--disable-pip-version-check", "--retries", "1", "--requirement", pins(peer)]
        _command(peer, pip)
        if not _python(folder).exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a Python that is gone
        # where another process was faster, this fails and that environment is used
        os.rename(scratch, folder)
    except OSError as error:
        if not _python(folder).exists():
            raise PeerError(f"{peer} is not installed: {error.strerror}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _command(peer: str, words: list[str | Path]) -> None:
    """Run one step of an installation.

    Raises
    ------
    PeerError : it failed; with pip's last error.
    """
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no output"]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines
        raise PeerError(f"{peer} is not installed: {_short(errors[-1])}")


def _short(line: str) -> str:
    """A line of pip's in the middle of a sentence."""
    return line.removeprefix("ERROR: ")[:_MESSAGE_LENGTH].rstrip(".")
