"""Run a whole job into a folder; finished steps are kept by content hash and not done again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.schema import RunConfig
from sw.models import model_folder
from sw.quantize import QuantizedModel

from .job import Job, Progress, silent
from .report import write_report
from .steps import STEPS
from .strict_json import dumps, plain, write_text
from .tables import layer_rows, write_csv

#: what each step's result depends on: settings by path in the run configuration, and earlier steps
DEPENDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "quantize": (("workload.model", "quantization"), ()),
    "evaluate": (("workload.evaluation_bytes",), ("quantize",)),
    "bounds": (("accelerator",), ("quantize",)),
    "simulate": (("workload", "quantization", "accelerator"), ("bounds",)),
    "cost": (("technology",), ("simulate",)),
    "rtl": (("accelerator", "quantization.format"), ("bounds",)),
    "verify": (("verify", "seed"), ("quantize", "rtl")),
}


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run.

    Attributes
    ----------
    folder : the run folder.
    steps : step -> its JSON object.
    cached : steps that were found done.
    """

    folder: Path
    steps: dict[str, dict[str, Any]]
    cached: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """The RTL agreed with golden model and simulator, and no accumulator can overflow."""
        bounds = self.steps["bounds"]
        return bool(self.steps["verify"]["passed"]) and not bounds.get("overflows")


def code_hash() -> str:
    """Hash of bitsmith's own source: a changed program does not reuse old results."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("configs", "sw", "hw", "sim", "costmodel", "bitsmith"):
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".cpp") and path.is_file():
                digest.update(str(path.relative_to(root)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def model_hash(config: RunConfig) -> str:
    """Hash of the model's files; empty without weights."""
    if config.workload.model is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(model_folder(config.workload.model).iterdir()):
        if path.suffix in (".json", ".safetensors", ".txt"):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def step_keys(config: RunConfig) -> dict[str, str]:
    """Content hash of everything that each step's result depends on."""
    settings = plain(asdict(config))
    base = [code_hash(), model_hash(config)]
    keys: dict[str, str] = {}
    for step, (paths, earlier) in DEPENDS.items():
        chosen = {path: _setting(settings, path) for path in paths}
        content = json.dumps([base, step, chosen, [keys[name] for name in earlier]], sort_keys=True)
        keys[step] = hashlib.sha256(content.encode()).hexdigest()
    return keys


def _setting(settings: dict[str, Any], path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = value[name]
    return value


def _finished(folder: Path, step: str, key: str) -> dict[str, Any] | None:
    """Stored result of ``step`` if it was computed from the same content."""
    try:
        stored = json.loads((folder / f"{step}.json").read_text())
        if stored["key"] != key:
            return None
        if step == "rtl" and not (folder / stored["result"]["file"]).is_file():
            return None
        if step == "quantize" and "skipped" not in stored["result"]:
            QuantizedModel.load(folder / "quantized")
        return stored["result"]
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None


def run(
    config: RunConfig,
    *,
    folder: Path | None = None,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Do every step of ``config`` that is not done yet, and write the report.

    Parameters
    ----------
    config : the job.
    folder : run folder (default: the configuration's ``output``).
    progress : shows the advance inside a step.
    note : called with one line per step.
    """
    folder = folder or Path(config.output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"run folder '{folder}' is a file")
    job = Job(config=config, progress=progress)
    keys, results, cached = step_keys(config), {}, []
    write_text(folder / "config.json", dumps(asdict(config)) + "\n")
    for step, action in STEPS.items():
        result = _finished(folder, step, keys[step])
        if result is not None:
            cached.append(step)
            note(f"{step}: done before")
            if step == "quantize" and "skipped" not in result:
                job.quantized_model = QuantizedModel.load(folder / "quantized")
        else:
            note(f"{step} ...")
            result = plain(action(job, folder))
            # a failed verification is shown, not remembered
            if step != "verify" or result["passed"]:
                write_text(
                    folder / f"{step}.json", dumps({"key": keys[step], "result": result}) + "\n"
                )
        results[step] = result
    write_csv(folder / "layers.csv", layer_rows(results))
    write_report(folder, plain(asdict(config)), results)
    return RunResult(folder=folder, steps=results, cached=tuple(cached))


def load_results(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Configuration and step results of a run folder.

    Raises
    ------
    InputError : the folder is not a complete run.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        steps = {
            step: json.loads((folder / f"{step}.json").read_text())["result"] for step in STEPS
        }
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"'{folder}' is not a finished run folder ({error}): make one with 'bitsmith run'"
        ) from None
    return config, steps
