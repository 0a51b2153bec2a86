"""Silver in a test's database: records handed to it as batches, and its tables read back.

Belongs here: what the tests of silver share. Does not: what must come of records (the oracle).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import polars as pl
import psycopg

from assets.music.bronze import records
from assets.music.silver.load import load_batch
from tests.integration.music.silver_oracle import NUMBERS, fingerprint

Record = dict[str, Any]

TABLES = (
    "song_source", "fact_song", "song_lyrics", "dim_artist", "dim_album", "dim_genre", "dim_date",
    "bridge_song_artist", "bridge_album_artist", "bridge_artist_term", "bridge_song_genre",
    "bridge_song_tag", "bridge_song_similar", "album_name", "album_match",
)  # fmt: skip


def record(format: str, name: str, *, seq: int = 1, **fields: Any) -> Record:  # noqa: A002
    """A bronze record; ``name`` makes its key. Its fingerprint and hash follow from the fields."""
    made: Record = dict.fromkeys(records.SCHEMA)
    made |= {"format": format, "record_key": f"{format}:{name}", "seq": seq, **fields}
    unknown = set(made) - set(records.SCHEMA) - {"seq"}
    assert not unknown, unknown
    made["fingerprint"] = fingerprint(made["artist_name"], made["title"], made["album"])
    said = {key: value for key, value in made.items() if key not in {"row_hash", "seq"}}
    made["row_hash"] = hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:32]
    return made


def frame(rows: Sequence[Record]) -> pl.DataFrame:
    """As a batch's records are staged."""
    content = pl.DataFrame([[row[name] for name in records.SCHEMA] for row in rows],
                           schema=records.SCHEMA, orient="row")  # fmt: skip
    return content.with_columns(
        pl.Series("seq", [row["seq"] for row in rows], pl.Int64),
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"),
        pl.format("minio://music-raw/{}#1", "record_key").alias("source"),
        pl.lit(datetime(2026, 11, 22, tzinfo=UTC)).alias("ingested_at"),
    )


#: Of dimensions, what files have brought: the unknown member is there from the start.
KNOWN = {
    "dim_artist": "WHERE artist_key <> 'Unknown member'",
    "dim_album": "WHERE album_key <> 'Unknown member'",
    "dim_genre": "WHERE genre_key <> 'Unknown member'",
    "dim_date": "WHERE year_key <> 0",
}
_UNKNOWN = """
SELECT a.name, a.artist_id, a.mbid, a.location, l.title, l.release_id, g.name
FROM music.dim_artist a, music.dim_album l, music.dim_genre g
WHERE artist_key = 'Unknown member' AND album_key = 'Unknown member'
    AND genre_key = 'Unknown member'
"""


@dataclass
class Handed:
    """A delivery without a ledger."""

    batch_id: str
    rows: Sequence[Record]
    chunk_rows: int = 10_000
    rows_written: int | None = None
    gone: Sequence[str] = ()

    def withdrawn(self) -> Sequence[str]:
        return self.gone

    def chunks(self) -> Iterator[pl.DataFrame]:
        if self.rows:
            yield from frame(self.rows).iter_slices(self.chunk_rows)

    def done_in(self, conn: psycopg.Connection[Any], *, rows_written: int) -> None:
        self.rows_written = rows_written


