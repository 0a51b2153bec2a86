"""Checks over all of music, not one batch: they run by schedule, for they read whole stores.

Belongs here: what music's tables and indexes must hold to, and what to do when they don't. Does
not: the rules that tables declare (``assets/frame/table_rules.py``), the comparison of gold with
silver (``gold/recount.py``), the checks of every pipeline of files (``assets/frame/checks.py``).
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown, table_rules
from assets.music.pipeline import GOLD, MUSIC
from assets.music.settings import MusicSettings
from assets.music.tables import written_by
from assets.sinks.result import SAMPLE
from resources.milvus import MilvusResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource

if TYPE_CHECKING:
    import psycopg

#: Share of songs whose lyrics could not be asked for, above which the service deserves a look.
MAX_LYRICS_FAILED_SHARE = 0.05

_REBUILD = (
    "Rebuild the table from what is archived: `dagster job backfill --job music --all`. "
    "If it fails again, the step that writes the table has a defect: keep the sample."
)
#: Said of a comparison that a running batch would spoil.
_NOT_COMPARED = "Not compared: batches are under way."


@contextmanager
def _snapshot(postgres: PostgresResource) -> "Iterator[psycopg.Connection[Any]]":
    """A connection that sees one moment throughout, and changes nothing."""
    import psycopg

    with postgres.connect() as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            yield conn
        finally:
            conn.rollback()


def _sample(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The first rows as a table; nothing when there are none."""
    return {"sample": dg.MetadataValue.md(markdown.table(header, rows[:SAMPLE]))} if rows else {}


def _verdict(problem: str, *, passed: bool, compared: bool = True) -> str | None:
    if not compared:
        return _NOT_COMPARED
    return None if passed else f"{problem} {_REBUILD}"


# -- tables ------------------------------------------------------------------------------------

#: By check: asset, and the rules of its tables. One check per asset and kind of rule that it has.
_RULES = {
    dg.AssetCheckKey(MUSIC.key(asset), kind): (asset, rules)
    for asset in ("silver_songs", "song_lyrics", *GOLD)
    for kind in table_rules.KINDS
    if (rules := [rule for one in written_by(asset) for rule in table_rules.rules(one, kind)])
}


@dg.multi_asset_check(
    name="music_table_rules",
    specs=[
        dg.AssetCheckSpec(key.name, asset=key.asset_key, description=table_rules.SAYS[key.name])
        for key in _RULES
    ],
    can_subset=True,
)
def table_rules_hold(
    context: dg.AssetCheckExecutionContext, postgres: PostgresResource
) -> Iterator[dg.AssetCheckResult]:
    """The registry's rules, all on one snapshot of the database.

    What gold refers to may be gone from silver while a batch is between the two: not compared.
    """
    from assets.music.gold.recount import under_way

    with _snapshot(postgres) as conn:
        for key in sorted(context.selected_asset_check_keys):
            asset, rules = _RULES[key]
            ahead = key.name == "references_hold" and asset in GOLD
            waiting = under_way(conn, "silver_songs", asset) if ahead else ()
            broken = [] if waiting else table_rules.broken(conn, rules)
            rows = [(one.rule, one.rows, ", ".join(one.sample)) for one in broken]
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=not broken,
                description=_verdict(
                    f"{len(broken)} rules are broken.", passed=not broken, compared=not waiting
                ),
                metadata={
                    "rules": len(rules),
                    "rules_broken": len(broken),
                    "rows_breaking_rules": sum(one.rows for one in broken),
                    **_sample(("rule", "rows", "keys"), rows),
                },
            )


_ONE_SONG_PER_TRACK = """
SELECT track_id, array_agg(song_key ORDER BY song_key), count(*) OVER ()
FROM (SELECT DISTINCT unnest(track_ids) AS track_id, song_key FROM music.fact_song) AS t
GROUP BY track_id HAVING count(*) > 1 ORDER BY track_id LIMIT %s
"""


