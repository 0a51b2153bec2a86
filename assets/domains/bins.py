"""Bins that stand for exact figures, which must not leave our walls.

Belongs here: from a value to the name of its bin. Every value has one, and every bin is closed on
the left: ``75-100`` holds 75 and not 100. Does not: which figures are binned.
"""

from __future__ import annotations

from decimal import Decimal

#: Dollars, and percentage points.
ORDER_VALUE_WIDTH = 25
WIDE_FROM = 1_000
CONVERSION_WIDTH = Decimal("0.5")

_SUFFIXES = ("", "K", "M", "B", "T")
#: Where bins below the series' first one begin.
_SMALLEST = {"below 0": -1.0, "0": 0.0, "0–1": 0.0}


def magnitude(value: Decimal | float | None) -> str | None:
    """The bin of the series 1, 2, 5, 10, 20, ...: ``1M–2M``.

    Beside it ``0``, ``0–1`` and ``below 0``. None for None.
    Raises ValueError for what is no finite number.
    """
    if value is None:
        return None
    exact = Decimal(str(value))
    if not exact.is_finite():
        raise ValueError(f"no bin holds {value}")
    if exact < 0:
        return "below 0"
    if exact < 1:
        return "0–1" if exact else "0"
    power = Decimal(10) ** exact.adjusted()
    digit = int(exact / power)
    low, high = next((low, high) for low, high in ((5, 10), (2, 5), (1, 2)) if digit >= low)
    return f"{_short(low * power)}–{_short(high * power)}"


def _short(value: Decimal) -> str:
    """``500K`` for 500000; ``value`` is 1, 2 or 5 times a power of ten, or 10 times one."""
    group = min(value.adjusted() // 3, len(_SUFFIXES) - 1)
    return f"{int(value / Decimal(1000) ** group)}{_SUFFIXES[group]}"


def order_value(value: Decimal | float | None) -> str | None:
    """``75-100`` for 99.99 dollars. None for None."""
    if value is None:
        return None
    low = int(Decimal(str(value)) // ORDER_VALUE_WIDTH) * ORDER_VALUE_WIDTH
    return f"{low}-{low + ORDER_VALUE_WIDTH}"


def told_order_value(value: Decimal | float | None) -> str | None:
    """As :func:`order_value`, wide for large ones, of which 25 dollars hide nothing."""
    if value is None or value < WIDE_FROM:
        return order_value(value)
    return magnitude(value)


def conversion_rate(value: Decimal | float | None) -> str | None:
    """``2.50-3.00`` for 2.5 percent. None for None."""
    if value is None:
        return None
    low = (Decimal(str(value)) // CONVERSION_WIDTH) * CONVERSION_WIDTH
    return f"{low:.2f}-{low + CONVERSION_WIDTH:.2f}"


def lower_edge(name: str) -> float:
    """Where a bin begins, told from its name alone; -1 for ``below 0``, 0 for ``0`` and ``0–1``.

    Raises ValueError for what is no bin's name.
    """
    if name in _SMALLEST:
        return _SMALLEST[name]
    low, dash, _ = name.partition("–")
    if not dash:
        return float(name.rpartition("-")[0])
    suffix = low[-1:] if low[-1:] in _SUFFIXES[1:] else ""
    return float(low.removesuffix(suffix)) * 1000.0 ** _SUFFIXES.index(suffix)
