"""Accuracy of floating-point datapaths: guard bits, mantissa bits, rounding, alignment.

python -m benchmarks.float_accuracy --model scribe_1m --tokens 1024 --context 128 --write
python -m benchmarks.float_accuracy --model smollm2_135m --tokens 320 --context 40 --write

Every quantized linear of the model runs on the arithmetic of a machine. All settings read the same
windows of held-out text and have the same weights. They are compared with the exact datapath
(float16 activations, one rounding per output): bits per byte, paired by window; Kullback-Leibler
divergence of the next token's distribution, from that of the exact datapath; share of positions
with the same likeliest token. With --write figures go to docs/float_accuracy.json; rows that are
there already, from the same text and weights, are not measured again.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig, FloatConfig
from configs.schema import QuantizationConfig
from sw.compile import Machine, resolve_machine
from sw.formats import get_family
from sw.models import Architecture, LlamaModel, apply_recipe, load_model
from sw.models.evaluate import TokenizedText, quantized_linear, tokenized
from sw.models.llama import Floats, LinearHook
from sw.models.machine import NO_SCALES, MachineModel
from sw.models.text import evaluation_text

RESULTS = Path(__file__).parents[1] / "docs" / "float_accuracy.json"
GUARD_BITS = (0, 1, 2, 3, 4, 6)
MANTISSA_BITS = (10, 12, 14, 16, 20, 24)
ROUNDINGS = ("truncate", "nearest_even")
FORMATS = {"scribe_1m": ("bitmod_fp4", "bitmod_fp3"), "smollm2_135m": ("bitmod_fp4",)}
LANES = 4
LOGITS_PER_CHUNK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to multiply; the fields are those of a row in the results.

    Attributes
    ----------
    datapath : ``exact``, ``aligned``, ``multiplier`` (float16 weights, one lane, IEEE 754
        accumulation over all of K), ``float32`` or ``int8`` (activations, the rest in float32).
    activations : format.
    """

    datapath: str = "aligned"
    activations: str = "float16"
    rounding: str = ""
    alignment: str = ""
    guard_bits: int = 0
    mantissa_bits: int = 0
    normalization: str = ""

    @property
    def floating(self) -> FloatConfig:
        """Of a machine's configuration."""
        if self.datapath == "exact":
            return FloatConfig(datapath="exact")
        return FloatConfig(
            alignment=self.alignment,  # type: ignore[arg-type]
            guard_bits=self.guard_bits,
            rounding=self.rounding,  # type: ignore[arg-type]
            mantissa_bits=self.mantissa_bits,
            normalization=self.normalization,  # type: ignore[arg-type]
            outer_mantissa_bits=max(25, self.mantissa_bits),
        )


EXACT = Setting(datapath="exact")


def aligned(rounding: str, guard: int, mantissa: int, **more: Any) -> Setting:
    """An aligned datapath, in the row unless said otherwise."""
    return replace(
        Setting(
            rounding=rounding,
            alignment="row",
            guard_bits=guard,
            mantissa_bits=mantissa,
            normalization="right",
        ),
        **more,
    )


def grid(all_of_them: bool) -> list[tuple[str, int, int]]:
    """Rounding, guard and mantissa bits of row alignment; or few of them, by importance."""
    if all_of_them:
        return list(itertools.product(reversed(ROUNDINGS), GUARD_BITS, MANTISSA_BITS))
    near = [(3, 12), (3, 16), (0, 12), (0, 14), (3, 14), (0, 16)]
    near += [(3, 10), (1, 14), (0, 10), (3, 20)]
    down = [(3, 12), (3, 16), (0, 12), (3, 20), (0, 20), (3, 24), (0, 16), (0, 24)]
    nearest = [("nearest_even", *pair) for pair in near]
    truncate = [("truncate", *pair) for pair in down]
    return nearest[:6] + truncate[:4] + nearest[6:] + truncate[4:]


