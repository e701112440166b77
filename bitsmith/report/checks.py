"""What was verified, what the numbers do not say, the files, and the per-layer table."""

from typing import Any

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
        rtl, simulated = case["rtl_cycles"], case["simulated_cycles"]
        rows.append(
            [
                case["name"],
                "random" if case["gaps"] else "none",
                verdict,
                shape,
                count(case["outputs"]),
                count(rtl) if rtl else "\u2013",
                count(simulated),
                f"{rtl - simulated:+,}" if rtl and rtl != simulated else "0" if rtl else "\u2013",
            ]
        )
    header = ["job", "idle cycles on the streams", "equal", "M \u00d7 N \u00d7 K"]
    return section(
        "verification",
        "Verification: the Verilog against golden model and simulator",
        "verify.json, rtl.json" if checked["passed"] else "rtl.json",
        _verdict(checked),
        paragraph(
            "Every job runs three times: on the golden model, in the simulator, and on the "
            "generated Verilog in Verilator. Equal means: all outputs and overflow bits, the total "
            "number of clock cycles, and every stall counter."
        ),
        table([*header, "outputs", "RTL cycles", "simulated", "difference"], rows, text_columns=3)
        if rows
        else None,
        paragraph(
            f"Verilog: {run['rtl']['file']}, {count(run['rtl']['lines'])} lines, top module "
            f"{run['rtl']['top']}.",
            class_="dim",
        ),
    )


def _verdict(checked: dict[str, Any]) -> Markup:
    """Verified, or what failed."""
    if checked["passed"]:
        return paragraph(
            tag("strong", "\u2713 Verified: ", class_="good"),
            f"RTL = golden model = simulator on {len(checked['cases'])} jobs, "
            f"{count(checked['outputs'])} outputs and {count(checked['rtl_cycles'])} clock cycles; "
            "difference 0.",
        )
    failures = [
        paragraph(tag("b", case["name"]), ": ", case["failure"], class_="bad")
        for case in checked["cases"]
        if not case["passed"]
    ]
    rest = "Jobs after a failure are not run, and verify.json is not written."
    return tag(
        "div",
        tag("strong", "\u2717 Not verified."),
        *(failures or [paragraph("No job was run.", class_="bad")]),
        rest if failures else None,
        class_="alarm",
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
    agreed = (
        "Cycles are exact: the simulator equals the RTL on every job above."
        if run["verify"]["passed"]
        else "RTL, golden model and simulator do not agree: no number here is confirmed."
    )
    simulated = run["simulate"]
    host = ", ".join(work["name"] for work in simulated["host_work"])
    supplied = (
        f"Streams keep the pace of the memory {simulated['memory']}."
        if simulated["memory"]
        else "Streams always have data: memory latency and bandwidth are not in the cycles."
    )
    items = [
        join("On the host, and not counted: ", host or "nothing", "."),
        f"{agreed} {supplied} "
        "Layers run one after another. The clock frequency is configured, not timed.",
        "Weights and activations are streamed again for every tile"
        + ("; the DRAM energy is that of this traffic." if simulated["memory"] is None else "."),
        "Area and energy are a structural model calibrated on synthesized netlists; wires, clock "
        "tree and glitches are not in it. They compare machines, they do not sign one off.",
        "Verification runs the jobs listed above; it is not a formal proof of equivalence.",
    ]
    if run.skipped("bounds") is None:
        items.append(
            "Accumulator widths are proved for every activation that the port can carry, not only "
            "for those seen on text, and for these weights: others need a new proof."
        )
    if run.skipped("evaluate") is None:
        items.append(
            "Bits per byte are of this model on its own held-out text. They are computed in "
            "floating point with the quantized values, not on the RTL."
        )
    return section("limits", "Limits", "", tag("ul", *(tag("li", item) for item in items)))


def files_section(run: Run) -> Markup:
    """Which file of the run folder holds what."""
    rtl = run["rtl"]
    files = {
        "config.json": "all settings with presets resolved, and the seed of every random draw",
        "quantize.json": "format mix, bits and errors by layer",
        "quantized/": "the quantized model: codes, format ids, scales",
        "evaluate.json": "held-out bits per byte",
        "bounds.json": "exact ranges and widths by channel, witnesses, overflows",
        "simulate.json": "cycles, causes, utilization",
        "cost.json": "area by block with its parts, energy by action and by layer, all figures",
        "rtl.json": "register and beat widths",
        rtl["file"]: f"the Verilog, {count(rtl['lines'])} lines; it stands alone",
        "verify.json": "every verified job with its counters",
        "layers.csv": "the table of all layers for a spreadsheet",
    }
    if run.skipped("quantize") is not None:
        del files["quantized/"]
    if not run["verify"]["passed"]:
        del files["verify.json"]
    rows = [[tag("code", name), words] for name, words in files.items()]
    return section(
        "files",
        "Where each number comes from",
        "in the run folder, beside this page",
        table(["file", "what"], rows, text_columns=2),
    )
