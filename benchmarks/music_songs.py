"""Generated records of music, staged as Parquet: what the music benchmarks load.

The shape is that of the Million Song dataset: 22 songs per artist, 8 per album, ids, features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import psycopg

from assets.music.bronze import records
from landing.batch.parquet import ParquetFile, read_frames

_CHUNK = 10_000


def songs(numbers: np.ndarray[Any, Any], *, version: int, terms: int = 0) -> pl.DataFrame:
    """Staged records of the Million Song kind: every song has ids, features and an album."""
    random = np.random.default_rng([version, int(numbers[0])])
    size = len(numbers)
    artist = numbers // 22  # as in the Million Song dataset
    album = numbers // 8
    number = pl.DataFrame({"n": numbers, "artist": artist, "album": album})

    def digits(name: str, prefix: str) -> pl.Expr:
        return prefix + pl.col(name).cast(pl.String).str.zfill(14)

    def uniform(low: float, high: float) -> pl.Series:
        return pl.Series(random.uniform(low, high, size).round(5))

    def ids(name: str) -> pl.Series:
        return number.get_column(name)

    rows = number.select(
        digits("n", "hdf5:TR").alias("record_key"),
        pl.lit("hdf5").alias("format"),
        digits("n", "SO").alias("song_id"),
        digits("n", "TR").alias("track_id"),
        pl.concat_str(digits("n", "f"), digits("n", "f"), pl.lit("00")).alias("fingerprint"),
        pl.format("Song number {} of many (Album Version)", "n").alias("title"),
        pl.format("The {} Artists", "artist").alias("artist_name"),
        digits("artist", "AR").alias("artist_id"),
        pl.format("7c0ab3e0-0000-4000-8000-{}", digits("artist", "")).alias("artist_mbid"),
        pl.format("Town {}, Country", "artist").alias("artist_location"),
        (pl.col("artist") % 90).cast(pl.Float64).alias("artist_latitude"),
        (pl.col("artist") % 180).cast(pl.Float64).alias("artist_longitude"),
        pl.format("Album {} (Deluxe)", "album").alias("album"),
        (pl.col("album") + 1).cast(pl.Int64).alias("album_release_id"),
        pl.Series("year", random.integers(1950, 2011, size), pl.Int16).set(
            pl.Series(random.random(size) < 0.45), None
        ),
        *(
            uniform(low, high).alias(name)
            for name, low, high in (
                ("duration", 60, 600), ("tempo", 60, 200), ("loudness", -40, 0),
                ("key_confidence", 0, 1), ("mode_confidence", 0, 1), ("end_of_fade_in", 0, 5),
                ("start_of_fade_out", 50, 590), ("song_hotttnesss", 0, 1),
            )
        ),
        pl.Series("key", random.integers(0, 12, size), pl.Int16),
        pl.Series("mode", random.integers(0, 2, size), pl.Int16),
        pl.Series("time_signature", random.integers(3, 6, size), pl.Int16),
    )  # fmt: skip
    if terms:
        of_artist = {
            one: [
                {"name": f"term {(one * 7 + place) % 300}", "weight": 1 - place / terms}
                for place in range(terms)
            ]
            for one in ids("artist").unique().to_list()
        }
        rows = rows.with_columns(
            pl.Series(
                "artist_terms",
                [of_artist[one] for one in ids("artist")],
                records.SCHEMA["artist_terms"],
            )
        )
    missing = [
        pl.lit(None, kind).alias(name)
        for name, kind in records.SCHEMA.items()
        if name not in rows.columns and name != "row_hash"
    ]
    hashes = pl.concat_str(pl.lit(f"{version:08x}"), digits("n", ""), pl.lit("0123456789"))
    return (
        rows.with_columns(*missing, hashes_of(number, hashes))
        .select(pl.col(name).cast(kind) for name, kind in records.SCHEMA.items())
        .with_columns(
            pl.lit(version, pl.Int64).alias("seq"),
            pl.Series("line", numbers, pl.Int64),
            pl.lit("minio://music-raw/some/folder/of/files.h5#2026").alias("source"),
        )
    )


def hashes_of(number: pl.DataFrame, digits: pl.Expr) -> pl.Series:
    return number.select(digits.alias("row_hash")).to_series()


@dataclass
class Staged:
    """A batch in a Parquet file on disk, as a delivery hands it out."""

    batch_id: str
    file: Any
    rows: int

    @classmethod
    def of(cls, batch_id: str, numbers: Sequence[np.ndarray[Any, Any]], **kinds: int) -> Staged:
        """Records of the songs with these numbers, written before any clock runs."""
        out = ParquetFile(group_rows=_CHUNK)
        for some in numbers:
            for at in range(0, len(some), _CHUNK):
                out.add(songs(some[at : at + _CHUNK], **kinds))
        return cls(batch_id, out.finish(), out.rows)

    def chunks(self) -> Iterator[pl.DataFrame]:
        """As landing.batch.delivery.Delivery gives them."""
        self.file.seek(0)
        yield from read_frames(self.file, rows=_CHUNK)

    def withdrawn(self) -> list[str]:
        """Nothing: every record is of one file of one version."""
        return []

    def done_in(self, _conn: psycopg.Connection[Any], *, rows_written: int) -> None:
        """No ledger here."""
        assert rows_written == self.rows
