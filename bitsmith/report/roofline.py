"""A roofline plot: products per cycle against products per byte, both axes logarithmic."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .charts import WIDTH, Box
from .markup import Markup, join, tag
from .svg import drawing, fit, line, rect, text, text_width, titled
from .units import significant, tick_label

_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460.0, 58.0, 16.0, 26.0, 44.0
_LABEL_WIDTH, _LABEL_HEIGHT, _LABEL_SIZE = 250.0, 14.0, 11.0
#: points closer than this (pixels, each way) are drawn as one
_CLOSE = 8.0
#: how far labels may stand from their points, and where, best first
_DISTANCES = (0.0, 14.0, 28.0, 42.0, 60.0, 80.0, 110.0, 145.0)
_SIDES = ((1, 0), (-1, 0), (1, 1), (-1, 1), (0, 1), (1, -1), (-1, -1), (0, -1))
#: from this distance on a line joins label and point
_LEADER = 14.0
#: how much worse it is to cover other words than anything else
_WORDS = 20.0
#: more labels than this are not readable
_MOST_LABELS = 12


@dataclass(frozen=True, kw_only=True)
class Point:
    """One kind of GEMM in one phase.

    Attributes
    ----------
    x, y : useful products per byte, and per cycle; both above 0.
    share : of the phase's cycles (0..1); the marker's area.
    series : 0 is drawn as circles, others as squares.
    title : shown when pointed at.
    """

    label: str
    title: str
    x: float
    y: float
    share: float
    series: int = 0


@dataclass(frozen=True, kw_only=True)
class _Marker:
    """Points of one series that lie on each other, drawn where the largest is (pixels)."""

    x: float
    y: float
    points: list[Point]

    @property
    def radius(self) -> float:
        """In pixels; the area stands for the share of all points."""
        share = sum(point.share for point in self.points)
        return 3.5 + 6 * math.sqrt(min(1.0, max(0.0, share)))

    @property
    def box(self) -> Box:
        """The room that it takes."""
        return _around(self.x, self.y, self.radius)

    def near(self, x: float, y: float, series: int) -> bool:
        """Whether a point at this place belongs to it."""
        close = abs(x - self.x) < _CLOSE and abs(y - self.y) < _CLOSE
        return close and self.points[0].series == series

    def draw(self) -> Markup:
        """A circle, or a square."""
        r = self.radius
        if self.points[0].series:
            shape = rect(self.x - r * 0.9, self.y - r * 0.9, r * 1.8, r * 1.8, "c1 part")
        else:
            shape = tag("circle", cx=self.x, cy=self.y, r=r, class_="c0 part")
        return titled(shape, "\n".join(point.title for point in self.points))


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Where values lie, by their decimal logarithms."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        """Pixels from the left."""
        share = (math.log10(value) - self.low_x) / (self.high_x - self.low_x)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        share = (math.log10(value) - self.low_y) / (self.high_y - self.low_y)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def roofline_chart(
    points: Sequence[Point], *, peaks: Sequence[float], bytes_per_cycle: float, label: str
) -> Markup:
    """The plot.

    Parameters
    ----------
    points : what was attained.
    peaks : products per cycle of the array; where operands have different ones, the highest is
        drawn solid and the others dashed.
    bytes_per_cycle : slope of the roof.
    label : description for those who cannot see it.
    """
    top = max(peaks)
    axes = _axes(points, peaks, top / bytes_per_cycle)
    markers = _markers(points, axes)
    roof, words = _roof(axes, top, bytes_per_cycle)
    taken = _samples(axes, top, bytes_per_cycle)
    lower = []
    for peak in sorted(set(peaks) - {top}):
        x, y = max(_LEFT, axes.x(peak / bytes_per_cycle)), axes.y(peak)
        lower.append(line(x, y, WIDTH - _RIGHT, y, "zoom"))
        taken.append(Box(x=x, y=y - 1, width=WIDTH - _RIGHT - x, height=2))
    taken += [marker.box for marker in markers]
    labels, marks = _labels(markers, taken, words), [marker.draw() for marker in markers]
    return drawing(WIDTH, _HEIGHT, label, _grid(axes), roof, *lower, labels, *marks)


def _axes(points: Sequence[Point], peaks: Sequence[float], ridge: float) -> _Axes:
    """All points, peaks and the ridge, with room around them."""
    xs, ys = [ridge, *(p.x for p in points)], [*peaks, *(p.y for p in points)]
    return _Axes(
        low_x=math.log10(min(xs)) - 0.3,
        high_x=math.log10(max(xs)) + 0.5,
        low_y=math.log10(min(ys)) - 0.35,
        high_y=math.log10(max(ys)) + 0.25,
    )


def _steps(low: float, high: float) -> Iterator[float]:
    """Round values between two logarithms: decades, and 2 and 5 between few of them."""
    factors = (1, 2, 5) if high - low < 3.2 else (1,)
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for factor in factors:
            value = factor * 10.0**decade
            if low <= math.log10(value) <= high:
                yield value


def _grid(axes: _Axes) -> Markup:
    """Lines, their values, and what the axes are."""
    bottom, parts = _HEIGHT - _BOTTOM, []
    for value in _steps(axes.low_x, axes.high_x):
        x = axes.x(value)
        name = tick_label(significant(value))
        parts.append(line(x, _TOP, x, bottom, "grid"))
        parts.append(text(x, bottom + 15, name, class_="small dim", anchor="middle"))
    for value in _steps(axes.low_y, axes.high_y):
        y = axes.y(value)
        name = tick_label(significant(value))
        parts.append(line(_LEFT, y, WIDTH - _RIGHT, y, "grid"))
        parts.append(text(_LEFT - 6, y + 4, name, class_="small dim", anchor="end"))
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(
        text(
            middle, _HEIGHT - 8, "useful products (MACs) per byte of DRAM traffic", anchor="middle"
        )
    )
    parts.append(text(0, 14, "useful products (MACs) per cycle"))
    return join(*parts)


def _roof(axes: _Axes, peak: float, bytes_per_cycle: float) -> tuple[Markup, list[Box]]:
    """Both limits and their names, and where the names are."""
    ridge = peak / bytes_per_cycle
    corner_x, corner_y = axes.x(ridge), axes.y(peak)
    left = max(axes.low_x, axes.low_y - math.log10(bytes_per_cycle))
    start_x, start_y = axes.x(10**left), axes.y(10**left * bytes_per_cycle)
    high = f"peak of the array: {significant(peak)} MACs/cycle"
    slope = f"DRAM: {significant(bytes_per_cycle)} bytes/cycle"
    width = text_width(high, _LABEL_SIZE)
    high_x, high_y = corner_x - 12 - width, corner_y - 2  # above the slope is no point
    if high_x < _LEFT:
        high_x, high_y = WIDTH - _RIGHT - width, corner_y - 7
    parts = [
        line(corner_x, corner_y, corner_x, _HEIGHT - _BOTTOM, "zoom"),
        line(start_x, start_y, corner_x, corner_y, "compare"),
        line(corner_x, corner_y, WIDTH - _RIGHT, corner_y, "compare"),
        text(high_x + width, high_y, high, class_="small", anchor="end"),
        text(corner_x + 4, _HEIGHT - _BOTTOM - 5, _ridge_name(ridge), class_="small dim"),
    ]
    words = [Box(x=high_x, y=high_y - 11, width=width, height=_LABEL_HEIGHT)]
    length = math.hypot(corner_x - start_x, corner_y - start_y)
    width = text_width(slope, _LABEL_SIZE)
    if length > width + 20:
        angle = math.atan2(corner_y - start_y, corner_x - start_x)
        x, y = (start_x + corner_x) / 2, (start_y + corner_y) / 2
        place = f"translate({x:.1f} {y:.1f}) rotate({math.degrees(angle):.1f})"
        parts.append(tag("text", slope, x=0, y=-7, class_="small", text_anchor="middle",
                         transform=place))  # fmt: skip
        for step in range(-8, 9):
            along, up = step * width / 16, 11
            spot_x = x + along * math.cos(angle) + up * math.sin(angle)
            words.append(_around(spot_x, y + along * math.sin(angle) - up * math.cos(angle), 6))
    return join(*parts), words


def _samples(axes: _Axes, peak: float, bytes_per_cycle: float) -> list[Box]:
    """Small boxes along the roof, and the name of the ridge, for labels to keep away from."""
    count, boxes = 80, []
    for index in range(count + 1):
        value = 10 ** (axes.low_x + (axes.high_x - axes.low_x) * index / count)
        y = axes.y(min(peak, value * bytes_per_cycle))
        boxes.append(_around(axes.x(value), y, 2))
    ridge, bottom = peak / bytes_per_cycle, _HEIGHT - _BOTTOM
    x, width = axes.x(ridge), text_width(_ridge_name(ridge), _LABEL_SIZE)
    name = Box(x=x, y=bottom - 17, width=width + 4, height=15)
    return [*boxes, name, Box(x=x - 1, y=axes.y(peak), width=2, height=bottom - axes.y(peak))]


def _ridge_name(ridge: float) -> str:
    return f"ridge: {tick_label(significant(ridge))} MACs/byte"


def _around(x: float, y: float, radius: float) -> Box:
    return Box(x=x - radius, y=y - radius, width=2 * radius, height=2 * radius)


def _markers(points: Sequence[Point], axes: _Axes) -> list[_Marker]:
    """What is drawn, the largest first, so that none hides a smaller one."""
    markers: list[_Marker] = []
    for point in sorted(points, key=lambda point: -point.share):
        x, y = axes.x(point.x), axes.y(point.y)
        near = [marker for marker in markers if marker.near(x, y, point.series)]
        if near:
            near[0].points.append(point)
        else:
            markers.append(_Marker(x=x, y=y, points=[point]))
    return sorted(markers, key=lambda marker: -marker.radius)


def _names(labels: Sequence[str]) -> str:
    """As many names as fit, and how many are left."""
    for shown in range(len(labels), 0, -1):
        left = len(labels) - shown
        words = ", ".join(labels[:shown]) + (f" +{left}" if left else "")
        if text_width(words, _LABEL_SIZE) <= _LABEL_WIDTH:
            return words
    return fit(words, _LABEL_WIDTH, _LABEL_SIZE)


def _labels(markers: Sequence[_Marker], taken: list[Box], words: list[Box]) -> Markup:
    """A label per marker where nothing else is, or as little as can be, and no other words."""
    parts = []
    for marker in markers[:_MOST_LABELS]:
        x, y, radius = marker.x, marker.y, marker.radius
        name = _names([point.label for point in marker.points])
        width = text_width(name, _LABEL_SIZE)
        places = [(d, box) for d in _DISTANCES for box in _places(x, y, radius + d, width)]
        costs = [
            _cost(box, taken)
            + _WORDS * _shared(box, words)
            + _crossed(_leader(marker, d, box), [*taken, *words])
            + d / 3
            for d, box in places
        ]
        distance, box = places[costs.index(min(costs))]
        leader = _leader(marker, distance, box)
        words.append(box)
        taken += [_around(*spot, 3) for spot in leader]
        if leader:
            parts.append(line(x, y, *leader[-1], "wire"))
        parts.append(text(box.x, box.y + box.height - 3, name, class_="small"))
    return join(*parts)


def _leader(marker: _Marker, distance: float, box: Box) -> list[tuple[float, float]]:
    """Places on the line between a marker and its label, the last one at the label."""
    if distance < _LEADER:
        return []
    end_x = min(max(marker.x, box.x - 3), box.x + box.width + 3)
    end_y = min(max(marker.y, box.y), box.y + box.height)
    first = (marker.radius + 2) / math.hypot(end_x - marker.x, end_y - marker.y)
    shares = [first + (1 - first) * step / 12 for step in range(13)]
    return [(marker.x + s * (end_x - marker.x), marker.y + s * (end_y - marker.y)) for s in shares]


def _crossed(leader: Sequence[tuple[float, float]], taken: Sequence[Box]) -> float:
    """What it costs that a line to a label crosses others."""
    hits = sum(
        box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height
        for x, y in leader
        for box in taken
    )
    return 25.0 * hits


def _places(x: float, y: float, distance: float, width: float) -> Iterator[Box]:
    """Boxes for a label on all sides of a point."""
    for side_x, side_y in _SIDES:
        shift = distance + 4 if side_x > 0 else -distance - 4 - width if side_x else -width / 2
        if side_x and side_y:
            shift *= 0.8 if side_x > 0 else 1
        down = side_y * (distance + _LABEL_HEIGHT / 2 + 1)
        yield Box(x=x + shift, y=y + down - _LABEL_HEIGHT / 2, width=width, height=_LABEL_HEIGHT)


def _cost(box: Box, taken: Sequence[Box]) -> float:
    """Area that a label shares with what is there, and what of it lies outside."""
    right, bottom = box.x + box.width, box.y + box.height
    inside_x = min(right, WIDTH) - max(box.x, _LEFT)
    inside_y = min(bottom, _HEIGHT - _BOTTOM) - max(box.y, _TOP)
    outside = box.width * box.height - max(0.0, inside_x) * max(0.0, inside_y)
    return round(10 * outside) + _shared(box, taken)


def _shared(box: Box, taken: Sequence[Box]) -> float:
    """Area that a label shares with others."""
    area, right, bottom = 0.0, box.x + box.width, box.y + box.height
    for other in taken:
        wide = min(right, other.x + other.width) - max(box.x, other.x)
        tall = min(bottom, other.y + other.height) - max(box.y, other.y)
        area += max(0.0, wide) * max(0.0, tall)
    return round(area)  # not to choose by rounding errors
