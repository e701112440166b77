"""``assertions.sv``: the same statement for other tools, around the PE of ``pe.v``."""

from hw.pe import shift_select_bits

from .accumulator import GroupOfWeights

TOP = "group_of_weights"
_HEADER = """\
// The weights of weights.json on the PE of pe.v: what is proved, for other tools.
//   Yosys: read_verilog -sv -formal pe.v assertions.sv; prep -top {top}
// The first cycle must be a reset. An induction needs no more than these assertions say about the
// sums, but also that the registers below agree with the PE's own: begin with a bounded search.
/* verilator lint_off DECLFILENAME */
"""


def assertions_text(group: GroupOfWeights) -> str:
    """A module that offers the group's steps in any rhythm and checks every sum."""
    stages = {"products", "sums", "shift"} & set(group.pipeline)
    late = 1 + len(stages)
    ranges = group.ranges()
    lows, highs = (e[:, 0, :, 0].T.reshape(-1).tolist() for e in (ranges.low, ranges.high))
    steps = range(group.steps)
    bits = max(1, (group.steps - 1).bit_length())
    lines = [
        _HEADER.format(top=TOP) + f"module {TOP} (",
        "  input wire clk,",
        "  input wire rst,",
        "  input wire offer,",
        f"  input wire [{group.lanes * group.activation_bits - 1}:0] activations",
        ");",
        *_table("terms_of", bits, None, [_packed_terms(group, s) for s in steps]),
        *_table("low_of", bits, 64, lows),
        *_table("high_of", bits, 64, highs),
        *(
            line
            for lane in range(group.lanes)
            for line in _table(f"gain_{lane}_of", bits, 64, [group.gains(s)[lane] for s in steps])
        ),
        *_steps(group, bits, late),
        *_instance(group, stages, late),
        *_checks(group, late),
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _packed_terms(group: GroupOfWeights, step: int) -> tuple[int, int]:
    """Bits and width of the terms of all lanes."""
    width, value = 2 + group.terms.exponent_bits, 0
    for lane, term in enumerate(group.step_terms(step)):
        fields = term.present | term.negative << 1 | term.exponent << 2
        value |= fields << lane * width
    return value, width * group.lanes


def _table(name: str, bits: int, width: int | None, values: list) -> list[str]:
    """A function of the step; ``width`` None for entries that bring their own, unsigned."""
    signed = "" if width is None else " signed"
    wide = values[0][1] if width is None else width
    lines = [f"  function automatic{signed} [{wide - 1}:0] {name}(input [{bits - 1}:0] step);"]
    lines += ["    case (step)"]
    for step, entry in enumerate(values):
        value = entry[0] if width is None else entry
        shown = f"{wide}'d{value}" if width is None else _number(value)
        lines.append(f"      {bits}'d{step}: {name} = {shown};")
    zero = f"{wide}'d0" if width is None else "64'sd0"
    return [*lines, f"      default: {name} = {zero};", "    endcase", "  endfunction"]


def _number(value: int) -> str:
    return f"-64'sd{-value}" if value < 0 else f"64'sd{value}"


def _steps(group: GroupOfWeights, bits: int, late: int) -> list[str]:
    """Offered steps, their exact gain, and both as they arrive at the accumulator."""
    activation = group.activation_bits
    # an unsigned activation gets a sign bit of 0
    pad = "" if group.activation_signed else "1'b0, "
    terms = [
        f"gain_{lane}_of(step_0) * 64'($signed({{{pad}activations[{lane * activation} +: "
        f"{activation}]}}))"
        for lane in range(group.lanes)
    ]
    lines = ["  wire offered_0 = offer && !rst;", f"  reg [{bits - 1}:0] step_0 = 0;"]
    lines.append("  wire signed [63:0] gain_0 = " + "\n    + ".join(terms) + ";")
    for stage in range(1, late + 1):
        lines += [
            f"  reg offered_{stage} = 0;",
            f"  reg [{bits - 1}:0] step_{stage} = 0;",
            f"  reg signed [63:0] gain_{stage} = 0;",
        ]
    lines += ["  always @(posedge clk) begin"]
    for stage in range(1, late + 1):
        lines += [
            f"    offered_{stage} <= offered_{stage - 1} && !rst;",
            f"    step_{stage} <= step_{stage - 1};",
            f"    gain_{stage} <= gain_{stage - 1};",
        ]
    last = f"{bits}'d{group.steps - 1}"
    return [
        *lines,
        f"    if (offered_0) step_0 <= step_0 == {last} ? {bits}'d0 : step_0 + {bits}'d1;",
        "    if (rst) step_0 <= 0;",
        "  end",
        f"  wire last = offered_{late} && step_{late} == {last};",
    ]


def _instance(group: GroupOfWeights, stages: set[str], late: int) -> list[str]:
    """The PE, without terms where no step is offered."""
    wide = (2 + group.terms.exponent_bits) * group.lanes
    ports = [
        ".clk(clk)",
        ".rst(rst)",
        ".terms_in(terms)",
        ".activations(activations)",
        ".last(last)",
        ".group_sum(group_sum)",
        ".overflow(overflow)",
    ]
    lines = [
        f"  wire [{wide - 1}:0] terms = offered_0 ? terms_of(step_0) : {wide}'d0;",
        f"  wire signed [{group.bits - 1}:0] group_sum;",
        "  wire overflow;",
    ]
    if group.adders == "compressor":
        width = 2 + group.terms.exponent_bits
        counted = " + ".join(
            f"{group.lanes.bit_length()}'(terms[{lane * width + 1}])" for lane in range(group.lanes)
        )
        lines.append(f"  wire [{group.lanes.bit_length() - 1}:0] negatives = {counted};")
        ports.append(".negatives(negatives)")
    select = shift_select_bits(group.terms)
    if select:
        shifts = group.terms.base_shifts
        slot = f"32'(step_{late - ('shift' in stages)}) % 32'd{len(shifts)}"
        places = [sorted(set(shifts)).index(shift) for shift in shifts]
        choice = f"{select}'d{places[-1]}"
        for number in reversed(range(len(places) - 1)):
            choice = f"{slot} == 32'd{number} ? {select}'d{places[number]} : {choice}"
        lines.append(f"  wire [{select - 1}:0] shift_select = {choice};")
        ports.append(".shift_select(shift_select)")
    return [*lines, "  pe pe (" + ", ".join(ports) + ");"]


def _checks(group: GroupOfWeights, late: int) -> list[str]:
    """The exact sum, assumptions about inputs, assertions about sums."""
    low, high = group.activations
    width, slots = group.activation_bits, group.terms.slots
    lines = [
        "  reg signed [63:0] exact = 0;",
        f"  wire signed [63:0] sum = (step_{late} == 0 ? 64'sd0 : exact) + gain_{late};",
        f"  reg [{group.lanes * width - 1}:0] held = 0;",
        "  reg past_reset = 0;",
        "  always @(posedge clk) begin",
        "    if (rst) past_reset <= 1;",
        "    if (offered_0) held <= activations;",
        f"    if (offered_{late}) exact <= sum;",
        "    if (rst) exact <= 0;",
        "    assume (past_reset || rst);",
    ]
    if slots > 1:
        held = "activations == held"
        lines.append(f"    if (offered_0 && 32'(step_0) % 32'd{slots} != 0) assume ({held});")
    pad = "" if group.activation_signed else "1'b0, "
    for lane in range(group.lanes):
        value = f"64'($signed({{{pad}activations[{lane * width} +: {width}]}}))"
        inside = f"{value} >= {_number(low)} && {value} <= {_number(high)}"
        lines.append(f"    if (offered_0) assume ({inside});")
    state = f"past_reset && !rst && offered_{late}"
    kept = (
        f"group_sum == sum[{group.bits - 1}:0]" if group.mode == "wrap" else "64'(group_sum) == sum"
    )
    return [
        *lines,
        f"    if ({state}) begin",
        f"      assert (sum >= low_of(step_{late}));",
        f"      assert (sum <= high_of(step_{late}));",
        f"      assert ({kept});",
        "      assert (!overflow);",
        "      if (last) assert (64'(group_sum) == sum);",
        "    end",
        "  end",
    ]
