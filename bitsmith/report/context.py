"""What every section looks at: configuration, results, and the rows that layers are shown in."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .svg import fit
from .units import number

#: more layers than this are shown by kind, not one by one
MOST_ROWS = 40
_BLOCK = re.compile(r"(?:.*\.)?(?:layers|blocks|h)\.(\d+)\.(?:.*\.)?([^.]+)$")
_LABEL_WIDTH = 150.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a chart: a layer, or all layers of a kind.

    Attributes
    ----------
    label : short text.
    title : full name.
    layers : full names of the layers in it.
    band : rows of equal band share a background (the layers of one block).
    """

    label: str
    title: str
    layers: tuple[str, ...]
    band: int


def place_and_kind(name: str) -> tuple[int | None, str]:
    """Block number and kind of a layer, e.g. ``(3, "q_proj")``; None outside of all blocks."""
    found = _BLOCK.match(name)
    return (int(found[1]), found[2]) if found else (None, name.removesuffix(".weight"))


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Short label of every layer, e.g. ``3 q_proj``; the full name where labels would be equal."""
    names = list(names)
    labels = {}
    for name in names:
        block, kind = place_and_kind(name)
        labels[name] = kind if block is None else f"{block} {kind}"
    shown = [fit(label, _LABEL_WIDTH) for label in labels.values()]
    return {
        name: fit(label if shown.count(fit(label, _LABEL_WIDTH)) == 1 else name, _LABEL_WIDTH)
        for name, label in labels.items()
    }


def chart_rows(names: Iterable[str]) -> list[Row]:
    """A row for each layer, or for each kind of layer where there are many."""
    names = list(names)
    if len(names) <= MOST_ROWS:
        labels, bands = short_names(names), _bands(names)
        return [
            Row(label=labels[name], title=name, layers=(name,), band=band)
            for name, band in zip(names, bands, strict=True)
        ]
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind = re.sub(r"\d+", "#", place_and_kind(name)[1])
        if kind not in kinds and len(kinds) == MOST_ROWS - 1:
            kind = "other layers"
        kinds.setdefault(kind, []).append(name)
    return [
        Row(
            label=f"{fit(kind, _LABEL_WIDTH - 35)} \u00d7 {len(members)}",
            title=members[0] if len(members) == 1 else f"{members[0]} ... {members[-1]}",
            layers=tuple(members),
            band=index % 2,
        )
        for index, (kind, members) in enumerate(kinds.items())
    ]


def _bands(names: list[str]) -> list[int]:
    """0 or 1 for every layer, changing where a block ends."""
    bands: list[int] = []
    before: int | None = None
    for name in names:
        block = place_and_kind(name)[0]
        if not bands:
            bands.append(0)
        else:
            bands.append(bands[-1] if block == before else 1 - bands[-1])
        before = block
    return bands


@dataclass(frozen=True)
class Run:
    """One run.

    Parameters
    ----------
    config : the run configuration as JSON values.
    results : step -> its JSON object.
    """

    config: dict[str, Any]
    results: dict[str, dict[str, Any]]

    def __getitem__(self, step: str) -> dict[str, Any]:
        return self.results[step]

    def skipped(self, step: str) -> str | None:
        """Why a step was not done, or None."""
        reason = self.results[step].get("skipped")
        return None if reason is None else str(reason)

    @cached_property
    def layers(self) -> list[str]:
        """Names of the layers that were simulated, in order."""
        return [layer["name"] for layer in self["simulate"]["layers"]]

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of all charts."""
        return chart_rows(self.layers)

    @property
    def grouped(self) -> bool:
        """Whether a row is a kind of layer."""
        return len(self.layers) > MOST_ROWS

    def by_layer(self, step: str) -> dict[str, dict[str, Any]]:
        """A step's entry for every layer that has one."""
        return {layer["name"]: layer for layer in self[step].get("layers", [])}

    def values(self, step: str, key: str) -> list[list[float]]:
        """For every row, the value of each of its layers; empty where the step has none."""
        table = self.by_layer(step)
        return [
            [number(table[name][key]) for name in row.layers if name in table] for row in self.rows
        ]

    @property
    def model(self) -> str:
        """Name of the model, or what is known of its shapes."""
        if "model" in self["quantize"]:
            return str(self["quantize"]["model"])
        workload = self.config["workload"]
        if workload.get("model"):
            return str(workload["model"])
        shape = workload.get("architecture") or {}
        blocks, hidden = shape.get("num_hidden_layers", "?"), shape.get("hidden_size", "?")
        return f"{shape.get('model_type', 'model')} shapes, {blocks} blocks of width {hidden}"
