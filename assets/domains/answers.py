"""What the outside asks of domains: the description of a domain, and its bins.

Belongs here: all that an API, the demo or a command may call. Does not: anything that writes, and
exact figures, which stay within.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.domains.figures import Figure, figures_of
from assets.domains.months import Month
from landing.arrival.standing import Delivered, newest_delivery

if TYPE_CHECKING:
    import psycopg

_DESCRIPTION = """
SELECT month, domain, category, description FROM domains.published_description
WHERE domain = %s AND (%s::date IS NULL OR month = %s) ORDER BY month DESC LIMIT 1
"""
# Of what is described only: other domains' features stay within, as do all exact ones.
_FIGURES = f"""
SELECT f.* FROM ({_DESCRIPTION}) AS p
JOIN domains.domain_features AS f ON f.month = p.month AND f.domain = p.domain AND f.main_category
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


def figures(
    conn: psycopg.Connection[Any], domain: str, month: str | None = None
) -> tuple[Figure, ...]:
    """A published domain's bins beside its category's, of that month, else of its latest one.

    Raises ValueError for what is no month.
    """
    from psycopg.rows import dict_row

    start = Month.parse(month).start if month else None
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_FIGURES, (domain, start, start)).fetchone()
    return figures_of(row) if row else ()


def rests_on(connection: psycopg.Connection[Any]) -> Delivered | None:
    """What any sink of domains was last told."""
    return newest_delivery(connection, "domains")
