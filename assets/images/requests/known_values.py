"""Whether the catalogue knows what a request filters by.

Belongs here: the catalogue's values, and what is said of one that it has not. Does not: the
request's form (``request.py``), which products match (``tasks/manifest.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from assets.images.requests.request import (
    MOST_PROBLEMS,
    ImageRequest,
    RefusedRequestError,
    nearest,
)

if TYPE_CHECKING:
    import psycopg

_MOST_SHOWN = 8

#: Each value by one look into the column's index: the next larger one, from the smallest on. Of a
#: million products DISTINCT reads all, which takes two seconds for seven columns.
_VALUES = """
WITH RECURSIVE known AS (
    (SELECT {field} AS value FROM images.product WHERE {field} IS NOT NULL
     ORDER BY {field} LIMIT 1)
    UNION ALL
    SELECT (SELECT p.{field} FROM images.product AS p WHERE p.{field} > known.value
            ORDER BY p.{field} LIMIT 1)
    FROM known WHERE known.value IS NOT NULL)
SELECT value FROM known WHERE value IS NOT NULL
"""

#: The values of every column that is filtered by, as the catalogue spells them.
KnownValues = Mapping[str, frozenset[str]]


def known_values(connection: psycopg.Connection[Any]) -> KnownValues:
    """Of every filter; each is empty while the catalogue is. Raises psycopg.Error."""
    return {
        field: frozenset(value for (value,) in connection.execute(_VALUES.format(field=field)))
        for field in ImageRequest.FILTERS
    }


def require_known(request: ImageRequest, known: KnownValues) -> None:
    """Raise RefusedRequestError (``unknown_value``) naming every value that no product has."""
    unknown = [
        (field, value)
        for field in request.FILTERS
        for value in dict.fromkeys(request.wanted(field) or ())
        if value not in known[field]
    ]
    if unknown:
        told, more = unknown[:MOST_PROBLEMS], len(unknown[MOST_PROBLEMS:])
        raise RefusedRequestError("unknown_value", _problems(told, known), more=more)


def _problems(unknown: Iterable[tuple[str, str]], known: KnownValues) -> Iterator[str]:
    for field, value in unknown:
        like = nearest(value, known[field])
        shown = sorted(known[field])[:_MOST_SHOWN]
        hint = f"did you mean {' or '.join(like)}?" if like else f"such as {shown}"
        yield f"{field}: no product has {value!r}; {hint}"
