"""Runs: every output is there, finished steps are kept, changed settings are done again."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bitsmith import InputError, flow, load_run
from bitsmith.cli import main
from bitsmith.job import Job
from bitsmith.steps import evaluate_step
from configs.schema import load_axis
from sw.models.registry import model_path

pytestmark = pytest.mark.rtl
FILES = {
    "config.json", "quantize.json", "evaluate.json", "bounds.json", "simulate.json", "cost.json",
    "rtl.json", "verify.json", "layers.csv",
    "timing.csv", "report.html", "quantized", "verilog",
}  # fmt: skip


@pytest.fixture(scope="module")
def config():
    """The quickstart with less text and fewer tokens."""
    base = load_run("quickstart")
    workload = dataclasses.replace(
        base.workload, prefill_tokens=4, decode_tokens=1, evaluation_bytes=1024
    )
    verify = dataclasses.replace(base.verify, tokens=1, random_shapes=2)
    small = dataclasses.replace(base.accelerator, rows=2, cols=2)
    return dataclasses.replace(base, accelerator=small, workload=workload, verify=verify)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> tuple[Path, flow.RunResult]:
    folder = tmp_path_factory.mktemp("run") / "quick"
    return folder, flow.run(config, folder=folder)


def test_everything_is_written(finished) -> None:
    folder, result = finished
    assert result.passed
    assert result.cached == ()
    assert {path.name for path in folder.iterdir()} == FILES
    rows = (folder / "layers.csv").read_text().splitlines()
    assert len(rows) == 1 + 28
    for path in folder.glob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)


def test_quantization_costs_what_it_should(finished) -> None:
    variants = {v["name"]: v for v in finished[1].steps["evaluate"]["variants"]}
    assert 1 < variants["float"]["bits_per_byte"] < 3
    assert -0.01 < variants["weights quantized"]["increase"] < 0.1


def test_second_run_does_nothing_again(config, finished) -> None:
    folder, first = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = flow.run(config, folder=folder)
    assert set(again.cached) == set(flow.STEPS)
    assert again.steps == first.steps
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_command_same_bytes(config, finished, tmp_path: Path) -> None:
    folder, _ = finished
    flow.run(config, folder=tmp_path)
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


def test_only_what_changed_is_done_again(config, finished) -> None:
    keys = flow.step_keys(config)

    def redone(**changes) -> set[str]:
        other = flow.step_keys(dataclasses.replace(config, **changes))
        return {step for step in keys if keys[step] != other[step]}

    technology = load_axis("technology", "sg13g2_130nm")
    assert redone(technology=technology) == {"cost"}
    assert redone(seed=1) == {"verify"}
    wider = dataclasses.replace(config.accelerator, rows=5)
    assert redone(accelerator=wider) == {"bounds", "simulate", "cost", "rtl", "verify"}
    coarser = dataclasses.replace(config.quantization, group_size=64)
    assert redone(quantization=coarser) == set(flow.STEPS)


def test_fits_made_again_are_another_cost(config, tmp_path: Path) -> None:
    """A calibration into the same folder: only the content of the fits has changed."""
    fits = tmp_path / "sg13g2.json"
    technology = dataclasses.replace(load_axis("technology", "sg13g2_130nm"), fits=str(tmp_path))
    own = dataclasses.replace(config, technology=technology)
    fits.write_text("1")
    before = flow.step_keys(own)
    fits.write_text("2")
    after = flow.step_keys(own)
    assert {step for step in before if before[step] != after[step]} == {"cost"}


def test_interrupted_run_resumes(config, tmp_path: Path, monkeypatch) -> None:
    def stop(job, folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(flow.STEPS, "simulate", stop)
        with pytest.raises(KeyboardInterrupt):
            flow.run(config, folder=tmp_path)
    result = flow.run(config, folder=tmp_path)
    assert result.cached == ("quantize", "evaluate", "bounds")
    assert result.passed


def test_damaged_step_is_done_again(config, tmp_path: Path) -> None:
    flow.run(config, folder=tmp_path)
    (tmp_path / "cost.json").write_text("{")
    next((tmp_path / "quantized").glob("*.safetensors")).write_bytes(b"damaged")
    result = flow.run(config, folder=tmp_path)
    assert set(result.cached) == set(flow.STEPS) - {"cost", "quantize"}


def test_failed_verification_leaves_no_old_verdict(config, tmp_path: Path, monkeypatch) -> None:
    flow.run(config, folder=tmp_path)

    def fail(job, folder):
        shape = dict.fromkeys(("m", "n", "k", "outputs", "rtl_cycles", "simulated_cycles"), 1)
        case = {"name": "x", "passed": False, "failure": "wrong", "gaps": False, **shape}
        return {"passed": False, "outputs": 0, "rtl_cycles": 0, "cases": [case]}

    monkeypatch.setitem(flow.STEPS, "verify", fail)
    again = dataclasses.replace(config, seed=7)
    assert not flow.run(again, folder=tmp_path).passed
    with pytest.raises(InputError, match="verify is missing, damaged or belongs to another"):
        flow.load_results(tmp_path)


def test_interrupted_rerun_of_another_job_is_not_a_finished_run(
    config, tmp_path: Path, monkeypatch
) -> None:
    def stop(job, folder):
        raise KeyboardInterrupt

    flow.run(config, folder=tmp_path)
    monkeypatch.setitem(flow.STEPS, "cost", stop)
    coarser = dataclasses.replace(config.quantization, group_size=64)
    with pytest.raises(KeyboardInterrupt):
        flow.run(dataclasses.replace(config, quantization=coarser), folder=tmp_path)
    with pytest.raises(InputError, match="is not a finished run folder: cost is missing"):
        flow.load_results(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_bad_configuration_does_not_touch_the_folder(config, finished) -> None:
    folder, _ = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for field, value in (("format", "nope"), ("group_size", 64)):
        quantization = dataclasses.replace(config.quantization, **{field: value})
        workload = config.workload
        if field != "format":
            workload = dataclasses.replace(workload, model="nope")
        other = dataclasses.replace(config, quantization=quantization, workload=workload)
        with pytest.raises(InputError, match="nope"):
            flow.run(other, folder=folder)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_changed_verilog_is_written_and_verified_again(config, tmp_path: Path) -> None:
    flow.run(config, folder=tmp_path)
    verilog = next((tmp_path / "verilog").iterdir())
    text = verilog.read_text()
    verilog.write_text("// edited\n")
    result = flow.run(config, folder=tmp_path)
    assert "rtl" not in result.cached
    assert verilog.read_text() == text


@pytest.mark.parametrize("damage", ["[]", "{}", '{"key": 1}', "null", "[" * 5000])
def test_report_of_a_damaged_folder(config, finished, tmp_path: Path, damage: str) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")
    for name in ("config.json", "bounds.json"):
        original = (tmp_path / "copy" / name).read_text()
        (tmp_path / "copy" / name).write_text(damage)
        with pytest.raises(InputError, match="is not a finished run folder"):
            flow.load_results(tmp_path / "copy")
        (tmp_path / "copy" / name).write_text(original)


def test_report_of_another_version_is_one_sentence(capsys, finished, tmp_path: Path) -> None:
    """Whole results with other keys: the page that is there stays."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    path = folder / "simulate.json"
    stored = json.loads(path.read_text())
    stored["result"]["host_work"] = "softmax, norms"
    path.write_text(json.dumps(stored))
    before = (folder / "report.html").read_bytes()
    assert main(["report", str(folder)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "another version of bitsmith" in said.err
    assert (folder / "report.html").read_bytes() == before


def test_report_command(capsys, finished) -> None:
    folder, _ = finished
    before = (folder / "report.html").read_bytes()
    assert main(["report", str(folder)]) == 0
    assert "difference 0" in capsys.readouterr().out
    assert (folder / "report.html").read_bytes() == before


def test_run_folder_that_is_a_file(config, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="is a file"):
        flow.run(config, folder=tmp_path / "taken")


def test_another_model_and_array(capsys, tmp_path: Path) -> None:
    """A random two-layer model of odd sizes, from a folder beside the run configuration."""
    hidden, inner, heads = 36, 50, 3
    described = {
        "model_type": "llama", "vocab_size": 300, "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": 2, "num_attention_heads": heads, "num_key_value_heads": 1,
        "head_dim": 10, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "max_position_embeddings": 64,
        "tie_word_embeddings": False,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    shapes = {"model.embed_tokens": (300, hidden), "lm_head": (300, hidden)}
    vectors = {"model.norm": hidden}
    for layer in range(2):
        prefix = f"model.layers.{layer}"
        for name, shape in {
            "self_attn.q_proj": (30, hidden), "self_attn.k_proj": (10, hidden),
            "self_attn.v_proj": (10, hidden), "self_attn.o_proj": (hidden, 30),
            "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }.items():  # fmt: skip
            shapes[f"{prefix}.{name}"] = shape
        vectors |= {
            f"{prefix}.{n}": hidden for n in ("input_layernorm", "post_attention_layernorm")
        }
    tensors = {f"{n}.weight": rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    tensors |= {f"{n}.weight": np.ones(size, dtype=np.float32) for n, size in vectors.items()}
    model = tmp_path / "odd"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(described))
    save_file(tensors, model / "model.safetensors")
    (tmp_path / "odd.yaml").write_text(
        "workload: {model: odd, prefill_tokens: 5, decode_tokens: 2}\n"
        "quantization: {format: bitmod_fp3, group_size: 7, scale_format: float16}\n"
        "accelerator: {name: odd, rows: 1, cols: 5, lanes: 3,\n"
        "  inner_accumulator: {mode: flag}, outer_accumulator: {mode: saturate}}\n"
        "technology: sg13g2_130nm\n"
        f"output: {tmp_path / 'run'}\n"
    )
    assert main(["run", str(tmp_path / "odd.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "verified: RTL = golden = simulator" in printed
    assert "(flag)" in printed
    result = json.loads((tmp_path / "run" / "evaluate.json").read_text())["result"]
    assert result == {"skipped": "the model does not predict text"}
    layers = json.loads((tmp_path / "run" / "simulate.json").read_text())["result"]["layers"]
    assert layers[-1]["name"] == "lm_head"


@pytest.mark.parametrize("transform", ["hadamard", "smoothquant"])
def test_transforms_leave_the_float_figure_alone(
    config, finished, tmp_path: Path, transform
) -> None:
    recipe = dataclasses.replace(
        config.quantization, transforms=(transform,), calibration_tokens=256
    )
    job = Job(config=dataclasses.replace(config, quantization=recipe))
    variants = evaluate_step(job, tmp_path)["variants"]
    first = finished[1].steps["evaluate"]["variants"]
    assert variants[0]["bits_per_byte"] == pytest.approx(first[0]["bits_per_byte"], rel=1e-9)
    assert abs(variants[1]["increase"]) < 0.1
    inputs = job.layer_inputs(3)
    assert {x.shape[0] for x in inputs.values()} == {3} and len(inputs) == 28


def test_interrupted_quantization_does_not_go_on_with_other_weights(config, tmp_path: Path) -> None:
    shutil.copytree(Path(str(model_path("scribe_1m"))), tmp_path / "model")
    workload = dataclasses.replace(config.workload, model=str(tmp_path / "model"))
    changed = dataclasses.replace(config, workload=workload)

    def stop(items, label):
        for number, item in enumerate(items):
            if number == 5:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        Job(config=changed, progress=stop).quantize_into(tmp_path / "q")
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    save_file({n: -t for n, t in tensors.items()}, tmp_path / "model" / "model.safetensors")
    job = Job(config=changed)
    job.quantize_into(tmp_path / "q")
    errors = [entry["error"] for entry in job.quantized.describe()]
    assert all(e["mse"] / e["mean_square"] < 0.02 for e in errors)
    name = "layers.0.self_attn.q_proj"
    ratio = job.quantized.layers[name].dequantize() / job.model.linear_weights()[name]
    assert np.median(ratio) > 0


def test_another_calibration_text_is_another_run(config, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one text " * 100)
    recipe = dataclasses.replace(
        config.quantization, transforms=("awq",), calibration_text=str(text)
    )
    changed = dataclasses.replace(config, quantization=recipe)
    before = flow.step_keys(changed)
    text.write_text("another text " * 100)
    assert flow.step_keys(changed)["quantize"] != before["quantize"]
