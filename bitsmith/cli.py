"""Command line: one sub-command per step, and ``run`` for all of them."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from configs.errors import InputError
from configs.load import preset_names

from . import commands

EXAMPLES = """\
examples:
  bitsmith run configs/quickstart.yaml
  bitsmith quantize --weights W.npy --format bitmod_fp4 --group-size 128 --output Wq.npz
  bitsmith bounds --weights W.npy --input-range 0 255
  bitsmith bounds scribe_1m --config tiny_4x4x4 --inner-bits 12 --outer-bits 20
  bitsmith simulate llama2_7b --config bitmod_32x32x4 --format bitmod_fp4
  bitsmith rtl scribe_1m --config tiny_4x4x4 --output rtl/
  bitsmith verify scribe_1m --config tiny_4x4x4 --also tall_6x3x5

exit codes: 0 done; 1 a check failed (an accumulator can overflow, RTL and golden model differ);
2 bad input, explained in one sentence.
"""


class _Parser(argparse.ArgumentParser):
    """Usage errors in one sentence, like every other error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bitsmith: {message} (see '{self.prog} --help')\n")


def _parent_json() -> _Parser:
    parent = _Parser(add_help=False)
    parent.add_argument(
        "--json",
        action="store_true",
        help="one JSON object on standard output; progress goes to standard error",
    )
    return parent


def _parent_job() -> _Parser:
    """Options that say which job: model, quantization, accelerator."""
    parent = _Parser(add_help=False)
    parent.add_argument(
        "model",
        nargs="?",
        help="model name, folder with config.json and safetensors, folder of a quantized model, "
        "a config.json alone (shapes only), or workload preset "
        f"({', '.join(preset_names('workloads'))}); default: the shipped model",
    )
    numbers = parent.add_argument_group("quantization")
    numbers.add_argument(
        "--quantization", metavar="PRESET", help=", ".join(preset_names("quantization"))
    )
    names = "number format, see 'bitsmith formats' (default bitmod_fp4)"
    numbers.add_argument("--format", metavar="NAME", help=names)
    numbers.add_argument(
        "--group-size", type=int, metavar="G", help="weights that share a scale (default 128)"
    )
    numbers.add_argument(
        "--scale-format",
        metavar="NAME",
        help="float16 (default) or uint8; the machine's scales are uint8 either way",
    )
    machine = parent.add_argument_group("accelerator")
    machine.add_argument(
        "--config",
        "--accelerator",
        dest="accelerator",
        metavar="PRESET",
        help=f"preset or YAML file: {', '.join(preset_names('accelerators'))} (default tiny_4x4x4)",
    )
    machine.add_argument("--inner-bits", type=int, metavar="P", help="inner accumulator width P_I")
    machine.add_argument("--outer-bits", type=int, metavar="P", help="outer accumulator width P_O")
    machine.add_argument("--mode", help="both accumulators: wrap, saturate or flag")
    return parent


def _workload_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefill", type=int, metavar="TOKENS", help="tokens of the prompt")
    parser.add_argument("--decode", type=int, metavar="STEPS", help="decode steps of one token")


def _verify_options(verify: argparse.ArgumentParser) -> None:
    verify.add_argument(
        "--also",
        action="append",
        metavar="PRESET",
        help="a further accelerator, may be repeated (default: tall_6x3x5; 'none' for none)",
    )
    verify.add_argument("--tokens", type=int, help="rows of activations per layer")
    verify.add_argument("--random-shapes", type=int, metavar="COUNT")
    verify.add_argument("--seed", type=int, default=0)
    verify.add_argument("--verilog", type=Path, metavar="FILE", help="check this file instead")
    verify.add_argument("--waves", type=Path, metavar="FOLDER", help="waveform of a failing tile")


def build_parser() -> _Parser:
    """The whole command line."""
    parser = _Parser(
        prog="bitsmith",
        description="From a quantized model and an accelerator description to a proven, costed, "
        "synthesizable machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands_of = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    job, json_only = _parent_job(), _parent_json()

    def add(name: str, text: str, *parents: _Parser) -> _Parser:
        return commands_of.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            parents=[*parents, json_only],
        )

    run = add("run", "do every step of a run configuration and write a run folder")
    run.add_argument("file", help="run configuration (YAML), or 'quickstart'")
    run.add_argument("--output", type=Path, metavar="FOLDER", help="run folder")
    quantize = add("quantize", "quantize a model, or a bare matrix with --weights", job)
    quantize.add_argument("--weights", type=Path, metavar="W.npy", help="float matrix (N, K)")
    quantize.add_argument(
        "--output", type=Path, metavar="PATH", help="folder (model) or .npz file (matrix)"
    )
    bounds = add("bounds", "prove accumulator widths; exit code 1 if given ones can overflow", job)
    bounds.add_argument("--weights", type=Path, metavar="W.npy", help="integer matrix (N, K)")
    bounds.add_argument("--input-range", type=int, nargs=2, metavar=("LO", "HI"))
    bounds.add_argument("--channels", type=int, default=10, help="channels to name (default 10)")
    simulate = add("simulate", "count the cycles of a model, or of one GEMM", job)
    _workload_options(simulate)
    simulate.add_argument("--gemm", type=int, nargs=3, metavar=("M", "N", "K"))
    rtl = add("rtl", "write standalone Verilog", job)
    rtl.add_argument("--output", type=Path, metavar="FOLDER", default=Path("rtl"))
    verify = add("verify", "run the Verilog against golden model and simulator", job)
    _verify_options(verify)
    cost = add("cost", "area and energy of a workload", job)
    _workload_options(cost)
    cost.add_argument(
        "--technology", metavar="PRESET", help=", ".join(preset_names("technologies"))
    )
    report = add("report", "write the HTML report of a run folder again and print its summary")
    report.add_argument("folder", type=Path)
    formats = add("formats", "list the number formats, or show one code by code")
    formats.add_argument("name", nargs="?")
    add("models", "list the models and the commands that fetch them")
    add("doctor", "check the tools, one trial each, and say what to do about what is missing")
    return parser


def _progress(items: Iterable[Any], label: str) -> Iterable[Any]:
    """Progress bar on standard error, if that is a terminal."""
    return tqdm(items, desc=label, leave=False, disable=None, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = build_parser().parse_args(arguments)
    action = getattr(commands, options.command)
    try:
        return action(options, _progress)
    except InputError as error:
        print(f"bitsmith: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("bitsmith: interrupted; finished steps are kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
