"""What was verified, and the per-layer table."""

from ..tables import short_mix
from .context import Run
from .markup import Markup, join, paragraph, section, table, tag
from .units import count, percent, si, significant

_HEADER = ["layer", "format mix %", "N \u00d7 K", "bits/weight", "error", "P_I", "P_O"]


def verification_section(run: Run) -> Markup:
    """Every job that ran on the RTL."""
    checked = run["verify"]
    rows = []
    for case in checked["cases"]:
        verdict = tag("b", "yes" if case["passed"] else "NO", class_=_state(case["passed"]))
        shape = f"{case['m']} \u00d7 {case['n']} \u00d7 {case['k']}"
        rows.append(
            [
                case["name"],
                "random" if case["gaps"] else "none",
                verdict,
                shape,
                count(case["outputs"]),
                count(case["rtl_cycles"]),
                count(case["simulated_cycles"]),
            ]
        )
    failures = [
        tag("p", tag("b", case["name"]), ": ", case["failure"], class_="alarm bad")
        for case in checked["cases"]
        if not case["passed"]
    ]
    header = ["job", "idle cycles on the streams", "equal", "M \u00d7 N \u00d7 K", "outputs"]
    return section(
        "verification",
        "Verification: the Verilog against golden model and simulator",
        "verify.json, rtl.json",
        *failures,
        paragraph(
            "Every job runs three times: on the golden model, in the simulator, and on the "
            "generated Verilog in Verilator. Equal means: all outputs and overflow bits, the total "
            "number of clock cycles, and every stall counter."
        ),
        table([*header, "RTL cycles", "simulated"], rows, text_columns=3),
        paragraph(
            f"{count(checked['outputs'])} outputs and {count(checked['rtl_cycles'])} clock cycles "
            f"of RTL. Verilog: {run['rtl']['file']}, {count(run['rtl']['lines'])} lines, top "
            f"module {run['rtl']['top']}.",
            class_="dim",
        ),
    )


def _state(passed: bool) -> str:
    return "good" if passed else "bad"


def layer_section(run: Run) -> Markup:
    """All numbers of all layers."""
    quantized, bounds = run.by_layer("quantize"), run.by_layer("bounds")
    energy = run.by_layer("cost")
    rows = []
    for layer in run["simulate"]["layers"]:
        name = layer["name"]
        weights, widths = quantized.get(name), bounds.get(name)
        mix = weights["format_mix"] if weights else {}
        shares = short_mix(mix) if mix else ""
        rows.append(
            [
                name,
                shares or "\u2013",
                f"{layer['n']} \u00d7 {layer['k']}",
                f"{weights['bits_per_weight']:.2f}" if weights else "\u2013",
                significant(weights["relative_error"]) if weights else "\u2013",
                widths["inner_bits"] if widths else "\u2013",
                widths["outer_bits"] if widths else "\u2013",
                count(layer["prefill_cycles"]),
                count(layer["decode_step_cycles"]),
                percent(layer["utilization"]),
                si(energy[name]["on_chip_energy_pj"] * 1e-12, "J"),
            ]
        )
    header = [*_HEADER, "prefill cycles", "decode cycles", "utilization", "on chip"]
    return section(
        "layers", "Every layer", "layers.csv", table(header, rows, text_columns=2, class_="wide")
    )


def limits_section(run: Run) -> Markup:
    """What the numbers do not say."""
    items = [
        join("On the host, and not counted: ", run["simulate"]["host_work"], "."),
        "Cycles are exact: the simulator equals the RTL on every job above. Clock frequency is "
        "configured, not timed.",
        "Weights and activations are streamed again for every tile; the DRAM energy is that of "
        "this traffic.",
        "Area and energy are a structural model with the figures listed above; wires, clock tree "
        "and glitches are not in it.",
        "Accumulator widths are proved for every activation that the port can carry, not only for "
        "those seen on text.",
    ]
    return section("limits", "Limits", "", tag("ul", *(tag("li", item) for item in items)))
