"""Bins: every value has one, closed on the left."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.domains import bins

_SCALE = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0, "0"), (Decimal("0.01"), "0–1"), (Decimal("0.99"), "0–1"), (1, "1–2"),
        (Decimal("1.99"), "1–2"), (2, "2–5"), (5, "5–10"), (Decimal("9.99"), "5–10"),
        (10, "10–20"), (499, "200–500"), (500, "500–1K"), (999_999, "500K–1M"),
        (1_000_000, "1M–2M"), (1999999.99, "1M–2M"), (2_000_000, "2M–5M"),
        (359971386.05, "200M–500M"), (10**9, "1B–2B"), (10**16, "10000T–20000T"),
        (-0.01, "below 0"), (None, None),
    ],
)  # fmt: skip
def test_magnitudes(value: float | Decimal | None, name: str | None) -> None:
    assert bins.magnitude(value) == name


def _edge(text: str) -> Decimal:
    number = text.rstrip("KMBT")
    return Decimal(number) * _SCALE[text[len(number) :]]


@given(st.decimals(min_value=Decimal(1), max_value=Decimal(10) ** 14, places=2))
def test_a_magnitude_lies_in_its_bin_of_the_series(value: Decimal) -> None:
    low, high = map(_edge, str(bins.magnitude(value)).split("–"))
    assert low <= value < high
    assert high / low in {Decimal(2), Decimal("2.5")}
    assert bins.magnitude(low) == bins.magnitude(value) != bins.magnitude(high)


@pytest.mark.parametrize(
    ("value", "name"),
    [(0, "0-25"), (24.99, "0-25"), (25, "25-50"), (75, "75-100"), (99.99, "75-100"),
     (100, "100-125"), (None, None)],
)  # fmt: skip
def test_order_values(value: float | None, name: str | None) -> None:
    assert bins.order_value(value) == name


def test_large_order_values_are_told_by_wide_bins() -> None:
    told = [bins.told_order_value(value) for value in (999.99, 1000, 7391246.83, None)]
    assert told == ["975-1000", "1K–2K", "5M–10M", None]


@pytest.mark.parametrize(
    ("value", "name"),
    [(0, "0.00-0.50"), (0.49, "0.00-0.50"), (0.5, "0.50-1.00"), (2.5, "2.50-3.00"),
     (2.99, "2.50-3.00"), (100, "100.00-100.50"), (None, None)],
)  # fmt: skip
def test_conversion_rates(value: float | None, name: str | None) -> None:
    assert bins.conversion_rate(value) == name


@given(st.decimals(min_value=Decimal(-100), max_value=Decimal(10) ** 7, places=2))
def test_every_rate_and_order_value_lies_in_its_bin(value: Decimal) -> None:
    for name in (bins.conversion_rate(abs(value)), bins.order_value(abs(value))):
        low, high = map(Decimal, str(name).split("-"))
        assert low <= abs(value) < high


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_has_no_bin(value: float) -> None:
    with pytest.raises(ValueError, match="no bin holds"):
        bins.magnitude(value)


@given(st.one_of(st.integers(0, 10**17), st.decimals(0, 10**14, places=2)))
def test_a_magnitude_s_name_tells_where_it_begins(value: Decimal | int) -> None:
    name = bins.magnitude(value)
    begins = bins.lower_edge(str(name))
    assert begins <= float(value) < (1 if begins < 1 else 2.5 * begins)


@given(st.decimals(0, 10**6, places=2))
def test_so_do_the_names_of_even_bins(value: Decimal) -> None:
    dollars, percent = bins.order_value(value), bins.conversion_rate(value)
    assert 0 <= value - Decimal(bins.lower_edge(str(dollars))) < 25
    assert 0 <= value - Decimal(bins.lower_edge(str(percent))) < Decimal("0.5")


@pytest.mark.parametrize("name", ["", "much", "–", "1Q–2Q", "a-b"])
def test_what_is_no_bin_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="could not convert"):
        bins.lower_edge(name)


def test_what_is_negative_lies_before_everything() -> None:
    assert bins.lower_edge("below 0") < bins.lower_edge("0")
