"""The two kinds of messages: what they parse to, where they go, what they change.

Belongs here: the differences between reading events and categories. Does not: how any of it is
done. Imported lazily: needs google.cloud.bigquery_storage_v1 and msgspec.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.reading.changes import note_changed_contents, note_changed_days
from assets.reading.settings import ReadingSettings
from assets.reading.stream import merge
from assets.reading.stream.append import microseconds
from assets.reading.stream.messages import (
    Category,
    Interaction,
    Rejection,
    parse_category,
    parse_interaction,
)
from assets.reading.warehouse import INTERACTIONS, INTERACTIONS_RAW, META, META_RAW

if TYPE_CHECKING:
    import psycopg

Row = Interaction | Category


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of message.

    ``values`` gives a row's columns as the Storage Write API takes them.
    ``changed`` gives what a row changes: the event's day, or the content. ``by_days`` says whether
    that is what bounds the statements; ``note`` writes it down in Postgres with the rows gained.
    """

    name: str
    raw: str
    target: str
    parse: Callable[[bytes, datetime], Any]
    values: Callable[[Any], dict[str, Any]]
    changed: Callable[[Any], Any]
    by_days: bool
    merge: str
    gained: str
    count: str
    note: Callable[[psycopg.Connection[Any], Mapping[Any, int]], None]

    def read(self, data: bytes, published: datetime) -> Row | Rejection:
        """The row of a message, or why there is none."""
        row: Row | Rejection = self.parse(data, published)
        return row

    def parameters(self, changes: Iterable[Any]) -> list[list[Any]]:
        """What each statement is bound with beside the micro-batch, one list per statement."""
        return list(merge.days_parameters(list(changes))) if self.by_days else [[]]

    def changes(self, rows: Iterable[Any]) -> Counter[Any]:
        """What distinct rows change, and how many of them."""
        return Counter(map(self.changed, rows))


def _event_values(row: Interaction) -> dict[str, Any]:
    return {
        "user_id": row.user_id,
        "content_id": row.content_id,
        "read_percent": row.read_percent,
        "updated_at": microseconds(row.updated_at),
    }


def _day(row: Interaction) -> Any:
    return row.updated_at.date()


def _content(row: Category) -> Any:
    return row.content_id


def _note_contents(conn: psycopg.Connection[Any], gained: Mapping[Any, int]) -> None:
    note_changed_contents(conn, list(gained))


INTERACTION = Kind(
    name="user_interaction",
    raw=INTERACTIONS_RAW,
    target=INTERACTIONS,
    parse=parse_interaction,
    values=_event_values,
    changed=_day,
    by_days=True,
    merge=merge.MERGE_INTERACTIONS,
    gained=merge.GAINED_DAYS,
    count=merge.COUNT_INTERACTIONS,
    note=note_changed_days,
)
CATEGORY = Kind(
    name="content_meta",
    raw=META_RAW,
    target=META,
    parse=parse_category,
    values=Category._asdict,
    changed=_content,
    by_days=False,
    merge=merge.MERGE_CATEGORIES,
    gained=merge.GAINED_CONTENTS,
    count=merge.COUNT_CATEGORIES,
    note=_note_contents,
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a kind's messages come from, and where those go that cannot be taken; short names."""

    kind: Kind
    subscription: str
    dead_topic: str


def routes(reading: ReadingSettings) -> tuple[Route, Route]:
    """The two subscriptions of a session."""
    return (
        Route(INTERACTION, reading.interaction_subscription, reading.interaction_dead_topic),
        Route(CATEGORY, reading.meta_subscription, reading.meta_dead_topic),
    )
