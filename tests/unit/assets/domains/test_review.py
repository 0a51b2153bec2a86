"""Which texts pass for a summary."""

from __future__ import annotations

import pytest

from assets.domains.reasons import TEXT_REASONS
from assets.domains.review import numbers, problem

FACTS = {
    "domain": "24shop.co.uk",
    "category": "Home and Garden/Furniture 2000",
    "revenue in dollars": "1M–2M",
    "conversion rate in percent": "2.50-3.00",
    "order value in dollars": "75-100",
    "category conversion rate in percent, 10th percentile": "0.50-1.00",
}
PLAIN = {name: value for name, value in FACTS.items() if not name.startswith("category")}
GOOD = (
    "24shop.co.uk sells in the category Home and Garden/Furniture 2000, where its monthly revenue"
    " of 1M–2M dollars stands for a shop that found its buyers. Its conversion rate of 2.50-3.00"
    " percent lies well above the 10th percentile of the category, and an average order value of"
    " 75-100 dollars tells of well filled baskets. Visitors come back, and the shop keeps growing"
    " step by step, with a range that speaks to people who furnish their homes with care."
)
WITHOUT = GOOD.replace(
    " in the category Home and Garden/Furniture 2000, where its", ", and its"
).replace(" lies well above the 10th percentile of the category, and an", " is high, and its")


def code(text: str, facts: dict[str, str] | None = None) -> str | None:
    found = problem(FACTS if facts is None else facts, text)
    return found.code if found else None


def test_a_good_one_passes_with_and_without_category() -> None:
    assert code(GOOD) is None
    assert code(WITHOUT, PLAIN) is None
    # The last part of a path is how people name a category.
    assert code(GOOD.replace("Home and Garden/Furniture 2000", "furniture 2000")) is None


BROKEN = {
    "several_lines": GOOD.replace(". Its", ".\nIts"),
    "word_count": " ".join(GOOD.split()[:40]),
    "bullets": GOOD.replace("Its conversion", "- Its conversion"),
    "markup": GOOD.replace("conversion rate", "<b>conversion rate</b>"),
    "web_address": GOOD.replace("24shop.co.uk sells", "24shop.co.uk (https://24shop.co.uk) sells"),
    "email_address": GOOD.replace("Visitors", "Write to info@24shop.co.uk: visitors"),
    "domain_missing": GOOD.replace("24shop.co.uk", "The shop"),
    "another_domain": GOOD.replace("Visitors", "Unlike amazon.com, visitors"),
    "category_missing": GOOD.replace("Home and Garden/Furniture 2000", "its kind"),
    "foreign_number": GOOD.replace("75-100", "75-150"),
}


def test_every_reason_has_a_text_that_breaks_it() -> None:
    assert {*BROKEN, "category_invented"} == {reason.code for reason in TEXT_REASONS}


@pytest.mark.parametrize(("reason", "text"), BROKEN.items())
def test_what_is_broken_is_named(reason: str, text: str) -> None:
    found = problem(FACTS, text)
    assert found is not None
    assert found.code == reason
    assert found.correction


def test_a_category_is_not_invented() -> None:
    assert code(GOOD, PLAIN) == "category_invented"
    assert (
        code(WITHOUT.replace("Visitors", "In its industry visitors"), PLAIN) == "category_invented"
    )


@pytest.mark.parametrize(
    "figure",
    [
        "1.5M",
        "3 million",
        "2,500,000",
        "$4m",
        "12%",
        "1999",
        "0.7",
        "99th",
        "7x",
        "B2B",
        "1M–5M",
        ".75 percent",
        "1M,900K",
        "1,5 percent",
        "½",
        "seven million",
        "twice as many",
        "10²",
    ],
)
def test_a_number_that_was_not_given_is_found(figure: str) -> None:
    assert code(GOOD.replace("Visitors", f"With {figure} visitors")) == "foreign_number"


@pytest.mark.parametrize(
    "figure", ["1 million", "$2M", "1,000,000", "2.5%", "3 percent", "100", "75", "2,000,000.00"]
)
def test_given_numbers_may_be_written_otherwise(figure: str) -> None:
    assert code(GOOD.replace("Visitors", f"With {figure} visitors")) is None


def test_a_domain_within_another_is_another() -> None:
    for other in ("my-24shop.co.uk", "24shop.co.uk.com", "x24shop.co.uk"):
        assert code(GOOD.replace("24shop.co.uk", other)) == "domain_missing"
        assert code(GOOD.replace("Visitors", f"Unlike {other}, visitors")) == "another_domain"


def test_digits_of_the_names_are_no_figures() -> None:
    assert code(GOOD.replace("Visitors", "At 24SHOP.CO.UK visitors")) is None
    assert code(GOOD.replace("Visitors", "With 24 visitors")) == "foreign_number"


def test_numbers_by_value() -> None:
    assert [str(n) for n in numbers("1M–2M, 2.50-3.00 and 10th of 1,234.5 thousand")] == [
        "1E+6", "2E+6", "2.5", "3", "1E+1", "1.2345E+6",
    ]  # fmt: skip
