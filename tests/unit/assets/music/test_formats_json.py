from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from assets.formats import json_text
from assets.formats.json_text import read_document
from assets.music.bronze.formats.lyrics import credited
from assets.music.bronze.records import fingerprint
from landing.batch.chunks import UnreadableObject
from tests.unit.assets.music.format_files import Trickle, chunks, given, read, reasons

SONG = {
    "title": "Soul Deep", "artist": "The Box Tops;Alex Chilton", "duration": 148.03546,
    "artist_location": "Memphis, TN", "album": "Dimensions", "tempo": 121.274, "key": 6.0,
    "loudness": -9.843, "mode": 0.0, "time_signature": 4, "lyrics": "Darling\r\nI don't know\x00",
}  # fmt: skip
OBJECT = {
    "num_songs": 1, "artist_id": "ARMJAGH1187FB546F3", "artist_latitude": 35.14968,
    "artist_longitude": None, "artist_location": "", "artist_name": "The Box Tops",
    "song_id": "SOCIWDW12A8C13D406", "title": "Soul Deep", "duration": 148, "year": 0,
}  # fmt: skip
HYMN = {
    "id": 1, "title": "Alas!", "author": "Isaac Watts & Anon. (1707)", "meter": "C.M.",
    "verses": [["one", "two"], ["three"]], "chorus": ["sing"], "addedChorus": ["amen"],
}  # fmt: skip


def test_an_array_of_songs():
    accepted, rejected = read(json.dumps([SONG, {**SONG, "lyrics": None, "album": ""}]).encode())
    assert rejected == []
    assert given(accepted[0]) == {
        "title": "Soul Deep", "artist_name": "The Box Tops;Alex Chilton", "duration": 148.03546,
        "artist_location": "Memphis, TN", "album": "Dimensions", "tempo": 121.274, "key": 6,
        "loudness": -9.843, "mode": 0, "time_signature": 4,
        "lyrics_text": "Darling\nI don't know",
    }  # fmt: skip
    assert [row["line"] for row in accepted] == [1, 2]
    assert accepted[0]["format"] == "song_list"
    names = ("The Box Tops;Alex Chilton", "Soul Deep", "Dimensions")
    assert accepted[0]["record_key"] == f"song_list:{fingerprint(*names)}"
    assert json.loads(accepted[0]["text"]) == SONG
    assert accepted[1]["lyrics_text"] is accepted[1]["album"] is None


def test_an_object_takes_its_track_from_the_files_name():
    data = json.dumps(OBJECT).encode()
    [row], _ = read(data, "A/A/TRAAABD128F429CF47.json")
    assert given(row) == {
        "artist_id": "ARMJAGH1187FB546F3", "artist_latitude": 35.14968,
        "artist_name": "The Box Tops", "song_id": "SOCIWDW12A8C13D406", "title": "Soul Deep",
        "duration": 148.0, "track_id": "TRAAABD128F429CF47",
    }  # fmt: skip
    assert row["record_key"] == "song_object:TRAAABD128F429CF47"
    [row], _ = read(data, "song.json")
    assert row["record_key"] == "song_object:SOCIWDW12A8C13D406"
    # The name of a file of several says nothing of any of them.
    rows, _ = read(json.dumps([OBJECT]).encode(), "A/A/TRAAABD128F429CF47.json")
    assert rows[0]["track_id"] is None


def test_lyrics_in_the_order_in_which_they_are_sung():
    for document in (HYMN, [HYMN]):
        [row], _ = read(json.dumps(document).encode())
        assert given(row) == {
            "title": "Alas!",
            "artist_name": "Isaac Watts & Anon.",
            "year": 1707,
            "lyrics_text": "one\ntwo\n\nsing\n\nthree\n\namen",
        }
        assert row["record_key"] == f"lyrics:{fingerprint('Isaac Watts & Anon.', 'Alas!', '')}"


