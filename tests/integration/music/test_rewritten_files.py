"""Files that are rewritten, and songs and files that are taken down: silver and gold follow."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from assets.music.gold.recount import recount
from assets.music.gold.replacement import replace
from assets.music.gold.targets import TARGETS
from assets.music.silver.load import load_batch
from assets.pipelines import apply_defaults
from landing.batch.delivery import Delivery, deliver
from ops import music_remove
from tests.integration.music.bronze_world import BronzeWorld, next_second
from tests.integration.music.test_bronze_files import as_list, song

pytestmark = pytest.mark.servers("postgres", "s3")


@dataclass
class World(BronzeWorld):
    """From the raw bucket to gold."""

    gold_tables: Collection[str] = tuple(TARGETS)

    def take(self, batch_id: str) -> Any:
        """One batch, validated, in silver and in gold, out of raw."""
        result = self.validate(batch_id)
        self.give(batch_id)
        self.remove(batch_id)
        return result

    def give(self, batch_id: str) -> None:
        with self.delivered(batch_id, "silver_songs") as delivery, self.pg.connect() as conn:
            _, found = load_batch(conn, delivery)
            assert found.ok, found
        self.gold(batch_id)

    def delivered(self, batch_id: str, sink: str) -> AbstractContextManager[Delivery]:
        return deliver(
            self.pg, self.processed, pipeline="music", batch_id=batch_id, sink=sink, run_id="run"
        )

    def gold(self, batch_id: str) -> None:
        for target in map(TARGETS.__getitem__, self.gold_tables):
            with self.pg.connect() as conn:
                replace(conn, target, batch_id)
                found = recount(conn, target)
                assert found.ok, (target.table.name, found)
        self.loaded(batch_id)

    def land(self, **files: bytes) -> Any:
        next_second()
        return self.take(self.batch({f"{name}.json": data for name, data in files.items()}))

    def arrived(self) -> Any:
        """What lies in raw and the ledger does not know."""
        next_second()
        page = self.raw.list_page("", None, 100)
        return self.take(self.batch_of(list(page.objects)))

    def songs(self) -> dict[str, str]:
        """Title to artist, as gold shows them."""
        return dict(self.query("SELECT title, artist FROM music.song_details"))


@pytest.fixture
def world(env) -> World:
    apply_defaults()
    return World(env)


def one(title: str, artist: str, **fields: object) -> dict[str, object]:
    return song(title, artist=artist, **fields)


FIRST = [
    one("Kept", "Artist 1"), one("Removed later", "Artist 2"), one("Old Title", "Artist 3"),
    one("Same Title", "Old Artist"), one("Moves Album", "Artist 5", album="Alb 1"),
]  # fmt: skip
SECOND = [
    one("Kept", "Artist 1"), one("New Title", "Artist 3"), one("Same Title", "New Artist"),
    one("Moves Album", "Artist 5", album="Alb 2"),
]  # fmt: skip
AS_SECOND = {"Kept": "Artist 1", "New Title": "Artist 3", "Same Title": "New Artist",
             "Moves Album": "Artist 5"}  # fmt: skip


def test_a_rewritten_file_replaces_what_it_said(world):
    world.land(songs=as_list(*FIRST))
    assert len(world.songs()) == 5
    result = world.land(songs=as_list(*SECOND))
    assert (result.rows.written, result.rows.unchanged, result.withdrawn) == (3, 1, 4)
    assert world.songs() == AS_SECOND
    albums = world.query("SELECT album FROM music.album_performance ORDER BY 1")
    assert albums == [("Alb 2",), ("B",), ("B",), ("B",)]
    artists = world.query("SELECT artist, songs FROM music.artist_performance ORDER BY 1")
    assert artists == [("Artist 1", 1), ("Artist 3", 1), ("Artist 5", 1), ("New Artist", 1)]


def test_a_song_that_another_file_still_has_stays(world):
    world.land(a=as_list(*FIRST), b=as_list(one("Removed later", "Artist 2", year=1999)))
    world.land(a=as_list(*SECOND))
    assert world.songs() == {**AS_SECOND, "Removed later": "Artist 2"}
    world.land(b=b"[]")
    assert world.songs() == AS_SECOND


def test_two_files_of_one_name_are_two_sources(world):
    """The track id is the files' name; the song ids in them are not the same."""
    said = {"num_songs": 1, "artist_id": "ARCASES1187B98C001", "artist_name": "Cases",
            "artist_location": "", "duration": 100.5, "year": 0}  # fmt: skip
    files = {
        f"folder_{folder}/TRCASES128F4290001.json": json.dumps(
            {**said, "song_id": f"SOCASES12AB018000{number}", "title": f"{title} of the name"}
        ).encode()
        for folder, number, title in (("a", 1, "First"), ("b", 2, "Second"))
    }
    world.take(world.batch(files))
    assert set(world.songs()) == {"First of the name", "Second of the name"}


