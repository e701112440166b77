"""SCALE-Sim topologies: sizes, its conventions, and a sentence for every malformed file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import InputError
from sw.workloads import Gemm, read_gemms

CONV = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
    "Strides,\n"
)


def read(tmp_path, text):
    path = tmp_path / "net.csv"
    path.write_text(text)
    return read_gemms(path)


def test_gemms(tmp_path) -> None:
    found = read(tmp_path, "Layer,M,N,K,\nq_proj,128,256,64,\n\nhead, 1, 50,64,\nhead,2,50,64\n")
    assert found.name == "net"
    assert found.prefill == (
        Gemm(name="q_proj", m=128, n=256, k=64),
        Gemm(name="head", m=1, n=50, k=64),
        Gemm(name="head#2", m=2, n=50, k=64),
    )
    assert (found.decode, found.decode_steps, found.batch) == ((), 0, 1)


@given(
    st.lists(
        st.tuples(*[st.integers(1, 1 << 30)] * 3),
        min_size=1,
        max_size=5,
    )
)
def test_round_trip(tmp_path_factory, sizes) -> None:
    lines = [f"layer{i},{m},{n},{k},\n" for i, (m, n, k) in enumerate(sizes)]
    found = read(tmp_path_factory.mktemp("csv"), "Layer,M,N,K,\n" + "".join(lines))
    assert [(g.name, g.m, g.n, g.k) for g in found.prefill] == [
        (f"layer{i}", *size) for i, size in enumerate(sizes)
    ]


def test_convolutions(tmp_path) -> None:
    """AlexNet's first layer and others; expected values are SCALE-Sim's own."""
    found = read(
        tmp_path,
        CONV
        + "Conv1, 227, 227, 11, 11, 3, 96, 4,\n"
        + "Conv2, 31, 31, 5, 5, 96, 256, 1,\n"
        + "DP1, 114, 114, 3, 3, 32, 1, 1,\n"
        + "FC6, 1, 1, 1, 1, 9216, 4096, 1,\n",
    )
    assert [(g.m, g.n, g.k, g.count) for g in found.prefill] == [
        (55 * 55, 96, 11 * 11 * 3, 1),
        (27 * 27, 256, 5 * 5 * 96, 1),
        (112 * 112, 1, 9, 32),
        (1, 4096, 9216, 1),
    ]
    assert not any("beyond the image" in text for text in found.assumptions)


def test_outputs_are_rounded_up_as_scalesim_does(tmp_path) -> None:
    """(224 - 7) / 2 is no whole number: 110 outputs, where PyTorch has 109."""
    found = read(tmp_path, CONV + "Conv1, 224, 225, 7, 7, 3, 64, 2,\n")
    assert found.prefill[0].m == 110 * 110
    assert any("beyond the image" in text for text in found.assumptions)


@given(st.tuples(*[st.integers(1, 40)] * 4), st.integers(1, 9))
def test_windows_counted_one_by_one(tmp_path_factory, shape, stride) -> None:
    height, width, rows, columns = shape
    text = CONV + f"c, {height}, {width}, {rows}, {columns}, 2, 3, {stride},\n"
    folder = tmp_path_factory.mktemp("csv")
    if rows > height or columns > width:
        with pytest.raises(InputError, match="is larger than the image"):
            read(folder, text)
        return

    def places(size, window):
        """Windows that fit, and one more if pixels are left."""
        starts = [x for x in range(0, size, stride) if x + window <= size]
        return len(starts) + (starts[-1] + window < size)

    assert read(folder, text).prefill[0].m == places(height, rows) * places(width, columns)


@pytest.mark.parametrize("sparsity", ["1:1", " 1 : 1", None])
def test_dense_sparsity_is_read(tmp_path, sparsity) -> None:
    cell = "" if sparsity is None else f"{sparsity},"
    found = read(tmp_path, f"Layer name, M, N, K, Sparsity,\na,1,2,3,{cell}\n")
    assert found.prefill == (Gemm(name="a", m=1, n=2, k=3),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header is '', it must be 'Layer,M,N,K,' or"),
        ("a,1,2,3,\n", "the header is 'a,1,2,3', it must be"),
        ("Layer,M,K,N,\na,1,2,3,\n", "the header is 'Layer,M,K,N'"),
        ("Layer,M,N,K,\n", "line 1, the header, is followed by no layer"),
        ("Layer,M,N,K,\na,1,2,\n", "line 2 has 3 cells, the header has 4"),
        ("Layer,M,N,K,\na,1,2,3,4,\n", "line 2 has 5 cells, the header has 4"),
        ("Layer,M,N,K,\n\na,1,0,3,\n", "line 3: column 'n' is '0', it must be a whole number"),
        ("Layer,M,N,K,\na,1,2,-3,\n", "column 'k' is '-3'"),
        ("Layer,M,N,K,\na,1,2,3.5,\n", "column 'k' is '3.5'"),
        ("Layer,M,N,K,\na,1,2,²,\n", "column 'k' is '²'"),
        ("Layer,M,N,K,\na,1,9999999999,3,\n", "from 1 to 1073741824"),
        ("Layer,M,N,K,\n,1,2,3,\n", "line 2: the layer has no name"),
        ("Layer,M,N,K,Sparsity,\na,1,2,3,2:4,\n", "sparsity is '2:4', only 1:1 is supported"),
        ('Layer,M,N,K,\n"a,1,2,3,\n', "line 2: unexpected end of data"),
        (CONV + "a,3,3,4,3,1,1,1,\n", "the filter of 4 x 3 is larger than the image of 3 x 3"),
        (CONV + "a,3,3,3,3,1,1,0,\n", "column 'strides' is '0'"),
    ],
)
def test_malformed(tmp_path, text, message) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert "net.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_other_files(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_gemms(tmp_path / "none.csv")
    (tmp_path / "net.txt").write_text("x")
    with pytest.raises(InputError, match=r"are \.csv or \.onnx, not '\.txt'"):
        read_gemms(tmp_path / "net.txt")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.csv cannot be read as text"):
        read_gemms(tmp_path / "bytes.csv")
    (tmp_path / "net.csv").write_text("Layer,M,N,K,\na,1,2,3,\n")
    with pytest.raises(InputError, match=r"only \.onnx graphs have dynamic dimensions"):
        read_gemms(tmp_path / "net.csv", sizes={"batch": 1})
