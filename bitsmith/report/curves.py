"""Curves over one or several panels that share their vertical axis."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .marks import mark_shape
from .markup import Markup, join, tag
from .svg import drawing, line, text, text_width, ticks, titled

_HEIGHT, _TOP, _LEFT, _RIGHT, _BOTTOM, _GAP = 320.0, 26.0, 64.0, 16.0, 44.0, 26.0
#: height of a line of the legend
_LINE = 20.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of one series, joined in the order given.

    Attributes
    ----------
    name : for tooltips.
    shape, color : of its marks, see :mod:`bitsmith.report.marks`.
    points : (x, y, note) each; the note goes into the tooltip.
    """

    name: str
    shape: str
    color: str
    points: Sequence[tuple[float, float, str]]


@dataclass(frozen=True, kw_only=True)
class CurvePanel:
    """One diagram.

    Attributes
    ----------
    title, x_label : heading and name of the horizontal axis.
    curves : drawn in order.
    """

    title: str
    x_label: str
    curves: Sequence[Curve]


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Where data coordinates lie."""

    x0: float
    width: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return self.x0 + (value - self.x_low) / (self.x_high - self.x_low) * self.width

    def y(self, value: float) -> float:
        inside = min(max(value, self.y_low), self.y_high)
        room = _HEIGHT - _TOP - _BOTTOM
        return _TOP + (self.y_high - inside) / (self.y_high - self.y_low) * room


def curve_chart(
    panels: Sequence[CurvePanel],
    *,
    y_label: str,
    y_range: tuple[float, float],
    level: tuple[str, float],
    show: Callable[[float], str],
    label: str,
    width: float = 1080.0,
) -> Markup:
    """Panels side by side under one legend.

    Parameters
    ----------
    y_label, y_range : the vertical axis; points beyond it are drawn at its edge.
    level : name and height of a horizontal line.
    show : a height as text.
    label : description for those who cannot see it.
    """
    names = {curve.name: curve for panel in panels for curve in panel.curves}
    legend, lines = _legend(list(names.values()), level[0], width)
    room = (width - _LEFT - _RIGHT - _GAP * (len(panels) - 1)) / len(panels)
    parts = [text(0, 14, y_label, class_="small dim")]
    for number, panel in enumerate(panels):
        xs = [x for curve in panel.curves for x, _, _ in curve.points]
        low, high = min(xs, default=0.0), max(xs, default=1.0)
        spare = 0.04 * (high - low) or 1.0
        axes = _Axes(
            x0=_LEFT + number * (room + _GAP),
            width=room,
            x_low=low - spare,
            x_high=high + spare,
            y_low=y_range[0],
            y_high=y_range[1],
        )
        parts.append(_frame(panel, axes, level, show, labelled=number == 0))
        parts += [_curve(curve, axes) for curve in panel.curves]
    top = _LINE * lines
    whole = tag("g", *parts, transform=f"translate(0 {top:.0f})")
    return drawing(width, top + _HEIGHT, label, legend, whole)


def _legend(curves: Sequence[Curve], level: str, width: float) -> tuple[Markup, int]:
    """Marks with their names, in lines that fit, and the number of lines."""
    x, y, parts = 8.0, 10.0, []
    for name, curve in [*((curve.name, curve) for curve in curves), (level, None)]:
        needed = text_width(name, 11) + 34
        if x + needed > width and x > 8:
            x, y = 8.0, y + _LINE
        if curve is None:
            parts.append(line(x - 6, y, x + 8, y, "limit"))
        else:
            parts.append(mark_shape(curve.shape, curve.color, x, y))
        parts.append(text(x + 12, y + 4, name, class_="small"))
        x += needed
    return join(*parts), round((y + 10) / _LINE)


def _frame(
    panel: CurvePanel,
    axes: _Axes,
    level: tuple[str, float],
    show: Callable[[float], str],
    *,
    labelled: bool,
) -> Markup:
    """Title, grid and the comparison line."""
    end, bottom = axes.x0 + axes.width, _HEIGHT - _BOTTOM
    parts = [text(axes.x0, 14, panel.title, class_="strong")] if not labelled else []
    if labelled:
        parts.append(text(axes.x0 + axes.width, 14, panel.title, class_="strong", anchor="end"))
    for value in between(axes.y_low, axes.y_high):
        y = axes.y(value)
        parts.append(line(axes.x0, y, end, y, "grid"))
        if labelled:
            parts.append(text(axes.x0 - 6, y + 4, show(value), class_="small dim", anchor="end"))
    for value in between(axes.x_low, axes.x_high):
        x = axes.x(value)
        parts.append(line(x, _TOP, x, bottom, "grid"))
        parts.append(text(x, bottom + 15, f"{value:g}", class_="small dim", anchor="middle"))
    parts.append(
        text(axes.x0 + axes.width / 2, bottom + 34, panel.x_label, class_="small", anchor="middle")
    )
    name, height = level
    parts.append(titled(line(axes.x0, axes.y(height), end, axes.y(height), "limit"), name))
    return join(*parts)


def between(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``."""
    step = ticks(high - low, 6)[1]
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [step * index for index in range(first, last + 1)]


def _curve(curve: Curve, axes: _Axes) -> Markup:
    """The line and its marks."""
    places = [(axes.x(x), axes.y(y)) for x, y, _ in curve.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    shapes = [tag("path", d=path, class_=f"curve {curve.color}")] if len(places) > 1 else []
    for (x, y), (_, _, note) in zip(places, curve.points, strict=True):
        shapes.append(titled(mark_shape(curve.shape, curve.color, x, y), f"{curve.name}: {note}"))
    return join(*shapes)
