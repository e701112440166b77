"""Equal operand widths in RTLIL, so that the Verilog made of it leaves nothing to extension rules.

Yosys writes an operand as wide as it is and trusts the language to extend it. That is legal, but
every linter warns of it, and a warning that always comes hides those that mean something.
"""

import re

_CELL = re.compile(r"^  cell (\$\w+) (\S+)\n((?:    .*\n)*)  end\n", re.MULTILINE)
_PARAMETER = re.compile(r"^    parameter (?:signed )?\\(\w+) (?:\d+'([01]+)|(\d+))\n", re.MULTILINE)
_CONNECT = re.compile(r"^    connect \\(\w+) (.+)\n", re.MULTILINE)

_EMPTY = re.compile(r"^(?:  attribute .*\n)*  wire width 0 (\S+)\n", re.MULTILINE)

#: bits of the result depend on as many low bits of the operands
_MODULAR = ("$add", "$sub", "$and", "$or", "$xor", "$xnor")
_COMPARISONS = ("$eq", "$ne", "$lt", "$le", "$gt", "$ge")
_UNARY = ("$neg", "$not", "$pos")


def equal_widths(text: str) -> str:
    """RTLIL ``text`` with every operand as wide as its operator works.

    Products keep the widths of their factors, from which tools infer multipliers. Wires without
    bits, for which Verilog has no words, go where nothing is made of them.
    """
    for name in _EMPTY.findall(text):
        uses = re.compile(rf"^.*{re.escape(name)}\b.*\n", re.MULTILINE)
        if all(use.startswith(("  wire width 0 ", "  connect ")) for use in uses.findall(text)):
            text = uses.sub("", text)
    return _CELL.sub(lambda match: _Cell(*match.groups()).text(), text)


class _Cell:
    """One operator."""

    def __init__(self, kind: str, name: str, body: str) -> None:
        self.kind, self.name = kind, name
        self.body = body
        self.numbers = {
            key: int(bits, 2) if bits else int(number)
            for key, bits, number in _PARAMETER.findall(body)
        }
        self.ports = dict(_CONNECT.findall(body))

    def text(self) -> str:
        """The cell, changed where its operands are not as wide as they should be."""
        extra = ""
        if self.kind in _MODULAR or self.kind in _UNARY:
            for port in ("A", "B") if self.kind in _MODULAR else ("A",):
                self._resize(port, self.numbers["Y_WIDTH"])
        elif self.kind in _COMPARISONS:
            width = max(self.numbers["A_WIDTH"], self.numbers["B_WIDTH"])
            for port in ("A", "B"):
                self._resize(port, width)
        elif self.kind == "$logic_not" and self.numbers["A_WIDTH"] > 1:
            self._is_zero()
        elif self.kind in ("$shl", "$sshl"):
            self._resize("A", self.numbers["Y_WIDTH"])
        elif self.kind in ("$shr", "$sshr", "$shift", "$shiftx"):
            if self.numbers["Y_WIDTH"] < self.numbers["A_WIDTH"]:
                extra = self._cut_result()
            self._resize("A", self.numbers["Y_WIDTH"])
        return f"{extra}  cell {self.kind} {self.name}\n{self.body}  end\n"

    def _set(self, key: str, value: int) -> None:
        """Change a parameter."""
        self.numbers[key] = value
        self.body = re.sub(
            rf"^(    parameter (?:signed )?\\{key}) .*$",
            lambda match: f"{match[1]} {value}",
            self.body,
            flags=re.MULTILINE,
        )

    def _connect(self, port: str, signal: str) -> None:
        """Change a connection."""
        self.ports[port] = signal
        self.body = re.sub(
            rf"^    connect \\{port} .*$",
            lambda _: f"    connect \\{port} {signal}",
            self.body,
            flags=re.MULTILINE,
        )

    def _resize(self, port: str, width: int) -> None:
        """Extend an operand by its sign, or cut it."""
        old, signal = self.numbers[f"{port}_WIDTH"], self.ports[port]
        if old == width:
            return
        if old > width:
            resized = f"{signal} [{width - 1}:0]"
        else:
            top = f"{signal} [{old - 1}]" if self.numbers[f"{port}_SIGNED"] and old else "1'0"
            resized = f"{{ {' '.join([top] * (width - old))} {signal} }}"
        self._set(f"{port}_WIDTH", width)
        self._connect(port, resized)

    def _is_zero(self) -> None:
        """``!x`` of several bits as ``x == 0``."""
        width = self.numbers["A_WIDTH"]
        self.kind = "$eq"
        self.body += (
            f"    parameter \\B_SIGNED {self.numbers['A_SIGNED']}\n"
            f"    parameter \\B_WIDTH {width}\n    connect \\B {width}'{'0' * width}\n"
        )

    def _cut_result(self) -> str:
        """Let a shift give all its bits; returns the wire whose low bits are its result."""
        whole, target = f"{self.name}$whole", self.ports["Y"]
        last = self.numbers["Y_WIDTH"] - 1
        self._set("Y_WIDTH", self.numbers["A_WIDTH"])
        self._connect("Y", whole)
        wire = f"  wire width {self.numbers['A_WIDTH']} {whole}\n"
        return f"{wire}  connect {target} {whole} [{last}:0]\n"
