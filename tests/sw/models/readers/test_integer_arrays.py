"""Final integers of numpy and safetensors files: which arrays are layers, what goes with them."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from configs.errors import InputError
from sw.models.readers.integer_layers import integer_layers, open_integer_layers

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
W = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)


def saved(path, arrays):
    """The arrays as .npz or .safetensors."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    return tmp_path / f"m{request.param}"


def test_npy_is_one_matrix(tmp_path):
    np.save(tmp_path / "q_proj.npy", W.T)
    (layer,) = integer_layers(tmp_path / "q_proj.npy")
    assert layer.name == "q_proj" and np.array_equal(layer.weights, W.T)
    assert layer.bias is None and layer.input_range is None and not layer.padded


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_of_integers_to_its_ends(tmp_path, kind, order):
    ends = np.iinfo(kind)
    w = np.array([[ends.min, ends.max, 1]], dtype=order + kind)
    np.save(tmp_path / "w.npy", w)
    (layer,) = integer_layers(tmp_path / "w.npy")
    assert layer.weights.tolist() == [[ends.min, ends.max, 1]]
    (layer,) = integer_layers(saved(tmp_path / "w.safetensors", {"w": w.astype(kind)}))
    assert layer.weights.tolist() == [[ends.min, ends.max, 1]]


def test_layers_and_what_goes_with_them(path):
    kernel = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 2, 2)
    arrays = {
        "a.weight": W,
        "a.bias": np.int32([1, -2, 3]),
        "a.input_range": np.int64([-3, 9]),
        "a.input_zero_point": np.int64([2]),
        "b": kernel,
        "b_bias": np.int64([2**40, -1]),
        "c.weight": W,
        "c.bias": np.float32([1, 2, 3]),
        "scale": np.float32([[1]]),
        "stack": W.reshape(1, 3, 4),
        "line": np.int8([1, 2]),
    }
    source = open_integer_layers(saved(path, arrays))
    found = {f.layer.name: f for f in source}
    assert set(found) == {"a", "b", "c"}
    a, b = found["a"].layer, found["b"].layer
    assert np.array_equal(a.weights, W) and a.bias.tolist() == [1, -2, 3]
    assert a.input_range == (-3, 9) and a.input_zero_point == 2 and found["a"].notes == ()
    assert np.array_equal(b.weights, kernel.reshape(2, 12)) and b.bias.tolist() == [2**40, -1]
    (note,) = found["c"].notes
    assert found["c"].layer.bias is None and "its bias is left out: it has type" in note
    assert set(source.left_out) == {"scale", "stack"}
    # once more: nothing is kept between
    assert {f.layer.name for f in source} == set(found) and len(source.left_out) == 2


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1
    )
)
@settings(max_examples=25, deadline=None)
def test_each_matrix_comes_once_as_it_is(tmp_path_factory, shapes):
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp("m")
    arrays = {n: rng.integers(-99, 99, shape).astype(np.int8) for n, shape in shapes.items()}
    for suffix in ("npz", "safetensors"):
        layers = list(integer_layers(saved(folder / f"m.{suffix}", arrays)))
        assert sorted(layer.name for layer in layers) == sorted(arrays)
        assert all(np.array_equal(layer.weights, arrays[layer.name]) for layer in layers)


def test_a_folder_of_safetensors(tmp_path):
    saved(tmp_path / "one.safetensors", {"a.weight": W})
    saved(tmp_path / "two.safetensors", {"b.weight": W, "a.bias": np.int8([1, 2, 3])})
    layers = {layer.name: layer for layer in integer_layers(tmp_path)}
    assert set(layers) == {"a", "b"} and layers["a"].bias.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": W.astype(np.float32)},
            "holds no layer of integers .*'a': it does not hold integers",
        ),
        ({"a": W.astype(np.float16)}, "does not hold integers: shape"),
        ({"a": np.int8([1, 2])}, "holds no layer of integers$"),
        ({"a": W[None]}, "'a': it is not a matrix: shape"),
        ({"a": np.zeros((0, 3), np.int8)}, "'a' of shape .* is empty"),
        ({"a": W, "a.bias": np.int8([1])}, "layer 'a': bias has 1 values for 3 rows"),
        ({"a": W, "a.bias": np.int8([[1, 2, 3]])}, "layer 'a': bias must be non-empty with 1 axes"),
        ({"a": W, "a.bias": np.int8([1]), "a_bias": np.int8([1])}, "are both given"),
        ({"a": W, "a.input_range": np.int8([3, 1])}, "input range low 3 is above its high 1"),
        ({"a": W, "a.input_range": np.int8([1, 2, 3])}, "it must hold 2 integers"),
        ({"a": W, "a.input_range": np.float32([1, 2])}, "it must hold 2 integers"),
        ({"a": W, "a.input_zero_point": np.int8([1, 2])}, "it must hold 1 integer$"),
        ({"a": W, "b.input_range": np.int8([1, 2])}, "'b.input_range' goes with no layer"),
        ({"a.qweight": W.astype(np.int32)}, "'a.qweight' holds packed codes"),
        ({"a": np.uint8([[1]]), "a.absmax": np.float32([1])}, "'a' holds packed codes"),
    ],
)
def test_files_that_cannot_be_read(path, arrays, message):
    with pytest.raises(InputError, match=message) as caught:
        list(integer_layers(saved(path, arrays)))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "f.npy", W.astype(np.float32))
    np.save(tmp_path / "o.npy", W.astype(object), allow_pickle=True)
    (tmp_path / "t.txt").write_text("1 2 3")
    for name, message in (
        ("f.npy", "holds no layer of integers"),
        ("o.npy", "pickled Python objects"),
        ("t.txt", "cannot tell what"),
        ("none.npz", "cannot read"),
        ("none.onnx", "cannot read"),
    ):
        with pytest.raises(InputError, match=message):
            list(integer_layers(tmp_path / name))
    save_file({"a": W.astype(ml_dtypes.bfloat16)}, tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="holds no layer of integers"):
        list(integer_layers(tmp_path / "b.safetensors"))


def test_gguf_holds_no_layers(tmp_path):
    from .samples import gguf_sample

    with pytest.raises(InputError, match="holds no layers of integers: they are read from"):
        open_integer_layers(gguf_sample(tmp_path / "m.gguf"))


@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors"])
def test_damaged_files(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    if suffix == "npy":
        np.save(path, W)
    else:
        saved(path, {"a": W, "a.bias": np.int32([1, 2, 3]), "a.input_range": np.int8([0, 9])})
    data, rng, opened = path.read_bytes(), np.random.default_rng(8), 0
    for trial in range(500):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 1 + trial % 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged[: len(data) - trial // 40]))
        try:
            opened += all(layer.weights.size for layer in integer_layers(path))
        except InputError:
            continue
        except Exception as error:
            raise AssertionError(f"trial {trial} of {suffix}: {error!r}") from error
    assert opened < 500
