"""Records as CSV, read back by another reader of CSV."""

from __future__ import annotations

import csv
import io
import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets.music.bronze.records import SCHEMA
from assets.music.silver import intake
from assets.music.silver.statements import SOURCE

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text("\\u0\x00")


def rows_of(*records: dict) -> list[dict[str, str]]:
    frame = pl.DataFrame(
        [{"format": "song_list", **record} for record in records], schema=SCHEMA
    ).with_columns(seq=pl.lit(1, pl.Int64), line=pl.lit(2, pl.Int64), source=pl.lit("s"))
    data = intake._csv(intake._source_rows(frame)).decode()
    return list(csv.DictReader(io.StringIO(data, newline=""), fieldnames=SOURCE))


def test_a_record_alone_says_its_song_id_or_its_names():
    rows = rows_of(
        {"record_key": "a", "song_id": "SO1", "title": "T", "fingerprint": "f"},
        {"record_key": "b", "title": "T", "fingerprint": "f"},
        {"record_key": "c", "track_id": "TR1", "fingerprint": "f", "format": "musixmatch"},
    )
    assert [row["song_key"] for row in rows] == ["SO1", "fp-f", ""]
    assert [row["rank"] for row in rows] == ["3", "3", "6"]


def test_null_and_empty_are_told_apart():
    frame = pl.DataFrame({"a": [None, "", '"']})
    assert intake._csv(frame) == b'\n""\n""""\n'


@given(
    st.lists(TEXT, min_size=1, max_size=3),
    st.lists(
        st.fixed_dictionaries({"name": st.none() | TEXT, "weight": st.none() | st.floats(0, 9)})
    ),
)
def test_texts_and_lists_arrive_as_they_were_without_nul(titles, terms):
    rows = rows_of(
        *({"record_key": "k", "title": title, "fingerprint": "f"} for title in titles),
        {"record_key": "t", "artist_terms": terms, "lyrics_words": None},
    )
    assert [row["title"] for row in rows[:-1]] == [title.replace("\x00", "") for title in titles]
    assert all(row["artist_terms"] == row["lyrics_words"] == "" for row in rows[:-1])
    expected = [
        {**term, "name": term["name"] and term["name"].replace("\x00", "")} for term in terms
    ]
    assert json.loads(rows[-1]["artist_terms"]) == expected


def test_what_was_staged_before_a_column_came_has_none_of_it():
    later = ["genres", "tags", "similars"]
    frame = pl.DataFrame([{"record_key": "k", "format": "hdf5"}], schema=SCHEMA).with_columns(
        seq=pl.lit(1, pl.Int64), line=pl.lit(2, pl.Int64), source=pl.lit("s")
    )
    old = intake._csv(intake._source_rows(frame.drop(later)))
    assert old == intake._csv(intake._source_rows(frame))
