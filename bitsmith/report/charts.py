"""Charts that share their rows: a label column and, beside it, one panel per quantity."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from .context import Row
from .markup import Markup, join, tag
from .svg import drawing, fit, line, rect, text, text_width, ticks, titled
from .units import tick_label

#: width of all drawings
WIDTH = 1080.0
ROW_HEIGHT = 18.0
_TITLE_HEIGHT, _GAP = 44.0, 22.0
#: room for half of the last label of an axis that fills its panel
_MARGIN = 14.0
_COLORS = 8


def color(index: int) -> str:
    """CSS class of a series."""
    return f"c{index % _COLORS}"


@dataclass(frozen=True, kw_only=True)
class Box:
    """Where a panel draws one row, or its whole area."""

    x: float
    y: float
    width: float
    height: float


class Panel(Protocol):
    """One quantity of all rows."""

    @property
    def title(self) -> str:
        """Heading of the panel."""

    @property
    def weight(self) -> float:
        """Share of the width."""

    def axis(self, box: Box) -> Markup:
        """Grid lines and their labels; ``box`` holds all rows."""

    def mark(self, index: int, box: Box) -> Markup:
        """One row."""


def _grid(box: Box, places: Sequence[tuple[float, str]]) -> Markup:
    """Vertical lines at places (0..1) with labels above."""
    parts = []
    for place, label in places:
        x = box.x + place * box.width
        parts.append(line(x, box.y, x, box.y + box.height, "grid"))
        parts.append(text(x, box.y - 6, label, class_="small dim", anchor="middle"))
    return join(*parts)


def _finite(values: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in values for value in row if math.isfinite(value)]


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars from 0: the median of a row's layers, with a whisker from smallest to largest.

    Attributes
    ----------
    values : for every row, its layers' values.
    show : value as text, for axis and notes.
    notes : text behind each bar (default: the value).
    high : end of the axis (default: the largest value).
    colors : CSS class of each bar.
    second : values shown as a tick, for comparison.
    """

    title: str
    values: Sequence[Sequence[float]]
    show: Callable[[float], str]
    notes: Sequence[str] | None = None
    high: float | None = None
    colors: Sequence[str] | None = None
    second: Sequence[Sequence[float]] = field(default_factory=list)
    weight: float = 1.0

    def _note(self, index: int) -> str:
        if self.notes is not None:
            return self.notes[index]
        return self.show(median(self.values[index])) if self.values[index] else "\u2013"

    def _scale(self, width: float) -> tuple[float, list[float]]:
        """Width of the axis, notes left out, and its ticks."""
        notes = max(text_width(self._note(i), 11) for i in range(len(self.values)))
        high = self.high or max(_finite([*self.values, *self.second]), default=1.0)
        room = max(width * 0.3, width - notes - 6)
        return room, ticks(high, 4 if room > 220 else 2)

    def axis(self, box: Box) -> Markup:
        """Grid lines and their labels."""
        room, places = self._scale(box.width)
        area = Box(x=box.x, y=box.y, width=room, height=box.height)
        return _grid(area, [(value / places[-1], tick_label(self.show(value))) for value in places])

    def mark(self, index: int, box: Box) -> Markup:
        """One bar."""
        values = [value for value in self.values[index] if math.isfinite(value)]
        room, places = self._scale(box.width)
        if not values:
            return text(box.x + 2, box.y + box.height - 5, self._note(index), class_="small dim")
        scale, middle = room / places[-1], box.y + box.height / 2
        height = box.height * 0.56
        shade = self.colors[index] if self.colors else "c0"
        parts = [rect(box.x, middle - height / 2, median(values) * scale, height, shade)]
        low, high = min(values) * scale, max(values) * scale
        if high - low > 1:
            parts.append(line(box.x + low, middle, box.x + high, middle, "whisker"))
            parts += [
                line(box.x + end, middle - 3, box.x + end, middle + 3, "whisker")
                for end in (low, high)
            ]
        other = _finite([self.second[index]]) if self.second else []
        if other:
            x = box.x + median(other) * scale
            parts.append(line(x, middle - height / 2 - 2, x, middle + height / 2 + 2, "compare"))
            high = max(high, x - box.x)
        parts.append(text(box.x + high + 5, middle + 4, self._note(index), class_="small"))
        return join(*parts)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Stacked bars that fill the panel.

    Attributes
    ----------
    names : series, in order.
    values : for every row, share (0..1) by series.
    """

    title: str
    names: Sequence[str]
    values: Sequence[dict[str, float]]
    weight: float = 1.0

    def axis(self, box: Box) -> Markup:
        """Grid lines and their labels."""
        area = Box(x=box.x, y=box.y, width=box.width - _MARGIN, height=box.height)
        return _grid(area, [(step / 4, f"{25 * step}%") for step in range(5)])

    def mark(self, index: int, box: Box) -> Markup:
        """One stacked bar."""
        shares, x, parts = self.values[index], box.x, []
        for number, name in enumerate(self.names):
            width = shares.get(name, 0.0) * (box.width - _MARGIN)
            title = f"{name}: {100 * shares.get(name, 0.0):.1f}%"
            shade = f"{color(number)} part"
            parts.append(rect(x, box.y + 2, width, box.height - 4, shade, title=title))
            x += width
        return join(*parts)


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Whole numbers against a limit: a dot for what is needed, a thin line for the spread.

    Attributes
    ----------
    values : for every row what it needs, or None.
    spread : for every row smallest and largest need inside of it.
    limit : what there is; needs above are drawn as red crosses.
    """

    title: str
    values: Sequence[int | None]
    spread: Sequence[tuple[int, int] | None]
    limit: int
    weight: float = 1.0

    def _range(self) -> tuple[int, int]:
        known = [value for value in self.values if value is not None]
        known += [end for ends in self.spread if ends for end in ends]
        return min([*known, self.limit]) - 1, max([*known, self.limit]) + 1

    def _x(self, value: float, box: Box) -> float:
        low, high = self._range()
        return box.x + (value - low) / (high - low) * (box.width - 62)

    def axis(self, box: Box) -> Markup:
        """Grid lines, and the limit."""
        low, high = self._range()
        step = max(1, math.ceil((high - low) / 12))
        area = Box(x=box.x, y=box.y, width=box.width - 62, height=box.height)
        marks = range(low, high + 1, step)
        places = [((value - low) / (high - low), str(value)) for value in marks]
        x = self._x(self.limit, box)
        return join(_grid(area, places), line(x, box.y - 3, x, box.y + box.height + 3, "limit"))

    def mark(self, index: int, box: Box) -> Markup:
        """One dot, or a cross above the limit."""
        value, middle, ends = self.values[index], box.y + box.height / 2, self.spread[index]
        if value is None:
            return text(box.x, middle + 4, "\u2013", class_="small dim")
        x, parts = self._x(value, box), []
        if ends and ends[0] < ends[1]:
            parts.append(
                line(self._x(ends[0], box), middle, self._x(ends[1], box), middle, "spread")
            )
        if value <= self.limit:
            parts.append(tag("circle", cx=x, cy=middle, r=4.5, class_="c0"))
            note, shade = str(value), "small"
        else:
            corners = (
                (x - 4, middle - 4, x + 4, middle + 4),
                (x - 4, middle + 4, x + 4, middle - 4),
            )
            parts += [line(*corner, "cross") for corner in corners]
            note, shade = f"{value} > {self.limit}", "small bad"
        parts.append(text(box.x + box.width - 48, middle + 4, note, class_=shade))
        return join(*parts)


