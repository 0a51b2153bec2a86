"""``make music-remove``: a song or a file of music shown nowhere any more, and remembered as that.

Belongs here: what is put into the raw bucket and noted for it, for a person. Does not: how songs
leave the sinks (the pipeline, by a batch as of any file).
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from assets.music.bronze.taken_down import NOTHING, take_down
from ops.environment import require
from ops.pipelines import landed_pipeline
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

    from landing.stores.base import ObjectStore

_TRACKS = """
SELECT array_agg(DISTINCT track_id) FILTER (WHERE track_id IS NOT NULL), count(*)
FROM music.song_source WHERE song_key = %s AND format <> 'takedown'
"""


class CannotRemoveError(Exception):
    """There is no such song or file; the message says what to look for."""


def run(song: str | None, file: str | None, *, undo: bool, why: str) -> int:
    """Take a song or a file down, or let it come back; the exit code."""
    from assets.music.pipeline import MUSIC

    bucket = MUSIC.places().bucket
    with (
        landed_pipeline(MUSIC) as landed,
        PostgresResource(url=require("POSTGRES_URL")).connect() as conn,
    ):
        raw = landed.open_bucket(bucket)
        try:
            said = _song(conn, raw, song, undo, why) if song else _file(conn, raw, file, undo, why)
        except CannotRemoveError as error:
            print(error, file=sys.stderr)
            return 1
    print(said)
    return 0


def _song(conn: psycopg.Connection[Any], raw: ObjectStore, song: str, undo: bool, why: str) -> str:
    from assets.music.bronze.formats.takedown import written

    tracks, records = conn.execute(_TRACKS, (song,)).fetchone() or (None, 0)
    if not records:
        raise CannotRemoveError(
            f"no record tells of {song}: SONG= is a song_key of music.song_details, as "
            "search_songs of assets.music.answers gives it"
        )
    key = f"takedowns/{song}.json"
    raw.put(key, io.BytesIO(NOTHING if undo else written(song, tracks or (), why)))
    if undo:
        return f"{song} comes back with the batch of {key}."
    return (
        f"{song}, of {records:,} records, leaves the star schema, gold and both indexes with the "
        f"batch of {key}, which the sensor finds at its next tick; no file brings it back.\n"
        f"`make music-remove SONG={song} UNDO=1` does."
    )


def _file(
    conn: psycopg.Connection[Any], raw: ObjectStore, file: str | None, undo: bool, why: str
) -> str:
    assert file is not None  # noqa: S101  the command line asks for one of both
    if undo:
        gone = conn.execute("DELETE FROM music.taken_down WHERE key = %s", (file,)).rowcount
        if not gone:
            raise CannotRemoveError(f"{file} was not taken down")
        return f"{file} may be put again: `make land FILE=… PIPELINE=music`."
    records = take_down(conn, raw, file, why)
    if records is None:
        raise CannotRemoveError(
            f"nothing has landed as {file}: FILE= is the key in {raw.bucket}, which the column "
            "source of music.song_source has between the bucket and the #"
        )
    return (
        f"{records:,} records of {file} are withdrawn with the batch of its new, empty version, "
        "which the sensor finds at its next tick; songs that no other file tells of leave every "
        "sink, and so do its plays. What is put under its key from now on is rejected.\n"
        f"`make music-remove FILE={file} UNDO=1` ends that."
    )
