"""The two kinds of facts: what they are made of, where they go, what they change.

Belongs here: the differences between reading events and categories. Does not: how a value is read
or a row written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from assets.reading import rules
from assets.reading.changes import note_changed_contents, note_changed_days
from assets.reading.rules import Rejection, Row
from assets.reading.tables import (
    CATEGORY,
    EVENT,
    INTERACTIONS,
    INTERACTIONS_HISTORY,
    INTERACTIONS_LANDED,
    INTERACTIONS_RAW,
    META,
    META_HISTORY,
    META_LANDED,
    META_RAW,
)

if TYPE_CHECKING:
    import psycopg

    from assets.frame.tables import Column, Table


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of facts, and its tables.

    ``accept`` takes the values of ``fields`` and the time up to which a fact may be, and gives the
    row or why there is none. ``change`` is what a row changes, the event's day or the content, and
    ``change_sql`` the same in SQL; ``note`` writes it down in Postgres, with the rows gained.
    ``read_on`` gives the contents and days on which rows make a new category count.
    """

    name: Literal["events", "categories"]
    fields: tuple[Column, ...]
    accept: Callable[..., Row | Rejection]
    table: Table
    raw: Table
    history: Table
    landed: Table
    change: Callable[[Any], Any]
    change_sql: str
    note: Callable[[psycopg.Connection[Any], Mapping[Any, int]], None]
    read_on: Callable[[Iterable[Any]], set[tuple[int, date]]]

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names, in order."""
        return self.table.key


EVENTS = Kind(
    name="events",
    fields=EVENT,
    accept=rules.interaction,
    table=INTERACTIONS,
    raw=INTERACTIONS_RAW,
    history=INTERACTIONS_HISTORY,
    landed=INTERACTIONS_LANDED,
    change=lambda row: row.updated_at.date(),
    change_sql="DATE(updated_at)",
    note=note_changed_days,
    read_on=lambda rows: {
        (row.content_id, row.updated_at.date())
        for row in rows
        if row.read_percent > rules.READ_BEYOND
    },
)
CATEGORIES = Kind(
    name="categories",
    fields=CATEGORY,
    accept=rules.category,
    table=META,
    raw=META_RAW,
    history=META_HISTORY,
    landed=META_LANDED,
    change=lambda row: row.content_id,
    change_sql="content_id",
    note=note_changed_contents,
    read_on=lambda _rows: set(),
)
KINDS = (EVENTS, CATEGORIES)
