"""Drawing: shapes, text of known size, axis ticks."""

import math

from .markup import Child, Markup, tag

#: font sizes in the drawings, by CSS class
FONT = {"": 12.0, "small": 11.0, "strong": 12.0}
#: width of an average character in ems; a little wide, so that estimates err towards room
_EM = 0.58


def drawing(width: float, height: float, label: str, *children: Child) -> Markup:
    """An SVG image that shrinks with the page; ``label`` is read to those who cannot see it."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        style=f"max-width:{width:.0f}px",
        role="img",
        aria_label=label,
    )


def text(
    x: float, y: float, content: str, *, class_: str = "", anchor: str | None = None
) -> Markup:
    """One line of text; ``y`` is its base line, ``anchor`` is start, middle or end."""
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def rect(
    x: float, y: float, width: float, height: float, class_: str, *, title: str = "", rx: float = 0
) -> Markup:
    """Rectangle, with a tooltip if there is a title."""
    shape = tag(
        "rect", x=x, y=y, width=max(0.0, width), height=height, rx=rx or None, class_=class_
    )
    return titled(shape, title)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def arrow(x1: float, y1: float, x2: float, y2: float) -> Markup:
    """Horizontal or vertical line with a head at its end."""
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    back_x, back_y = x2 - 8 * dx, y2 - 8 * dy
    points = [(x2, y2), (back_x - 4 * dy, back_y + 4 * dx), (back_x + 4 * dy, back_y - 4 * dx)]
    outline = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
    return tag("g", line(x1, y1, back_x, back_y, "wire"), tag("path", d=outline, class_="head"))


def titled(shape: Markup, title: str) -> Markup:
    """Shape with a tooltip."""
    return tag("g", tag("title", title), shape) if title else shape


def text_width(content: str, size: float = 12.0) -> float:
    """Estimated width of a line of text."""
    return len(content) * size * _EM


def fit(content: str, width: float, size: float = 12.0) -> str:
    """``content``, shortened in its middle to what fits into ``width``."""
    most = max(3, int(width / (size * _EM)))
    if len(content) <= most:
        return content
    head = (most - 1) * 2 // 3
    return f"{content[:head]}\u2026{content[len(content) - (most - 1 - head) :]}"


def ticks(high: float, most: int = 4) -> list[float]:
    """Round numbers from 0; the last one is ``high`` or a little more."""
    if not (math.isfinite(high) and high > 0):
        return [0.0, 1.0]
    raw = high / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.9999)
    steps = math.ceil(high / step - 1e-9)
    return [step * index for index in range(steps + 1)]
