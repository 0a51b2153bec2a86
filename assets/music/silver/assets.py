"""The silver asset: decorator and resources over the load, and what it shows of a batch.

Belongs here: what it is called, needs and shows. Does not: how a batch is loaded (``load.py``).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown
from assets.frame.step import StepEvents, derived_from, sink_events
from assets.music.pipeline import MUSIC
from assets.music.registry.silver import FACT_SONG, UNKNOWN_KEY
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg


@dg.asset(
    **MUSIC.sink(
        "silver_songs",
        group="silver",
        kinds={"postgres", "silver"},
        pool="postgres",
        schema=FACT_SONG.column_schema(),
        code_version="1",
        holds="Every current record of the batch is in song_source with the same hash, every song "
        "of theirs is whole, and songs without a record are gone; read back before the commit.",
    )
)
def silver_songs(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
) -> StepEvents:
    """The star schema: one row per song, its fields from the best of its records."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.silver.load import load_batch

        with postgres.connect() as connection:
            return load_batch(connection, delivery)

    def metadata() -> Mapping[str, Any]:
        with postgres.connect() as connection:
            return _shown(connection, derived_from(MUSIC, context, postgres))

    yield from sink_events(MUSIC, context, postgres, minio, take, metadata=metadata)


_PREVIEW_ROWS = 10

_PREVIEW_COLUMNS = ("song_key", "title", "artist", "album", "genre", "year", "sources", "lyrics")
_PREVIEW = """
SELECT f.song_key, f.title, a.name, l.title, g.name, nullif(f.year_key, 0), f.sources, y.status
FROM music.touched t
JOIN music.fact_song f ON f.song_key = t.key
JOIN music.song_lyrics y USING (song_key)
LEFT JOIN music.dim_artist a ON a.artist_key = nullif(f.artist_key, %(unknown)s)
LEFT JOIN music.dim_album l ON l.album_key = nullif(f.album_key, %(unknown)s)
LEFT JOIN music.dim_genre g ON g.genre_key = nullif(f.genre_key, %(unknown)s)
WHERE t.batch_id = %(batch)s AND t.kind = 'song'
ORDER BY t.key LIMIT %(rows)s
"""
_TOUCHED = """
SELECT count(*) FILTER (WHERE kind = 'song'), count(*) FILTER (WHERE kind = 'artist'),
    count(*) FILTER (WHERE kind = 'album')
FROM music.touched WHERE batch_id = %s
"""


def _shown(conn: "psycopg.Connection[Any]", batch_id: str) -> dict[str, Any]:
    """Table, lineage, what the batch touched, and at most 10 of its songs."""
    songs, artists, albums = conn.execute(_TOUCHED, (batch_id,)).fetchone() or (0, 0, 0)
    rows = conn.execute(
        _PREVIEW, {"batch": batch_id, "rows": _PREVIEW_ROWS, "unknown": UNKNOWN_KEY}
    )
    return {
        "dagster/table_name": FACT_SONG.qualified,
        "dagster/column_lineage": FACT_SONG.column_lineage(),
        "songs_touched": songs,
        "artists_touched": artists,
        "albums_touched": albums,
        "preview": dg.MetadataValue.md(markdown.table(_PREVIEW_COLUMNS, rows)),
    }
