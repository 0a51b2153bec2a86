"""Where each kind of messages comes from, and where those go that cannot be taken.

Belongs here: topic, subscription and dead-letter topic of each kind, by their short names. Does
not: who takes the messages (``stream/``, ``managed_ingestion/``).
"""

from __future__ import annotations

from dataclasses import dataclass

from assets.reading.kinds import CATEGORIES, EVENTS, Kind
from assets.reading.settings import ReadingSettings


@dataclass(frozen=True, slots=True)
class Route:
    """One kind's topic and subscription, and the topic of what cannot be taken."""

    kind: Kind
    topic: str
    subscription: str
    dead_topic: str


def routes(reading: ReadingSettings) -> tuple[Route, Route]:
    """Of events and of categories."""
    return (
        Route(
            EVENTS,
            reading.interaction_topic,
            reading.interaction_subscription,
            reading.interaction_dead_topic,
        ),
        Route(CATEGORIES, reading.meta_topic, reading.meta_subscription, reading.meta_dead_topic),
    )
