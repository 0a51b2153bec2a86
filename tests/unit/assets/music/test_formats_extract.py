from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from landing.batch.chunks import UnreadableObject
from samples.music_formats import extract_header, extract_row
from samples.music_songs import made
from tests.unit.assets.music.format_files import Trickle, chunks, given, read, reasons

SONGS = made(40, seed=4)
HEADER = '"","tid","title","artist_name","tempo","key","genre","topic"\n'
TRACK = "TRAAABD128F429CF47"


def test_a_row_as_r_writes_it():
    song = SONGS[11]
    [row], rejected = read((extract_header() + extract_row(1, song)).encode())
    assert rejected == []
    assert given(row) == {
        "track_id": song.track_id, "title": song.title, "artist_name": song.artist.name,
        "genre": song.genre, "year": song.year, "duration": song.duration,
        "loudness": song.loudness, "tempo": song.tempo, "key": song.key, "mode": song.mode,
        "time_signature": song.time_signature, "song_hotttnesss": song.hotness,
        "end_of_fade_in": 0.25, "start_of_fade_out": round(song.duration - 4, 3),
    }  # fmt: skip
    assert row["record_key"] == f"extract:{song.track_id}"
    assert row["line"] == 2
    assert row["text"] == extract_row(1, song).rstrip("\n")


def test_quotes_commas_and_arrays_over_several_lines():
    rows = [
        f'"1","{TRACK}","The ""Best"", ever","A;B / C? #1",120.5,6,"Rock",8',
        '"2","TRAAABD128F429CF48","Two\nlines","[0.71\n 2.715\n 4.7]",NA,6,"Rock",8',
        '"3","TRAAABD128F429CF49","Three","X",120.5,6.0,NA,8',
    ]
    accepted, rejected = read((HEADER + "\r\n".join(rows)).encode())
    assert rejected == []
    assert [row["line"] for row in accepted] == [2, 3, 7]
    assert given(accepted[0]) == {
        "track_id": TRACK, "title": 'The "Best", ever', "artist_name": "A;B / C? #1",
        "tempo": 120.5, "key": 6, "genre": "Rock",
    }  # fmt: skip
    assert accepted[1]["title"] == "Two\nlines"
    assert accepted[1]["tempo"] is None
    assert accepted[2]["genre"] is None
    assert accepted[1]["text"] == rows[1]


def test_na_is_a_text_only_in_quotes():
    rows = f'"1","{TRACK}",NA,"NA",120,6,"Rock",8\n"2","TRAAABD128F429CF48",NA,"X",1,6,"Rock",8\n'
    accepted, _ = read((HEADER + rows).encode())
    assert accepted[0]["artist_name"] == "NA"
    assert accepted[1]["title"] is None


def test_a_bad_row_does_not_harm_its_neighbours():
    def row(track: str, *cells: str) -> bytes:
        return ",".join((f'"{track}"', *cells)).encode() + b"\n"

    header = b'"tid","title","tempo","key"\n'
    good = [row(f"TRAAABD128F429CF{n}", '"x"', "1", "1") for n in range(10, 14)]
    data = [
        good[0],
        row("TRAAABD128F429CF20", '"x"', "fast", "1"),
        row("TRAAABD128F429CF21", '"x"', "1", "6.5"),
        row("TRAAABD128F429CF22", '"x"', "-1", "1"),
        good[1],
        row("", "NA", "1", "1"),
        row("no id", '"x"', "1", "1"),
        row(TRACK, '"x"', "1"),
        row(TRACK, '"x"', "1", "1", "1"),
        f'"{TRACK}","caf'.encode() + b'\xe9",1,1\n',
        good[2],
        f'"{TRACK}","open,1,1\n'.encode(),
        good[3],
        b'"TRAAABD128F429CF14","NUL\x00 and ""quote""",1,1\n',
    ]
    accepted, rejected = read(header + b"".join(data))
    assert [row["line"] for row in accepted] == [2, 3, 4, 5, 6, 12, 14, 15]
    assert [row["tempo"] for row in accepted[1:4]] == [None, 1.0, None]
    assert [row["key"] for row in accepted[1:4]] == [1, None, 1]
    assert accepted[-1]["title"] == 'NUL and "quote"'
    assert reasons(rejected) == [
        (7, "no_identity"),
        (8, "bad_id"),
        (9, "too_few_fields"),
        (10, "too_many_fields"),
        (11, "bad_encoding"),
        (13, "unclosed_quote"),
    ]
    assert rejected[0]["text"] == data[5].decode().rstrip("\n")


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("song_id,title,release,artist,year", "SOA,Home,Dimensions,Ann,1969",
         {"song_id": "SOA", "title": "Home", "album": "Dimensions", "artist_name": "Ann",
          "year": 1969}),
        (",,track_id,title,duration,lyrics_text,artist_terms", "1,1,TRA,x,12.5,la la,[rock]",
         {"track_id": "TRA", "title": "x", "duration": 12.5, "lyrics_text": "la la"}),
        ("TID,Title,title,tid", "TRA,Home,Other,TRB", {"track_id": "TRA", "title": "Home"}),
        ("\ufefftrack_id,tempo,key", "TRA,99,1", {"track_id": "TRA", "tempo": 99.0, "key": 1}),
        ("track_id;tempo;key", "TRA;99;1", {"track_id": "TRA", "tempo": 99.0, "key": 1}),
    ],
)  # fmt: skip
def test_other_columns_and_names(header, row, expected):
    [found], rejected = read(f"{header}\n{row}\n".encode())
    assert rejected == []
    assert given(found) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"name,age\nAnn,40\n",
        b"record_id,user_id,message,campaign,timestamp\n1,2,3,4,2025-01-01\n",
        b"title,artist\nHome,Ann\n",
        b"tid\nTRA\n",
        b"user_id,song_id,duration\nu1,SOBLFFE12AF72AA5BA,7\n",
        b"\xff\xfetid,title\n",
        b'"tid,title\n',
    ],
)
def test_other_csv_is_refused(data):
    with pytest.raises(UnreadableObject) as caught:
        chunks(data)
    assert caught.value.reason == "unknown_format"
    assert caught.value.text[0]


def test_a_header_alone_holds_nothing():
    assert read(HEADER.encode()) == ([], [])


text = st.text(
    st.one_of(
        st.sampled_from(' ,"\n;a'), st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"))
    ),
    min_size=1,
    max_size=10,
).filter(lambda value: value.strip() not in {"", "NA"})


@examples(st.lists(st.tuples(text, text), max_size=20), st.integers(1, 500))
@settings(max_examples=150, deadline=None)
def test_rows_are_what_pythons_csv_reads(rows, size):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["", "tid", "title", "artist_name"])
    for number, (title, artist) in enumerate(rows):
        writer.writerow([number, f"TR{number:016d}", title, artist])
    found = chunks(Trickle(buffer.getvalue().encode(), size))
    accepted = [row for chunk in found for row in chunk.accepted.iter_rows(named=True)]
    assert sum(len(chunk.rejected) for chunk in found) == 0
    reread = csv.DictReader(io.StringIO(buffer.getvalue(), newline=""))
    assert [(row["track_id"], row["title"], row["artist_name"]) for row in accepted] == [
        (row["tid"], row["title"].strip(), row["artist_name"].strip()) for row in reread
    ]
