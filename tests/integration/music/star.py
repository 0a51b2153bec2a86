"""A star schema filled by SQL, without silver's code, and what gold should say of it, in Python.

``Star`` keeps songs, names and titles in plain dictionaries and notes what changes touch;
``commit`` writes all of silver and one batch's ``music.touched``.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import psycopg

GOLD = (
    "song_details",
    "artist_performance",
    "album_performance",
    "genre_by_year",
    "tempo_key_profile",
)
#: What facts refer to where nothing is known.
UNKNOWN = "Unknown member"
SILVER = (
    "song_lyrics", "bridge_song_artist", "bridge_album_artist", "fact_song", "dim_artist",
    "dim_album", "dim_genre", "dim_date",
)  # fmt: skip


@dataclass(frozen=True)
class Song:
    key: str
    title: str | None = "Title"
    artists: tuple[str, ...] = ("AR1",)
    album: str | None = None
    genre: str | None = None
    year: int = 0
    tracks: tuple[str, ...] = ()
    duration: float | None = None
    tempo: float | None = None
    loudness: float | None = None
    pitch: int | None = None
    mode: int | None = None
    signature: int | None = None
    hotttnesss: float | None = None
    status: str | None = None
    text: str | None = None
    words: tuple[tuple[str, int], ...] | None = None


@dataclass
class Star:
    url: str
    songs: dict[str, Song] = field(default_factory=dict)
    names: dict[str, str | None] = field(default_factory=dict)
    titles: dict[str, str | None] = field(default_factory=dict)
    #: Of artists: location, latitude, longitude.
    places: dict[str, tuple[str | None, float | None, float | None]] = field(default_factory=dict)
    touched: set[tuple[str, str]] = field(default_factory=set)

    def put(self, *songs: Song) -> None:
        for song in songs:
            self._touch(self.songs.get(song.key))
            self.songs[song.key] = song
            self._touch(song)
            for artist in song.artists:
                self.names.setdefault(artist, f"Name of {artist}")
            if song.album:
                self.titles.setdefault(song.album, f"Title of {song.album}")

    def change(self, key: str, **fields: Any) -> None:
        self.put(replace(self.songs[key], **fields))

    def remove(self, key: str) -> None:
        self._touch(self.songs.pop(key))
        self.touched.add(("song", key))

    def rename_artist(self, key: str, name: str | None) -> None:
        self.names[key] = name
        self.touched.add(("artist", key))

    def move_artist(self, key: str, place: tuple[str | None, float | None, float | None]) -> None:
        self.places[key] = place
        self.touched.add(("artist", key))

    def rename_album(self, key: str, title: str | None) -> None:
        self.titles[key] = title
        self.touched.add(("album", key))

    def commit(self, batch_id: str, *, backwards: bool = False) -> set[tuple[str, str]]:
        """Write silver, and what was touched since the last commit; ``backwards`` in that order."""
        songs = sorted(self.songs.values(), key=lambda song: song.key, reverse=backwards)
        with psycopg.connect(self.url) as conn, conn.cursor() as cursor:
            for table in SILVER:
                cursor.execute(f"DELETE FROM music.{table}")
            _copy(
                cursor,
                "dim_artist (artist_key, name, location, latitude, longitude)",
                [
                    (key, name, *self.places.get(key, (None, None, None)))
                    for key, name in {UNKNOWN: "Unknown", **self.names}.items()
                ],
            )
            titles = {UNKNOWN: "Unknown", **self.titles}
            _copy(cursor, "dim_album (album_key, title)", titles.items())
            genres = {song.genre for song in songs if song.genre}
            _copy(
                cursor,
                "dim_genre (genre_key, name)",
                [(UNKNOWN, "Unknown"), *((genre.casefold(), genre) for genre in genres)],
            )
            years = {song.year for song in songs} | {0}
            _copy(
                cursor,
                "dim_date (year_key, year, decade)",
                [(y, y or None, y // 10 * 10 if y else None) for y in years],
            )
            _copy(
                cursor,
                "fact_song (song_key, title, artist_key, album_key, genre_key, year_key, track_ids,"
                " duration, tempo, loudness, key, mode, time_signature, song_hotttnesss, sources,"
                " base_source, provenance, row_hash)",
                [
                    (
                        s.key, s.title, s.artists[0] if s.artists else UNKNOWN,
                        s.album or UNKNOWN, s.genre.casefold() if s.genre else UNKNOWN, s.year,
                        list(s.tracks), s.duration, s.tempo, s.loudness, s.pitch, s.mode,
                        s.signature, s.hotttnesss, 1, f"test:{s.key}", "{}",
                        hashlib.md5(repr(s).encode()).hexdigest(),
                    )
                    for s in songs
                ],
            )  # fmt: skip
            _copy(
                cursor,
                "bridge_song_artist (song_key, artist_key, position)",
                [(s.key, artist, n) for s in songs for n, artist in enumerate(s.artists, 1)],
            )
            pairs = {(s.album, artist) for s in songs if s.album for artist in s.artists}
            _copy(cursor, "bridge_album_artist (album_key, artist_key)", sorted(pairs))
            _copy(
                cursor,
                "song_lyrics (song_key, status, text, words)",
                [(s.key, s.status, s.text, _words(s)) for s in songs if s.status],
            )
            _copy(
                cursor,
                "touched (batch_id, kind, key)",
                [(batch_id, kind, key) for kind, key in sorted(self.touched)],
            )
        touched, self.touched = self.touched, set()
        return touched

    def _touch(self, song: Song | None) -> None:
        if song is not None:
            self.touched |= {("song", song.key), *(("artist", a) for a in song.artists)}
            self.touched |= {("album", song.album)} if song.album else set()

    def gold(self) -> dict[str, dict[Any, Any]]:
        """Every gold table as it should be: key to the other columns, the digest left out."""
        by_artist, by_album = defaultdict(list), defaultdict(list)
        by_genre, by_bin = defaultdict(list), defaultdict(list)
        for song in self.songs.values():
            for artist in song.artists:
                by_artist[artist].append(song)
            if song.album:
                by_album[song.album].append(song)
            if song.genre:
                by_genre[song.genre, song.year].append(song)
            if None not in {song.pitch, song.mode, song.tempo}:
                by_bin[song.pitch, song.mode, int(song.tempo // 10) * 10].append(song)
        return {
            "song_details": {key: self._details(song) for key, song in self.songs.items()},
            "artist_performance": {
                key: (
                    self.names[key], len(songs), mean(s.tempo for s in songs),
                    mean(s.loudness for s in songs), total(s.duration for s in songs),
                    *self.places.get(key, (None, None, None)),
                )
                for key, songs in by_artist.items()
            },
            "album_performance": {
                key: (
                    self.titles[key],
                    [name for name, _ in sorted({
                        (self.names[a], a) for s in songs for a in s.artists
                        if self.names[a] is not None
                    })],
                    len(songs), mean(s.duration for s in songs),
                )
                for key, songs in by_album.items()
            },
            "genre_by_year": {
                key: (len(songs), mean(s.tempo for s in songs), mean(s.loudness for s in songs))
                for key, songs in by_genre.items()
            },
            "tempo_key_profile": {
                key: (len(songs), mean(s.loudness for s in songs)) for key, songs in by_bin.items()
            },
        }  # fmt: skip

    def _details(self, s: Song) -> tuple[Any, ...]:
        names = [self.names[a] for a in s.artists]
        return (
            s.title, names[0] if names else None, [n for n in names if n is not None],
            s.artists[0] if s.artists else None, self.titles[s.album] if s.album else None,
            s.album, s.genre, s.year or None, s.duration, s.tempo, s.loudness, s.pitch, s.mode,
            s.signature, s.hotttnesss, list(s.tracks), s.status or "pending",
            s.text is not None or s.words is not None,
        )  # fmt: skip


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def many(star: Star, count: int, seed: int = 7) -> None:
    """Songs with everything that may be absent absent now and then."""
    draw = random.Random(seed)

    artists = [f"AR{number}" for number in range(count // 5 + 3)]

    def perhaps(value: Any, share: float = 0.8) -> Any:
        return value if draw.random() < share else None

    for number in range(count):
        lyrics = draw.choice([None, "pending", "found", "words", "missing", "failed"])
        found = lyrics in {"found", "words"}
        star.put(
            Song(
                f"SO{number:06}",
                perhaps(f"Song {number} 'ü|`"),
                tuple(draw.sample(artists, draw.choice((1, 1, 2)))),
                perhaps(f"r-{draw.randrange(count // 8 + 1)}"),
                perhaps(draw.choice(["Rock", "jazz", "Hip-Hop/Rap", "新しい"])),
                perhaps(draw.randrange(1990, 2011)) or 0,
                tuple(f"TR{number:06}{n}" for n in range(draw.choice((0, 1, 2)))),
                perhaps(draw.uniform(1, 900)),
                perhaps(draw.choice([draw.uniform(0.1, 500), 120.0, 119.99999999999999, 500.0])),
                perhaps(draw.uniform(-60, 3)),
                perhaps(draw.randrange(12)),
                perhaps(draw.randrange(2)),
                perhaps(draw.choice((1, 3, 4, 5, 7))),
                perhaps(draw.random()),
                "found" if found else lyrics,
                f"line {number}\nline" if lyrics == "found" else None,
                (("love", number), ("the", 3)) if lyrics == "words" else None,
            )
        )


def held(url: str) -> dict[str, dict[Any, Any]]:
    """Every gold table in the shape of ``Star.gold``."""
    with psycopg.connect(url) as conn:
        details = conn.execute(
            "SELECT song_key, title, artist, artists, artist_key, album, album_key, genre, year,"
            " duration, tempo, loudness, key, mode, time_signature, song_hotttnesss, track_ids,"
            " lyrics_status, has_lyrics FROM music.song_details"
        ).fetchall()
        artists = conn.execute(
            "SELECT artist_key, artist, songs, average_tempo, average_loudness, total_duration,"
            " location, latitude, longitude FROM music.artist_performance"
        ).fetchall()
        albums = conn.execute(
            "SELECT album_key, album, artists, songs, average_duration FROM music.album_performance"
        ).fetchall()
        genres = conn.execute(
            "SELECT genre, year, songs, average_tempo, average_loudness FROM music.genre_by_year"
        ).fetchall()
        bins = conn.execute(
            "SELECT key, mode, tempo_from, songs, average_loudness FROM music.tempo_key_profile"
        ).fetchall()
    return {
        "song_details": {key: rest for key, *rest in details},
        "artist_performance": {key: rest for key, *rest in artists},
        "album_performance": {key: rest for key, *rest in albums},
        "genre_by_year": {(genre, year): rest for genre, year, *rest in genres},
        "tempo_key_profile": {(k, m, t): rest for k, m, t, *rest in bins},
    }


def versions(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Where every row of gold lies and which transaction wrote it: the same if nothing was."""
    with psycopg.connect(url) as conn:
        return {
            name: conn.execute(
                f"SELECT ctid, xmin, xmax, * FROM music.{name} ORDER BY 1"
            ).fetchall()
            for name in GOLD
        }


def rows(conn: psycopg.Connection[Any], name: str) -> list[tuple[Any, ...]]:
    """Every row of a table of gold, digests included, less when it came and changed."""
    return conn.execute(
        "SELECT row FROM (SELECT to_jsonb(g) - 'loaded_at' - 'updated_at' AS row"
        f' FROM music.{name} AS g) AS rows ORDER BY row::text COLLATE "C"'
    ).fetchall()


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of all of gold."""
    with psycopg.connect(url) as conn:
        return {name: rows(conn, name) for name in GOLD}


def _words(song: Song) -> str | None:
    if song.words is None:
        return None
    return json.dumps([{"word": word, "count": count} for word, count in song.words])


def _copy(cursor: psycopg.Cursor[Any], table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with cursor.copy(f"COPY music.{table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
