"""Numbers as people read them."""

import math
import re
from typing import Any

_PREFIXES = (
    *(("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)),
    *(("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12)),
)
#: typographic minus
_MINUS = "\u2212"


def number(value: Any) -> float:
    """A JSON number; "nan", "inf" and "-inf" are numbers too, and None is none."""
    return math.nan if value is None else float(value)


def si(value: Any, unit: str = "", digits: int = 3) -> str:
    """Three significant digits with an SI prefix, e.g. ``630 µJ``."""
    value = number(value)
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits - 1}e}")
    prefix, factor = next(
        ((p, f) for p, f in _PREFIXES if abs(rounded) >= f),
        ("", 1.0) if not rounded else ("p", 1e-12),
    )
    return f"{significant(rounded / factor, digits)} {prefix}{unit}".strip()


def significant(value: Any, digits: int = 3) -> str:
    """Significant digits without an exponent where that reads well."""
    value = number(value)
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if not -5 < exponent < 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def count(value: Any) -> str:
    """Whole number with thousands separators."""
    value = number(value)
    return f"{value:,.0f}" if math.isfinite(value) else str(value)


def percent(share: Any, digits: int = 1) -> str:
    """Share of one as per cent; a share that rounding would hide is shown as less than that."""
    share = number(share)
    if not math.isfinite(share):
        return str(share)
    least = 10.0**-digits
    if 0 < share * 100 < least / 2:
        return f"<{least / 2:g}%"
    return f"{100 * share:.{digits}f}%"


def tick_label(text: str) -> str:
    """A value as text without decimals that are zero, e.g. ``500 k`` for ``500.0 k``."""
    return re.sub(r"\.0+(?!\d)|(\.\d*[1-9])0+(?!\d)", r"\1", text)


def signed(value: Any, digits: int = 4) -> str:
    """Number with its sign."""
    value = number(value)
    if not math.isfinite(value):
        return str(value)
    return f"{value:+.{digits}f}".replace("-", _MINUS)