def test_silver_given_the_batches_again_in_any_order_is_the_same(world):
    first = world.land(songs=as_list(*FIRST)).batch_id
    second = world.land(songs=as_list(*SECOND)).batch_id
    for batch_id in (first, second, second, first):
        world.execute(
            "UPDATE landing.batch_sink SET state = 'pending' WHERE batch_id = %s", batch_id
        )
        world.give(batch_id)
        assert world.songs() == AS_SECOND


def key_of(world: World, title: str) -> str:
    return world.query("SELECT song_key FROM music.song_details WHERE title = %s", title)[0][0]


def remove(**named: Any) -> int:
    given = {"song": None, "file": None, "undo": False, "why": "a court order", **named}
    return music_remove.run(given["song"], given["file"], undo=given["undo"], why=given["why"])


def test_a_song_that_was_taken_down_stays_away_until_that_is_undone(world, capsys):
    world.land(a=as_list(*FIRST))
    key = key_of(world, "Kept")
    assert remove(song=key) == 0
    assert "of 1 records" in capsys.readouterr().out
    world.arrived()
    assert "Kept" not in world.songs()
    assert len(world.songs()) == 4
    assert world.query("SELECT count(*) FROM music.song_lyrics WHERE song_key = %s", key) == [(0,)]
    # Another file of it, and the same again, do not bring it back.
    world.land(b=as_list(one("Kept", "Artist 1", year=1999)), a=as_list(*FIRST))
    assert "Kept" not in world.songs()
    assert remove(song=key, undo=True) == 0
    world.arrived()
    assert len(world.songs()) == 5
    years = world.query("SELECT year FROM music.song_details WHERE title = 'Kept'")
    assert years == [(1999,)]


def test_a_song_that_was_taken_down_stays_away_under_the_id_that_it_gets_later(world):
    track = "TRCASES128F4290009"
    extract = (
        f"track_id,title,artist_name,release,duration,tempo,loudness\n{track},T,A,B,1,100,-5\n"
    )
    world.take(world.batch({"e.csv": extract.encode()}))
    key = key_of(world, "T")
    assert key.startswith("fp-")
    assert remove(song=key) == 0
    world.arrived()
    said = {"num_songs": 1, "song_id": "SOCASES12AB0180009", "title": "T", "artist_name": "A",
            "artist_location": "", "duration": 1.0, "year": 0}  # fmt: skip
    world.take(world.batch({f"{track}.json": json.dumps(said).encode()}))
    assert world.songs() == {}


def test_a_file_that_was_taken_down_is_remembered(world, capsys):
    world.land(a=as_list(*FIRST), b=as_list(one("Kept", "Artist 1")))
    assert remove(file="a.json") == 0
    assert "5 records of a.json are withdrawn" in capsys.readouterr().out
    world.arrived()
    assert world.songs() == {"Kept": "Artist 1"}
    result = world.land(a=as_list(*SECOND))
    assert result.reasons == {"taken_down": 1}
    assert world.rejects(result.batch_id)["detail"].to_list() == ["a court order"]
    assert world.songs() == {"Kept": "Artist 1"}
    assert remove(file="a.json", undo=True) == 0
    world.land(a=as_list(*SECOND, one("Further", "Artist 9")))
    assert world.songs() == {**AS_SECOND, "Further": "Artist 9"}


def test_what_is_not_there_cannot_be_taken_down(world, capsys):
    assert remove(song="SONONE") == 1
    assert "no record tells of SONONE" in capsys.readouterr().err
    assert remove(file="none.json") == 1
    assert f"the key in {os.environ['MUSIC_RAW_BUCKET']}" in capsys.readouterr().err
    assert remove(file="none.json", undo=True) == 1
