"""Picture of the machine as configured, with its real widths."""

from typing import Any

from .charts import WIDTH
from .context import Run
from .markup import Markup, join, legend, paragraph, section, tag
from .svg import arrow, drawing, fit, line, rect, text

_HEIGHT = 452.0
_ARRAY_X, _ARRAY_Y, _ARRAY_SIZE = 370.0, 134.0, 224.0
_PE_X, _PE_WIDTH = 690.0, 390.0
#: more cells than this are drawn with a gap
_CELLS = 6


def machine_section(run: Run) -> Markup:
    """The machine, its numbers and its streams."""
    array, rtl = run.config["accelerator"], run["rtl"]
    slots = run["simulate"]["slots"]
    lanes = "lane" if array["lanes"] == 1 else "lanes"
    products = array["rows"] * array["cols"] * array["lanes"]
    return section(
        "machine",
        "The machine",
        f"config.json, rtl.json; Verilog: {rtl['file']}",
        paragraph(
            f"{array['rows']} rows \u00d7 {array['cols']} columns of {_kind(array)} with "
            f"{array['lanes']} {lanes}: {products:,} terms per cycle. A weight takes {slots} "
            f"{'slot' if slots == 1 else 'slots'} (cycles), so the peak is "
            f"{products / slots:,.4g} MAC per cycle, "
            f"{products / slots * array['clock_mhz'] / 1e3:,.4g} GMAC/s at "
            f"{array['clock_mhz']:g} MHz (the clock as configured). Weights enter by column, one "
            "output channel each; activations by row, one token each."
        ),
        machine_drawing(run),
        legend(
            [("c0", "arithmetic"), ("c1", "accumulator registers"), ("c3", "streams and storage")]
        ),
    )


def _kind(array: dict[str, Any]) -> str:
    """What the PEs are."""
    return "bit-serial PEs" if array["pe"] == "serial" else "PEs with multipliers"


def _lane(array: dict[str, Any]) -> str:
    """What a lane does."""
    activation = f"{array['activation_bits']}-bit"
    if array["activation_format"] != "integer":
        activation = array["activation_format"]
    if array["pe"] == "multiplier":
        return f"{activation} activation times a whole weight"
    largest = (1 << array["lane_exponent_bits"]) - 1
    return f"{activation} activation, negated or not, shifted by 0..{largest}"


def machine_drawing(run: Run) -> Markup:
    """The block diagram alone."""
    label = "Block diagram of the machine"
    return drawing(WIDTH, _HEIGHT, label, _streams(run), _array(run), _pe(run))


def _box(
    x: float, y: float, width: float, height: float, shade: str, title: str, *notes: str
) -> Markup:
    """Outlined block with a title and smaller lines."""
    lines = [text(x + width / 2, y + 21, fit(title, width - 8), class_="strong", anchor="middle")]
    lines += [
        text(
            x + width / 2,
            y + 37 + 15 * i,
            fit(note, width, 11),
            class_="small dim",
            anchor="middle",
        )
        for i, note in enumerate(notes)
    ]
    return tag("g", rect(x, y, width, height, f"block {shade}", rx=4), *lines)


def _streams(run: Run) -> Markup:
    """Ports, queues, decoder and drain, left of and around the array."""
    array, rtl, quantization = run.config["accelerator"], run["rtl"], run.config["quantization"]
    slots, queue = run["simulate"]["slots"], f"{array['queue_beats']} beats"
    result_bits = rtl["result_beat_bits"] // array["cols"]
    activations, drain = _ARRAY_Y + 80.0, _ARRAY_Y + _ARRAY_SIZE + 36
    end = _ARRAY_X + _ARRAY_SIZE
    return join(
        _port(46, "s_axis_weights", f"{rtl['weight_beat_bits']}-bit beats"),
        arrow(150, 68, 206, 68),
        _box(208, 40, 112, 56, "s3", "weight queue", queue),
        arrow(320, 68, _ARRAY_X - 2, 68),
        _box(
            *(_ARRAY_X, 40, _ARRAY_SIZE, 56, "s0", "term decoders"),
            f"{quantization['format']} code to {slots} {'term' if slots == 1 else 'terms'}",
        ),
        arrow(_ARRAY_X + _ARRAY_SIZE / 2, 96, _ARRAY_X + _ARRAY_SIZE / 2, _ARRAY_Y - 2),
        text(end - _ARRAY_SIZE / 2 + 10, 119, "by column", class_="small dim"),
        _port(activations - 22, "s_axis_activations", f"{rtl['activation_beat_bits']}-bit beats"),
        arrow(150, activations, 206, activations),
        _box(208, activations - 28, 112, 56, "s3", "input queue", queue),
        arrow(320, activations, _ARRAY_X - 2, activations),
        text(326, activations + 18, "by row", class_="small dim"),
        arrow(_ARRAY_X + _ARRAY_SIZE / 2, drain - 36, _ARRAY_X + _ARRAY_SIZE / 2, drain - 2),
        _box(
            *(_ARRAY_X, drain, _ARRAY_SIZE, 50, "s3", "result drain"),
            f"a row per beat: {array['cols']} \u00d7 {result_bits} bits",
        ),
        arrow(_ARRAY_X, drain + 25, 154, drain + 25),
        _port(drain + 3, "m_axis_results", f"{rtl['result_beat_bits']}-bit beats"),
    )


