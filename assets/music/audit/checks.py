"""Checks over all of music, not one batch: they run by schedule, for they read whole stores.

Belongs here: such checks of lyrics and indexes. Does not: checks of tables (``table_checks``), and
those that every pipeline of files has (``assets/frame/checks.py``).
"""

from contextlib import closing

import dagster as dg

from assets.music.audit.snapshot import NOT_COMPARED, SAMPLE, sample, snapshot
from assets.music.pipeline import MUSIC
from assets.music.settings import MusicSettings
from resources.milvus import MilvusResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource

#: Share of songs whose lyrics could not be asked for, above which the service deserves a look.
MAX_LYRICS_FAILED_SHARE = 0.05

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
    asset=MUSIC.key("song_lyrics"),
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
    asset=MUSIC.key("song_search"), description="As many documents in Typesense as gold has songs."
)
def search_holds_all_songs(
    postgres: PostgresResource, typesense: TypesenseResource, music: MusicSettings
) -> dg.AssetCheckResult:
    """Counts both; not compared while a batch is between gold and the index."""
    from assets.music.search.song_documents import store

    with typesense.client() as client:
        held = store(client, music.typesense_collection).count()
    return _index_counts(postgres, "song_search", held, _SONGS)


@dg.asset_check(
    asset=MUSIC.key("lyrics_vectors"),
    description="As many songs in Milvus as gold has songs with lyrics.",
)
def vectors_hold_all_lyrics(
    postgres: PostgresResource, milvus: MilvusResource, music: MusicSettings
) -> dg.AssetCheckResult:
    """Counts both; not compared while a batch is between gold and the collection."""
    from assets.music.search import lyrics_vectors

    with closing(milvus.client()) as client:
        held = lyrics_vectors.songs(client, music.milvus_lyrics)
    return _index_counts(postgres, "lyrics_vectors", held, _SONGS_WITH_LYRICS)


def _index_counts(
    postgres: PostgresResource, sink: str, held: int, expected: str
) -> dg.AssetCheckResult:
    """The verdict over what an index holds, ``expected`` being a query of what it should hold."""
    from assets.music.audit.gold_recount import changed_songs, under_way

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
