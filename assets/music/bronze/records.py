"""The bronze record: what any file says of one song, in one typed row.

Belongs here: the columns and their types, and a record's identity. Does not: any format
(``formats/``), nor what becomes of records of the same song (``silver``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal, get_args

import polars as pl  # noqa: TID253

Format = Literal["hdf5", "extract", "song_list", "song_object", "lyrics", "musixmatch"]

#: From the best source of a song's fields to the least.
FORMATS: tuple[Format, ...] = get_args(Format)
RANKS: dict[str, int] = {name: rank for rank, name in enumerate(FORMATS, start=1)}

KEY_BYTES = 200
_FINGERPRINT_DIGITS = 32

#: A term or tag of the artist: its weight (0 to 1, Echo Nest terms) or count (MusicBrainz tags).
_TERM = pl.Struct({"name": pl.String, "weight": pl.Float64})
_WORD = pl.Struct({"word": pl.String, "count": pl.Int32})

#: Units: duration, fades in seconds; tempo in beats per minute; loudness in dB; coordinates in
#: degrees; confidences and hotness 0 to 1.
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "record_key": pl.String,
    "row_hash": pl.String,
    "format": pl.String,
    "song_id": pl.String,
    "track_id": pl.String,
    "fingerprint": pl.String,
    "title": pl.String,
    "artist_name": pl.String,
    "artist_id": pl.String,
    "artist_mbid": pl.String,
    "artist_location": pl.String,
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
    "artist_terms": pl.List(_TERM),
    "artist_mbtags": pl.List(_TERM),
    "lyrics_words": pl.List(_WORD),
}
SCHEMA = pl.Schema(_COLUMNS)

#: Columns that say something of the song; the rest identifies the record.
CONTENT = tuple(name for name in SCHEMA if name not in {"record_key", "row_hash"})


def normalised(text: str | None) -> str:
    """For comparison: NFKC, casefolded, white space collapsed; empty for None."""
    return " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())


def fingerprint(artist: str | None, title: str | None, album: str | None) -> str:
    """32 hex digits that stand for a song without ids."""
    named = "\x1f".join(normalised(text) for text in (artist, title, album))
    return hashlib.sha256(named.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def with_hash(rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with ``row_hash``: 32 hex digits over all of CONTENT, equal exactly for equals."""
    # Series all the way: an expression costs more than the hash of a file of one song.
    documents = rows[list(CONTENT)].to_struct().struct.json_encode()
    digests = [
        hashlib.sha256(document.encode()).hexdigest()[:_FINGERPRINT_DIGITS]
        for document in documents
    ]
    hashes = pl.Series("row_hash", digests, dtype=pl.String)
    if "row_hash" not in rows.columns:
        return rows.with_columns(hashes)
    return rows.clone().replace_column(rows.get_column_index("row_hash"), hashes)