def _port(y: float, name: str, width: str) -> Markup:
    """Name and width of a stream port at the left edge."""
    return join(text(0, y + 16, name, class_="strong"), text(0, y + 33, width, class_="small dim"))


def _places(count: int) -> list[int | None]:
    """Which rows or columns are drawn; None is a gap."""
    if count <= _CELLS:
        return list(range(count))
    return [*range(_CELLS - 2), None, count - 1]


def _array(run: Run) -> Markup:
    """The grid of PEs, and the lines that enlarge one of them."""
    array = run.config["accelerator"]
    rows, cols = _places(array["rows"]), _places(array["cols"])
    pitch = min(32.0, (_ARRAY_SIZE - 62) / max(len(rows), len(cols)))
    left = _ARRAY_X + (_ARRAY_SIZE - pitch * len(cols)) / 2
    top = _ARRAY_Y + 12 + (_ARRAY_SIZE - 62 - pitch * len(rows)) / 2
    parts = [rect(_ARRAY_X, _ARRAY_Y, _ARRAY_SIZE, _ARRAY_SIZE, "block plain", rx=4)]
    for i, row in enumerate(rows):
        for j, col in enumerate(cols):
            x, y = left + pitch * j, top + pitch * i
            if row is None or col is None:
                parts.append(
                    tag("circle", cx=x + pitch / 2, cy=y + pitch / 2, r=1.5, class_="head")
                )
            else:
                parts.append(rect(x + 2, y + 2, pitch - 4, pitch - 4, "block s0", rx=2))
    size = f"{array['rows']} \u00d7 {array['cols']} PEs, {array['lanes']} lanes each"
    middle, bottom = _ARRAY_X + _ARRAY_SIZE / 2, _ARRAY_Y + _ARRAY_SIZE
    parts.append(text(middle, bottom - 28, size, class_="strong", anchor="middle"))
    held = "output-stationary, one result per PE"
    parts.append(text(middle, bottom - 11, held, class_="small dim", anchor="middle"))
    corner_x, corner_y = left + pitch * len(cols) - 2, top + 2
    parts.append(line(corner_x, corner_y, _PE_X, 8, "zoom"))
    parts.append(line(corner_x, corner_y + pitch - 4, _PE_X, _HEIGHT - 4, "zoom"))
    return join(*parts)


def _pe(run: Run) -> Markup:
    """One PE, stage by stage, register widths to scale."""
    array, rtl = run.config["accelerator"], run["rtl"]
    inner, outer, held = rtl["inner_bits"], rtl["outer_bits"], rtl["held_bits"]
    scale = array["scale"]["format"].upper().replace("UINT8", "8-bit")
    x, width = _PE_X + 14, _PE_WIDTH - 28
    unit = (width - 20) / max(held, outer)
    rounded = array["activation_format"] != "integer" and array["floating"]["datapath"] == "aligned"
    names = ("mantissa", "mantissa", "product") if rounded else ("P_I", "P_O", "group sum")
    parts = [
        rect(_PE_X, 8, _PE_WIDTH, _HEIGHT - 12, "block plain", rx=6),
        text(x, 32, "One PE", class_="strong"),
        text(x + 56, 32, "register widths to scale", class_="small dim"),
        _box(
            *(x, 44, width, 50, "s0", f"{array['lanes']} lane products"),
            _lane(array),
        ),
        arrow(x + width / 2, 94, x + width / 2, 110),
        _box(
            *(x, 112, width, 50, "s0", "lane adders"),
            "exact sum of aligned products"
            if rounded
            else "exact sum, shifted by the slot's base shift",
        ),
        arrow(x + width / 2, 162, x + width / 2, 178),
    ]
    registers = [
        (180.0, "inner accumulator", names[0], inner, "s1 r1", rtl["inner_mode"] + ", one group"),
        (266.0, f"serial dequantizer, \u00d7 {scale} scale", names[2], held, "s0 r0",
         "one scale bit per cycle"),
        (352.0, "outer accumulator", names[1], outer, "s1 r1", rtl["outer_mode"] + ", all groups"),
    ]  # fmt: skip
    for y, title, name, bits, shade, note in registers:
        fill, bar = shade.split()
        parts.append(rect(x, y, width, 70, f"block {fill}", rx=4))
        parts.append(text(x + 10, y + 19, title, class_="strong"))
        parts.append(rect(x + 10, y + 27, bits * unit, 13, bar))
        parts.append(text(x + 10, y + 58, f"{name} = {bits} bits"))
        parts.append(text(x + width - 10, y + 58, note, class_="small dim", anchor="end"))
        if y < 350:
            parts.append(arrow(x + width / 2, y + 70, x + width / 2, y + 84))
    return join(*parts)
