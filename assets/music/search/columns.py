"""Fields of the two search indexes, and where each comes from, as Dagster shows them.

Belongs here: names, types, descriptions, lineage. Does not: the schemas that servers are given.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from assets.music.pipeline import MUSIC

DETAILS_KEY = MUSIC.key("gold_song_details")
LYRICS_KEY = MUSIC.key("song_lyrics")

#: Field: type, description, what it is made of.
_Fields = Mapping[str, tuple[str, str, tuple[tuple[dg.AssetKey, str], ...]]]


def _details(*columns: str) -> tuple[tuple[dg.AssetKey, str], ...]:
    return tuple((DETAILS_KEY, column) for column in columns)


_LYRICS = ((LYRICS_KEY, "text"), (LYRICS_KEY, "words"))

_SONGS: _Fields = {
    "id": ("string", "Key of the song.", _details("song_key")),
    "song_key": ("string", "The same, to sort by.", _details("song_key")),
    "title": ("string", "Title; absent when unknown.", _details("title")),
    "artist": ("string", "Credit of the song's first artist.", _details("artist")),
    "artists": ("string[]", "All artists, in their order.", _details("artists")),
    "album": ("string", "Album; absent when unknown.", _details("album")),
    "genre": ("string", "Facet; absent when unknown.", _details("genre")),
    "genre_code": ("string", "Stands for the genre in filters.", _details("genre")),
    "year": ("int32", "Facet; year of release, absent when unknown.", _details("year")),
    "lyrics": ("string", "Lyrics, or their words, most frequent first.", _LYRICS),
    "row_hash": ("string", "Of the song's details and lyrics.", _details("row_hash")),
}
_PASSAGES: _Fields = {
    "chunk_id": ("string", "<song_key>#<number from 0>.", _details("song_key")),
    "song_key": ("string", "Key of the song.", _details("song_key")),
    "passage": ("int64", "Number within the song, from 0.", _LYRICS),
    "kind": ("string", "text, or words for a bag of words.", _LYRICS),
    "row_hash": ("string", "128-bit BLAKE2b of all passages of the song, hex.", _LYRICS),
    "text": ("string", "Whole verses, at most 600 characters.", _LYRICS),
    "sparse": ("sparse vector", "Made of the text by the server, searched by BM25.", _LYRICS),
    "vector": ("float32[1024]", "Embedding of the text, compared by cosine.", _LYRICS),
}


def _schema(fields: _Fields) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(name, kind, text) for name, (kind, text, _) in fields.items()]
    )


def _lineage(fields: _Fields) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(key, column) for key, column in made_of]
            for name, (_, _, made_of) in fields.items()
        }
    )


SONGS_SCHEMA, SONGS_LINEAGE = _schema(_SONGS), _lineage(_SONGS)
PASSAGES_SCHEMA, PASSAGES_LINEAGE = _schema(_PASSAGES), _lineage(_PASSAGES)