@pytest.mark.parametrize(
    ("author", "name", "year"),
    [
        ("John Newton (1779)", "John Newton", 1779),
        ("Rippon's & Richard Keen (1787) (1788)", "Rippon's & Richard Keen", 1788),
        ("Philip Doddridge (c. 1755)", "Philip Doddridge", 1755),
        ("Frederick Whitfield (©1855)", "Frederick Whitfield", 1855),
        ("Isaac Watts 1709", "Isaac Watts", 1709),
        ("Frances (Fanny) Jane Crosby", "Frances (Fanny) Jane Crosby", None),
        ("Rous & (1650) Psalter", "Rous & (1650) Psalter", None),
        ("Blink-182", "Blink-182", None),
        ("The 1975", "The 1975", None),
        ("Anne Ross Cousin  1878", "Anne Ross Cousin", 1878),
        ("(1650)", None, 1650),
        (None, None, None),
    ],
)
def test_the_author_may_end_in_the_year(author, name, year):
    assert credited(author) == (name, year)


def test_a_bad_entry_does_not_harm_its_neighbours():
    bad = [
        (7, "unknown_entry"),
        (None, "unknown_entry"),
        ({"name": "Ann"}, "unknown_entry"),
        ({**SONG, "title": 6.5}, "bad_text"),
        ({**SONG, "title": "x" * 9_000}, "too_long"),
        ({**SONG, "title": "", "artist": ""}, "no_identity"),
        ({**SONG, "title": "half \ud83d"}, "bad_encoding"),
        ({**HYMN, "verses": "la la"}, "bad_lyrics"),
        ({**HYMN, "verses": [[1]]}, "bad_lyrics"),
    ]
    accepted, rejected = read(json.dumps([SONG, *(entry for entry, _ in bad), SONG]).encode())
    assert [row["line"] for row in accepted] == [1, len(bad) + 2]
    assert reasons(rejected) == [(n, reason) for n, (_, reason) in enumerate(bad, start=2)]
    assert json.loads(rejected[3]["text"])["title"] == 6.5


def test_a_bad_value_is_noted_and_costs_the_song_nothing():
    entries = [SONG, {**SONG, "key": "C#"}, {**SONG, "tempo": -3}, {**SONG, "key": 6.5}]
    (chunk,) = chunks(json.dumps(entries).encode())
    assert len(chunk.accepted) == 4
    assert chunk.notes == {"no such key": 2, "no such tempo": 1}


def test_objects_one_after_another_are_entries():
    lines = [json.dumps({**SONG, "title": f"Song {n}"}) for n in range(3)]
    for text in ("\n".join(lines), " ".join(lines) + "\n\n"):
        accepted, rejected = read(text.encode(), "TRAAAAW128F429D538.json")
        assert [row["title"] for row in accepted] == ["Song 0", "Song 1", "Song 2"]
        assert [row["line"] for row in accepted] == [1, 2, 3]
        assert rejected == []
    accepted, rejected = read((lines[0] + "\n{broken}\n" + lines[1] + "\nrest").encode())
    assert [row["title"] for row in accepted] == ["Song 0", "Song 1"]
    assert reasons(rejected) == [(2, "bad_json"), (4, "bad_json")]


PAINTING = {"title": "Mona Lisa", "artist": "Leonardo", "year": 1503, "museum": "Louvre"}


def test_a_painting_is_no_song():
    with pytest.raises(UnreadableObject) as caught:
        chunks(json.dumps([PAINTING, {**PAINTING, "genre": "portrait"}]).encode())
    assert caught.value.reason == "unknown_format"
    assert "title, artist, year, museum" in caught.value.detail


