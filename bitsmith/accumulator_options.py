"""Options of the commands about accumulators."""

import argparse
from pathlib import Path

from sw.accumulators.orders import ORDERS

PROVE_TEXT = "prove on the RTL that a PE with given weights cannot overflow; exit code 1 if it can"
WIDTHS_TEXT = "quality against accumulator width against hardware: A2Q, A2Q+, AXE, nothing done"


def bounds_options(bounds: argparse.ArgumentParser) -> None:
    """Options of ``bitsmith bounds``."""
    text = "final integers instead of a model: .npy (N, K), .npz, .safetensors, .onnx"
    bounds.add_argument("--weights", type=Path, metavar="FILE", help=text)
    text = "smallest and largest activation (default: all that the port or the file allows)"
    bounds.add_argument("--input-range", type=int, nargs=2, metavar=("LO", "HI"), help=text)
    text = f"order of additions: {', '.join(ORDERS)} (default slots; of bare integers parallel)"
    bounds.add_argument("--schedule", metavar="NAME", help=text)
    text = "products that one step adds (default: the machine's, of bare integers 1)"
    bounds.add_argument("--lanes", type=int, metavar="L", help=text)
    text = "planes of weights that are taken bit by bit (default: the fewest that hold them)"
    bounds.add_argument("--weight-bits", type=int, metavar="M", help=text)
    text = "channels whose worst activations are given: worst (default), all, none"
    bounds.add_argument("--witnesses", metavar="WHICH", help=text)
    bounds.add_argument("--channels", type=int, default=10, help="channels to name (default 10)")
    integers = bounds.add_argument_group("bare integers")
    text = "sum tiles of T products in an inner register, tiles in an outer one"
    integers.add_argument("--tile", type=int, metavar="T", help=text)
    text = "unsigned scale of each tile (N, tiles), behind the inner register"
    integers.add_argument("--scales", type=Path, metavar="S.npy", help=text)
    text = "integers (N,) or (N, 1) that the register starts at"
    integers.add_argument("--bias", type=Path, metavar="B.npy", help=text)
    text = "activation code that stands for 0 (default 0)"
    integers.add_argument("--zero-point", type=int, metavar="Z", help=text)
    text = "positions beyond an edge enter, with the zero point's code"
    integers.add_argument("--padded", action="store_const", const=True, help=text)
    text = "float types to sum in as well: is that bit-exact, and how wrong can it be?"
    integers.add_argument("--floats", nargs="+", metavar="TYPE", help=text)
    text = "instead of all this: width of exact (Kulisch) sums of products of two formats"
    integers.add_argument("--kulisch", nargs=2, metavar=("A", "B"), help=text)
    text = "products in such a sum (default 4096)"
    integers.add_argument("--products", type=int, metavar="K", help=text)
    measured = bounds.add_argument_group("beside the proof, for a model that can be run")
    text = "what the accumulators hold on text that the model has not seen"
    measured.add_argument("--observe", action="store_true", help=text)
    text = "smallest widths that keep bits per byte, one stage narrowed at a time"
    measured.add_argument("--sufficient", action="store_true", help=text)
    measured.add_argument(
        "--tokens", type=int, metavar="T", help="of that text, in whole windows (default 1024)"
    )
    text = "relative increase that counts as none (default 0.01)"
    measured.add_argument("--tolerance", type=float, metavar="X", help=text)
    text = "area, energy and LUTs of the machine, with 32-bit accumulators, and per bit"
    measured.add_argument("--cost", action="store_true", help=text)
    bounds.add_argument("--html", type=Path, metavar="FILE", help="write a page with the picture")
    text = "write a row for every channel of every layer"
    bounds.add_argument("--csv", type=Path, metavar="FILE", help=text)


def prove_options(prove: argparse.ArgumentParser) -> None:
    """Options of ``bitsmith prove``."""
    text = "layer of the model (default: the one that needs the widest accumulator)"
    prove.add_argument("--layer", metavar="NAME", help=text)
    prove.add_argument("--channel", type=int, metavar="N", help="output channel (default: worst)")
    prove.add_argument("--group", type=int, metavar="G", help="group of it (default: worst)")
    text = "prove the worst group of every layer"
    prove.add_argument("--all-layers", action="store_true", help=text)
    text = "weights where no model is named: extreme (default) or random"
    prove.add_argument("--levels", metavar="KIND", help=text)
    text = "folder of the proofs (default proofs); finished ones in it are kept"
    prove.add_argument(
        "--out",
        "--output",
        dest="output",
        type=Path,
        metavar="DIR",
        help=text,
    )
    text = "check certificates instead: the folder of one or of several"
    prove.add_argument("--check", type=Path, metavar="DIR", help=text)
    text = "the machine's Verilog, in which the PE must be (default: generated, to 256 PEs)"
    prove.add_argument("--verilog", type=Path, metavar="FILE", help=text)
    text = "seconds that the solver may take for a question file (default 3600)"
    prove.add_argument("--timeout", type=float, default=3600, metavar="S", help=text)


def widths_options(widths: argparse.ArgumentParser) -> None:
    """Options of ``bitsmith widths``."""
    text = "models, or digits_mlp for the classifier of digits (default: the shipped model and it)"
    widths.add_argument("tasks", nargs="*", metavar="TASK", help=text)
    text = "narrowest and widest inner accumulator (default 8 17)"
    widths.add_argument("--widths", type=int, nargs=2, metavar=("LO", "HI"), help=text)
    text = "a2q, a2q_plus, axe, axe_rtn, saturate, wrap (default: all)"
    widths.add_argument("--methods", nargs="+", metavar="NAME", help=text)
    text = "symmetric integers (default int4)"
    widths.add_argument("--format", metavar="NAME", help=text)
    text = "weights that share a scale and a register (default 64; of digits whole rows)"
    widths.add_argument("--group-size", type=int, metavar="G", help=text)
    widths.add_argument("--tokens", type=int, metavar="T", help="of text (default 1024)")
    widths.add_argument("--technology", metavar="PRESET", help="of the area")
    text = "results of training for a width, as docs/narrow_training.json"
    widths.add_argument("--trained", type=Path, metavar="FILE", help=text)
    text = "write the picture (widths.html), CSV and JSON there"
    widths.add_argument("--output", type=Path, metavar="FOLDER", help=text)
