"""Operand widths made equal: the same function, and nothing left for a linter to say."""

import itertools
import re

import pytest

from hw.emit import run_yosys
from hw.widths import equal_widths

TWO = {
    "$add": "modular", "$sub": "modular", "$and": "modular", "$or": "modular", "$xor": "modular",
    "$eq": "compare", "$ne": "compare", "$lt": "compare", "$le": "compare", "$gt": "compare",
    "$ge": "compare", "$shl": "shift", "$shr": "shift", "$sshr": "shift", "$shift": "shift",
}  # fmt: skip
ONE = ("$neg", "$not", "$logic_not")


def design() -> str:
    """Every operator with operands and results of many widths, signed and unsigned."""
    ports, cells = [], []
    widths = [(1, 3, 2), (3, 1, 5), (4, 2, 3), (2, 2, 6), (5, 5, 5), (3, 4, 1)]
    wires = {name: f"  wire width 5 input {i + 1} \\{name}\n" for i, name in enumerate("ab")}
    cases = itertools.product([*TWO, *ONE], widths, (0, 1))
    for index, (kind, (a, b, y), signed) in enumerate(cases):
        result = 1 if TWO.get(kind) == "compare" or kind == "$logic_not" else y
        ports.append(f"  wire width {result} output {index + 3} \\y{index}\n")
        b_signed = 0 if TWO.get(kind) == "shift" else signed
        lines = [f"    parameter \\A_SIGNED {signed}", f"    parameter \\A_WIDTH {a}"]
        lines += [f"    parameter \\Y_WIDTH {result}", f"    connect \\A \\a [{a - 1}:0]"]
        if kind in TWO:
            lines += [f"    parameter \\B_SIGNED {b_signed}", f"    parameter \\B_WIDTH {b}"]
            lines += [f"    connect \\B \\b [{b - 1}:0]"]
        lines.append(f"    connect \\Y \\y{index}")
        cells.append(f"  cell {kind} $c{index}\n" + "\n".join(lines) + "\n  end\n")
    return f"module \\top\n{''.join(wires.values())}{''.join(ports)}{''.join(cells)}end\n"


@pytest.mark.rtl
def test_the_function_stays(tmp_path) -> None:
    """A solver compares every operator before and after, for all operands."""
    text = design()
    made = equal_widths(text)
    assert made != text
    (tmp_path / "gold.il").write_text(text.replace("\\top", "\\gold"))
    (tmp_path / "gate.il").write_text(made.replace("\\top", "\\gate"))
    script = (
        f"read_rtlil {tmp_path}/gold.il\nread_rtlil {tmp_path}/gate.il\n"
        "miter -equiv -flatten -make_assert gold gate miter\nsat -verify -prove-asserts miter\n"
    )
    run_yosys(script)
    broken = made.replace("cell $sub ", "cell $add ", 1)
    (tmp_path / "gate.il").write_text(broken.replace("\\top", "\\gate"))
    with pytest.raises(RuntimeError):
        run_yosys(script)


def test_widths_are_equal() -> None:
    for kind, body in re.findall(r"cell (\$\w+) \S+\n(.*?)  end\n", equal_widths(design()), re.S):
        numbers = {k: int(v) for k, v in re.findall(r"parameter \\(\w+) (\d+)", body)}
        group = TWO.get(kind)
        if group in ("modular", "compare"):
            assert numbers["A_WIDTH"] == numbers["B_WIDTH"]
        if group in ("modular", "shift"):
            assert numbers["A_WIDTH"] == numbers["Y_WIDTH"]
        if kind == "$logic_not":
            assert numbers["A_WIDTH"] == 1


def test_products_are_left_alone() -> None:
    text = design().replace("cell $add ", "cell $mul ")
    product = re.search(r"  cell \$mul .*?  end\n", text, re.S)
    assert product and product[0] in equal_widths(text)


def test_wires_without_bits_go() -> None:
    text = (
        "module \\top\n  wire width 0 \\gone\n  wire width 0 \\kept\n  wire \\gone_too\n"
        "  connect \\gone { }\n  cell \\other \\c\n    connect \\p \\kept\n  end\nend\n"
    )
    made = equal_widths(text)
    assert "\\gone\n" not in made and "connect \\gone " not in made
    assert "wire width 0 \\kept" in made and "wire \\gone_too" in made
