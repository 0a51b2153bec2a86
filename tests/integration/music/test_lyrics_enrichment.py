"""Lyrics from the stand-in service into Postgres: what is asked, how often, what is kept."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from assets.music.lyrics import songs
from assets.music.lyrics.retry_policy import PATIENCE, State
from tests.integration.music.lyrics_world import BATCH, SERVERS, LyricsWorld, song

pytestmark = pytest.mark.servers(*SERVERS)

NEXT = "20261122T110000Z-0002"


@pytest.fixture
def world(env: dict[str, str]) -> LyricsWorld:
    return LyricsWorld(env)


def test_every_song_gets_the_services_word(world):
    world.add_many(60)
    details = world.enrich()
    assert world.stored() == world.expected()
    counted = Counter(status for status, _ in world.expected().values())
    assert counted["found"] > 10
    assert counted["missing"] > 5
    assert {name: details[name] for name in ("found", "missing", "failed", "pending")} == {
        **dict.fromkeys(("failed", "pending"), 0),
        **counted,
    }
    assert world.admin.asked() == dict.fromkeys(world.names.values(), 1)
    assert details["lyrics_calls"] == details["lyrics_asked"] == world.admin.calls() == 60
    row = world.row(next(k for k, (status, _) in world.expected().items() if status == "found"))
    assert (row["source"], row["attempts"], row["next_attempt_at"]) == ("service", 1, None)


def test_a_second_run_asks_nothing_and_changes_nothing(world):
    world.add_many(20)
    world.enrich()
    before = world.query("SELECT * FROM music.song_lyrics ORDER BY song_key")
    calls = world.admin.calls()
    world.forward(days=30)
    assert world.enrich()["lyrics_asked"] == 0
    assert world.retry()["lyrics_asked"] == 0
    assert world.query("SELECT * FROM music.song_lyrics ORDER BY song_key") == before
    assert world.admin.calls() == calls


@pytest.mark.parametrize(
    "artist", ["AC/DC", "Who?", "#1 Band", "a;b", "..", "50%", "Sigur Rós", "愛"]
)
def test_awkward_names_are_asked_for_as_they_are(world, artist):
    world.add("s", artist, "What / is ? this # ; … ß")
    world.enrich()
    assert world.admin.asked() == {(artist, "What / is ? this # ; … ß"): 1}
    assert world.stored() == world.expected()


def test_what_files_bring_is_not_asked_for(world):
    world.add("s", *song(there=True))
    world.add("w", *song(there=True))
    world.change(
        "INSERT INTO music.song_lyrics (song_key, status, source, source_record, text, words)"
        " VALUES ('s', 'found', 'file', 'lyrics:1', 'from a file', NULL),"
        " ('w', 'found', 'file', 'musixmatch:1', NULL, '[]')"
    )
    assert world.enrich()["found"] == 2
    assert world.admin.calls() == 0
    assert world.stored() == {"s": ("found", "from a file"), "w": ("found", None)}


def test_a_song_without_names_is_pending_and_says_why(world):
    world.add("no title", "Somebody", None)
    world.add("no artist", None, "Something")
    assert world.enrich()["pending"] == 2
    for key in ("no title", "no artist"):
        row = world.row(key)
        assert (row["status"], row["error"], row["next_attempt_at"]) == ("pending", key, None)
    world.forward(days=30)
    assert world.retry()["lyrics_asked"] == 0
    world.rename("no title", song(there=True)[1])
    world.touch(NEXT, "song", ["no title"])
    assert world.enrich(NEXT)["found"] == 1
    assert world.stored() == world.expected()


def test_an_artist_of_another_name_is_another_question(world):
    artist = world.add("s", *song(there=True))
    world.add("t", *song(there=True))
    world.enrich()
    world.change("UPDATE music.dim_artist SET name = 'Somebody Else'")
    for key in ("s", "t"):
        world.names[key] = ("Somebody Else", song(there=True)[1])
    world.touch(NEXT, "artist", [artist])
    assert world.enrich(NEXT)["lyrics_asked"] == 2
    assert world.stored() == world.expected()


@pytest.mark.parametrize("there", [True, False])
def test_another_title_is_another_question(world, there):
    world.add("s", *song(there=True))
    world.enrich()
    _, title = song(there=there)
    world.rename("s", f" {title}" if there else title)
    world.touch(NEXT, "song", ["s"])
    world.enrich(NEXT)
    assert world.stored() == world.expected()
    assert world.row("s")["attempts"] == 1
    assert world.admin.calls() == 2


def test_a_transient_failure_is_tried_again_within_the_run(world):
    world.add("s", *song(there=True))
    world.admin.set_faults(script=["500"], endpoints=["lyrics"])
    details = world.enrich()
    assert (details["found"], details["lyrics_calls"], details["lyrics_asked"]) == (1, 2, 1)


@pytest.mark.parametrize("fault", ["500", "503", "429", "401", "malformed", "empty", "disconnect"])
def test_what_is_no_answer_is_failed_and_found_later(world, fault):
    world.add("s", *song(there=True))
    world.admin.set_faults(rates={fault: 1.0}, retry_after=0.1)
    assert world.enrich()["failed"] == 1
    row = world.row("s")
    assert (row["status"], row["attempts"], row["text"]) == ("failed", 1, None)
    assert row["error"]
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(hours=1)
    world.admin.end_faults()
    assert world.retry()["lyrics_asked"] == 0, "before its time"
    assert world.enrich()["lyrics_asked"] == 0, "before its time"
    world.forward(hours=1, minutes=1)
    assert world.retry()["lyrics_found"] == 1
    assert world.stored() == world.expected()
    assert world.noted() == {"s"}


def test_a_hang_is_failed_never_missing(world):
    world.add("s", *song(there=False))
    world.admin.set_faults(rates={"hang": 1.0}, hang_seconds=30)
    world.enrich(asking={"timeout": 0.3, "attempts": 2})
    row = world.row("s")
    assert row["status"] == "failed"
    assert "Timeout" in row["error"]
    assert world.admin.calls() == 2
    world.admin.end_faults()
    world.forward(hours=2)
    world.retry()
    assert world.stored() == world.expected() == {"s": ("missing", None)}


def test_failed_songs_wait_longer_and_longer_and_never_become_missing(world):
    world.add("s", *song(there=False))
    world.admin.set_faults(rates={"401": 1.0})
    world.enrich()
    waits = []
    for attempt in range(2, 7):
        row = world.row("s")
        waits.append(round((row["next_attempt_at"] - row["updated_at"]).total_seconds() / 3600))
        world.forward(hours=waits[-1], minutes=1)
        assert world.retry()["lyrics_failed"] == 1
        row = world.row("s")
        assert (row["status"], row["attempts"]) == ("failed", attempt)
    assert waits == [1, 6, 24, 24, 24]
    assert world.noted() == set(), "failed again is no change"


def test_retry_after_is_honoured(world):
    for number in range(3):
        world.add(f"s{number}", "Somebody", f"Title {number}")
    world.admin.set_faults(script=["429"], endpoints=["lyrics"], retry_after=1.2)
    details = world.enrich()
    assert details["failed"] == 0
    assert details["lyrics_calls"] == 4
    assert details["lyrics_seconds"] >= 1.2
    world.add("s9", "Somebody", "Title 9", batch=NEXT)
    world.admin.set_faults(script=["429"], endpoints=["lyrics"], retry_after=7_200)
    assert world.enrich(NEXT)["failed"] == 1, "too long to wait for"
    row = world.row("s9")
    assert row["next_attempt_at"] - row["updated_at"] == timedelta(hours=2)


def test_missing_is_final_until_it_is_reset(world):
    world.add("s", *song(there=False))
    world.enrich()
    world.forward(days=365)
    world.touch(NEXT, "song", ["s"])
    assert world.enrich(NEXT)["lyrics_asked"] == world.retry()["lyrics_asked"] == 0
    assert world.admin.calls() == 1
    assert world.retry(missing_again=True)["lyrics_missing"] == 1
    assert world.admin.calls() == 2
    assert world.noted() == {"s"}


def test_a_service_that_is_down_fails_no_batch_and_is_not_hammered(world):
    world.add_many(80)
    world.admin.set_faults(rates={"500": 1.0})
    details = world.enrich(asking={"attempts": 1})
    assert details["failed"] == 80
    assert PATIENCE <= world.admin.calls() <= PATIENCE + 8
    unasked = world.query(
        "SELECT count(*) FROM music.song_lyrics WHERE attempts = 0 AND error LIKE 'not asked%'"
    )
    assert unasked == [(80 - world.admin.calls(),)]
    world.admin.end_faults()
    world.forward(hours=1, minutes=1)
    world.retry()
    assert world.stored() == world.expected()


def test_nobody_there_at_all(world):
    world.add_many(3)
    world.env = {**world.env, "MUSIC_LYRICS_URL": "http://127.0.0.1:9/v1"}
    assert world.enrich()["failed"] == 3
    assert "ConnectError" in world.row("1-0000")["error"]


def test_another_servers_404_is_not_missing(world):
    world.add("s", *song(there=True))
    wrong = world.env["MUSIC_LYRICS_URL"].replace("/v1", "/v2")
    world.env = {**world.env, "MUSIC_LYRICS_URL": wrong}
    assert world.enrich()["failed"] == 1


def test_no_service_leaves_songs_due(world):
    world.add_many(3)
    world.env = {**world.env, "MUSIC_LYRICS_URL": "", "MUSIC_MUSICBRAINZ_URL": ""}
    assert world.enrich()["pending"] == 3
    world.env = {**world.env, "MUSIC_LYRICS_URL": f"{world.admin.url}/v1"}
    assert world.retry()["lyrics_asked"] == 3


def test_calls_at_once_are_bounded(world):
    world.add_many(40)
    world.admin.set_faults(latency=0.05)
    world.enrich(asking={"concurrency": 5})
    assert world.admin.counters()["most_open_calls"] == 5


def test_what_one_run_leaves_over_is_taken_by_the_next(world):
    world.add_many(25)
    details = world.enrich(limit=10)
    assert (details["lyrics_asked"], details["pending"]) == (10, 15)
    assert [world.retry(limit=10)["lyrics_asked"] for _ in range(3)] == [10, 5, 0]
    assert world.stored() == world.expected()
    assert world.admin.asked() == dict.fromkeys(world.names.values(), 1)
    assert len(world.noted()) == 15


def test_a_batch_asks_for_its_own_songs_only(world):
    world.add_many(5)
    world.add_many(5, batch=NEXT)
    world.enrich(NEXT)
    assert set(world.statuses()) == {f"2-{number:04d}" for number in range(5)}
    assert world.noted() == set(), "gold follows the batch by itself"


def test_songs_that_are_gone_are_passed_over(world):
    world.add_many(3)
    world.touch(BATCH, "song", ["gone"])
    world.change("DELETE FROM music.fact_song WHERE song_key = '1-0000'")
    del world.names["1-0000"]
    world.enrich()
    assert world.stored() == world.expected()


def test_an_answer_does_not_replace_what_a_file_brought_meanwhile(world):
    world.add("s", *song(there=True))
    with world.database() as connection:
        songs.prepare(connection, BATCH, world.now())
        (asked,) = songs.due(connection, world.now(), limit=10)
        connection.execute(
            "UPDATE music.song_lyrics SET status = 'found', source = 'file', text = 'of a file'"
        )
        stored = songs.store(
            connection, [(asked, State("found", 1, "late"))], world.now(), note=True
        )
    assert stored == 0
    assert world.row("s")["text"] == "of a file"


def test_the_check_sees_a_song_without_row_and_one_that_nobody_will_ask_for(world):
    world.add_many(4)
    world.add("nameless", "Somebody", None)
    world.enrich()
    world.change("UPDATE music.song_lyrics SET error = NULL WHERE song_key = 'nameless'")
    world.change("DELETE FROM music.song_lyrics WHERE song_key = '1-0000'")
    world.change(
        "UPDATE music.song_lyrics SET status = 'failed', text = NULL, next_attempt_at = NULL"
        " WHERE song_key = '1-0001'"
    )
    with world.database() as connection:
        found = songs.verify(connection, BATCH)
    assert (found.expected, found.missing, found.differing) == (5, 1, 2)
    assert found.sample == ("1-0000", "1-0001", "nameless")
