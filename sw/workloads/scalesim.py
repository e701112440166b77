"""Topologies of SCALE-Sim (v2 and v3): lists of GEMMs or of convolutions.

Source: ``scalesim/topology_utils.py`` of scalesim 3.0.0. The first line is a header, columns have a
fixed order, and every line ends with a comma. What differs here: a header that does not name the
columns in that order is an error instead of being skipped, and the last comma may be missing.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from configs.errors import InputError

from .workload import Gemm, Workload

GEMM_COLUMNS = ("layer", "m", "n", "k")
CONV_COLUMNS = (
    "layer",
    "ifmap height",
    "ifmap width",
    "filter height",
    "filter width",
    "channels",
    "num filter",
    "strides",
)
SPARSITY = "sparsity"
#: other spellings of the columns in SCALE-Sim's own files
SPELLINGS = {
    "layer name": "layer",
    "ifmap h": "ifmap height",
    "ifmap w": "ifmap width",
    "filter h": "filter height",
    "filter w": "filter width",
    "channel": "channels",
    "num filters": "num filter",
    "stride": "strides",
    "sparsity ratio": SPARSITY,
}
LARGEST = 1 << 30


def read_scalesim(path: Path) -> Workload:
    """Read ``Layer,M,N,K,`` or a topology of convolutions, as GEMMs.

    A convolution is a GEMM with a row per output pixel, a column per filter and K the size of a
    window. SCALE-Sim has no padding, and its output has ``ceil((H - FH) / S) + 1`` rows. A layer
    with ``DP`` in its name is depthwise: one product of K = FH x FW per channel. A layer whose name
    was there before gets ``#2`` and so on.

    Raises
    ------
    InputError : not text, a header other than these, a line with too many or too few cells, a cell
        that is no number, a filter larger than its image, or sparsity other than 1:1.
    """
    lines = _lines(path)
    first, header = next(lines, (0, ()))
    columns = tuple(SPELLINGS.get(name, name) for name in (cell.lower() for cell in header))
    dense = columns[:-1] if columns[-1:] == (SPARSITY,) else columns
    if dense not in (GEMM_COLUMNS, CONV_COLUMNS):
        raise InputError(
            f"{path}: the header is '{','.join(header)}', it must be 'Layer,M,N,K,' or "
            "'Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,"
            "Num Filter,Strides,', each with a column Sparsity or without"
        )
    gemms: list[Gemm] = []
    partial = False
    names: set[str] = set()
    for number, cells in lines:
        where = f"{path}: line {number}"
        # SCALE-Sim takes 1:1 where a line leaves the sparsity out
        if len(cells) not in (len(dense), len(columns)):
            raise InputError(f"{where} has {len(cells)} cells, the header has {len(columns)}")
        if len(cells) > len(dense) and cells[-1].replace(" ", "") != "1:1":
            raise InputError(f"{where}: sparsity is '{cells[-1]}', only 1:1 is supported")
        name = _unused(cells[0], names, where)
        sizes = [_size(where, *pair) for pair in zip(dense[1:], cells[1:], strict=False)]
        if dense == GEMM_COLUMNS:
            m, n, k = sizes
            gemms.append(Gemm(name=name, m=m, n=n, k=k))
        else:
            gemms.append(_convolution(where, name, sizes))
            partial |= any((sizes[i] - sizes[i + 2]) % sizes[6] for i in (0, 1))
    if not gemms:
        raise InputError(f"{path}: line {first}, the header, is followed by no layer")
    return Workload(
        name=path.stem,
        prefill=tuple(gemms),
        assumptions=tuple(_assumptions(dense == CONV_COLUMNS, partial)),
    )


def _convolution(where: str, name: str, sizes: Sequence[int]) -> Gemm:
    height, width, filter_height, filter_width, channels, filters, stride = sizes
    if filter_height > height or filter_width > width:
        raise InputError(
            f"{where}: the filter of {filter_height} x {filter_width} is larger than "
            f"the image of {height} x {width}"
        )
    rows = -(-(height - filter_height) // stride) + 1
    columns = -(-(width - filter_width) // stride) + 1
    window = filter_height * filter_width
    depthwise = "DP" in name
    return Gemm(
        name=name,
        m=rows * columns,
        n=filters,
        k=window if depthwise else window * channels,
        count=channels if depthwise else 1,
    )


def _assumptions(convolutions: bool, partial: bool) -> Iterator[str]:
    if convolutions:
        yield "convolutions are GEMMs of their windows; layers with DP in their name are depthwise"
    if partial:
        yield (
            "as in SCALE-Sim, a last window that reaches beyond the image counts: "
            "outputs are rounded up"
        )
    yield "the list says nothing of the work between the GEMMs"


def _lines(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number and cells of every line that is not empty, without the cell after the last comma."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        for row in reader:
            cells = [" ".join(cell.split()) for cell in row]
            if any(cells):
                yield reader.line_num, tuple(cells[:-1] if cells[-1] == "" else cells)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}") from error


def _unused(name: str, names: set[str], where: str) -> str:
    """The name, numbered if it was there before."""
    if not name:
        raise InputError(f"{where}: the layer has no name")
    full, count = name, 1
    while full in names:
        count += 1
        full = f"{name}#{count}"
    names.add(full)
    return full


def _size(where: str, column: str, cell: str) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) < 12 and 0 < int(cell) <= LARGEST):
        raise InputError(
            f"{where}: column '{column}' is '{cell}', it must be a whole number from 1 to {LARGEST}"
        )
    return int(cell)
