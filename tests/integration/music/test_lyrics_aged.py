"""Lyrics of the service after a while: asked for again, and what it says instead of them."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.config import Config

from assets.music.lyrics.retry_policy import MAX_AGED_PER_RUN
from local.service import REPOSITORY
from migrations.upgrade import upgrade
from tests.integration.music.lyrics_world import SERVERS, LyricsWorld, song

pytestmark = pytest.mark.servers(*SERVERS)


@pytest.fixture
def world(env: dict[str, str]) -> LyricsWorld:
    return LyricsWorld(env)


def with_lyrics(world: LyricsWorld) -> str:
    world.add("s", *song(there=True), genre="rock")
    world.enrich()
    assert world.row("s")["status"] == "found"
    return world.row("s")["text"]


def test_a_placeholder_is_missing_and_a_credit_is_left_out(world):
    world.add("p", *song(there=True), genre="rock")
    world.admin.set_faults(script=["placeholder"])
    world.enrich()
    row = world.row("p")
    assert (row["status"], row["text"], row["source"]) == ("missing", None, None)
    assert row["error"] == "no lyrics, but: We are not authorized to display these lyrics"
    world.admin.set_faults(script=["credited"])
    world.retry(missing_again=True)
    assert world.stored() == world.expected()


def test_what_was_found_is_asked_for_again_by_its_age_and_spread(world):
    world.add_many(40)
    world.enrich()
    before = world.stored()
    found = {key for key, (status, _) in before.items() if status == "found"}
    world.admin.clear_counters()
    world.forward(days=179)
    assert world.retry()["lyrics_asked"] == 0
    world.forward(days=20)
    early = world.retry()["lyrics_asked"]
    assert 0 < early < len(found)
    assert world.retry()["lyrics_asked"] == 0, "what was asked is young again"
    world.forward(days=30)
    assert early + world.retry()["lyrics_asked"] == len(found)
    assert world.stored() == before
    assert set(world.admin.asked()) == {world.names[key] for key in found}
    assert world.noted() == set()


def test_it_may_be_never_and_one_run_asks_for_few(world, monkeypatch):
    world.add_many(12)
    world.enrich()
    world.forward(days=1_000)
    never = world.services().lyrics.model_copy(update={"again_after_days": 0})
    assert world.retry(lyrics=never)["lyrics_asked"] == 0
    assert MAX_AGED_PER_RUN == 200
    monkeypatch.setattr("assets.music.lyrics.enrichment.MAX_AGED_PER_RUN", 3)
    assert world.retry()["lyrics_asked"] == 3


def test_old_lyrics_stay_while_the_service_is_down(world):
    text = with_lyrics(world)
    asked = world.row("s")["updated_at"]
    world.forward(days=400)
    world.admin.set_faults(rates={"500": 1.0})
    world.retry()
    row = world.row("s")
    assert (row["status"], row["source"], row["text"]) == ("found", "service", text)
    assert row["updated_at"] == asked
    assert "500" in row["error"]
    calls = world.admin.calls()
    assert world.retry()["lyrics_asked"] == 0, "it waits as any question that failed"
    assert world.admin.calls() == calls
    world.admin.end_faults()
    world.forward(hours=2)
    assert world.retry()["lyrics_found"] == 1
    row = world.row("s")
    assert (row["text"], row["error"], row["next_attempt_at"]) == (text, None, None)
    assert row["updated_at"] > asked


def test_what_the_service_may_not_show_any_more_goes_and_a_files_words_come_back(world):
    with_lyrics(world)
    world.add("w", "Somebody", "Else", genre="rock")
    world.change(
        "INSERT INTO music.song_source (record_key, song_key, format, rank, seq, row_hash, source,"
        " line, lyrics_words) VALUES ('musixmatch:TR', 'w', 'musixmatch', 6, 1, 'h', 'raw/m#1', 1,"
        ' \'[{"word": "la", "count": 2}]\')'
    )
    world.change(
        "INSERT INTO music.song_lyrics (song_key, status, source, source_record, text) VALUES"
        " ('w', 'found', 'service', 'service:' || md5('Somebody' || chr(31) || 'Else'), 'la la')"
    )
    world.forward(days=400)
    world.admin.set_faults(rates={"placeholder": 1.0})
    assert world.retry()["lyrics_missing"] == 2
    gone, words = world.row("s"), world.row("w")
    assert (gone["status"], gone["text"], gone["source"]) == ("missing", None, None)
    assert (words["status"], words["source"], words["text"]) == ("found", "file", None)
    assert words["words"] == [{"word": "la", "count": 2}]
    assert words["source_record"] == "musixmatch:TR"
    assert world.noted() == {"s", "w"}


def test_lyrics_of_before_are_judged_by_the_migration(world):
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "migrations"))
    config.attributes["url"] = world.env["POSTGRES_URL"]
    command.downgrade(config, "0021")
    texts = {
        "a": "We are not authorized to display these lyrics",
        "b": "Paroles de la chanson Some Song par Somebody\nla la\nla",
        "c": "[Instrumental]",
        "d": "Instrumental in my fall\nla",
        "e": "Unfortunately, due to licensing restrictions from some publishers\nwe cannot.",
        "f": "Lyrics not found",
    }
    for key, text in texts.items():
        world.add(key, "Somebody", f"Song {key}", genre="rock")
        world.change(
            "INSERT INTO music.song_lyrics (song_key, status, source, source_record, text)"
            " VALUES (%s, 'found', 'service', 'service:x', %s)",
            key,
            text,
        )
    world.add("file", "Somebody", "Song file", genre="rock")
    world.change(
        "INSERT INTO music.song_lyrics (song_key, status, source, source_record, text)"
        " VALUES ('file', 'found', 'file', 'lyrics:x', 'Instrumental')"
    )
    world.change(
        "INSERT INTO music.song_source (record_key, song_key, format, rank, seq, row_hash, source,"
        " line, lyrics_words) VALUES ('musixmatch:TR', 'f', 'musixmatch', 6, 1, 'h', 'raw/m#1', 1,"
        ' \'[{"word": "la", "count": 2}]\')'
    )
    upgrade(world.env["POSTGRES_URL"])
    missing = ("missing", None)
    assert world.stored() == {
        "a": missing, "b": ("found", "la la\nla"), "c": missing, "d": ("found", texts["d"]),
        "e": missing, "f": ("found", None), "file": ("found", "Instrumental"),
    }  # fmt: skip
    assert world.row("c")["error"] == "no lyrics, but: [Instrumental]"
    assert world.row("f")["source_record"] == "musixmatch:TR"
    assert world.noted() == {"a", "b", "c", "e", "f"}