def test_a_song_of_lastfm_has_its_track_and_its_first_tag():
    entry = {
        "artist": "The Box Tops", "timestamp": "2011-08-02 20:13:25.674526", "title": "Soul Deep",
        "similars": [["TRCCOFQ128F4285A9E", 1]], "tags": [["60s", "50"], ["soul", "100"]],
        "track_id": "TRAAABD128F429CF47",
    }  # fmt: skip
    [row], rejected = read(json.dumps(entry).encode())
    assert rejected == []
    assert row["record_key"] == "lastfm:TRAAABD128F429CF47"
    assert given(row) == {
        "track_id": "TRAAABD128F429CF47", "title": "Soul Deep", "artist_name": "The Box Tops",
        "genre": "soul",
        "tags": [{"name": "60s", "weight": 50.0}, {"name": "soul", "weight": 100.0}],
        "similars": [{"track_id": "TRCCOFQ128F4285A9E", "score": 1.0}],
    }  # fmt: skip
    _, rejected = read(json.dumps({**entry, "track_id": "6f807x0ima9a1j3VPbc7VN"}).encode())
    assert reasons(rejected) == [(1, "bad_id")]


def test_of_lastfms_lists_only_what_can_be_is_kept():
    entry = {
        "artist": "A", "title": "B", "track_id": "TRAAABD128F429CF47",
        "tags": [["a", "x"], ["", "1"], "b", ["c", "101"], ["d"], ["e", "0"], ["F", 7]],
        "similars": [["6f807x0ima9a1j3VPbc7VN", 0.5], ["TRCCOFQ128F4285A9E", 2], 7],
    }  # fmt: skip
    [chunk] = chunks(json.dumps(entry).encode())
    [row] = chunk.accepted.iter_rows(named=True)
    assert row["tags"] == [{"name": "e", "weight": 0.0}, {"name": "F", "weight": 7.0}]
    assert (row["genre"], row["similars"]) == ("F", None)
    assert chunk.notes == {"no such tags": 1, "no such similars": 1}


def test_syntax_errors_stay_in_their_entry():
    good = json.dumps(SONG)
    deep = "[" * 100_000 + "]" * 100_000
    broken = [
        "{'title': 1}",
        '{"a": 1,}',
        "nan",
        '{"a": [1 2]}',
        deep,
        "1" * 5_000,
        "",
        '{"a" "b"}',
    ]
    accepted, rejected = read(("[" + ",\n".join([good, *broken, good]) + "]").encode())
    assert [row["line"] for row in accepted] == [1, len(broken) + 2]
    assert [row["line"] for row in rejected] == list(range(2, len(broken) + 2))
    assert {row["reason"] for row in rejected} == {"bad_json"}
    at = len(good) + 3
    assert f"character {at + 2}, line 2" in rejected[0]["detail"]
    assert "nested too deeply" in rejected[4]["detail"]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("", "ends too early"),
        (",", "Expecting value"),
        (',{"title": "cut', "Unterminated string"),
        (',{"title": [1', "ends too early|Expecting"),
        ("} ]", "expected a comma"),
        (' {"title": "no comma"}]', "expected a comma"),
        ("] trailing", "text after the end"),
        (",]", "Expecting value"),
    ],
)
def test_what_is_broken_for_good_is_one_reject(end, said):
    accepted, [rejected] = read(f"[{json.dumps(SONG)}{end}".encode())
    assert len(accepted) == 1
    assert (rejected["line"], rejected["reason"]) == (2, "bad_json")
    assert any(part in rejected["detail"] for part in said.split("|"))
    assert "character" in rejected["detail"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"num_songs": 1, "title": "Ha', "bad_json"),
        (b"{} {}", "unknown_format"),
        (b"{} x", "bad_json"),
        (b"[", "bad_json"),
        (b"[section]\nkey = 1\n", "bad_json"),
        (b"{" * 50_000, "bad_json"),
        (b"[" * 50_000 + b"]" * 50_000, "bad_json"),
        (b"{}", "unknown_format"),
        (b'{"name": "Ann"}', "unknown_format"),
        (b'[1, 2, {"title": "only"}]', "unknown_format"),
        ("[{}]".encode("utf-16"), "unknown_format"),
    ],
)
def test_an_object_without_any_song_is_refused(data, reason):
    with pytest.raises(UnreadableObject) as caught:
        chunks(data)
    assert caught.value.reason == reason
    assert caught.value.detail
    if reason == "bad_json":
        assert "character" in caught.value.detail


