"""Checks of all tables: the registry's rules, songs and their tracks, gold against silver.

Belongs here: such checks, and what to do when one fails. Does not: the rules (``table_rules``) and
the comparison (``gold_recount``), checks of anything but tables (``checks``).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.music import tables
from assets.music.audit import table_rules
from assets.music.audit.snapshot import NOT_COMPARED, SAMPLE, sample, snapshot
from assets.music.pipeline import GOLD, MUSIC
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.sinks.result import Verification

_RULES_SAY: dict[table_rules.Kind, str] = {
    "nothing_missing": "Every column that must have a value has one.",
    "values_in_range": "Key, mode, tempo, duration and all other limited columns are in range.",
    "keys_unique": "Every key is there once.",
    "references_hold": "Every reference points to a row.",
}
_REBUILD = (
    "Rebuild the table from what is archived: `dagster job backfill --job music --all`. "
    "If it fails again, the step that writes the table has a defect: keep the sample."
)


def _rule_specs() -> Iterator[tuple[dg.AssetCheckSpec, tuple[table_rules.Rule, ...]]]:
    """One check per asset and kind of rule, where the asset's tables have such rules."""
    for asset in ("silver_songs", "song_lyrics", *GOLD):
        for kind in table_rules.KINDS:
            rules = tuple(
                rule
                for table in tables.written_by(asset)
                for rule in table_rules.rules(table, kind)
            )
            if rules:
                spec = dg.AssetCheckSpec(kind, asset=MUSIC.key(asset), description=_RULES_SAY[kind])
                yield spec, rules


_RULES = {spec.key: (spec, rules) for spec, rules in _rule_specs()}


@dg.multi_asset_check(
    name="music_table_rules", specs=[spec for spec, _ in _RULES.values()], can_subset=True
)
def table_rules_hold(
    context: dg.AssetCheckExecutionContext, postgres: PostgresResource
) -> Iterator[dg.AssetCheckResult]:
    """The registry's rules, all on one snapshot of the database.

    What gold refers to may be gone from silver while a batch is between the two: not compared.
    """
    from assets.music.audit.gold_recount import under_way

    with snapshot(postgres) as conn:
        for key in sorted(context.selected_asset_check_keys):
            rules, asset = _RULES[key][1], key.asset_key.path[-1]
            ahead = key.name == "references_hold" and asset in GOLD
            waiting = under_way(conn, "silver_songs", asset) if ahead else ()
            broken = [] if waiting else table_rules.broken(conn, rules)
            rows = [(one.rule, one.rows, ", ".join(one.sample)) for one in broken]
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=not broken,
                description=_rules_verdict(len(broken), compared=not waiting),
                metadata={
                    "rules": len(rules),
                    "rules_broken": len(broken),
                    "rows_breaking_rules": sum(one.rows for one in broken),
                    **sample(("rule", "rows", "keys"), rows),
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
        description=f"Tracks belong to several songs. {_REBUILD}" if rows else None,
        metadata={
            "tracks_of_several_songs": rows[0][2] if rows else 0,
            **sample(("track", "songs"), [(track, ", ".join(songs)) for track, songs, _ in rows]),
        },
    )


_EQUALS = {
    spec.key: (spec, name)
    for name in GOLD
    for spec in [
        dg.AssetCheckSpec(
            "equals_silver",
            asset=MUSIC.key(name),
            description="As many rows as silver has to show, with its values. What batches that "
            "are under way touch is left aside.",
        )
    ]
}


@dg.multi_asset_check(
    name="music_gold_equals_silver", specs=[spec for spec, _ in _EQUALS.values()], can_subset=True
)
def gold_equals_silver(
    context: dg.AssetCheckExecutionContext, postgres: PostgresResource
) -> Iterator[dg.AssetCheckResult]:
    """Every row of gold recounted, by other queries than those that made it."""
    from assets.music.audit.gold_recount import compare
    from assets.music.gold.targets import TARGETS

    with snapshot(postgres) as conn:
        for key in sorted(context.selected_asset_check_keys):
            audit = compare(conn, TARGETS[_EQUALS[key][1]])
            passed = audit.found is None or audit.found.ok
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=passed,
                description=_verdict(compared=audit.found is not None, passed=passed),
                metadata={
                    "batches_under_way": len(audit.batches),
                    "songs_under_way": audit.songs,
                    **(_counts(audit.found) if audit.found else {}),
                },
            )


def _rules_verdict(broken: int, *, compared: bool) -> str | None:
    if not compared:
        return NOT_COMPARED
    return f"{broken} rules are broken. {_REBUILD}" if broken else None


def _verdict(*, compared: bool, passed: bool) -> str | None:
    if not compared:
        return NOT_COMPARED
    return None if passed else f"Rows are not what silver says. {_REBUILD}"


def _counts(found: "Verification") -> dict[str, Any]:
    return {
        "rows_expected": found.expected,
        "missing": found.missing,
        "differing": found.differing,
        "unexpected": found.unexpected,
        **sample(("key",), [(key,) for key in found.sample]),
    }