def settings(model: str, weights: str) -> Iterator[Setting]:
    """What is measured, the reference first and what matters most before the rest."""
    small = model != "scribe_1m" or weights != "bitmod_fp4"
    yield EXACT
    yield Setting(datapath="float32", activations="float32")
    yield Setting(datapath="int8", activations="int8")
    for rounding, guard, mantissa in grid(not small):
        yield aligned(rounding, guard, mantissa)
    # 3 and 15 are BitMoD's
    inside = [(3, 12), (3, 15), (3, 16)]
    if not small:
        inside += [(g, m) for m in (12, 14, 16, 20) for g in (0, 1, 3) if (g, m) not in inside]
    for rounding in reversed(ROUNDINGS):
        for guard, mantissa in inside:
            yield aligned(rounding, guard, mantissa, alignment="pe")
    yield aligned("nearest_even", 3, 12, normalization="full")
    if not small:
        yield aligned("nearest_even", 3, 16, normalization="full")
        ieee = {"datapath": "multiplier", "alignment": "pe", "normalization": "full"}
        yield aligned("nearest_even", 0, 12, **ieee)
        yield aligned("nearest_even", 0, 25, **ieee)
        for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            # as good as exact: bfloat16 has more places than exact sums can be taken quickly
            yield aligned("nearest_even", 16, 32, activations=name)
            for guard, mantissa in ((0, 12), (3, 12), (3, 16)):
                yield aligned("nearest_even", guard, mantissa, activations=name)


def recipe(weights: str) -> QuantizationConfig:
    """Groups of 128 with the machine's 8-bit scales."""
    return QuantizationConfig(format=weights, group_size=128, scale_format="uint8")