def test_an_empty_array_holds_nothing():
    assert chunks(b" [ ]\n") == []


def test_bytes_that_are_no_utf8_are_refused_with_their_entry():
    good = json.dumps(SONG).encode()
    bad = json.dumps({**SONG, "title": "caf#"}).encode().replace(b"#", b"\xe9")
    accepted, rejected = read(b"\xef\xbb\xbf[" + good + b"," + bad + b"," + good + b"]")
    assert [row["line"] for row in accepted] == [1, 3]
    assert reasons(rejected) == [(2, "bad_encoding")]
    assert "caf\\xe9" in rejected[0]["text"]


def test_lenient_json_is_taken():
    data = b'[{"title": "a", "title": "b\x00\n", "artist": "x", "tempo": NaN, "key": -1}]'
    [row], rejected = read(data)
    assert rejected == []
    assert given(row) == {"title": "b", "artist_name": "x"}


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@examples(
    entries=st.lists(values, max_size=12),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    block=st.integers(1, 64),
    bom=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_entries_are_what_the_json_module_reads(entries, indent, ascii_only, block, bom):
    text = json.dumps(entries, indent=indent, ensure_ascii=ascii_only)
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    found = list(read_with_blocks(data, block))
    assert [entry.problem for entry in found] == [None] * len(entries)
    assert [entry.number for entry in found] == list(range(1, len(entries) + 1))
    assert json.dumps([entry.value for entry in found]) == json.dumps(entries)
    assert all(json.dumps(json.loads(entry.text)) == json.dumps(entry.value) for entry in found)


@examples(
    parts=st.lists(
        st.sampled_from(["[", "]", "{", "}", ",", ":", '"', "a", " ", "\n", "1", "null", "\\"]),
        max_size=25,
    ),
    block=st.integers(1, 9),
)
@settings(max_examples=500, deadline=None)
def test_reading_always_ends_and_does_not_depend_on_blocks(parts, block):
    data = ("[" + "".join(parts)).encode()
    found = list(read_with_blocks(data, block))
    assert [entry.number for entry in found] == list(range(1, len(found) + 1))
    assert not any(entry.last for entry in found[:-1])
    whole = list(read_with_blocks(data, 1 << 20))
    assert [(e.number, e.value, e.problem is None) for e in found] == [
        (e.number, e.value, e.problem is None) for e in whole
    ]
    try:
        expected = json.loads(data, strict=False)
    except ValueError:
        assert any(entry.problem for entry in found)
    else:
        assert [entry.value for entry in found] == expected


def read_with_blocks(data: bytes, block: int):
    before = json_text.BLOCK_BYTES
    json_text.BLOCK_BYTES = block
    try:
        yield from read_document(Trickle(data, block)).entries
    finally:
        json_text.BLOCK_BYTES = before


def test_an_entry_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(json_text, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(json_text, "ENTRY_CHARACTERS", 10_000)

    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            self.taken += size
            return b"x" * size

    rest = Endless()
    joined: Any = Joined(b'[1, "', rest)
    document = read_document(joined)
    first, second = document.entries
    assert first.value == 1
    assert second.last
    assert "within 10000 characters" in second.problem
    assert rest.taken < 50_000


class Joined(io.RawIOBase):
    def __init__(self, head: bytes, rest: io.RawIOBase) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._rest.read(size)


def test_a_long_array_is_read_in_chunks_of_bounded_size():
    entries = [{**SONG, "title": f"Song {n}"} for n in range(4_500)]
    found = chunks(Trickle(json.dumps(entries).encode(), 4_097))
    assert [len(chunk.accepted) for chunk in found] == [2_000, 2_000, 500]
    keys = {key for chunk in found for key in chunk.accepted["record_key"]}
    assert len(keys) == 4_500
