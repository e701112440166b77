"""A panel with several marks in every row: values of different kinds on one axis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .charts import Box
from .markup import Markup, join, tag
from .svg import line, text, titled

#: marks that can be told apart without colour
SHAPES = ("circle", "square", "diamond", "triangle", "ring", "cross")


@dataclass(frozen=True, kw_only=True)
class Series:
    """One kind of value.

    Attributes
    ----------
    name : for legend and tooltips.
    shape : one of :data:`SHAPES`.
    color : CSS class.
    values : for every row, or None where there is none.
    """

    name: str
    shape: str
    color: str
    values: Sequence[int | None]


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Marks of all series on one axis of whole numbers.

    Attributes
    ----------
    title : heading.
    series : drawn in order, the last on top.
    limits : name -> number that gets a vertical line.
    """

    title: str
    series: Sequence[Series]
    limits: Mapping[str, int]
    weight: float = 1.0

    def _ends(self) -> tuple[int, int]:
        known = [v for series in self.series for v in series.values if v is not None]
        known += self.limits.values()
        return min(known, default=1) - 1, max(known, default=1) + 1

    def _x(self, value: float, box: Box) -> float:
        low, high = self._ends()
        return box.x + (value - low) / (high - low) * (box.width - 14)

    def axis(self, box: Box) -> Markup:
        """Grid lines, and the limits."""
        low, high = self._ends()
        step = max(1, math.ceil((high - low) / 14))
        parts = []
        for value in range(low, high + 1, step):
            x = self._x(value, box)
            parts.append(line(x, box.y, x, box.y + box.height, "grid"))
            parts.append(text(x, box.y - 6, str(value), class_="small dim", anchor="middle"))
        for name, value in self.limits.items():
            x = self._x(value, box)
            shape = line(x, box.y - 3, x, box.y + box.height + 3, "limit")
            parts.append(titled(shape, f"{name}: {value}"))
        return join(*parts)

    def mark(self, index: int, box: Box) -> Markup:
        """All marks of one row."""
        middle, parts = box.y + box.height / 2, []
        for series in self.series:
            value = series.values[index]
            if value is not None:
                shape = mark_shape(series.shape, series.color, self._x(value, box), middle)
                parts.append(titled(shape, f"{series.name}: {value}"))
        return join(*parts)


def mark_shape(shape: str, color: str, x: float, y: float, size: float = 4.5) -> Markup:
    """One mark around a point."""
    if shape == "circle":
        return tag("circle", cx=x, cy=y, r=size, class_=color)
    if shape == "ring":
        return tag("circle", cx=x, cy=y, r=size, class_=f"{color} hollow")
    if shape == "square":
        return tag("rect", x=x - size, y=y - size, width=2 * size, height=2 * size, class_=color)
    if shape == "cross":
        return tag(
            "g",
            line(x - size, y - size, x + size, y + size, f"{color} stroked"),
            line(x - size, y + size, x + size, y - size, f"{color} stroked"),
        )
    ends = {
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "triangle": ((0, -1.2), (1.2, 1), (-1.2, 1)),
    }[shape]
    points = "L".join(f"{x + size * dx:.1f} {y + size * dy:.1f}" for dx, dy in ends)
    return tag("path", d=f"M{points}Z", class_=color)


def mark_legend(series: Sequence[Series], limits: Sequence[str]) -> Markup:
    """Every shape with its name."""
    entries = [
        tag(
            "span",
            tag(
                "svg",
                mark_shape(one.shape, one.color, 8, 8),
                viewBox="0 0 16 16",
                class_="key",
                aria_hidden="true",
            ),
            " ",
            one.name,
            class_="entry",
        )
        for one in series
        if any(value is not None for value in one.values)
    ]
    entries += [
        tag(
            "span",
            tag("svg", line(8, 0, 8, 16, "limit"), viewBox="0 0 16 16", class_="key"),
            f" {name}",
            class_="entry",
        )
        for name in limits
    ]
    return tag("div", *entries, class_="legend")
