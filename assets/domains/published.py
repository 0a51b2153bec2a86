"""What is out of each month, as lists: domains with their bins, categories, what has changed.

Belongs here: reading it from the descriptions that were published and the data of their prompts.
Does not: any table of figures.

The bins are those that the model was given, taken from what it was given: they have left our walls,
they are what the description says, and no exact figure can be among them. Nothing here is sorted by
a figure, since an order tells more than its bins; a domain whose summary was rejected, or a month
that was held back, is not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assets.domains.months import Month
from assets.domains.prompts import FIGURES, OF_CATEGORY
from resources.keyset import By, Listing, where

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

Measure = Literal["revenue", "sessions", "conversion_rate", "order_value"]
Change = Literal["new", "changed", "unchanged", "gone"]
MEASURES: tuple[Measure, ...] = ("revenue", "sessions", "conversion_rate", "order_value")


class UnknownMonthError(LookupError):
    """Nothing is published of the month."""


class UnknownDomainError(LookupError):
    """Nothing is published of the domain."""


@dataclass(frozen=True, slots=True)
class PublishedMonth:
    """A month, and how many domains and categories are published of it; it as ``2025-03``."""

    month: str
    domains: int
    categories: int


@dataclass(frozen=True, slots=True)
class PublishedDomain:
    """A domain's description, and the bins that it rests on. None where a figure is unknown.

    Revenue and order value in dollars, conversion rate in percent, bins closed on the left.
    """

    month: str
    domain: str
    category: str | None
    description: str
    revenue: str | None
    revenue_direction: str | None
    sessions: str | None
    sessions_direction: str | None
    conversion_rate: str | None
    conversion_rate_direction: str | None
    order_value: str | None


@dataclass(frozen=True, slots=True)
class PublishedCategory:
    """A category by the domains whose main one it is, and its bins.

    The bins are None where too few domains have a figure. ``…_10`` and ``…_90`` are percentiles.
    """

    month: str
    category: str
    domains: int
    median_revenue: str | None
    largest_revenue: str | None
    median_sessions: str | None
    highest_sessions: str | None
    conversion_rate_10: str | None
    conversion_rate_90: str | None
    order_value_10: str | None
    order_value_90: str | None


@dataclass(frozen=True, slots=True)
class BinCount:
    """How many published domains lie in a bin."""

    measure: str
    bin: str
    domains: int


@dataclass(frozen=True, slots=True)
class ChangedDomain:
    """A domain against the month before: its description, and the bins of both months."""

    domain: str
    change: Change
    category: str | None
    category_before: str | None
    description: str | None
    description_before: str | None
    revenue: str | None
    revenue_before: str | None
    sessions: str | None
    sessions_before: str | None
    conversion_rate: str | None
    conversion_rate_before: str | None
    order_value: str | None
    order_value_before: str | None


@dataclass(frozen=True, slots=True)
class DomainCard:
    """A domain in one month beside its category, and the months that it is published of."""

    domain: PublishedDomain
    category: PublishedCategory | None
    months: Sequence[str]


def _said(names: dict[str, str], of: str) -> str:
    return ", ".join(f"{of}.facts ->> '{told}' AS {name}" for name, told in names.items())


_MONTHS = """
SELECT to_char(month, 'YYYY-MM') AS month, count(*) AS domains,
    count(DISTINCT category) AS categories
FROM domains.published_description GROUP BY published_description.month
"""
_DOMAINS = f"""
SELECT to_char(p.month, 'YYYY-MM') AS month, p.domain, p.category, p.description,
    {_said(FIGURES, "a")}
FROM domains.published_description AS p
LEFT JOIN domains.openai_answer AS a USING (prompt_hash)
"""
_OF_MONTH = ", ".join(f"max(a.facts ->> '{told}') AS {name}" for name, told in OF_CATEGORY.items())
_CATEGORIES = f"""
SELECT to_char(p.month, 'YYYY-MM') AS month, p.category, count(*) AS domains, {_OF_MONTH}
FROM domains.published_description AS p
LEFT JOIN domains.openai_answer AS a USING (prompt_hash)
"""
_BINS = f"""
SELECT v.measure, v.bin, count(*) AS domains
FROM ({_DOMAINS} {{filters}}) AS d CROSS JOIN LATERAL
    (VALUES {", ".join(f"('{name}', d.{name})" for name in MEASURES)}) AS v (measure, bin)
