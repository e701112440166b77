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
#: of the Python that runs this
OWN_VERSION = sys.version_info[:2]


def pins(peer: str) -> Path:
    """The file of everything that ``peer`` needs, in pip's format."""
    return _PINS / f"{peer}.txt"


def _folder(peer: str, version: tuple[int, int]) -> Path:
    """Where the environment is: named after the pins, the Python version and the machine."""
    system = f"{version} {sys.platform} {os.uname().machine}\n"
    digest = hashlib.sha256(system.encode() + pins(peer).read_bytes()).hexdigest()[:16]
    return cache_folder() / "peers" / f"{peer}-{digest}"


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def interpreter(peer: str, version: tuple[int, int]) -> str:
    """A Python of this version that can make the environment of ``peer``.

    It is looked for on the PATH and beside the Python that runs this, where managers of versions
    put the others.

    Raises
    ------
    PeerError : there is none.
    """
    if version == OWN_VERSION:
        return sys.executable
    name = f"python{version[0]}.{version[1]}"
    beside = sorted(Path(sys.base_prefix).parent.glob("*/bin"))
    for folder in [*os.get_exec_path(), *beside]:
        found = shutil.which(name, path=str(folder))
        # what is found may be a stand-in for a version that is switched off
        if found and _works(found):
            return found
    raise PeerError(f"{peer} is not installed: it needs '{name}' with venv, which is not here")


def _works(python: str) -> bool:
    words = [python, "-I", "-c", "import ensurepip, venv"]
    return not subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL).returncode


def installed_python(peer: str, version: tuple[int, int] = OWN_VERSION) -> Path | None:
    """The interpreter of an environment that is there already, or None."""
    python = _python(_folder(peer, version))
    return python if python.exists() else None


def python_of(peer: str, version: tuple[int, int] = OWN_VERSION) -> Path:
    """The interpreter of a peer's environment; installs what is not there.

    An environment is made beside its place and renamed, so that it is whole or absent. Its scripts
    hold the old path: only the interpreter is used.

    Raises
    ------
    PeerError : the environment cannot be made.
    InputError : there is no cache folder.
    """
    folder = _folder(peer, version)
    if not _python(folder).exists():
        _install(peer, version, folder)
    return _python(folder)


def _install(peer: str, version: tuple[int, int], folder: Path) -> None:
    python = interpreter(peer, version)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise PeerError(f"{peer} is not installed: {error.strerror}: '{folder.parent}'") from None
    try:
        _command(peer, [python, "-m", "venv", scratch])
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