def panel_chart(rows: Sequence[Row], panels: Sequence[Panel], label: str) -> Markup:
    """All panels side by side over the same rows."""
    labels = min(230.0, max(text_width(row.label) for row in rows) + 12)
    room = WIDTH - labels - _GAP * len(panels)
    total = sum(panel.weight for panel in panels)
    height = _TITLE_HEIGHT + ROW_HEIGHT * len(rows)
    parts = []
    for index, row in enumerate(rows):
        y = _TITLE_HEIGHT + ROW_HEIGHT * index
        if row.band % 2:
            parts.append(rect(0, y, WIDTH, ROW_HEIGHT, "band"))
        name = text(labels - 8, y + 13, fit(row.label, labels - 8), anchor="end")
        parts.append(titled(name, row.title))
    x = labels
    for panel in panels:
        x += _GAP / 2
        width = room * panel.weight / total
        area = Box(x=x, y=_TITLE_HEIGHT, width=width, height=height - _TITLE_HEIGHT)
        parts.append(text(x, 14, fit(panel.title, width + _GAP), class_="strong"))
        parts.append(panel.axis(area))
        for index in range(len(rows)):
            y = _TITLE_HEIGHT + ROW_HEIGHT * index
            parts.append(panel.mark(index, Box(x=x, y=y, width=width, height=ROW_HEIGHT)))
        x += width + _GAP / 2
    return drawing(WIDTH, height + 6, label, *parts)


def stacked_bar(parts: Sequence[tuple[str, float, str]], label: str, height: float = 34) -> Markup:
    """One bar over the whole width.

    Parameters
    ----------
    parts : name, amount and CSS class of each part.
    label : description for those who cannot see it.
    """
    total = sum(amount for _, amount, _ in parts) or 1.0
    x, shapes = 0.0, []
    for name, amount, shade in parts:
        width = amount / total * WIDTH
        title = f"{name}: {amount:,.0f} ({100 * amount / total:.2f}%)"
        shapes.append(rect(x, 0, width, height, f"{shade} part", title=title))
        x += width
    return drawing(WIDTH, height, label, *shapes)