@dataclass
class SilverWorld:
    """Silver's tables, and the records that won so far."""

    url: str
    current: dict[str, Record] = field(default_factory=dict)
    batches: int = 0

    @cached_property
    def reader(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    @cached_property
    def writer(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    def load(
        self,
        *rows: Record,
        batch: str | None = None,
        chunk_rows: int = 10_000,
        withdrawn: Sequence[str] = (),
    ):
        """Load those of the records that win against what came before; result of the load."""
        self.batches += 1
        winners = [
            row
            for row in rows
            if row["record_key"] not in self.current
            or self.current[row["record_key"]]["seq"] <= row["seq"]
        ]
        self.current |= {row["record_key"]: row for row in winners if row["format"] != "plays"}
        for key in withdrawn:
            self.current.pop(key, None)
        delivery: Any = Handed(
            batch or f"batch-{self.batches}", winners, chunk_rows, gone=withdrawn
        )
        result, found = load_batch(self.writer, delivery)
        assert found.ok, found
        # Plays are facts of their own.
        of_songs = sum(row["format"] != "plays" for row in winners)
        assert delivery.rows_written == of_songs == found.expected
        return result

    def clear(self) -> None:
        """As after the migration."""
        self.current, self.batches = {}, 0
        with self.writer.transaction():
            for table in reversed((*TABLES[:1], *TABLES[3:7], *TABLES[1:3], *TABLES[7:])):
                self.writer.execute(f"DELETE FROM music.{table} {KNOWN.get(table, '')}")
            for table in (
                "touched", "song_match", "song_redirect", "artist_match", "album_redirect",
            ):  # fmt: skip
                self.writer.execute(f"DELETE FROM music.{table}")
            self.writer.execute("DELETE FROM music.artist_genre_lookup")

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self.reader.execute(statement, values or None).fetchall()

    def versions(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row's place and writer: equal exactly when nothing was written."""
        return {
            table: self.query(f"SELECT ctid::text, xmin::text FROM music.{table} ORDER BY 1")
            for table in TABLES
        }

    def hashes(self) -> dict[str, str]:
        return dict(self.query("SELECT song_key, row_hash FROM music.fact_song"))

    def touched(self, batch: str, kind: str) -> set[str]:
        return {
            key
            for (key,) in self.query(
                "SELECT key FROM music.touched WHERE batch_id = %s AND kind = %s", batch, kind
            )
        }

    def state(self) -> dict[str, dict[Any, Any]]:
        """The tables as the oracle writes them, after a look at the unknown members."""
        assert self.query(_UNKNOWN) == [("Unknown", None, None, None, "Unknown", None, "Unknown")]
        facts = (
            "title", "artist_key", "album_key", "genre_key", "year_key", "track_ids", *NUMBERS,
            "sources", "base_source", "provenance",
        )  # fmt: skip
        q = self.query
        return {
            "source_song": dict(q("SELECT record_key, song_key FROM music.song_source")),
            "song_match": dict(q("SELECT own_key, song_key FROM music.song_match")),
            "album_match": _keyed(q("SELECT name_key, album_key, reason FROM music.album_match")),
            "fact_song": {
                key: dict(zip(facts, values, strict=True))
                for key, *values in q(f"SELECT song_key, {', '.join(facts)} FROM music.fact_song")
            },
            "song_lyrics": _keyed(
                q("SELECT song_key, status, source, source_record, text, words"
                  " FROM music.song_lyrics")
            ),
            "dim_artist": _keyed(
                q("SELECT artist_key, artist_id, name, mbid, location, latitude, longitude"
                  f" FROM music.dim_artist {KNOWN['dim_artist']}")
            ),
            "dim_album": _keyed(
                q(f"SELECT album_key, title, release_id FROM music.dim_album {KNOWN['dim_album']}")
            ),
            "dim_genre": dict(
                q(f"SELECT genre_key, name FROM music.dim_genre {KNOWN['dim_genre']}")
            ),
            "dim_date": _keyed(q("SELECT year_key, year, decade FROM music.dim_date")),
            "bridge_song_artist": {
                (song, artist): position
                for song, artist, position in q(
                    "SELECT song_key, artist_key, position FROM music.bridge_song_artist"
                )
            },
            "bridge_album_artist": dict.fromkeys(
                q("SELECT album_key, artist_key FROM music.bridge_album_artist"), True
            ),
            "bridge_song_genre": {
                (song, genre): (position, source)
                for song, genre, position, source in q(
                    "SELECT song_key, genre_key, position, source_record"
                    " FROM music.bridge_song_genre"
                )
            },
            "bridge_song_tag": {
                (song, tag): weight
                for song, tag, weight in q(
                    "SELECT song_key, tag, weight FROM music.bridge_song_tag"
                )
            },
            "bridge_song_similar": {
                (song, track): score
                for song, track, score in q(
                    "SELECT song_key, track_id, score FROM music.bridge_song_similar"
                )
            },
            "bridge_artist_term": {
                (artist, kind, term): weight
                for artist, kind, term, weight in q(
                    "SELECT artist_key, kind, term, weight FROM music.bridge_artist_term"
                )
            },
        }  # fmt: skip


def _keyed(rows: Iterable[tuple[Any, ...]]) -> dict[Any, tuple[Any, ...]]:
    return {key: tuple(values) for key, *values in rows}
