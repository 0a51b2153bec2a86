"""Checks over all of music, not one batch: they run by schedule, for they read whole stores.

Belongs here: such checks of what waits, failed or is indexed, and the list of all. Does not: checks
of tables (``table_checks``), the checks of a batch, which its assets make.
"""

from contextlib import closing

import dagster as dg

from assets.music.audit_reading import NOT_COMPARED, SAMPLE, sample, snapshot
from assets.music.pipeline import PIPELINE, VALIDATION, asset_key
from assets.music.settings import MusicSettings
from assets.music.table_checks import gold_equals_silver, one_song_per_track, table_rules_hold
from resources.milvus import MilvusResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource

#: Source of the raw bucket's objects in the ledger.
SOURCE = "music_minio"
#: Minutes after which an object that was seen should have an outcome.
RAW_MINUTES = 30
#: Share of songs whose lyrics could not be asked for, above which the service deserves a look.
MAX_LYRICS_FAILED_SHARE = 0.05

_REPLAY = "Mend the cause named in the error, then `make replay BATCH=<batch>`."


_UNPROCESSED = """
SELECT bucket || '/' || key, floor(extract(epoch FROM clock_timestamp() - seen_at) / 60)::bigint,
    coalesce(batch_id, 'no batch'), count(*) OVER ()
FROM landing.object_version
WHERE source = %s AND outcome IS NULL AND seen_at < clock_timestamp() - make_interval(mins => %s)
ORDER BY seen_at, seq LIMIT %s
"""


@dg.asset_check(
    asset=asset_key(VALIDATION),
    description=f"No raw object waits for longer than {RAW_MINUTES} minutes.",
)
def no_raw_object_left_waiting(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Names the oldest objects that were seen and have no outcome."""
    with postgres.connect() as conn:
        rows = conn.execute(_UNPROCESSED, (SOURCE, RAW_MINUTES, SAMPLE)).fetchall()
    remedy = (
        "Look whether the daemon and `music_minio_sensor` run, and at the runs of the batches "
        "named: a failed batch is tried again by itself, one that failed for good by `make replay`."
    )
    return dg.AssetCheckResult(
        passed=not rows,
        description=remedy if rows else None,
        metadata={
            "objects_waiting": rows[0][3] if rows else 0,
            "oldest_minutes": rows[0][1] if rows else 0,
            "limit_minutes": RAW_MINUTES,
            **sample(("object", "minutes", "batch"), [row[:3] for row in rows]),
        },
    )


@dg.asset_check(asset=asset_key(VALIDATION), description="No batch waits for an operator.")
def no_batch_failed_for_good(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Names the batches in `failed_permanent` and how to bring them back."""
    from landing.arrival import ledger

    with postgres.connect() as conn:
        batches = ledger.batches(conn, states=["failed_permanent"])
    stopped = [batch for batch in batches if batch.pipeline == PIPELINE]
    return dg.AssetCheckResult(
        passed=not stopped,
        description=_REPLAY if stopped else None,
        metadata={
            "batches": len(stopped),
            **sample(("batch", "error"), [(b.batch_id, b.error) for b in stopped[:SAMPLE]]),
        },
    )


_LYRICS = """
SELECT count(*), count(*) FILTER (WHERE status = 'failed'),
    count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'found'),
    count(*) FILTER (WHERE status = 'missing')
FROM music.song_lyrics
"""
_LYRICS_ERRORS = """
SELECT error, count(*) FROM music.song_lyrics WHERE status = 'failed'
GROUP BY error ORDER BY count(*) DESC, error LIMIT %s
"""


@dg.asset_check(
    asset=asset_key("song_lyrics"),
    description=f"At most {MAX_LYRICS_FAILED_SHARE:.0%} of the songs' lyrics could not be "
    "asked for.",
)
def lyrics_failed_share(postgres: PostgresResource) -> dg.AssetCheckResult:
    """A warning with the errors met most often: the questions are asked again by themselves."""
    with snapshot(postgres) as conn:
        row = conn.execute(_LYRICS).fetchone() or (0,) * 5
        errors = conn.execute(_LYRICS_ERRORS, (SAMPLE,)).fetchall()
    songs, failed, pending, found, missing = row
    share = failed / songs if songs else 0.0
    remedy = (
        "Look at the errors: if the lyrics service is down or MUSIC_LYRICS_URL is wrong, mend "
        "that; failed songs are asked for again by schedule."
    )
    return dg.AssetCheckResult(
        passed=share <= MAX_LYRICS_FAILED_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        description=remedy if share > MAX_LYRICS_FAILED_SHARE else None,
        metadata={
            "failed_share": round(share, 6),
            "limit": MAX_LYRICS_FAILED_SHARE,
            "failed": failed,
            "pending": pending,
            "found": found,
            "missing": missing,
            **sample(("error", "songs"), errors),
        },
    )


_SONGS = "SELECT count(*) FROM music.gold_song_details"
_SONGS_WITH_LYRICS = r"""
SELECT count(*) FROM music.gold_song_details AS g
JOIN music.song_lyrics AS l ON l.song_key = g.song_key
WHERE g.has_lyrics AND (l.text ~ '\S' OR jsonb_path_exists(l.words, '$[*]'))
"""


@dg.asset_check(
    asset=asset_key("song_search"), description="As many documents in Typesense as gold has songs."
)
def search_holds_all_songs(
    postgres: PostgresResource, typesense: TypesenseResource, music: MusicSettings
) -> dg.AssetCheckResult:
    """Counts both; not compared while a batch is between gold and the index."""
    from assets.music.search import typesense_songs

    with typesense.client() as client:
        held = typesense_songs.count(client, music.typesense_collection)
    return _index_counts(postgres, "song_search", held, _SONGS)


@dg.asset_check(
    asset=asset_key("lyrics_vectors"),
    description="As many songs in Milvus as gold has songs with lyrics.",
)
def vectors_hold_all_lyrics(
    postgres: PostgresResource, milvus: MilvusResource, music: MusicSettings
) -> dg.AssetCheckResult:
    """Counts both; not compared while a batch is between gold and the collection."""
    from assets.music.search import milvus_lyrics

    with closing(milvus.client()) as client:
        held = milvus_lyrics.songs(client, music.milvus_lyrics)
    return _index_counts(postgres, "lyrics_vectors", held, _SONGS_WITH_LYRICS)


def _index_counts(
    postgres: PostgresResource, sink: str, held: int, expected: str
) -> dg.AssetCheckResult:
    """The verdict over what an index holds, ``expected`` being a query of what it should hold."""
    from assets.music.gold.audit import changed_songs, under_way

    with snapshot(postgres) as conn:
        waiting = len(under_way(conn, "gold_song_details", sink)) + changed_songs(conn)
        row = conn.execute(expected).fetchone()
    songs = int(row[0]) if row else 0
    passed = waiting > 0 or held == songs
    remedy = (
        f"Write the index again: `dagster job backfill --job music --all`, after deleting the "
        f"collection if it holds too much. It holds {held}, gold has {songs}."
    )
    return dg.AssetCheckResult(
        passed=passed,
        description=NOT_COMPARED if waiting else (None if passed else remedy),
        metadata={
            "songs_in_index": held,
            "songs_in_gold": songs,
            "under_way": waiting,
        },
    )


#: All of them, which no batch's run makes.
AUDITS = (
    table_rules_hold,
    one_song_per_track,
    gold_equals_silver,
    no_raw_object_left_waiting,
    no_batch_failed_for_good,
    lyrics_failed_share,
    search_holds_all_songs,
    vectors_hold_all_lyrics,
)
