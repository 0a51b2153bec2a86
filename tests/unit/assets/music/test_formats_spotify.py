"""Tables of Spotify's features: their columns, keys by name, and what they are refused for."""

from __future__ import annotations

import pytest

from landing.batch.chunks import UnreadableObject
from tests.unit.assets.music.format_files import chunks, given, read, reasons

HEADER = "track_id,track_name,artists,album_name,popularity,duration_ms,key,mode,tempo\n"
ONE = (
    "6f807x0ima9a1j3VPbc7VN,Invented Song One,Somebody;Somebody Else,An Album,66,194754,6,1,"
    "122.036\n"
)
TWO = "0r7CVbZTWZgbTCYdfa2P31,Invented Song Two,Nobody,Another,67,162600,C#,Minor,99.972\n"


def test_songs_under_spotifys_own_ids():
    accepted, rejected = read((HEADER + ONE + TWO).encode())
    assert rejected == []
    assert [row["record_key"] for row in accepted] == [
        "spotify:6f807x0ima9a1j3VPbc7VN", "spotify:0r7CVbZTWZgbTCYdfa2P31",
    ]  # fmt: skip
    assert given(accepted[0]) == {
        "track_id": "6f807x0ima9a1j3VPbc7VN", "title": "Invented Song One",
        "artist_name": "Somebody;Somebody Else", "album": "An Album", "duration": 194.754,
        "key": 6, "mode": 1, "tempo": 122.036,
    }  # fmt: skip
    assert (accepted[1]["key"], accepted[1]["mode"]) == (1, 0)


@pytest.mark.parametrize(
    ("key", "expected"), [("C", 0), ("Db", 1), ("a#", 10), ("B", 11), ("H", None), ("-1", None)]
)
def test_keys_have_names(key, expected):
    [row], _ = read((HEADER + ONE.replace(",6,1,", f",{key},1,")).encode())
    assert row["key"] == expected


def test_artists_as_a_list_of_python():
    header = HEADER.replace("track_id,track_name", "id,name")
    artists = "\"['Somebody', 'Somebody Else']\""
    [row], _ = read((header + ONE.replace("Somebody;Somebody Else", artists)).encode())
    assert row["artist_name"] == "Somebody;Somebody Else"


def test_another_id_is_refused_by_row_and_a_table_without_names_as_a_whole():
    _, rejected = read((HEADER + ONE.replace("6f8", "TR")).encode())
    assert reasons(rejected) == [(2, "bad_id")]
    with pytest.raises(UnreadableObject, match="track_name, artists and duration_ms"):
        chunks(b"track_id,popularity\n6f807x0ima9a1j3VPbc7VN,1\n")
