"""Accumulator widths of the shipped model: ``python -m benchmarks.narrow``.

Proved, seen on held-out text, and kept until the model predicts that text worse; then the speed of
the simulation.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from bitsmith.job import Job
from configs.schema import QuantizationConfig, RunConfig, load_run
from sw.accumulators import Mode, Stage
from sw.formats import family_terms, get_family
from sw.golden.narrow import NarrowLayer, Registers, narrow_matmul
from sw.models.evaluate import tokenized
from sw.models.narrow import NarrowModel
from sw.models.widths import WidthRow, WidthStudy, language_score

MODES: tuple[Mode, ...] = ("wrap", "saturate")
STAGES: tuple[Stage, ...] = ("inner", "outer")


def width_study(
    base: RunConfig, name: str, group_size: int, tokens: int, context: int
) -> WidthStudy:
    """The model of ``base`` in format ``name``, on windows spread over its held-out text."""
    recipe = QuantizationConfig(format=name, group_size=group_size)
    job = Job(config=replace(base, quantization=recipe))
    text = tokenized(job.evaluation_text(), job.model.tokenizer).spread(tokens, context)
    model = NarrowModel(job.quantized, base.accelerator, otherwise=job.around.linear)
    return WidthStudy(model=model, evaluate=language_score(job.around, text, context=context))


def print_layers(study: WidthStudy) -> None:
    """Proved and observed widths, all layers together."""
    rows = study.layers()
    for stage in STAGES:
        proved, seen = (
            {mode: max(row[f"{kind}_{stage}"][mode] for row in rows) for mode in MODES}
            for kind in ("proved", "observed")
        )
        differ = [row[f"proved_{stage}"]["wrap"] - row[f"observed_{stage}"]["wrap"] for row in rows]
        print(
            f"  {stage}: proved {proved['wrap']} (wrap) {proved['saturate']} (saturate), observed "
            f"{seen['wrap']} and {seen['saturate']}; by layer {min(differ)} to {max(differ)} less"
        )


def print_row(row: WidthRow) -> None:
    """One width."""
    found = row.totals()
    steps = found["inner_steps" if row.stage == "inner" else "outer_steps"]
    print(
        f"    {row.bits:2} bits: {row.score:.4f} bits per byte ({row.increase:+.4f} +- "
        f"{row.standard_error:.4f}), steps {'-' if steps is None else steps}, sums latched wrong "
        f"{found['inner_wrong']} of {found['latched']}, outputs {found['outputs_wrong']} of "
        f"{found['outputs']}"
    )


def print_speed(tokens: int = 2048, size: int = 1024) -> None:
    """Steps a second of one square layer, everything stepped."""
    family, rng = get_family("bitmod_fp4"), np.random.default_rng(0)
    levels = [v for v in family.members[0].levels if v is not None]
    layer = NarrowLayer(
        levels=rng.choice(levels, (size, size)),
        terms=family_terms(family, lane_exponent_bits=2),
        group_size=128,
        lanes=4,
        input_range=(-128, 127),
        scales=rng.integers(1, 256, (size, size // 128)),
    )
    x = rng.integers(-127, 128, (tokens, size))
    for name, registers in (
        ("unlimited", Registers()),
        ("wrap", Registers(inner_bits=12, inner_mode="wrap", outer_bits=20)),
        ("saturate", Registers(inner_bits=12, inner_mode="saturate", outer_bits=20)),
        ("flag", Registers(inner_bits=12, inner_mode="flag", outer_bits=20)),
    ):
        narrow_matmul(layer, x[:16], registers)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            narrow_matmul(layer, x, registers)
            times.append(time.perf_counter() - start)
        steps = size * size * tokens * layer.steps[1].shape[0]
        print(f"{name}: {min(times):.2f} s, {steps / min(times) / 1e6:,.0f} M term-steps/s")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--formats", nargs="+", default=["bitmod_fp4", "int4"])
    parser.add_argument("--by-layer", action="store_true", help="narrow one layer at a time too")
    given = parser.parse_args()
    base = load_run("quickstart")
    for name in given.formats:
        study = width_study(base, name, given.group_size, given.tokens, given.context)
        start = time.perf_counter()
        _ = study.observed
        print(f"{name}, groups of {given.group_size}: {time.perf_counter() - start:.1f} s to look")
        print_layers(study)
        for stage in STAGES:
            for mode in MODES:
                start = time.perf_counter()
                found = study.preserving(stage, mode)
                seconds = time.perf_counter() - start
                print(f"  {stage}, {mode}: preserving {found.bits} bits, {seconds:.1f} s")
                for row in found.rows:
                    print_row(row)
                if given.by_layer:
                    bits = [study.preserving(stage, mode, layer).bits for layer in study.observed]
                    print(f"    one layer at a time: {min(bits)} to {max(bits)} bits")
    print_speed()


if __name__ == "__main__":
    main()
