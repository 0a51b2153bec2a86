"""A bronze record as it is written to Parquet, and what Dagster shows of it."""

from __future__ import annotations

from typing import Any

import polars as pl

from assets.music.bronze.records import SCHEMA, with_hash
from assets.music.registry.bronze import STAGED

_TERMS = pl.List(pl.Struct({"name": pl.String, "weight": pl.Float64}))
WRITTEN: dict[str, Any] = {
    **dict.fromkeys(
        (
            "record_key", "row_hash", "format", "song_id", "track_id", "fingerprint", "title",
            "artist_name", "artist_id", "artist_mbid", "artist_location",
        ),
        pl.String,
    ),
    "artist_latitude": pl.Float64,
    "artist_longitude": pl.Float64,
    "album": pl.String,
    "album_release_id": pl.Int64,
    "year": pl.Int16,
    "duration": pl.Float64,
    "tempo": pl.Float64,
    "loudness": pl.Float64,
    "key": pl.Int16,
    "key_confidence": pl.Float64,
    "mode": pl.Int16,
    "mode_confidence": pl.Float64,
    "time_signature": pl.Int16,
    "end_of_fade_in": pl.Float64,
    "start_of_fade_out": pl.Float64,
    "danceability": pl.Float64,
    "energy": pl.Float64,
    "song_hotttnesss": pl.Float64,
    "genre": pl.String,
    "lyrics_text": pl.String,
    "musixmatch_id": pl.Int64,
    "artist_terms": _TERMS,
    "artist_mbtags": _TERMS,
    "lyrics_words": pl.List(pl.Struct({"word": pl.String, "count": pl.Int32})),
    "genres": pl.List(pl.Struct({"name": pl.String})),
    "tags": _TERMS,
    "similars": pl.List(pl.Struct({"track_id": pl.String, "score": pl.Float64})),
    "plays": pl.List(
        pl.Struct(
            {"sha256": pl.String, "pairs": pl.Int64, "repeated": pl.Int64, "rejected": pl.Int64}
        )
    ),
}  # fmt: skip


def test_columns_types_and_order_are_those_of_the_parts_that_are_kept() -> None:
    assert pl.Schema(WRITTEN) == SCHEMA
    assert list(SCHEMA) == list(WRITTEN)


def test_every_column_is_described_once() -> None:
    shown = STAGED.column_schema().columns
    assert [column.name for column in shown] == [*WRITTEN, "seq", "line", "source", "ingested_at"]
    assert all(column.description.endswith(".") for column in shown)


def test_columns_that_came_later_change_the_hash_only_of_rows_that_have_them() -> None:
    plain = {"format": "extract", "track_id": "TR1", "title": "T", "tempo": 120.0}
    tagged = {**plain, "tags": [{"name": "a", "weight": 1.0}]}
    similar = {**plain, "similars": [{"track_id": "TR2", "score": 0.5}]}
    alone = with_hash(pl.DataFrame([plain], schema=SCHEMA))["row_hash"].to_list()
    # As it was before there were such columns.
    assert alone == ["48ff758e6f4533cf92985c9c7179177c"]  # pragma: allowlist secret
    rows = with_hash(pl.DataFrame([tagged, plain, similar], schema=SCHEMA))["row_hash"].to_list()
    assert rows[1:2] == alone
    assert len(set(rows)) == 3
