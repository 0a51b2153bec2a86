"""What the outside asks of domains: the description of a domain, and how far a month is.

Belongs here: all that an API, the demo or a command may call. Does not: anything that writes, and
exact figures, which stay within.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.domains.bins import lower_edge
from assets.domains.months import Month
from assets.domains.published import (
    BinCount,
    Change,
    ChangedDomain,
    DomainCard,
    PublishedCategory,
    PublishedDomain,
    PublishedMonth,
    UnknownDomainError,
    UnknownMonthError,
    bins,
    card,
    categories,
    changes,
    months,
    of_month,
    require_month,
)
from assets.domains.spending import Spent, spending
from landing.arrival.standing import Delivered, newest_delivery

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "MONTH", "BinCount", "Change", "ChangedDomain", "Description", "DomainCard",
    "PublishedCategory", "PublishedDomain", "PublishedMonth", "Spent", "UnknownDomainError",
    "UnknownMonthError", "bins", "card", "categories", "changes", "description", "lower_edge",
    "months", "of_month", "require_month", "rests_on", "spending",
]  # fmt: skip

#: A month as it is asked for: a pattern.
MONTH = r"^[12][0-9]{3}-(0[1-9]|1[0-2])$"

_DESCRIPTION = """
SELECT month, domain, category, description FROM domains.published_description
WHERE domain = %s AND (%s::date IS NULL OR month = %s) ORDER BY month DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Description:
    """What is published of a domain; ``month`` as ``2025-03``."""

    month: str
    domain: str
    category: str | None
    description: str


def description(
    conn: psycopg.Connection[Any], domain: str, month: str | None = None
) -> Description | None:
    """Of that month, else of the latest one; None where nothing is published.

    Raises ValueError for what is no month.
    """
    start = Month.parse(month).start if month else None
    row = conn.execute(_DESCRIPTION, (domain, start, start)).fetchone()
    return Description(str(Month(row[0])), *row[1:]) if row else None


def rests_on(connection: psycopg.Connection[Any]) -> Delivered | None:
    """What any sink of domains was last told."""
    return newest_delivery(connection, "domains")
