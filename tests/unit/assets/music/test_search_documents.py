"""What a song's document says, without a server."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from assets.music.registry.search import PASSAGES, SONGS
from assets.music.search import song_documents
from assets.music.search.passages import Lyrics
from assets.music.search.song_rows import Song
from tests import processes

SONG = Song("SO1", "Title", "A", ("A", "B"), "Album", "R&B", 1999, "h1", Lyrics("la la"))
BARE = Song("SO2", None, None, (), None, None, None, "h2", Lyrics())


def test_a_document_has_what_the_song_has() -> None:
    assert song_documents.document(SONG) == {
        "id": "SO1", "song_key": "SO1", "title": "Title", "artist": "A", "artists": ["A", "B"],
        "album": "Album", "genre": "R&B", "genre_code": song_documents.genre_code("r&b "),
        "year": 1999, "lyrics": "la la", "row_hash": "h1",
    }  # fmt: skip
    assert song_documents.document(BARE) == {
        "id": "SO2", "song_key": "SO2", "artists": [], "row_hash": "h2",
    }  # fmt: skip


def test_a_bag_of_words_is_not_taken_for_lyrics() -> None:
    words = [{"word": "babi", "count": 1}, {"word": "littl", "count": 3}]
    document = song_documents.document(replace(BARE, lyrics=Lyrics(None, words)))
    assert document.get("stems") == "littl babi"
    assert "lyrics" not in document
    document = song_documents.document(replace(BARE, lyrics=Lyrics("a text", words)))
    assert document.get("lyrics") == "a text"
    assert "stems" not in document


def test_every_field_of_a_document_is_declared_and_shown() -> None:
    nobody: Any = None
    fields = song_documents.store(nobody, "songs").fields
    assert list(fields.values()) == [
        {"name": "song_key", "type": "string", "sort": True},
        {"name": "title", "type": "string", "optional": True},
        {"name": "artist", "type": "string", "optional": True},
        {"name": "artists", "type": "string[]", "facet": True},
        {"name": "album", "type": "string", "optional": True},
        {"name": "genre", "type": "string", "facet": True, "optional": True},
        {"name": "genre_code", "type": "string", "optional": True},
        {"name": "year", "type": "int32", "facet": True, "optional": True},
        {"name": "lyrics", "type": "string", "optional": True},
        {"name": "stems", "type": "string", "optional": True},
        {"name": "row_hash", "type": "string", "index": False, "optional": True},
    ]
    assert {*song_documents.document(SONG), "stems"} == {*fields, "id"}
    assert {column.name for column in SONGS.column_schema().columns} == {*fields, "id"}
    assert {"chunk_id", "vector", "sparse"} < set(PASSAGES.names)


def test_genre_codes_keep_genres_apart_and_cannot_leave_a_filter() -> None:
    genres = ["R&B", "RB", "R & B", "hip hop", "hip-hop", "`", "`]||x:=1", "Ünï", ""]
    codes = {song_documents.genre_code(genre) for genre in genres}
    assert len(codes) == len(genres)
    assert all(code.isalnum() and len(code) == 32 for code in codes)
    assert song_documents.genre_code(" HIP  hop") == song_documents.genre_code("hip hop")


def test_the_assets_are_cheap_to_import() -> None:
    code = (
        "import sys, assets.music.search.assets;"
        "print(sorted({'polars', 'numpy', 'pymilvus', 'typesense', 'openai', 'psycopg', 'httpx'}"
        " & set(sys.modules)))"
    )
    assert processes.output_of([sys.executable, "-c", code]).strip() == "[]"
