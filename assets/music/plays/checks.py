"""Checks over all plays, not one batch: they run by schedule, for they read the whole table.

Belongs here: what plays must hold to. Does not: gold of them, which is recounted with all of gold
(``assets/music/checks.py``).
"""

import dagster as dg

from assets.frame import markdown
from assets.music.pipeline import MUSIC
from assets.sinks.result import SAMPLE
from resources.postgres import PostgresResource

_FILES = """
SELECT f.source, f.pairs, coalesce(p.found, 0) AS found, coalesce(p.plays, 1) > 0
FROM music.play_file AS f
FULL JOIN (
    SELECT file_id, count(*) AS found, min(plays) AS plays FROM music.fact_play GROUP BY file_id
) AS p USING (file_id)
"""


@dg.asset_check(
    asset=MUSIC.key("fact_play"),
    description="Every file has as many rows as it has pairs, and no row is of no file.",
)
def files_are_whole(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Counts the rows of each file."""
    with postgres.connect() as conn:
        files = conn.execute(_FILES).fetchall()
    wrong = [one for one in files if one[1] != one[2] or not one[3]]
    return dg.AssetCheckResult(
        passed=not wrong,
        description="Load the files again: `dagster job backfill --job music --all`."
        if wrong
        else None,
        metadata={
            "files": len(files),
            "rows": sum(found for _, _, found, _ in files),
            "files_that_are_not_whole": len(wrong),
            "sample": dg.MetadataValue.md(
                markdown.table(("object", "pairs", "rows"), [one[:3] for one in wrong[:SAMPLE]])
            ),
        },
    )


_BY_ID = """
SELECT p.song_id, p.pairs, p.plays, EXISTS (
    SELECT FROM music.song_of_id AS i WHERE i.song_id = p.song_id) AS known
FROM (
    SELECT song_id, count(*) AS pairs, sum(plays)::bigint AS plays
    FROM music.fact_play GROUP BY song_id
) AS p
"""
_COUNTED = f"""
SELECT count(*), coalesce(sum(pairs), 0)::bigint, count(*) FILTER (WHERE NOT known),
    coalesce(sum(pairs) FILTER (WHERE NOT known), 0)::bigint
FROM ({_BY_ID}) AS p
"""
_UNKNOWN = f"""
SELECT song_id, pairs, plays FROM ({_BY_ID}) AS p WHERE NOT known
ORDER BY plays DESC, song_id LIMIT %s
"""
_OBJECTS = """
SELECT f.source, f.pairs FROM music.play_file AS f
WHERE NOT EXISTS (
    SELECT FROM music.fact_play AS p JOIN music.song_of_id AS i USING (song_id)
    WHERE p.file_id = f.file_id)
ORDER BY f.source LIMIT %s
"""


@dg.asset_check(
    asset=MUSIC.key("fact_play"),
    description="No file was taken of which not one row leads to a song. Rows of songs that have "
    "not come yet are counted, the most played are listed.",
)
def plays_lead_to_songs(postgres: PostgresResource) -> dg.AssetCheckResult:
    """A warning: what is waited for may still come, and its plays count then."""
    with postgres.connect() as conn:
        songs, rows, unknown, without = conn.execute(_COUNTED).fetchone() or (0, 0, 0, 0)
        sample = conn.execute(_UNKNOWN, (SAMPLE,)).fetchall()
        objects = conn.execute(_OBJECTS, (SAMPLE,)).fetchall()
    return dg.AssetCheckResult(
        passed=not objects,
        severity=dg.AssetCheckSeverity.WARN,
        description="Upload the files of the songs that these are plays of." if objects else None,
        metadata={
            "songs": songs,
            "rows": rows,
            "songs_unknown": unknown,
            "rows_without_song": without,
            "most_played": dg.MetadataValue.md(
                markdown.table(("song id", "listeners", "plays"), sample)
            ),
            "objects": dg.MetadataValue.md(markdown.table(("object", "pairs"), objects)),
        },
    )
