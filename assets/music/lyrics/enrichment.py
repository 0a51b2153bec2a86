"""One round of asking: lyrics for songs, genres for artists, every answer kept as it comes.

Belongs here: the order of things for a batch and for the scheduled retry. Does not: statements
(``songs.py``, ``genres.py``), when a question is due again (``retry_policy.py``), threads
(``resources/asking.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from assets.music.lyrics import genres, songs
from assets.music.lyrics.genres import Artist
from assets.music.lyrics.retry_policy import (
    GENRES_SECONDS,
    LYRICS_SECONDS,
    MAX_AGED_PER_RUN,
    MAX_PER_RUN,
    PATIENCE,
    State,
    after,
)
from assets.music.lyrics.songs import Song
from assets.sinks.result import SinkResult, Verification
from resources.asking import ask_all

if TYPE_CHECKING:
    import psycopg

    from resources.lyrics_service import LyricsServiceResource
    from resources.musicbrainz import MusicBrainzResource
    from resources.polite_http import Answer
    from resources.postgres import PostgresResource

    Connection = psycopg.Connection[Any]

Question = TypeVar("Question", Song, Artist)


@dataclass(frozen=True, slots=True)
class Services:
    """Whom to ask, how much, and what time it is."""

    postgres: PostgresResource
    lyrics: LyricsServiceResource
    musicbrainz: MusicBrainzResource
    limit: int = MAX_PER_RUN
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Tally:
    """How one run's questions ended; ``unasked`` of the failed were not put at all.

    ``calls`` are requests, retries included.
    """

    found: int = 0
    missing: int = 0
    failed: int = 0
    unasked: int = 0
    calls: int = 0
    seconds: float = 0.0

    @property
    def asked(self) -> int:
        """Questions that were put."""
        return self.found + self.missing + self.failed - self.unasked

    def details(self, what: str) -> dict[str, int | float]:
        """For metadata, each figure behind ``what``."""
        return {
            f"{what}_asked": self.asked,
            f"{what}_calls": self.calls,
            f"{what}_found": self.found,
            f"{what}_missing": self.missing,
            f"{what}_failed": self.failed,
            f"{what}_seconds": round(self.seconds, 3),
        }

    def with_state(self, state: State, *, asked: bool) -> Tally:
        """One more question that ended so."""
        return replace(
            self,
            found=self.found + (state.status == "found"),
            missing=self.missing + (state.status == "missing"),
            failed=self.failed + (state.status == "failed"),
            unasked=self.unasked + (not asked),
        )


@dataclass(frozen=True, slots=True)
class Round:
    """What one round brought; ``songs_with_genre`` songs got theirs by it."""

    lyrics: Tally
    genres: Tally
    songs_with_genre: int

    def details(self) -> dict[str, int | float]:
        """For metadata."""
        return {
            **self.lyrics.details("lyrics"),
            **self.genres.details("genres"),
            "songs_with_genre": self.songs_with_genre,
        }


def enrich_batch(batch_id: str, services: Services) -> tuple[SinkResult, Verification]:
    """Ask for what is missing of the batch's touched songs and of their artists.

    A service that is down fails no batch: its songs are failed and due again. ``details`` counts
    the touched songs by status, and what was asked now. Raises psycopg.Error.
    """
    started = time.monotonic()
    with services.postgres.connect(autocommit=True) as conn:
        with conn.transaction():
            genres.prepare(conn, batch_id, services.now())
            # Silver sees to that; this is for songs that it left as they were.
            known = len(_give_genres(conn, genres.waiting(conn, batch_id), batch_id))
        # Genres first: the songs that get one count as touched.
        tally, changed = _ask_genres(conn, services, batch_id)
        with conn.transaction():
            songs.prepare(conn, batch_id, services.now())
        done = Round(_ask_lyrics(conn, services, batch_id), tally, known + changed)
        statuses = songs.statuses(conn, batch_id)
        found = songs.verify(conn, batch_id)
    stored = done.lyrics.found + done.lyrics.missing + done.lyrics.failed
    details = {**statuses, **done.details()}
    return SinkResult(stored, 0, 0, time.monotonic() - started, details), found


def enrich_due(services: Services, *, missing_again: bool = False) -> Round:
    """Ask for whatever is due, of any batch; the songs changed are in ``music.lyrics_changed``.

    With ``missing_again`` everything that a service said it doesn't have is due, too.
    """
    with services.postgres.connect(autocommit=True) as conn:
        if missing_again:
            songs.reset_missing(conn, services.now())
            genres.reset_missing(conn, services.now())
        tally, changed = _ask_genres(conn, services, None)
        return Round(_ask_lyrics(conn, services, None), tally, changed)


def anything_due(conn: Connection, services: Services) -> bool:
    """Whether ``enrich_due`` would ask for anything."""
    now = services.now()
    return bool(
        (
            services.lyrics.configured
            and (songs.due(conn, now, limit=1) or _aged(conn, services, now, limit=1))
        )
        or (services.musicbrainz.configured and genres.due(conn, now, limit=1))
    )


def _ask_lyrics(conn: Connection, services: Services, batch_id: str | None) -> Tally:
    def due(now: datetime) -> list[Song]:
        found = songs.due(conn, now, limit=services.limit, batch_id=batch_id)
        if batch_id is not None:
            return found
        limit = min(MAX_AGED_PER_RUN, services.limit - len(found))
        return found + _aged(conn, services, now, limit=limit)

    def keep(answered: Sequence[tuple[Song, State]], now: datetime) -> None:
        songs.store(conn, answered, now, note=batch_id is None)

    return _ask(
        services.lyrics,
        due,
        lambda client, song: client.ask(song.artist, song.title),
        keep,
        services.now,
        seconds=LYRICS_SECONDS,
    )


def _aged(conn: Connection, services: Services, now: datetime, *, limit: int) -> list[Song]:
    days = services.lyrics.again_after_days
    return songs.aged(conn, now, days=days, limit=limit) if days > 0 and limit > 0 else []


def _ask_genres(conn: Connection, services: Services, batch_id: str | None) -> tuple[Tally, int]:
    """How the artists' questions ended, and how many songs got a genre."""
    changed = 0

    def due(now: datetime) -> list[Artist]:
        return genres.due(conn, now, limit=services.limit, batch_id=batch_id)

    def keep(answered: Sequence[tuple[Artist, State]], now: datetime) -> None:
        nonlocal changed
        with conn.transaction():
            genres.store(conn, answered, now)
            found = [artist.key for artist, state in answered if state.status == "found"]
            changed += len(_give_genres(conn, found, batch_id))

    tally = _ask(
        services.musicbrainz,
        due,
        lambda client, artist: client.genre(artist.name, artist.mbid),
        keep,
        services.now,
        seconds=GENRES_SECONDS,
    )
    return tally, changed


def _give_genres(conn: Connection, artists: Sequence[str], batch_id: str | None) -> list[str]:
    return genres.apply_genres(conn, artists, batch_id=batch_id) if artists else []


def _ask(
    service: LyricsServiceResource | MusicBrainzResource,
    due: Callable[[datetime], Sequence[Question]],
    ask: Callable[[Any, Question], Answer],
    keep: Callable[[Sequence[tuple[Question, State]], datetime], None],
    clock: Callable[[], datetime],
    *,
    seconds: float,
) -> Tally:
    """Put what is due to the service; ``keep`` commits answers before more than a handful came."""
    if not service.configured or not (questions := due(clock())):
        return Tally()
    started, tally = time.monotonic(), Tally()
    with service.client() as client:
        for answered in ask_all(
            questions,
            lambda question: ask(client, question),
            concurrency=service.concurrency,
            seconds=seconds,
            patience=PATIENCE,
        ):
            now = clock()
            states = [(one, after(one.attempts, said, now)) for one, said in answered]
            keep(states, now)
            for (_, state), (_, said) in zip(states, answered, strict=True):
                tally = tally.with_state(state, asked=said is not None)
        return replace(tally, calls=client.calls, seconds=time.monotonic() - started)
