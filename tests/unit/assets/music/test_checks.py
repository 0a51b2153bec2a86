from __future__ import annotations

import dagster as dg
import pytest

from assets.frame import table_rules
from assets.frame.checks import audits
from assets.music import checks, tables
from assets.music.pipeline import GOLD, MUSIC, PIPELINE
from assets.music.plays import checks as plays_checks

AUDITS = audits(PIPELINE, PIPELINE.definitions())


def specs() -> dict[dg.AssetCheckKey, dg.AssetCheckSpec]:
    return {spec.key: spec for audit in AUDITS for spec in audit.check_specs}


def test_every_check_is_an_audit():
    loaded = dg.load_asset_checks_from_modules([checks, plays_checks])
    own = {key for one in loaded for key in one.check_keys}
    standing = {
        "no_batch_failed_for_good", "no_object_left_waiting", "records_can_be_given_again",
    }  # fmt: skip
    assert own | {dg.AssetCheckKey(MUSIC.key("bronze_records"), name) for name in standing} == set(
        specs()
    )
    assert len(AUDITS) == len(loaded) + len(standing)


def test_no_check_of_a_batch_is_among_them():
    batch = {
        dg.AssetCheckKey(dg.AssetKey(["music", asset]), name)
        for asset, names in MUSIC.checks.items()
        for name in names
    }
    assert not batch & set(specs())


def test_checks_by_asset():
    names = {}
    for key in specs():
        names.setdefault(key.asset_key.path[-1], set()).add(key.name)
    rules = {"nothing_missing", "values_in_range", "keys_unique", "references_hold"}
    assert names["silver_songs"] == {
        *rules, "one_song_per_track", "records_lead_to_songs", "crosswalk_holds",
        "unknown_members_hold",
    }  # fmt: skip
    assert names["song_lyrics"] == {*rules, "lyrics_failed_share"}
    assert names["bronze_records"] == {
        "no_object_left_waiting", "no_batch_failed_for_good", "records_can_be_given_again",
    }  # fmt: skip
    assert names["song_search"] == {"search_holds_all_songs"}
    assert names["lyrics_vectors"] == {"vectors_hold_all_lyrics"}
    assert names["fact_play"] == {"files_are_whole", "plays_lead_to_songs"}
    for name in GOLD:
        references = rules - set() if name not in GOLD[3:5] else rules - {"references_hold"}
        assert names[name] == {*references, "equals_silver"}
    assert all(spec.description for spec in specs().values())


@pytest.mark.parametrize("kind", table_rules.KINDS)
def test_rules_name_what_they_are_about(kind):
    for table in tables.TABLES.values():
        for rule in table_rules.rules(table, kind):
            assert rule.text.startswith(table.name)


def test_rules_of_songs():
    song = tables.TABLES["fact_song"]
    ranges = {rule.text: rule.broken for rule in table_rules.rules(song, "values_in_range")}
    assert ranges["fact_song.key >= 0 and <= 11"] == "NOT (t.key >= 0 AND t.key <= 11)"
    assert ranges["fact_song.tempo > 0 and <= 500"] == "NOT (t.tempo > 0 AND t.tempo <= 500)"
    references = [rule.text for rule in table_rules.rules(song, "references_hold")]
    assert references == [
        "fact_song.artist_key is in dim_artist.artist_key",
        "fact_song.album_key is in dim_album.album_key",
        "fact_song.genre_key is in dim_genre.genre_key",
        "fact_song.year_key is in dim_date.year_key",
    ]
