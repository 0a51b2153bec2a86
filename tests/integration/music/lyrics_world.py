"""Songs and artists as silver would have left them, made without silver's code, and what the
stand-in services are to say of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from assets.music.lyrics.enrichment import Services, enrich_batch, enrich_due
from local import music_answers
from resources.lyrics_service import LyricsServiceResource
from resources.musicbrainz import MusicBrainzResource
from resources.postgres import PostgresResource
from tests.music_services import MusicServicesAdmin

SERVERS = ("postgres", "music_services")
BATCH = "20261122T100000Z-0001"


@dataclass
class LyricsWorld:
    """One database, one caller's name at the services, and a clock that can be put forward."""

    env: Mapping[str, str]
    #: Song key to artist's name and title, as they are now.
    names: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    offset: timedelta = timedelta()

    def __post_init__(self) -> None:
        self.admin = MusicServicesAdmin.of(self.env)
        self._connection = psycopg.connect(self.env["POSTGRES_URL"], autocommit=True)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        yield self._connection

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.database() as connection:
            return connection.execute(statement, values or None).fetchall()

    def change(self, statement: str, *values: object) -> None:
        with self.database() as connection:
            connection.execute(statement, values or None)

    def add(
        self,
        key: str,
        artist: str | None,
        title: str | None,
        *,
        batch: str = BATCH,
        mbid: str | None = None,
        genre: str | None = None,
    ) -> str:
        """A song that the batch touched; the key of its artist."""
        artist_key = f"artist {artist}"
        with self.database() as connection:
            connection.execute(
                "INSERT INTO music.dim_artist (artist_key, name, mbid) VALUES (%s, %s, %s)"
                " ON CONFLICT (artist_key) DO UPDATE SET mbid = excluded.mbid",
                (artist_key, artist, mbid),
            )
            if genre:
                connection.execute(
                    "INSERT INTO music.dim_genre VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    (genre, genre),
                )
            connection.execute(
                "INSERT INTO music.fact_song (song_key, title, artist_key, genre_key, year_key,"
                " track_ids, sources, base_source, provenance, row_hash)"
                " VALUES (%s, %s, %s, coalesce(%s, 'Unknown member'), 0, '{}', 1, 'record', '{}',"
                " 'as silver left it')",
                (key, title, artist_key, genre),
            )
        self.names[key] = (artist, title)
        self.touch(batch, "song", [key])
        self.touch(batch, "artist", [artist_key])
        return artist_key

    def add_many(self, count: int, *, batch: str = BATCH, genre: str | None = "rock") -> None:
        """Songs of one artist each; with a genre, so that only lyrics are asked for."""
        for number in range(count):
            key = f"{batch[-1]}-{number:04d}"
            self.add(key, f"Artist {number}", f"Song {number}", batch=batch, genre=genre)

    def rename(self, key: str, title: str | None) -> None:
        self.change("UPDATE music.fact_song SET title = %s WHERE song_key = %s", title, key)
        self.names[key] = (self.names[key][0], title)

    def touch(self, batch: str, kind: str, keys: Iterable[str]) -> None:
        for key in keys:
            self.change(
                "INSERT INTO music.touched VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                batch,
                kind,
                key,
            )

    def services(self, **options: Any) -> Services:
        """With few attempts, and a quick MusicBrainz."""
        asking = {"timeout": 10.0, "attempts": 2, **options.pop("asking", {})}
        given = {
            "lyrics": LyricsServiceResource(url=self.env["MUSIC_LYRICS_URL"], **asking),
            "musicbrainz": MusicBrainzResource(
                url=self.env["MUSIC_MUSICBRAINZ_URL"],
                user_agent=self.env["MUSIC_MUSICBRAINZ_USER_AGENT"],
                requests_per_second=int(self.env["MUSIC_MUSICBRAINZ_PER_SECOND"]),
                **asking,
            ),
            **options,
        }
        return Services(PostgresResource(url=self.env["POSTGRES_URL"]), now=self.now, **given)

    def enrich(self, batch: str = BATCH, **options: Any) -> dict[str, Any]:
        """What the step of the batch does, which must verify; its details."""
        result, found = enrich_batch(batch, self.services(**options))
        assert found.ok, found
        songs = "SELECT count(*) FROM music.touched t JOIN music.fact_song f ON f.song_key = t.key"
        ((touched,),) = self.query(f"{songs} WHERE t.batch_id = %s AND t.kind = 'song'", batch)
        assert found.expected == touched
        return dict(result.details)

    def retry(self, **options: Any) -> dict[str, Any]:
        """What the scheduled job asks for."""
        again = options.pop("missing_again", False)
        return enrich_due(self.services(**options), missing_again=again).details()

    def forward(self, **time: float) -> None:
        self.offset += timedelta(**time)

    def statuses(self) -> dict[str, str]:
        return dict(self.query("SELECT song_key, status FROM music.song_lyrics"))

    def row(self, key: str) -> dict[str, Any]:
        with self.database() as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            found = cursor.execute("SELECT * FROM music.song_lyrics WHERE song_key = %s", [key])
            row = found.fetchone()
        assert row is not None
        return row

    def lookup(self, artist_key: str) -> tuple[Any, ...]:
        """Status, genre, attempts, error."""
        (row,) = self.query(
            "SELECT status, genre, attempts, error FROM music.artist_genre_lookup"
            " WHERE artist_key = %s",
            artist_key,
        )
        return row

    def noted(self) -> set[str]:
        return {key for (key,) in self.query("SELECT song_key FROM music.lyrics_changed")}

    def expected(self) -> dict[str, tuple[str, str | None]]:
        """Status and text by song, once the service has answered for all that have names."""
        expected: dict[str, tuple[str, str | None]] = {}
        for key, (artist, title) in self.names.items():
            if artist is None or title is None:
                expected[key] = ("pending", None)
                continue
            text = music_answers.lyrics(artist, title)
            clean = text.replace("\r\n", "\n").strip() if text else None
            expected[key] = ("found" if text else "missing", clean)
        return expected

    def stored(self) -> dict[str, tuple[str, str | None]]:
        rows = self.query("SELECT song_key, status, text FROM music.song_lyrics")
        return {key: (status, text) for key, status, text in rows}


def song(*, there: bool) -> tuple[str, str]:
    """Artist and title of a song that the service knows, or that it doesn't."""
    titles = (f"Title {number}" for number in range(1_000))
    return "Somebody", next(
        title for title in titles if (music_answers.lyrics("Somebody", title) is not None) == there
    )


def genre_of(mbid: str | None) -> str | None:
    """The genre with most votes that the service has for an id, counted by hand."""
    artist = music_answers.artist(mbid) if mbid else None
    votes = [(g["count"], g["name"]) for g in (artist or {}).get("genres", ()) if g["count"] > 0]
    most = max((count for count, _ in votes), default=0)
    return min((name for count, name in votes if count == most), default=None)