class Bench:
    """A model with quantized weights, and what the exact datapath makes of a text."""

    def __init__(self, model: str, weights: str, tokens: int, context: int) -> None:
        source = load_model(model)
        assert isinstance(source.architecture, Architecture)
        adjusted, self.quantized = apply_recipe(source, recipe(weights))
        self.family = next(iter(self.quantized.layers.values())).family
        self.model = LlamaModel(source.architecture, adjusted.tensors)
        self.context = context
        text = tokenized(evaluation_text(), source.tokenizer)
        self.text: TokenizedText = text.spread(tokens, context)
        self.reference: tuple[list[NDArray[np.float64]], NDArray[np.float64]] | None = None

    def machine(self, setting: Setting) -> Machine:
        """The machine of a setting."""
        multiplier = setting.datapath == "multiplier"
        array = AcceleratorConfig(
            name="measured",
            rows=1,
            cols=1,
            lanes=1 if multiplier else LANES,
            pe="multiplier" if multiplier else "serial",
            activation_format=setting.activations,  # type: ignore[arg-type]
            floating=setting.floating,
            **({"scale": NO_SCALES} if multiplier else {}),
        )
        return resolve_machine(array, get_family("float16") if multiplier else self.family, 64, 64)

    @cached_property
    def _serial(self) -> MachineModel:
        return MachineModel(self.quantized, self.machine(aligned("truncate", 0, 12)))

    @cached_property
    def _multiplier(self) -> MachineModel:
        example = aligned("truncate", 0, 12, datapath="multiplier")
        return MachineModel.of_float16(self.quantized, self.machine(example))

    def hook(self, setting: Setting) -> LinearHook:
        """How linears run."""
        if setting.datapath in ("float32", "int8"):
            kind = 8 if setting.datapath == "int8" else None
            return quantized_linear(self.quantized, kind, otherwise=self.model.linear)
        found = self._multiplier if setting.datapath == "multiplier" else self._serial
        return found.linear(self.machine(setting), otherwise=self.model.linear)

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Figures of one setting; the first one must be the reference."""
        began = time.perf_counter()
        windows = self.text.ids.reshape(-1, self.context)
        states = self.model.hidden_states(windows[:, :-1], linear=self.hook(setting))
        found: dict[str, list[float]] = {"bits": [], "divergence": [], "same": []}
        logs = []
        for window, ids in enumerate(windows):
            log_p = log_probabilities(self.model, states[window])
            logs.append(log_p)
            against = log_p if self.reference is None else self.reference[0][window]
            found["bits"].append(-float(log_p[np.arange(len(log_p)), ids[1:]].sum()) / math.log(2))
            terms = np.exp(against) * (against - log_p)
            found["divergence"].append(float(terms.sum(dtype=np.float64)) / len(log_p))
            found["same"].append(float(np.mean(log_p.argmax(1) == against.argmax(1))))
        bits = np.array(found["bits"])
        if self.reference is None:
            assert setting == EXACT
            self.reference = logs, bits
        row = self._figures(bits, found)
        return asdict(setting) | row | {"seconds": round(time.perf_counter() - began, 1)}

    def _figures(self, bits: NDArray[np.float64], found: dict[str, list[float]]) -> dict[str, Any]:
        assert self.reference is not None
        lengths = self.text.byte_lengths.reshape(-1, self.context)[:, 1:].sum(axis=1)
        predicted = len(bits) * (self.context - 1)
        difference, error = ratio(bits - self.reference[1], lengths)
        per_byte, _ = ratio(bits, lengths)
        divergence = np.array(found["divergence"])
        return {
            "bits_per_byte": per_byte,
            "perplexity": 2.0 ** (float(bits.sum()) / predicted),
            "increase": difference,
            "increase_error": error,
            "relative_increase": difference / float(ratio(self.reference[1], lengths)[0]),
            "divergence": float(divergence.mean()),
            "divergence_error": float(divergence.std(ddof=1)) / len(divergence) ** 0.5,
            "same_token": float(np.mean(found["same"])),
        }


def ratio(bits: NDArray[np.float64], units: NDArray[np.int64]) -> tuple[float, float]:
    """Bits per unit and its standard error, windows as the independent units."""
    total, windows = float(units.sum()), len(bits)
    mean = float(bits.sum()) / total
    spread = float(np.sum((bits - mean * units) ** 2))
    return mean, (spread * windows / (windows - 1)) ** 0.5 / total


def log_probabilities(model: LlamaModel, states: Floats) -> NDArray[np.float64]:
    """Natural logarithms (tokens, vocabulary) of the next token's probabilities."""
    parts = []
    step = max(1, LOGITS_PER_CHUNK // model.architecture.vocab_size)
    for first in range(0, len(states), step):
        logits = model.logits(states[None, first : first + step])[0].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        parts.append(logits)
    return np.concatenate(parts)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What tells rows apart."""
    return tuple(row[field] for field in asdict(EXACT))


def run(model: str, weights: str, tokens: int, context: int, *, write: bool, again: bool) -> None:
    """Measure the rows that are missing, or all; the reference always: the others need it."""
    bench = Bench(model, weights, tokens, context)
    what = {
        "tokens": int(bench.text.ids.size),
        "predicted": len(bench.text.ids) // context * (context - 1),
        "context": context,
        "lanes": LANES,
        "group_size": next(iter(bench.quantized.layers.values())).group_size,
    }
    stored = read().get(model, {}).get(weights, {})
    old = stored.get("rows", []) if all(stored.get(k) == v for k, v in what.items()) else []
    rows = {key(row): row for row in old}
    for setting in settings(model, weights):
        if not again and key(asdict(setting)) in rows and setting != EXACT:
            continue
        row = bench.measure(setting)
        rows[key(row)] = row
        print(line(row), flush=True)
        if write:
            results = read()
            ordered = [rows[k] for s in settings(model, weights) if (k := key(asdict(s))) in rows]
            results.setdefault(model, {})[weights] = what | {"rows": ordered}
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def read() -> dict[str, Any]:
    """What was measured before: model -> format -> figures."""
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def line(row: dict[str, Any]) -> str:
    """One row for the terminal."""
    name = f"{row['datapath']:10s} {row['activations']:13s} {row['rounding']:12s}"
    name += f" {row['alignment']:3s} {row['normalization']:5s}"
    name += f" g{row['guard_bits']:<2d} m{row['mantissa_bits']:<2d}"
    figures = f"{row['bits_per_byte']:.5f} {row['increase']:+.6f} +- {row['increase_error']:.6f}"
    return (
        f"{name}  {figures}  KL {row['divergence']:.2e}  same {100 * row['same_token']:.2f} %"
        f"  {row['seconds']} s"
    )


def main() -> None:
    """Measure and print, with ``--write`` into the file that the documentation is made from."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=sorted(FORMATS), default="scribe_1m")
    parser.add_argument("--weights", help="recipe; all of the model's by default")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--write", action="store_true", help=f"into {RESULTS.name}")
    parser.add_argument("--again", action="store_true", help="rows that are there already, too")
    given = parser.parse_args()
    for weights in [given.weights] if given.weights else FORMATS[given.model]:
        print(f"{given.model}, {weights}")
        run(
            given.model,
            weights,
            given.tokens,
            given.context,
            write=given.write,
            again=given.again,
        )


if __name__ == "__main__":
    main()
