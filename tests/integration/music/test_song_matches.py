"""Songs that several files name otherwise are one, and say why; an operator joins and splits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assets.music.silver.doubles import disagreements, likely_doubles
from assets.music.silver.identity import current_key
from ops import music_match
from tests.integration.music.test_bronze_files import as_list
from tests.integration.music.test_rewritten_files import World, key_of, one
from tests.integration.music.test_rewritten_files import world as world  # noqa: PLC0414

pytestmark = pytest.mark.servers("postgres", "s3")

EXTRACT = (
    b'"","track_id","title","artist_name","duration","tempo","year"\n'
    b'"1","TRCASES128F4290002","A Song Known Thrice","The Thrice",211.3,118.25,1999\n'
)
SECOND = one("A song known thrice", "Thrice, The", album="Best Of", duration=211.302, tempo=118.25)
THIRD = one("A Song Known Thrice", "The Thrice", album="Live", duration=340.0, tempo=90.0)


def matches(world: World) -> list[tuple[Any, ...]]:
    return world.query(
        "SELECT own_key, song_key, reason, confidence, match_key FROM music.song_match ORDER BY 1"
    )


def songs(world: World) -> list[tuple[Any, ...]]:
    return world.query("SELECT song_key, title, duration FROM music.song_details ORDER BY duration")


def decide(song: str, other: str | None = None, **given: Any) -> int:
    said = {"apart": False, "undo": False, "why": "heard both", **given}
    return music_match.run(song, other, **said)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_one_song_three_ways(world, order):
    files = [("1.csv", EXTRACT), ("2.json", as_list(SECOND)), ("3.json", as_list(THIRD))]
    batches = [world.batch({name: data}) for name, data in files]
    for number in order:
        world.take(batches[number])
    shown = songs(world)
    assert [(title, duration) for _, title, duration in shown] == [
        ("A Song Known Thrice", 211.3), ("A Song Known Thrice", 340.0),
    ]  # fmt: skip
    [(_, into, *why)] = matches(world)
    assert into == shown[0][0]
    assert why == ["duration and tempo", 0.95, "thrice / a song known thrice"]
    with world.pg.connect() as conn:
        assert disagreements(conn) == 0
        doubles = likely_doubles(conn, 10)
    [(name, keys)] = doubles["song"]
    assert (name, keys.split()) == (why[2], sorted(key for key, *_ in shown))
    assert doubles["artist"] == [], "the song has its artist of one file"
    assert doubles["album"] == []


def test_a_key_that_became_part_of_another_song_leads_there(world):
    world.land(a=as_list(one("Hello", "Ann", duration=100.0)))
    old = key_of(world, "Hello")
    said = {"num_songs": 1, "song_id": "SOCASES12AB0180001", "title": "Hello", "duration": 100.5,
            "artist_name": "Ann", "artist_location": "", "year": 0}  # fmt: skip
    world.land(b=json.dumps(said).encode())
    assert [key for key, *_ in songs(world)] == ["SOCASES12AB0180001"]
    with world.pg.connect() as conn:
        assert current_key(conn, old) == "SOCASES12AB0180001"
    assert [old for (old,) in world.query("SELECT old_key FROM music.song_redirect")] == [old]
    # The file with the id takes it back: the old key is a song again.
    world.land(b=b"[]")
    assert [key for key, *_ in songs(world)] == [old]
    redirects = world.query("SELECT old_key, song_key FROM music.song_redirect")
    assert redirects == [("SOCASES12AB0180001", old)]
    with world.pg.connect() as conn:
        assert current_key(conn, old) == old


def test_an_operator_joins_what_contradicts_and_takes_it_back(world, capsys):
    world.land(b=as_list(SECOND), c=as_list(THIRD))
    (first, *_), (second, *_) = songs(world)
    assert decide(first, second) == 0
    world.arrived()
    [(key, *_)] = songs(world)
    assert key in {first, second}
    [(_, _, reason, confidence, _)] = matches(world)
    assert (reason, confidence) == ("decided", 1.0)
    capsys.readouterr()
    assert decide(key) == 0
    assert "decided (100%) as thrice / a song known thrice" in capsys.readouterr().out
    assert decide(first, second, undo=True) == 0
    world.arrived()
    assert [key for key, *_ in songs(world)] == [first, second]


def test_an_operator_splits_what_matches_also_of_files_that_come_later(world):
    world.take(world.batch({"1.csv": EXTRACT}))
    [(first, *_)] = songs(world)
    world.land(b=as_list(SECOND))
    [(second, *_)] = matches(world)
    assert decide(first, second, apart=True) == 0
    world.arrived()
    assert {key for key, *_ in songs(world)} == {first, second}
    assert matches(world) == []
    with world.pg.connect() as conn:
        assert likely_doubles(conn, 10)["song"] == [], "decided"
    world.land(b=as_list({**SECOND, "loudness": -6.0}))
    assert {key for key, *_ in songs(world)} == {first, second}


def test_songs_of_other_names_can_be_joined(world, capsys):
    world.land(a=as_list(one("Hello", "Ann"), one("Bonjour", "Anne")))
    keys = [key_of(world, title) for title in ("Hello", "Bonjour")]
    assert decide(*keys) == 0
    world.arrived()
    assert len(songs(world)) == 1
    assert decide(keys[0], "fp-none") == 1
    assert "no record has the key fp-none" in capsys.readouterr().err


def test_what_nearly_matches_is_listed(world, capsys):
    world.land(b=as_list(SECOND), c=as_list(THIRD))
    assert music_match.run(None, None, apart=False, undo=False, why="") == 0
    said = capsys.readouterr().out
    assert "thrice / a song known thrice: fp-" in said
