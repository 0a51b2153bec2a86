"""Rows say when they came and when they changed: what changed since can be asked for."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.integration.music.test_bronze_files import as_list
from tests.integration.music.test_rewritten_files import World, one
from tests.integration.music.test_rewritten_files import world as world  # noqa: PLC0414

pytestmark = pytest.mark.servers("postgres", "s3")

TABLES = ("fact_song", "song_details", "dim_artist", "artist_performance")


def now(world: World) -> datetime:
    return world.query("SELECT clock_timestamp()")[0][0]


def changed(world: World, table: str, since: datetime) -> tuple[int, int]:
    """Rows that came since, and that changed since."""
    [found] = world.query(
        "SELECT count(*) FILTER (WHERE loaded_at >= %s), count(*) FILTER (WHERE updated_at >= %s)"
        f" FROM music.{table}", since, since,
    )  # fmt: skip
    return found


def test_what_changed_since_is_what_a_batch_changed(world):
    start = now(world)
    world.land(a=as_list(*(one(f"Song {n}", f"Artist {n}") for n in range(5))))
    assert {table: changed(world, table, start) for table in TABLES} == dict.fromkeys(
        TABLES, (5, 5)
    )
    later = now(world)
    same = [one(f"Song {n}", f"Artist {n}") for n in range(4)]
    world.land(a=as_list(*same, one("Song 4", "Artist 4", tempo=90.0)))
    assert changed(world, "fact_song", later) == (0, 1)
    assert changed(world, "song_details", later) == (0, 1)
    assert changed(world, "artist_performance", later) == (0, 1)
    assert changed(world, "dim_artist", later) == (0, 0)
    end = now(world)
    world.land(a=as_list(*same, one("Song 4", "Artist 4", tempo=90.0)))
    assert {table: changed(world, table, end) for table in TABLES} == dict.fromkeys(TABLES, (0, 0))


def test_years_are_days_and_centuries(world):
    world.land(a=as_list(one("Old", "A", year=1900), one("New", "A", year=2001)))
    rows = world.query(
        "SELECT year_key, label, decade, century, first_day::text, last_day::text"
        " FROM music.dim_date ORDER BY 1"
    )
    assert rows == [
        (0, "Unknown", None, None, None, None),
        (1900, "1900", 1900, 19, "1900-01-01", "1900-12-31"),
        (2001, "2001", 2000, 21, "2001-01-01", "2001-12-31"),
    ]
