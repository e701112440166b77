"""A core as cells of a library: synthesis, the netlist, and its text for Verilator and OpenSTA.

Components are optimized each for itself, so that every cell belongs to one; the hierarchy then only
lives on in the cells' names.
"""

import gzip
import importlib.metadata
import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from configs.cache import cache_folder
from costmodel.calibration.liberty import library_script
from costmodel.fpga.yosys import content_hash, keep
from hw.emit import run_yosys, to_rtlil

TOP = "core"
#: modules that stay whole: children of the core, of its array, of its loaders and of its drain
_KEPT = re.compile(
    rf"^module (\\{TOP}__(?:(?:pe_array|weight_loader|activation_loader)__)?"
    r"[a-z0-9]+(?:_[a-z0-9]+)*)$",
    re.MULTILINE,
)
_MODULE = re.compile(r"^module (\w+)\(.*?^endmodule$", re.MULTILINE | re.DOTALL)
Net = int | str
"""Number of a net, or the constant ``0`` or ``1``."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A cell of a netlist.

    Attributes
    ----------
    path : instances of modules from the top downwards.
    cell : name in the library.
    pins : net at each connected pin.
    """

    path: tuple[str, ...]
    cell: str
    pins: dict[str, Net]


@dataclass(frozen=True, kw_only=True)
class Netlist:
    """A flat netlist; instance ``i`` is called ``u{i}``, net ``n`` is called ``n{n}``.

    Attributes
    ----------
    top : name of the module.
    instances : cells.
    inputs, outputs : nets of each port, least significant bit first.
    """

    top: str
    instances: tuple[Instance, ...]
    inputs: dict[str, tuple[Net, ...]]
    outputs: dict[str, tuple[Net, ...]]

    @cached_property
    def nets(self) -> tuple[int, ...]:
        """Numbers of all nets."""
        found = {net for instance in self.instances for net in instance.pins.values()}
        found |= {net for ports in (self.inputs, self.outputs) for p in ports.values() for net in p}
        return tuple(sorted(net for net in found if isinstance(net, int)))

    @cached_property
    def cells(self) -> dict[str, int]:
        """How many instances of each cell there are."""
        counts: dict[str, int] = {}
        for instance in self.instances:
            counts[instance.cell] = counts.get(instance.cell, 0) + 1
        return counts

    def to_verilog(self, *, recorded: str | None = None) -> str:
        """Structural Verilog.

        Parameters
        ----------
        recorded : name of an additional output, all nets in the order of ``nets``, which is all
            that Verilator is to record: much less to compile than a record of every net by name.
        """
        lines = [f"  wire n{net};" for net in self.nets]
        for name, bits in self.inputs.items():
            lines += [
                f"  assign {_net(net)} = {_bit(name, bits, i)};" for i, net in enumerate(bits)
            ]
        for number, instance in enumerate(self.instances):
            pins = ", ".join(f".{pin}({_net(net)})" for pin, net in instance.pins.items())
            lines.append(f"  {instance.cell} u{number} ({pins});")
        for name, bits in self.outputs.items():
            lines += [
                f"  assign {_bit(name, bits, i)} = {_net(net)};" for i, net in enumerate(bits)
            ]
        declared = [f"  input {_range(len(bits))}{name};" for name, bits in self.inputs.items()]
        declared += [f"  output {_range(len(bits))}{name};" for name, bits in self.outputs.items()]
        names = [*self.inputs, *self.outputs]
        if recorded:
            names.append(recorded)
            declared.insert(0, "/*verilator tracing_off*/")
            declared += [
                "/*verilator tracing_on*/",
                f"  output {_range(len(self.nets))}{recorded};",
            ]
            declared.append("/*verilator tracing_off*/")
            lines.append(f"  assign {recorded} = {_joined([f'n{net}' for net in self.nets])};")
        header = f"module {self.top} ({', '.join(names)});"
        return "\n".join([header, *declared, *lines, "endmodule", ""])


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _joined(names: list[str]) -> str:
    """Concatenation, the first name in the lowest bit.

    In groups on lines of their own: Verilator refuses very long lines and takes a level of its
    stack for each name of a list.
    """
    groups = [names[first : first + 64] for first in range(0, len(names), 64)]
    joined = (f"{{{', '.join(reversed(group))}}}" for group in reversed(groups))
    return "{" + ",\n".join(joined) + "}"


