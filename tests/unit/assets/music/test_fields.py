from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.formats.values import BadValueError
from assets.music.bronze import fields
from assets.music.bronze.records import fingerprint


def reason(raw: dict, form: Any = "hdf5") -> str:
    with pytest.raises(BadValueError) as caught:
        fields.record(form, {"title": "Home", **raw})
    return caught.value.reason


def bad_values(raw: dict) -> list[str]:
    """The columns whose values could not be; the song stays, without them."""
    record = fields.record("hdf5", {"title": "Home", **raw})
    assert record["title"] == "Home"
    assert not raw.keys() & record.keys()
    return record[fields.BAD_VALUES]


def value(column: str, raw: object) -> object:
    return fields.record("hdf5", {"title": "Home", column: raw}).get(column)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  Home \n", "Home"),
        ("a\x00b", "ab"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x00 \r", None),
        ("", None),
        (None, None),
        ("Die Ärzte".encode(), "Die Ärzte"),
        (1999, "1999"),
        ("Either/Or? #1; yes", "Either/Or? #1; yes"),
    ],
)
def test_text_is_cleaned(raw, clean):
    assert value("artist_name", raw) == clean


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"caf\xe9", "bad_encoding"),
        ("half \ud83d a pair", "bad_encoding"),
        (["a"], "bad_text"),
        (True, "bad_text"),
        (1.5, "bad_text"),
        ("é" * 4097, "too_long"),
    ],
)
def test_what_is_no_text_is_refused(raw, expected):
    assert reason({"artist_name": raw}) == expected


@pytest.mark.parametrize("raw", ["NA", "nan", "", "  ", "None", "null", math.nan, None, "NaN"])
@pytest.mark.parametrize("column", ["tempo", "key", "year", "song_hotttnesss"])
def test_there_is_no_number(column, raw):
    assert value(column, raw) is None