WHERE v.bin IS NOT NULL GROUP BY v.measure, v.bin
"""
_CHANGES = f"""
SELECT coalesce(n.domain, b.domain) AS domain,
    CASE WHEN b.domain IS NULL THEN 'new' WHEN n.domain IS NULL THEN 'gone'
        WHEN n.description <> b.description THEN 'changed' ELSE 'unchanged' END AS change,
    n.category, b.category AS category_before, n.description,
    b.description AS description_before,
    {", ".join(f"n.{name}, b.{name} AS {name}_before" for name in MEASURES)}
FROM ({_DOMAINS} WHERE p.month = %(month)s) AS n
FULL JOIN ({_DOMAINS} WHERE p.month = %(before)s) AS b ON n.domain = b.domain
"""
_MONTHS_OF = """
SELECT to_char(month, 'YYYY-MM') FROM domains.published_description WHERE domain = %s
ORDER BY month DESC
"""
_DOMAIN = By("domain", "text")


def months() -> Listing[PublishedMonth]:
    """Those of which something is published, newest first."""
    return Listing(PublishedMonth, _MONTHS, (By("month", "text", descending=True),))


def require_month(connection: Connection, month: str) -> None:
    """Raises UnknownMonthError, and ValueError for what is no month."""
    start = Month.parse(month).start
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM domains.published_description WHERE month = %s)", (start,)
    ).fetchone()
    if row != (True,):
        raise UnknownMonthError(f"nothing is published of {month}")


def of_month(
    month: str,
    *,
    category: str | None = None,
    revenue: str | None = None,
    sessions: str | None = None,
) -> Listing[PublishedDomain]:
    """The domains of a month, by name; of a category, or those in a bin. Raises ValueError."""
    filters, bound = where(
        {
            "p.month = {}": Month.parse(month).start,
            "p.category = {}": category,
            f"a.facts ->> '{FIGURES['revenue']}' = {{}}": revenue,
            f"a.facts ->> '{FIGURES['sessions']}' = {{}}": sessions,
        }
    )
    return Listing(PublishedDomain, f"{_DOMAINS} {filters}", (_DOMAIN,), bound)


def categories(month: str) -> Listing[PublishedCategory]:
    """The categories of a month, by name. Raises ValueError."""
    filters, bound = where(
        {"p.month = {}": Month.parse(month).start, "(p.category IS NOT NULL) = {}": True}
    )
    query = f"{_CATEGORIES} {filters} GROUP BY p.month, p.category"
    return Listing(PublishedCategory, query, (By("category", "text"),), bound)


def bins(month: str, category: str | None = None) -> Listing[BinCount]:
    """How many domains of a month, or of a category in it, lie in which bin. Raises ValueError."""
    filters, bound = where({"p.month = {}": Month.parse(month).start, "p.category = {}": category})
    order = (By("measure", "text"), By("bin", "text"))
    return Listing(BinCount, _BINS.replace("{filters}", filters), order, bound)


def changes(month: str, change: Change | None = None) -> Listing[ChangedDomain]:
    """The domains of a month and of the one before, by name. Raises ValueError."""
    asked = Month.parse(month)
    bound: dict[str, Any] = {"month": asked.start, "before": asked.before.start}
    query = _CHANGES
    if change is not None:
        query = f"SELECT * FROM ({_CHANGES}) AS one WHERE change = %(change)s"
        bound["change"] = change
    return Listing(ChangedDomain, query, (_DOMAIN,), bound)


def card(connection: Connection, domain: str, month: str | None = None) -> DomainCard:
    """A domain in that month, else in the latest one. Raises UnknownDomainError, ValueError."""
    known = [row[0] for row in connection.execute(_MONTHS_OF, (domain,))]
    shown = str(Month.parse(month)) if month else next(iter(known), None)
    if shown is None or shown not in known:
        within = f" in {month}" if month else ""
        raise UnknownDomainError(f"nothing is published of {domain!r}{within}")
    start = Month.parse(shown).start
    filters, bound = where({"p.month = {}": start, "p.domain = {}": domain})
    listed = Listing(PublishedDomain, f"{_DOMAINS} {filters}", (_DOMAIN,), bound)
    (found,) = listed.page(connection, 1).rows
    beside = None
    if found.category is not None:
        filters, bound = where({"p.month = {}": start, "p.category = {}": found.category})
        query = f"{_CATEGORIES} {filters} GROUP BY p.month, p.category"
        of_category = Listing(PublishedCategory, query, (By("category", "text"),), bound)
        (beside,) = of_category.page(connection, 1).rows
    return DomainCard(found, beside, known)