def _net(net: Net) -> str:
    return f"n{net}" if isinstance(net, int) else f"1'b{net}"


def _bit(name: str, bits: tuple[Net, ...], index: int) -> str:
    return f"{name}[{index}]" if len(bits) > 1 else name


def synthesize(component: wiring.Component, liberty: Path) -> Netlist:
    """Netlist of a core, kept by content.

    Parameters
    ----------
    liberty : uncompressed library.

    Raises
    ------
    RuntimeError : Yosys failed.
    """
    return map_rtlil(to_rtlil(component, TOP), liberty)


def map_rtlil(source: str, liberty: Path) -> Netlist:
    """Netlist of an RTLIL text whose top module is ``core``, kept by content."""
    text = _mapped(source, liberty)
    return read_netlist(json.loads(text), TOP)


def _script(folder: Path, source: str, liberty: Path) -> list[str]:
    kept = [name for name in _KEPT.findall(source) if name != f"\\{TOP}"]
    return [
        f"read_rtlil {folder}/design.il",
        *(f"setattr -mod -set keep_hierarchy 1 {name[1:]}" for name in kept),
        f"synth -flatten -top {TOP}",
        *library_script(liberty),
        "setattr -mod -unset keep_hierarchy *",
        f"hierarchy -top {TOP}",
        "flatten",
        "opt_clean -purge",
        f"write_json {folder}/netlist.json",
    ]


def _mapped(source: str, liberty: Path) -> bytes:
    script = "\n".join(_script(Path("FOLDER"), source, Path("LIBERTY")))
    version = importlib.metadata.version("pyosys")
    digest = content_hash(version, script, source, liberty.read_bytes())
    kept = cache_folder() / "gates" / f"{digest}.json.gz"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "design.il").write_text(source)
            run_yosys("\n".join(_script(folder, source, liberty)))
            made = (folder / "netlist.json").read_bytes()
        keep(kept, gzip.compress(made, 1, mtime=0))
    return gzip.decompress(kept.read_bytes())


def read_netlist(design: Mapping[str, Any], top: str) -> Netlist:
    """The flat module ``top`` of Yosys' JSON."""
    module = design["modules"][top]
    instances = [
        Instance(
            path=_path(name),
            cell=cell["type"],
            pins={pin: bits[0] for pin, bits in cell["connections"].items() if bits},
        )
        for name, cell in module["cells"].items()
    ]
    ports: dict[str, dict[str, tuple[Net, ...]]] = {"input": {}, "output": {}}
    for name, port in module["ports"].items():
        ports[port["direction"]][name] = tuple(port["bits"])
    return Netlist(
        top=top,
        instances=tuple(instances),
        inputs=ports["input"],
        outputs=ports["output"],
    )


def _path(name: str) -> tuple[str, ...]:
    """Module instances in the name of a flattened cell, its own name left out."""
    parts = name.replace("$flatten", "").replace("\\", "").split(".")
    # what comes after the first part with a $ is Yosys' own name of the cell
    first = next((n for n, part in enumerate(parts) if "$" in part), len(parts) - 1)
    return tuple(parts[:first])


def cell_models(liberty: Path, cells: Iterable[str]) -> str:
    """Verilog modules of some cells, by their functions."""
    text = _all_models(liberty)
    modules = {found[1]: found[0] for found in _MODULE.finditer(text)}
    return "\n".join(modules[cell] for cell in sorted(cells)) + "\n"


def _all_models(liberty: Path) -> str:
    version = importlib.metadata.version("pyosys")
    digest = content_hash(version, "cell models", liberty.read_bytes())
    kept = cache_folder() / "gates" / f"{digest}.v"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as name:
            target = Path(name) / "cells.v"
            lines = [f"read_liberty -overwrite -ignore_miss_func {liberty}", "proc", "opt_clean"]
            run_yosys("\n".join([*lines, f"write_verilog -noattr {target}"]))
            keep(kept, target.read_bytes())
    return kept.read_text()
