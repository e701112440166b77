"""Command line: one sub-command per step, and ``run`` for all of them."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from configs.errors import InputError
from configs.load import preset_names
from costmodel.fpga import TARGETS
from hw.boards import BOARDS, DEFAULT_BAUD

from . import __version__, commands
from .accumulator_options import (
    PROVE_TEXT,
    WIDTHS_TEXT,
    bounds_options,
    prove_options,
    widths_options,
)
from .cost_options import CALIBRATE_TEXT, calibrate_options, cost_options
from .explore_options import EXPLORE_TEXT, explore_options

EXAMPLES = """\
examples:
  bitsmith run configs/quickstart.yaml
  bitsmith quantize scribe_1m --recipe bitmod_fp4 --output scribe_q
  bitsmith quantize --weights W.npy --format bitmod_fp4 --group-size 128 --output Wq.npz
  bitsmith accuracy scribe_1m --recipes formats --output runs/accuracy
  bitsmith compare runs/a runs/b
  bitsmith bounds --weights W.npy --input-range 0 255
  bitsmith bounds scribe_1m --config tiny_4x4x4 --inner-bits 12 --outer-bits 20
  bitsmith bounds model.onnx
  bitsmith prove scribe_1m --config tiny_4x4x4 --out proofs
  bitsmith prove --check proofs
  bitsmith widths --output out/
  bitsmith explore tiny
  bitsmith explore edge_llama3_8b --dry-run
  bitsmith simulate llama2_7b --config bitmod_32x32x4 --format bitmod_fp4
  bitsmith simulate llama2_7b --config bitmod_buffered_32x32x4 --memory lpddr5 --attention array
  bitsmith baselines llama2_7b --memory bitmod_ddr4
  bitsmith reproduce bitmod-hpca25
  bitsmith rtl tiny_4x4x4 --out rtl/
  bitsmith rtl scribe_1m --config tiny_4x4x4 --out rtl/
  bitsmith verify scribe_1m --config tiny_4x4x4 --also tall_6x3x5
  bitsmith fpga ecp5_6x8x8 --target ecp5-85k
  bitsmith board ice40_board_1x2x2 --format int4 --board icebreaker --out board/

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


MODEL_HELP = (
    "model name ('bitsmith models'), Hugging Face folder, model file (.gguf, .onnx, "
    ".safetensors, .npz, llama2.c .bin); default: the shipped model"
)


def _parent_numbers(what: str = MODEL_HELP, metavar: str | None = None) -> _Parser:
    """Options that say which model, and how it is quantized."""
    parent = _Parser(add_help=False)
    parent.add_argument("model", nargs="?", metavar=metavar, help=what)
    numbers = parent.add_argument_group("quantization")
    presets = ", ".join(preset_names("quantization"))
    numbers.add_argument("--recipe", metavar="PRESET", help=f"preset or YAML file: {presets}")
    names = "number format, see 'bitsmith formats' (default bitmod_fp4)"
    numbers.add_argument("--format", metavar="NAME", help=names)
    numbers.add_argument(
        "--group-size", type=int, metavar="G", help="weights that share a scale (default 128)"
    )
    numbers.add_argument(
        "--scale-format",
        metavar="NAME",
        help="float16 (default) or uint8; a machine with 8-bit scales runs uint8 either way",
    )
    return parent


def _parent_machine() -> _Parser:
    """Options that say which accelerator; its commands also take models in other forms."""
    parent = _Parser(add_help=False)
    machine = parent.add_argument_group(
        "accelerator",
        "MODEL may also be the folder of a quantized model, a config.json alone (shapes only), or "
        f"a workload preset ({', '.join(preset_names('workloads'))}).",
    )
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
    parser.add_argument("--batch", type=int, metavar="B", help="sequences that run together")
    text = "prompt tokens with logits: last, all, none (default: last; a tied head on the host)"
    parser.add_argument("--lm-head", metavar="WHICH", help=text)
    text = (
        f"what stands behind the streams: {', '.join(preset_names('memories'))} (default: nothing)"
    )
    parser.add_argument("--memory", metavar="PRESET", help=text)


def _attention_options(parser: argparse.ArgumentParser) -> None:
    text = "where products of attention are done: host (default) or array"
    parser.add_argument("--attention", metavar="WHERE", help=text)
    text = "format of keys and values on the array (default int8)"
    parser.add_argument("--kv-format", metavar="NAME", help=text)


