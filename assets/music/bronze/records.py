"""The bronze record as it is written: its schema, its hash, and what stands for a song without ids.

Belongs here: polars' schema and a record's identity. Does not: the columns
(``registry/bronze.py``), any format (``formats/``), what becomes of a song's records (``silver``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import hashlib
import unicodedata

import polars as pl  # noqa: TID253

from assets.frame.table_frames import frame_schema
from assets.music.registry.bronze import CONTENT, LATER, RECORD

KEY_BYTES = 200
_FINGERPRINT_DIGITS = 32

SCHEMA = frame_schema(RECORD)
#: Columns that say something of the song; the rest identifies the record.
_CONTENT = [column.name for column in CONTENT if column not in LATER]
_LATER = [column.name for column in LATER]


def normalised(text: str | None) -> str:
    """For comparison: NFKC, casefolded, white space collapsed; empty for None."""
    return " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())


def fingerprint(artist: str | None, title: str | None, album: str | None) -> str:
    """32 hex digits that stand for a song without ids."""
    named = "\x1f".join(normalised(text) for text in (artist, title, album))
    return hashlib.sha256(named.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def with_hash(rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with ``row_hash``: 32 hex digits over its content, equal exactly for equals."""
    # Series all the way: an expression costs more than the hash of a file of one song.
    documents = rows[_CONTENT].to_struct().struct.json_encode()
    digests = [_digest(document) for document in documents]
    for name in _LATER:
        if rows[name].null_count() < len(rows):
            said = rows[[name]].to_struct().struct.json_encode()
            pairs = zip(digests, rows[name].is_null(), said, strict=True)
            digests = [one if none else _digest(f"{one}{more}") for one, none, more in pairs]
    hashes = pl.Series("row_hash", digests, dtype=pl.String)
    if "row_hash" not in rows.columns:
        return rows.with_columns(hashes)
    return rows.clone().replace_column(rows.get_column_index("row_hash"), hashes)
