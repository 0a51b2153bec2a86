"""What the silver asset shows of a batch: its songs, and the tables' sizes.

Belongs here: preview and counts. Does not: the load's own figures (``load.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown
from assets.music.registry.silver import FACT_SONG

if TYPE_CHECKING:
    import psycopg

PREVIEW_ROWS = 10

_PREVIEW_COLUMNS = ("song_key", "title", "artist", "album", "genre", "year", "sources", "lyrics")
_PREVIEW = """
SELECT f.song_key, f.title, a.name, l.title, g.name, nullif(f.year_key, 0), f.sources, y.status
FROM music.touched t
JOIN music.fact_song f ON f.song_key = t.key
JOIN music.song_lyrics y USING (song_key)
LEFT JOIN music.dim_artist a USING (artist_key)
LEFT JOIN music.dim_album l USING (album_key)
LEFT JOIN music.dim_genre g USING (genre_key)
WHERE t.batch_id = %s AND t.kind = 'song'
ORDER BY t.key LIMIT %s
"""
_TOUCHED = """
SELECT count(*) FILTER (WHERE kind = 'song'), count(*) FILTER (WHERE kind = 'artist'),
    count(*) FILTER (WHERE kind = 'album')
FROM music.touched WHERE batch_id = %s
"""


def shown(conn: psycopg.Connection[Any], batch_id: str) -> dict[str, Any]:
    """Table, lineage, what the batch touched, and at most 10 of its songs."""
    songs, artists, albums = conn.execute(_TOUCHED, (batch_id,)).fetchone() or (0, 0, 0)
    rows = conn.execute(_PREVIEW, (batch_id, PREVIEW_ROWS))
    return {
        "dagster/table_name": FACT_SONG.qualified,
        "dagster/column_lineage": FACT_SONG.column_lineage(),
        "songs_touched": songs,
        "artists_touched": artists,
        "albums_touched": albums,
        "preview": dg.MetadataValue.md(markdown.table(_PREVIEW_COLUMNS, rows)),
    }
