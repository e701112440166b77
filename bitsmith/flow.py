"""Run a whole job into a folder; finished steps are kept by content hash and not done again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.schema import RunConfig
from sw.quantize import QuantizedModel

from .hashes import code_hash, files_hash, named_hash, texts_hash
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
    "simulate": (("workload", "quantization", "accelerator", "memory"), ("bounds",)),
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


def step_keys(config: RunConfig) -> dict[str, str]:
    """Content hash of everything that each step's result depends on."""
    settings = plain(asdict(config))
    model = config.workload.model
    base = [code_hash(), "" if model is None else files_hash(model)]
    base.append(texts_hash(model, config.quantization))
    keys: dict[str, str] = {}
    fits = config.technology.fits
    for step, (paths, earlier) in DEPENDS.items():
        chosen = {path: _setting(settings, path) for path in paths}
        if step == "cost" and fits is not None:
            chosen["fits"] = named_hash(Path(fits), fits)
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
        result = stored["result"]
        if step == "rtl":
            text = (folder / result["file"]).read_bytes()
            if hashlib.sha256(text).hexdigest() != result["sha256"]:
                return None
        if step == "quantize" and "skipped" not in result:
            QuantizedModel.load(folder / "quantized")
        return result if result.keys() and isinstance(result, dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
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
    job.check()
    keys = step_keys(config)
    results = _clear_stale(folder, keys)
    cached = tuple(results)
    described = {"config": asdict(config), "keys": keys}
    write_text(folder / "config.json", dumps(described) + "\n")
    if "skipped" not in results.get("quantize", {"skipped": ""}):
        job.quantized_model = QuantizedModel.load(folder / "quantized")
    for step, action in STEPS.items():
        if step in results:
            note(f"{step}: done before")
            continue
        note(f"{step} ...")
        results[step] = plain(action(job, folder))
        # a failed verification is shown, not remembered
        if step != "verify" or results[step]["passed"]:
            stored = {"key": keys[step], "result": results[step]}
            write_text(folder / f"{step}.json", dumps(stored) + "\n")
    results = {step: results[step] for step in STEPS}
    write_csv(folder / "layers.csv", layer_rows(results))
    write_csv(folder / "timing.csv", results["simulate"]["timing"]["rows"])
    write_report(folder, plain(asdict(config)), results)
    return RunResult(folder=folder, steps=results, cached=cached)


def _clear_stale(folder: Path, keys: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Results that are still good; whatever belongs to another configuration is removed."""
    found = {step: _finished(folder, step, key) for step, key in keys.items()}
    good = {step: result for step, result in found.items() if result is not None}
    if len(good) < len(keys):
        stale = [f"{step}.json" for step in keys if step not in good]
        for name in [*stale, "layers.csv", "timing.csv", "report.html"]:
            (folder / name).unlink(missing_ok=True)
    return good


def load_results(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Configuration and step results of a run folder.

    Raises
    ------
    InputError : the folder is not a complete run.
    """
    try:
        described = json.loads((folder / "config.json").read_text())
        steps = {step: _finished(folder, step, described["keys"][step]) for step in STEPS}
        config = described["config"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"'{folder}' is not a finished run folder ({error}): make one with 'bitsmith run'"
        ) from None
    good = {step: result for step, result in steps.items() if result is not None}
    if missing := [step for step in steps if step not in good]:
        raise InputError(
            f"'{folder}' is not a finished run folder: {missing[0]} is missing, damaged or belongs "
            "to another configuration; finish it with 'bitsmith run'"
        )
    return config, good
