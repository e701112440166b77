"""Top of the page: what was run, the verdicts, and the numbers that people ask for first."""

from typing import Any

from .context import Run
from .markup import Markup, join, tag
from .units import count, percent, si, signed, significant

_GOOD, _BAD, _NOTE = "good", "bad", "note"
_SIGNS = {_GOOD: "\u2713 ", _BAD: "\u2717 ", _NOTE: ""}


def header(run: Run) -> Markup:
    """Name, configuration, badges and tiles."""
    quantization, array = run.config["quantization"], run.config["accelerator"]
    words = [
        run.model,
        f"{quantization['format']}, groups of {quantization['group_size']}",
        f"{array['name']}: {array['rows']} \u00d7 {array['cols']} PEs, {array['lanes']} lanes, "
        f"{array['clock_mhz']:g} MHz",
        str(run["cost"]["technology"]),
    ]
    badges = [_verified(run), _overflow(run), _accuracy(run)]
    return tag(
        "header",
        tag("h1", run.config["name"]),
        tag("p", " \u00b7 ".join(words), class_="sub"),
        tag("div", *badges, class_="badges"),
        tag("div", *_tiles(run), class_="tiles"),
    )


def _badge(state: str, words: str) -> Markup:
    return tag("span", _SIGNS[state], words, class_=f"badge {state}")


def _verified(run: Run) -> Markup:
    checked = run["verify"]
    if not checked["passed"]:
        return _badge(_BAD, "RTL not verified")
    return _badge(_GOOD, f"RTL verified: {len(checked['cases'])} jobs, difference 0")


def widths_are_worst_case(run: Run) -> bool:
    """Without weights: both accumulators got the width that holds for all weights."""
    array = run.config["accelerator"]
    stages = ("inner_accumulator", "outer_accumulator")
    return all(array[stage]["bits"] == "auto" for stage in stages)


def _overflow(run: Run) -> Markup:
    bounds = run["bounds"]
    if run.skipped("bounds") is not None:
        if widths_are_worst_case(run):
            return _badge(_GOOD, "no overflow: widths for all weights of the format")
        return _badge(_NOTE, "overflow not checked: no weights")
    if bounds["overflows"]:
        return _badge(_BAD, "overflow not safe: an input exists that overflows")
    return _badge(_GOOD, "no overflow: proved for every input")


def _accuracy(run: Run) -> Markup:
    if run.skipped("evaluate") is not None:
        return _badge(_NOTE, "accuracy not measured")
    first, last = run["evaluate"]["variants"][0], run["evaluate"]["variants"][-1]
    return _badge(
        _NOTE,
        f"bits per byte {first['bits_per_byte']:.3f} \u2192 {last['bits_per_byte']:.3f} "
        f"({signed(last['increase'])} \u00b1 {last['increase_error']:.4f})",
    )


def _tiles(run: Run) -> list[Markup]:
    """Two lines of four."""
    simulated, cost = run["simulate"], run["cost"]
    macs = cost["on_chip_energy_pj"] / cost["macs"]
    prefill, step = simulated["prefill_tokens"], simulated["decode_step_cycles"]
    tiles = [
        *_weight_tiles(run),
        (
            si(simulated["seconds_prefill"], "s") if prefill else "\u2013",
            f"prefill of {prefill:,} tokens" if prefill else "no prefill in the workload",
        ),
        (
            f"{significant(simulated['tokens_per_s_decode'])} tokens/s" if step else "\u2013",
            f"decode, {count(step)} cycles a step" if step else "no decode in the workload",
        ),
        (percent(simulated["utilization"]), "of the array's peak, whole workload"),
        (f"{significant(cost['area_um2'] / 1e6)} mm\u00b2", _area_note(cost)),
        (
            si(cost["on_chip_energy_pj"] * 1e-12, "J"),
            f"on chip: {si(cost['power_mw'] * 1e-3, 'W')}, {significant(macs)} pJ per MAC",
        ),
        (si(cost["dram_energy_pj"] * 1e-12, "J"), f"in DRAM{_crossed(simulated)}"),
    ]
    return [tag("div", tag("b", value), tag("span", note), class_="tile") for value, note in tiles]


def _area_note(cost: dict[str, Any]) -> str:
    """Process and interval of the area."""
    limits = cost["intervals"]["area_um2"]
    low, high = (significant(limits[name] / 1e6) for name in ("low", "high"))
    return f"{cost['technology']}, without wires: {low} to {high}"


def _crossed(simulated: dict[str, Any]) -> str:
    """What the DRAM energy is that of, where no memory stands behind the streams."""
    return "" if simulated["memory"] else ", crossed by every stream beat"


def _weight_tiles(run: Run) -> list[tuple[str, str]]:
    """Bits per byte and bits per weight, or what stands in for them."""
    quantized, evaluated = run["quantize"], run["evaluate"]
    tiles = []
    if run.skipped("evaluate") is None:
        last = evaluated["variants"][-1]
        note = f"more bits per held-out byte than in float, \u00b1 {last['increase_error']:.4f}"
        tiles.append((signed(last["increase"]), note))
    else:
        tiles.append(("\u2013", "accuracy not measured"))
    if run.skipped("quantize") is None:
        note = f"bits per weight, scales included; {si(quantized['weights'])} weights"
        tiles.append((f"{quantized['bits_per_weight']:.3f}", note))
    else:
        layers = run["simulate"]["layers"]
        weights = sum(layer["n"] * layer["k"] for layer in layers)
        tiles.append((si(weights), f"weights in {len(layers)} layers, shapes only"))
    return tiles


def skip_note(run: Run, step: str) -> Markup | None:
    """Why a step was not done, as a paragraph; None if it was."""
    reason = run.skipped(step)
    return None if reason is None else tag("p", join("Not done: ", reason, "."), class_="skip")