@pytest.mark.parametrize(
    ("column", "raw", "expected"),
    [
        ("key", 6.0, 6), ("key", "6", 6), ("key", "6.0", 6), ("key", 0, 0), ("key", 11, 11),
        ("key", -1, None), ("mode", -1.0, None), ("mode", 1.0, 1), ("mode", 0, 0),
        ("year", 0, None), ("year", "0", None), ("year", 1969, 1969), ("year", 1000, 1000),
        ("year", 2100, 2100), ("tempo", 0, None), ("tempo", 0.0, None), ("tempo", "120.5", 120.5),
        ("tempo", 500, 500.0), ("duration", 86_400, 86_400.0), ("loudness", -100, -100.0),
        ("loudness", 20, 20.0), ("artist_latitude", -90, -90.0), ("artist_longitude", 180, 180.0),
        ("danceability", 0, None), ("energy", 0.0, None), ("danceability", 0.5, 0.5),
        ("time_signature", 0, 0), ("song_hotttnesss", 0.0, 0.0), ("album_release_id", -1, None),
        ("album_release_id", 300_822, 300_822), ("end_of_fade_in", 0, 0.0),
        ("album_release_id", "123456789012345678", 123_456_789_012_345_678),
    ],
)  # fmt: skip
def test_numbers_are_taken(column, raw, expected):
    found = value(column, raw)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("column", "raw"),
    [
        ("key", 6.5), ("key", "6.5"), ("key", True), ("mode", "major"), ("tempo", "fast"),
        ("tempo", math.inf), ("tempo", "1e999"), ("tempo", [1]), ("tempo", 10**400),
        ("duration", "1_000"), ("year", "19٣٣"), ("loudness", {"db": 1}), ("key", math.inf),
        ("tempo", "9" * 500), ("song_hotttnesss", -math.inf), ("tempo", b"1"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_no_value(column, raw):
    assert bad_values({column: raw}) == [column]


@pytest.mark.parametrize(
    ("column", "raw"),
    [
        ("key", 12), ("key", -2), ("mode", 2), ("tempo", -1), ("tempo", 500.1), ("duration", 0),
        ("duration", 86_400.5), ("duration", -1), ("year", 999), ("year", 2101), ("year", -1),
        ("artist_latitude", 90.1), ("artist_longitude", -180.1), ("loudness", -100.1),
        ("loudness", 20.1), ("time_signature", 40_000), ("album_release_id", 2**63),
        ("key", 10**30),
    ],
)  # fmt: skip
def test_what_no_song_can_have_is_no_value(column, raw):
    assert bad_values({column: raw}) == [column]


def test_several_bad_values_cost_one_song_nothing_else():
    raw = {"key": "C#", "duration": "3:45", "tempo": 120.0, "artist_latitude": 999, "year": 1999}
    record = fields.record("hdf5", {"title": "Home", "artist_name": "Ann", **raw})
    assert record[fields.BAD_VALUES] == ["key", "duration", "artist_latitude"]
    assert (record["tempo"], record["year"]) == (120.0, 1999)


def test_an_empty_title_of_an_artist_is_one():
    record = fields.record("song_list", {"title": "", "artist_name": "Ann", "album": "Best"})
    assert record["title"] == ""
    assert record["record_key"] == f"song_list:{fingerprint('Ann', '', 'Best')}"
    assert "title" not in fields.record("hdf5", {"title": "", "track_id": "TR1"})


@given(
    st.sampled_from(
        ["key", "tempo", "year", "album_release_id", "title", "song_id", "lyrics_text"]
    ),
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.lists(st.integers()), st.integers(10**300, 10**310),
    ),
)  # fmt: skip
def test_any_value_is_taken_or_refused(column, raw):
    try:
        found = fields.record("hdf5", {"track_id": "TR1", column: raw})
        outcome = "taken" if found.get(column) != "" else "empty"
    except BadValueError as error:
        outcome = error.reason
    reasons = {"bad_number", "out_of_range", "bad_text", "bad_encoding", "bad_id"}
    assert outcome in {"taken", *reasons}


@pytest.mark.parametrize(
    ("form", "raw", "key"),
    [
        ("hdf5", {"track_id": "TRA", "song_id": "SOA"}, "hdf5:TRA"),
        ("hdf5", {"song_id": "SOA"}, "hdf5:SOA"),
        ("extract", {"track_id": "TRA", "title": "x"}, "extract:TRA"),
        ("song_object", {"track_id": "TRA", "song_id": "SOA"}, "song_object:TRA"),
        ("song_object", {"song_id": "SOA"}, "song_object:SOA"),
        ("song_object", {"title": "x"}, f"song_object:{fingerprint(None, 'x', None)}"),
        ("song_list", {"title": "x", "song_id": "SOA"}, f"song_list:{fingerprint('', 'x', '')}"),
        ("lyrics", {"title": "x", "artist_name": "y"}, f"lyrics:{fingerprint('y', 'x', '')}"),
        ("musixmatch", {"track_id": "TRA"}, "musixmatch:TRA"),
    ],
)
def test_a_record_has_its_formats_key(form, raw, key):
    assert fields.record(form, raw)["record_key"] == key


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("hdf5", {}),
        ("hdf5", {"title": " \x00", "artist_name": "y"}),
        ("song_list", {"song_id": "SOA"}),
        ("lyrics", {"artist_name": "y", "lyrics_text": "la"}),
    ],
)
def test_a_row_that_names_no_song_is_refused(form, raw):
    with pytest.raises(BadValueError) as caught:
        fields.record(form, raw)
    assert caught.value.reason == "no_identity"


def test_a_fingerprint_needs_a_title_and_forgives_spelling():
    assert "fingerprint" not in fields.record("hdf5", {"track_id": "TRA", "artist_name": "y"})
    one = fields.record(
        "song_list", {"title": "\uff23\uff41f\xe9  Blue", "artist_name": " STRASSE\n"}
    )
    two = fields.record("song_list", {"title": "cafe\u0301 blue", "artist_name": "straße"})
    assert one["record_key"] == two["record_key"]


@pytest.mark.parametrize("raw", ["TR A", "x" * 101, "TRÄ", "TR\n1"])
def test_an_id_is_short_ascii(raw):
    assert reason({"track_id": raw}) == "bad_id"


@pytest.mark.parametrize(
    ("key", "track"),
    [
        ("A/B/TRAAAAW128F429D538.json", "TRAAAAW128F429D538"),
        ("TRAAAAW128F429D538", "TRAAAAW128F429D538"),
        ("a/TRAAAAW128F429D538.json.copy", "TRAAAAW128F429D538"),
        ("TRAAAAW128F429D538/song.json", None),
        ("traaaaw128f429d538.json", None),
        ("TRAAAAW128F429D5389.json", None),
        ("", None),
    ],
)
def test_a_track_id_is_found_in_the_files_name(key, track):
    assert fields.track_id_in(key) == track


def test_terms_without_name_are_left_out():
    assert fields.terms("artist_terms", [b"pop", b"", "a\x00b"], [0.5, 1.0, math.nan]) == [
        {"name": "pop", "weight": 0.5},
        {"name": "ab", "weight": None},
    ]
    assert fields.terms("artist_terms", [], []) is None
    with pytest.raises(BadValueError, match="bad_encoding"):
        fields.terms("artist_terms", [b"\xff"], [1])