def _simulate_options(simulate: argparse.ArgumentParser) -> None:
    _workload_options(simulate)
    _attention_options(simulate)
    simulate.add_argument("--gemm", type=int, nargs=3, metavar=("M", "N", "K"))
    text = "run this list instead of a model: SCALE-Sim topology (.csv) or ONNX graph (.onnx)"
    simulate.add_argument("--gemms", metavar="FILE", help=text)
    text = "write timing.csv and SCALE-Sim's three reports there"
    simulate.add_argument("--output", type=Path, metavar="FOLDER", help=text)
    text = "write a trace for Perfetto (.json): one job of every kind of GEMM"
    simulate.add_argument("--trace", type=Path, metavar="FILE", help=text)
    text = "tiles of each job to trace (default 16)"
    simulate.add_argument("--trace-tiles", type=int, metavar="T", help=text)


def _skipping_options(skipping: argparse.ArgumentParser) -> None:
    text = "queue depths in chunks, 'group' for a whole group's (default 0 1 2 4 8 group)"
    skipping.add_argument("--depths", nargs="+", metavar="D", help=text)
    skipping.add_argument("--cols", type=int, metavar="C", help="columns (default: the preset's)")
    skipping.add_argument("--lanes", type=int, metavar="L", help="lanes (default: the preset's)")
    text = "terms of lanes with their own shifts: fewest (default), or the machine's table"
    skipping.add_argument("--digits", metavar="NAME", help=text)


def _reproduce_options(add: Callable[..., _Parser]) -> None:
    text = "compute published comparisons again; exit code 1 if a published figure is missed"
    reproduce = add("reproduce", text)
    reproduce.add_argument("study", metavar="NAME", help="bitmod-hpca25")
    text = "evaluate the rows of this JSON file instead of the published ones"
    reproduce.add_argument("--points", type=Path, metavar="FILE", help=text)
    text = "compatibility model, the release's year: 2024 (default) or 2025"
    reproduce.add_argument("--variant", metavar="YEAR", help=text)


def _accuracy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="as for quantize")
    parser.add_argument(
        "--recipes",
        metavar="PRESET",
        default="formats",
        help=f"preset or YAML file: {', '.join(preset_names('comparisons'))} (default formats)",
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="only this recipe of them")
    parser.add_argument(
        "--tokens", type=int, metavar="T", help="tokens of text to predict (default 2048)"
    )
    parser.add_argument("--text", type=Path, metavar="FILE", help="evaluation text")
    parser.add_argument("--context", type=int, metavar="C", help="tokens of a window")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="table as CSV and JSON")


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


def _add_models(add: Callable[..., _Parser], numbers: _Parser) -> None:
    """Commands about models and their quality."""
    quantize = add("quantize", "quantize a model, or a bare matrix with --weights", numbers)
    quantize.add_argument("--weights", type=Path, metavar="W.npy", help="float matrix (N, K)")
    quantize.add_argument(
        "--output", type=Path, metavar="PATH", help="folder (model) or .npz file (matrix)"
    )
    export = add("export", "write a quantized model as ordinary weights, to evaluate elsewhere")
    export.add_argument("folder", type=Path, help="folder of a quantized model")
    export.add_argument("--source", metavar="MODEL", help="the float model (default: by its name)")
    export.add_argument("--output", type=Path, metavar="PATH", required=True)
    export.add_argument("--dtype", metavar="NAME", help="float32 (default) or float16")
    _accuracy_options(add("accuracy", "table of formats: bits per weight, error, model quality"))
    compare = add("compare", "two results side by side: runs, quantized models, accuracy tables")
    compare.add_argument("a", type=Path, metavar="A")
    compare.add_argument("b", type=Path, metavar="B")
    models = add("models", "list the models, or fetch one with pip")
    models.add_argument("--fetch", metavar="NAME", help="install this optional model")


CONFIG_HELP = (
    "an accelerator (preset or YAML file): widths hold for all weights of --format and K up to "
    "--k; or a run configuration, or a model with --config: widths are proved for its weights "
    "(default: the shipped model)"
)


def _k_option(parser: argparse.ArgumentParser) -> None:
    text = (
        "with an accelerator alone: longest K that the widths hold for, of which a tile must fit "
        "into half of each buffer (default: the longest that does; 4096 without buffers; a job "
        "holds up to 65535 groups along K)"
    )
    parser.add_argument("--k", type=int, metavar="K", help=text)