@dg.asset_check(
    asset=MUSIC.key("silver_songs"), description="No two songs have the same Million Song track."
)
def one_song_per_track(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Names tracks that belong to several songs."""
    with postgres.connect() as conn:
        rows = conn.execute(_ONE_SONG_PER_TRACK, (SAMPLE,)).fetchall()
    return dg.AssetCheckResult(
        passed=not rows,
        description=_verdict("Tracks belong to several songs.", passed=not rows),
        metadata={
            "tracks_of_several_songs": rows[0][2] if rows else 0,
            **_sample(("track", "songs"), [(track, ", ".join(songs)) for track, songs, _ in rows]),
        },
    )


@dg.asset_check(
    asset=MUSIC.key("silver_songs"),
    description="Every record is under the song that the crosswalk says, every title under its "
    "album. Songs, artists and albums that may be one and are kept apart are listed.",
)
def crosswalk_holds(postgres: PostgresResource) -> dg.AssetCheckResult:
    """What is listed is no fault: `make music-match` joins or splits it."""
    from assets.music.silver.doubles import disagreements, likely_doubles

    with _snapshot(postgres) as conn:
        wrong = disagreements(conn)
        found = likely_doubles(conn, SAMPLE)
    doubles = [(kind, *one) for kind, listed in found.items() for one in listed]
    return dg.AssetCheckResult(
        passed=not wrong,
        description=_verdict(f"{wrong} keys lead elsewhere.", passed=not wrong),
        metadata={
            "keys_that_disagree": wrong,
            "likely_doubles": dg.MetadataValue.md(
                markdown.table(("kind", "name", "keys"), doubles)
            ),
        },
    )


@dg.asset_check(
    asset=MUSIC.key("silver_songs"),
    description="Every dimension has its unknown member, as it came, and every song is found by "
    "its artist, album, genre and year.",
)
def unknown_members_hold(postgres: PostgresResource) -> dg.AssetCheckResult:
    """An inner join of facts and dimensions loses no song; how many of them are unknown."""
    from assets.music.silver.members import changed, facts

    with _snapshot(postgres) as conn:
        wrong = changed(conn)
        songs, joined, unknown = facts(conn)
    passed = not wrong and songs == joined
    return dg.AssetCheckResult(
        passed=passed,
        description=_verdict(
            f"{', '.join(wrong) or 'No dimension'} without its unknown member, "
            f"{songs - joined} songs lost by joins.",
            passed=passed,
        ),
        metadata={"members_changed": len(wrong), "songs_lost_by_joins": songs - joined, **unknown},
    )


# A record without song_key has neither a song's id nor a title, and its track is of no song.
_WITHOUT_SONG = """
SELECT format, count(*), count(*) FILTER (WHERE song_key IS NULL)
FROM music.song_source GROUP BY format ORDER BY format
"""
_OBJECTS_WITHOUT_SONG = """
SELECT source, format, count(*), min(record_key), count(*) OVER ()
FROM music.song_source WHERE format NOT IN ('takedown', 'join', 'split')
GROUP BY source, format HAVING count(song_key) = 0
ORDER BY count(*) DESC, source LIMIT %s
"""


@dg.asset_check(
    asset=MUSIC.key("silver_songs"),
    description="No object was taken of which not one record leads to a song. Records of tracks "
    "whose song has not come yet are counted.",
)
def records_lead_to_songs(postgres: PostgresResource) -> dg.AssetCheckResult:
    """A warning: what is waited for may still come, and its records are found then."""
    with _snapshot(postgres) as conn:
        formats = conn.execute(_WITHOUT_SONG).fetchall()
        objects = conn.execute(_OBJECTS_WITHOUT_SONG, (SAMPLE,)).fetchall()
    remedy = (
        "The files in the sample say something of tracks only, and none of the tracks belongs to "
        "a song: upload the files of their songs, or find out whether these are files of music."
    )
    return dg.AssetCheckResult(
        passed=not objects,
        severity=dg.AssetCheckSeverity.WARN,
        description=remedy if objects else None,
        metadata={
            "records": sum(records for _, records, _ in formats),
            "records_without_song": sum(without for *_, without in formats),
            "objects_without_song": objects[0][4] if objects else 0,
            "by_format": dg.MetadataValue.md(
                markdown.table(("format", "records", "without song"), formats)
            ),
            **_sample(
                ("object", "format", "records", "first record"), [one[:4] for one in objects]
            ),
        },
    )


@dg.multi_asset_check(
    name="music_gold_equals_silver",
    specs=[
        dg.AssetCheckSpec(
            "equals_silver",
            asset=MUSIC.key(name),
            description="As many rows as silver has to show, with its values. What batches that "
            "are under way touch is left aside.",
        )
        for name in GOLD
    ],
    can_subset=True,
)
def gold_equals_silver(
    context: dg.AssetCheckExecutionContext, postgres: PostgresResource
) -> Iterator[dg.AssetCheckResult]:
    """Every row of gold recounted, by other queries than those that made it."""
    from assets.music.gold.recount import compare
    from assets.music.gold.targets import TARGETS

    with _snapshot(postgres) as conn:
        for key in sorted(context.selected_asset_check_keys):
            audit = compare(conn, TARGETS[key.asset_key.path[-1]])
            metadata = {"batches_under_way": len(audit.batches), "songs_under_way": audit.songs}
            if audit.found:
                metadata |= {
                    "rows_expected": audit.found.expected,
                    "missing": audit.found.missing,
                    "differing": audit.found.differing,
                    "unexpected": audit.found.unexpected,
                    **_sample(("key",), [(one,) for one in audit.found.sample]),
                }
            passed = audit.found is None or audit.found.ok
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=passed,
                description=_verdict(
                    "Rows are not what silver says.",
                    passed=passed,
                    compared=audit.found is not None,
                ),
                metadata=metadata,
            )


# -- lyrics ------------------------------------------------------------------------------------

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
    with _snapshot(postgres) as conn:
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
            **_sample(("error", "songs"), errors),
        },
    )


# -- indexes -----------------------------------------------------------------------------------

_SONGS = "SELECT count(*) FROM music.song_details"
_SONGS_WITH_LYRICS = r"""
SELECT count(*) FROM music.song_details AS g
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
    from assets.music.gold.recount import changed_songs, under_way

    with _snapshot(postgres) as conn:
        waiting = len(under_way(conn, "song_details", sink)) + changed_songs(conn)
        row = conn.execute(expected).fetchone()
    songs = int(row[0]) if row else 0
    passed = waiting > 0 or held == songs
    remedy = (
        f"Write the index again: `dagster job backfill --job music --all`, after deleting the "
        f"collection if it holds too much. It holds {held}, gold has {songs}."
    )
    return dg.AssetCheckResult(
        passed=passed,
        description=_NOT_COMPARED if waiting else (None if passed else remedy),
        metadata={"songs_in_index": held, "songs_in_gold": songs, "under_way": waiting},
    )
