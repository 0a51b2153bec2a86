"""Bronze records on their way into Postgres: COPY in chunks, in bounded memory.

Belongs here: records as CSV of the columns of ``music.song_source``. Does not: what the database
does with them (``sources``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import polars as pl  # noqa: TID253

from assets.music.silver.folding import folded_artist, match_key
from assets.music.silver.names import SEPARATOR
from assets.music.silver.precedence import RANKS
from assets.music.silver.statements import JSON, SOURCE, listed
from assets.sinks.postgres import csv_of

if TYPE_CHECKING:
    import psycopg

#: An escape after an even number of backslashes; after an odd one it is a text about escapes.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def copy_records(conn: psycopg.Connection[Any], chunks: Iterable[pl.DataFrame], table: str) -> int:
    """COPY chunks of staged records into ``table``, which has the columns SOURCE; their number.

    Its keys are what the record alone says: its song id, else its fingerprint if it has a title.
    """
    rows = 0
    statement = f"COPY {table} ({listed(SOURCE)}) FROM STDIN (FORMAT csv)"
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in chunks:
            # Plays tell nothing of a song: they are facts of their own.
            told = chunk.filter(pl.col("format") != "plays")
            copy.write(_csv(_source_rows(told)))
            rows += len(told)
    return rows


def _source_rows(chunk: pl.DataFrame) -> pl.DataFrame:
    # Lazily: only then is an expression that several columns are made of computed once.
    columns = chunk.lazy().select(
        "record_key",
        _own_key().alias("song_key"),
        "format",
        pl.col("format").replace_strict(RANKS, return_dtype=pl.Int16).alias("rank"),
        *(_column(chunk, name) for name in SOURCE[4:]),
    )
    return columns.collect()


def _own_key() -> pl.Expr:
    by_name = pl.when(pl.col("title").is_not_null()).then("fp-" + pl.col("fingerprint"))
    return pl.coalesce("song_id", by_name)


def _column(chunk: pl.DataFrame, name: str) -> pl.Expr:
    if name == "own_key":
        return _own_key().alias(name)
    if name == "artist_match":
        # A name that joins several, beside one id, is the name of none of them.
        alone = ~pl.col("artist_name").str.contains(SEPARATOR, literal=True)
        return pl.when(alone).then(folded_artist(pl.col("artist_name"))).alias(name)
    if name == "match_key":
        return match_key(folded_artist(pl.col("artist_name")), pl.col("title")).alias(name)
    return _json(chunk, name) if name in JSON else pl.col(name)


def _json(chunk: pl.DataFrame, name: str) -> pl.Expr:
    """A list of structs as a JSON array; nulls stay nulls."""
    column = pl.col(name)
    # What was staged before the column came.
    if name not in chunk.columns:
        return pl.lit(None, pl.String).alias(name)
    if chunk.get_column(name).null_count() == len(chunk):
        return pl.lit(None, pl.String).alias(name)
    # Only a struct can be encoded: {"name":[...]}, less what is around the array.
    document = pl.struct(name).struct.json_encode()
    array = document.str.head(-1).str.slice(len(f'{{"{name}":'))
    return pl.when(column.is_not_null()).then(array).alias(name)


def _csv(rows: pl.DataFrame) -> bytes:
    """The rows as COPY reads them."""
    data = csv_of(rows)
    if b"\x00" in data or b"\\u0000" in data:
        data = csv_of(rows.with_columns(_without_nul(rows)))
    return data


def _without_nul(rows: pl.DataFrame) -> list[pl.Expr]:
    """Texts without NUL characters, which no text of Postgres can hold, nor any JSON of it."""
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.String]
    return [
        pl.col(name).map_elements(_json_without_nul, return_dtype=pl.String)
        if name in JSON
        else pl.col(name).str.replace_all("\x00", "", literal=True)
        for name in texts
    ]


def _json_without_nul(document: str) -> str:
    return _ESCAPED_NUL.sub(r"\1", document)
