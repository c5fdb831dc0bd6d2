"""Numbers as people read them."""

import math

NOTHING = "\u2013"  # what stands where there is no number


def count(number: float | None) -> str:
    """A whole number, by thousands: 1,234,567."""
    return NOTHING if number is None else f"{number:,.0f}"


def size(num_bytes: float | None) -> str:
    """Bytes in the decimal unit that keeps three or four digits: 15.3 MB."""
    if num_bytes is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(num_bytes) < 999.5 or unit == "TB":
            break
        num_bytes /= 1000
    return f"{num_bytes:,.0f} {unit}" if unit == "B" or abs(num_bytes) >= 99.95 else f"{num_bytes:,.1f} {unit}"


def unit_of(num_bytes: float) -> tuple[str, float]:
    """The decimal unit in which a number of bytes is read best, and how many bytes it has."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= factor:
            return unit, factor
    return "bytes", 1.0


def share(part: float, whole: float) -> str:
    """A part of a whole, in percent; never 0 % of something or 100 % of not quite all."""
    if not whole:
        return NOTHING
    ratio = part / whole
    if 0 < ratio < 0.0005:
        return "<0.1 %"
    if 0.9995 <= ratio < 1:
        return ">99.9 %"
    return f"{ratio:.0%}".replace("%", " %") if ratio in (0, 1) else f"{100 * ratio:.1f} %"


def value(number: float | None, digits: int = 4) -> str:
    """A measurement with so many significant digits and no more zeros than it needs."""
    if number is None or not math.isfinite(number):
        return NOTHING
    if number == int(number) and abs(number) < 1e12:
        return f"{number:,.0f}"
    whole_digits = 1 + math.floor(math.log10(abs(number))) if number else 1
    decimals = min(12, max(0, digits - whole_digits))
    text = f"{number:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float | None) -> str:
    """A time span in its one or two largest units: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{hours} h {minutes_left} min" if minutes_left else f"{hours} h"