def _fpga_options(add: Callable[..., _Parser], machine: _Parser) -> None:
    text = "resources and clock of an accelerator on an FPGA, by Yosys and nextpnr"
    fpga = add("fpga", text, _parent_numbers(CONFIG_HELP, "CONFIG"), machine)
    fpga.add_argument("--target", metavar="NAME", required=True, help=", ".join(TARGETS))
    text = "seeds of the placer, of which the slowest counts (default 1 2 3)"
    fpga.add_argument("--seeds", type=int, nargs="+", metavar="S", help=text)
    text = "frequency that nextpnr aims at (default: the accelerator's clock_mhz)"
    fpga.add_argument("--freq", type=float, metavar="MHZ", help=text)
    fpga.add_argument("--no-dsp", action="store_true", help="multipliers of look-up tables")
    text = "no place and route, so no clock"
    fpga.add_argument("--synthesis-only", action="store_true", help=text)
    fpga.add_argument("--jobs", type=int, metavar="J", help="runs at a time (default: all cores)")
    _k_option(fpga)


def _rtl_options(add: Callable[..., _Parser], machine: _Parser) -> None:
    text = "write an accelerator as a folder to integrate: Verilog, README, test bench, drivers"
    rtl = add("rtl", text, _parent_numbers(CONFIG_HELP, "CONFIG"), machine)
    rtl.add_argument(
        "--out",
        "--output",
        dest="output",
        type=Path,
        metavar="DIR",
        default=Path("rtl"),
        help="folder to write (default rtl); a package that is there is replaced",
    )
    _k_option(rtl)


def _add_machines(add: Callable[..., _Parser], numbers: _Parser, machine: _Parser) -> None:
    """Commands about accelerators."""
    run = add("run", "do every step of a run configuration and write a run folder")
    run.add_argument("file", help="run configuration (YAML), or 'quickstart'")
    run.add_argument("--output", type=Path, metavar="FOLDER", help="run folder")
    text = "prove accumulator widths; exit code 1 if given ones can overflow"
    bounds_options(add("bounds", text, numbers, machine))
    text = "count the cycles of a model, of a list of GEMMs, or of one GEMM"
    _simulate_options(add("simulate", text, numbers, machine))
    prove = add("prove", PROVE_TEXT, _parent_numbers(CONFIG_HELP, "CONFIG"), machine)
    prove_options(prove)
    _k_option(prove)
    widths_options(add("widths", WIDTHS_TEXT))
    text = "what skipping zeros would gain on a model's weights"
    _skipping_options(add("skipping", text, numbers, machine))
    _rtl_options(add, machine)
    _fpga_options(add, machine)
    _board_options(add, machine)
    explore_options(add("explore", EXPLORE_TEXT))
    text = "accelerators of the literature beside each other on one workload"
    baselines = add("baselines", text)
    what = "workload preset, model or config.json (default llama2_7b)"
    baselines.add_argument("model", nargs="?", metavar="WORKLOAD", help=what)
    _workload_options(baselines)
    _reproduce_options(add)
    text = "run the Verilog against golden model and simulator"
    _verify_options(add("verify", text, numbers, machine))
    cost = add("cost", "area, energy and clock of a workload, with intervals", numbers, machine)
    _workload_options(cost)
    _attention_options(cost)
    cost_options(cost)
    calibrate_options(add("calibrate", CALIBRATE_TEXT))
    report = add("report", "write the HTML report of a run folder again and print its summary")
    report.add_argument("folder", type=Path)


def _board_options(add: Callable[..., _Parser], machine: _Parser) -> None:
    text = "make the bitstream of a board, with its host driver; exit code 1 if it is too slow"
    board = add("board", text, _parent_numbers(CONFIG_HELP, "CONFIG"), machine)
    board.add_argument("--board", metavar="NAME", required=True, help=", ".join(BOARDS))
    text = "folder to write, whole or not at all; a board folder that is there is replaced"
    board.add_argument(
        "--out", "--output", dest="output", type=Path, metavar="DIR", required=True, help=text
    )
    text = f"bits per second of the serial line (default {DEFAULT_BAUD})"
    board.add_argument("--baud", type=int, default=DEFAULT_BAUD, metavar="B", help=text)
    board.add_argument("--seed", type=int, default=1, metavar="S", help="of the placer (default 1)")
    _k_option(board)


def build_parser() -> _Parser:
    """The whole command line."""
    parser = _Parser(
        prog="bitsmith",
        description="From a quantized model and an accelerator description to a proven, costed, "
        "synthesizable machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bitsmith {__version__}")
    commands_of = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    numbers, json_only = _parent_numbers(), _parent_json()

    def add(name: str, text: str, *parents: _Parser) -> _Parser:
        return commands_of.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            parents=[*parents, json_only],
        )

    _add_models(add, numbers)
    _add_machines(add, numbers, _parent_machine())
    formats = add("formats", "list the number formats, or show one code by code")
    formats.add_argument("name", nargs="?")
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
