"""Files that list GEMMs: SCALE-Sim topologies and ONNX graphs."""

from collections.abc import Mapping
from pathlib import Path

from configs.errors import InputError

from .onnx_list import read_onnx
from .scalesim import read_scalesim
from .workload import Workload


def read_gemms(path: str | Path, *, sizes: Mapping[str, int] | None = None) -> Workload:
    """Read a ``.csv`` topology of SCALE-Sim or an ``.onnx`` graph; all of it is the prefill.

    Parameters
    ----------
    path : of the file; the workload has its name without the suffix.
    sizes : sizes of the dynamic dimensions of an ONNX graph, by name.

    Raises
    ------
    InputError : no such file, another suffix, or a file that cannot be read as a whole.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    if file.suffix == ".onnx":
        return read_onnx(file, sizes or {})
    if file.suffix != ".csv":
        raise InputError(f"{file}: lists of GEMMs are .csv or .onnx, not '{file.suffix}'")
    if sizes:
        raise InputError(f"{file}: only .onnx graphs have dynamic dimensions, sizes are given")
    return read_scalesim(file)
