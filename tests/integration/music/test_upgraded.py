"""A database of before records belonged to their files is taken over with all that it knows."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.config import Config

from local.service import REPOSITORY
from migrations.upgrade import upgrade
from tests.integration.music.test_bronze_files import as_list
from tests.integration.music.test_rewritten_files import AS_SECOND, FIRST, SECOND, World, one
from tests.integration.music.test_rewritten_files import world as world  # noqa: PLC0414

pytestmark = pytest.mark.servers("postgres", "s3")

TOLD = {
    "records": "SELECT key, row_hash, seq FROM music.record ORDER BY 1",
    "sources": "SELECT record_key, song_key, seq FROM music.song_source ORDER BY 1",
    "songs": "SELECT song_key, base_source, provenance, sources, artist_key, album_key, genre_key,"
    " row_hash FROM music.fact_song ORDER BY 1",
}


def told(world: World) -> dict[str, list[tuple[object, ...]]]:
    return {what: world.query(query) for what, query in TOLD.items()}


def test_keys_batches_and_rewrites_after_the_upgrade(world):
    first = world.land(a=as_list(*FIRST)).batch_id
    # Two records of one song of one rank: what the newer lacks is the older one's.
    extra = one("Kept", "Artist 1", album="Alb", year=None)
    second = world.land(b=as_list({**extra, "duration": None})).batch_id
    before, songs = told(world), world.songs()

    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "migrations"))
    config.attributes["url"] = world.env["POSTGRES_URL"]
    command.downgrade(config, "0021")
    assert all(":" not in key[:17] or key[16] != ":" for key, *_ in told(world)["records"])
    keys = "SELECT DISTINCT num_nulls(artist_key, album_key), genre_key FROM music.fact_song"
    assert world.query(keys) == [(0, None)], "no unknown member yet"
    assert {row[6] for row in before["songs"]} == {"Unknown member"}
    upgrade(world.env["POSTGRES_URL"])

    assert told(world) == before
    assert world.query("SELECT * FROM landing.staged_part") == []
    for batch_id in (first, second):
        assert world.validate(batch_id).mode == "rewrite", "staged anew, from the copies"
        world.give(batch_id)
    assert (told(world), world.songs()) == (before, songs)
    assert world.land(a=as_list(*SECOND)).withdrawn == 4
    assert world.songs() == AS_SECOND
