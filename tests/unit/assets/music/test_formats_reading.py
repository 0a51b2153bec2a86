from __future__ import annotations

import gzip
import io
import json
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, settings
from hypothesis import given as examples
from hypothesis import strategies as st

from assets.music.bronze.formats.sniffing import read_records
from landing.batch.chunks import UnreadableObject
from samples.music_formats import extract_header, extract_row, hdf5, song_object
from samples.music_songs import made
from tests import processes
from tests.unit.assets.music.format_files import Trickle, chunks, read, version

SONGS = made(16, seed=1)
FILES = {
    "hdf5": hdf5(SONGS[:1]),
    "song_object": song_object(SONGS[0]),
    "song_list": b'\n [{"title": "a", "artist": "b", "tempo": 120}]',
    "spotify": b"track_id,track_name,artists,duration_ms\n6f807x0ima9a1j3VPbc7VN,a,b,1000\n",
    "lastfm": b'{"artist": "b", "tags": [], "track_id": "TRAAABD128F429CF47", "title": "a"}',
    "unique_tracks": b"TRAAABD128F429CF47<SEP>SOBNYVR12A8C13558C<SEP>b<SEP>a\n",
    "genres": b"# a comment\nTRAAABD128F429CF47\tPop_Rock\n",
    "lyrics": b'{"title": "a", "author": "b", "verses": []}',
    "musixmatch": b"# a comment\n%i,the\nTRA,1,1:1\n",
    "extract": (extract_header() + extract_row(1, SONGS[0])).encode(),
}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("suffix", [".h5", ".json", ".txt", ".csv", ""])
@pytest.mark.parametrize("reads", [1, 7, 1 << 20])
def test_the_content_tells_the_format_and_not_the_name(form, suffix, reads):
    if form == "hdf5" and reads < 7:
        reads = 1_000
    [row], rejected = read(Trickle(FILES[form], reads), f"folder/some{suffix}")
    assert rejected == []
    assert row["format"] == form


@pytest.mark.parametrize("form", FILES)
def test_what_is_compressed_is_read_all_the_same(form):
    [row], rejected = read(gzip.compress(FILES[form]))
    assert rejected == []
    assert row["format"] == form


@pytest.mark.parametrize("form", [form for form in FILES if form != "hdf5"])
def test_a_byte_order_mark_is_skipped(form):
    [row], _ = read(b"\xef\xbb\xbf" + FILES[form])
    assert row["format"] == form


def test_musixmatchs_table_of_stems_is_refused_in_words_of_its_own():
    for data in (b"hatr<SEP>hatred\r\nfour<SEP>four\r\n", "día<SEP>día".encode()):
        with pytest.raises(UnreadableObject) as caught:
            chunks(data)
        assert caught.value.reason == "unknown_format"
        assert "table of stems" in caught.value.detail


@pytest.mark.parametrize(
    "data", [b"", b" \n", b"\xef\xbb\xbf", b"\x00" * 100, b"PAR1", gzip.compress(b"PAR1", mtime=0)]
)
def test_what_is_none_of_the_formats_is_refused(data):
    with pytest.raises(UnreadableObject) as caught:
        chunks(data)
    assert caught.value.reason == "unknown_format"


@examples(
    st.sampled_from([b"", b"{", b"[", b'[{"title":', b"%a,b\n", b"#\n%a,b\n", b"tid,title\n",
                     b"\xef\xbb\xbf", b"\x89HDF\r\n\x1a\n", *FILES.values()]),
    st.binary(max_size=80),
    st.integers(1, 100_000),
)  # fmt: skip
@example(FILES["hdf5"][:2_000], b"", 500)
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_rows_or_refused(head, tail, reads):
    try:
        found = chunks(Trickle(head + tail, max(reads, len(head) // 100)))
        outcome = "read"
    except UnreadableObject as error:
        found, outcome = [], error.reason
        original = error.text[0]
        original.encode()
    reasons = ("bad_json", "corrupt_hdf5", "not_a_song_file", "external_link", "bad_header",
               "bad_gzip", "archive", "bad_encoding")  # fmt: skip
    assert outcome in {"read", "unknown_format", *reasons}
    for chunk in found:
        rows = len(chunk.accepted) + len(chunk.rejected)
        over_lines = any("\n" in text for text in chunk.accepted["text"])
        assert chunk.lines == chunk.blank_lines + rows or over_lines


@pytest.mark.parametrize("form", FILES)
def test_equal_content_has_equal_hashes(form):
    [one], _ = read(FILES[form])
    [two], _ = read(FILES[form])
    assert one["row_hash"] == two["row_hash"]


def test_the_hash_is_of_all_content():
    song = {"title": "a", "artist": "b", "tempo": 100}
    hashes = {
        read(json.dumps([{**song, **change}]).encode())[0][0]["row_hash"]
        for change in ({}, {"tempo": 101}, {"lyrics": "la"}, {"key": 0}, {"title": "A"})
    }
    assert len(hashes) == 5


def test_memory_does_not_grow_with_the_file():
    class Songs(io.RawIOBase):
        """An array of so many songs, made as it is read."""

        def __init__(self, count: int) -> None:
            entry = '{{"title": "Song {}", "artist": "x", "lyrics": "' + "la " * 100 + '"}}'
            self._parts = (("[" if n == 0 else ",") + entry.format(n) for n in range(count))
            self._rest = b""
            self._ended = False

        def read(self, size: int = -1) -> bytes:
            while len(self._rest) < size and not self._ended:
                part = next(self._parts, None)
                self._ended = part is None
                self._rest += b"]" if part is None else part.encode()
            found, self._rest = self._rest[:size], self._rest[size:]
            return found

    def peak(count: int) -> int:
        tracemalloc.start()
        stream: Any = Songs(count)
        rows = sum(len(chunk.accepted) for chunk in read_records(stream, version()))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == count
        return found

    peak(10)
    assert peak(24_000) < 1.3 * peak(8_000)


def test_knowing_the_pipeline_loads_no_reader():
    code = "import sys, assets.music.pipeline; print(*sys.modules)"
    loaded = processes.output_of([sys.executable, "-c", code])
    assert not {"h5py", "polars"} & set(loaded.split())
