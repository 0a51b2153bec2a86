"""Lyrics in Milvus: passages that are written, replaced, gone."""

from __future__ import annotations

import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest

from assets import embeddings
from assets.embeddings import Space
from assets.frame.tables import Column
from assets.music.search import lyrics_vectors, song_rows
from assets.sinks.milvus import AnotherModelError, AnotherSchemaError
from landing.batch.failures import classify
from landing.batch.refused import Refusals
from tests import forks
from tests.integration.music import search_killed
from tests.integration.music.lyrics_index import LONG, opened, small
from tests.integration.music.search_world import ODD_KEYS, Song

pytestmark = pytest.mark.servers("postgres", "milvus", "openai")


@pytest.fixture
def index(env):
    with opened(env) as index:
        yield index


def test_written_twice_then_changed_then_gone(index, openai_admin):
    index.world.put("b1", small())
    first = index.write("b1", rows=4)
    index.assert_holds_the_world()
    rows = index.rows()
    assert sum(row["song_key"] == "SOLONG" for row in rows.values()) == 4
    assert (first.rows_written, first.unchanged, first.deleted) == (len(rows), 0, 0)
    assert first.details["songs"] == len(index.world.songs) - 1
    assert first.details["embedded"] == len({row["text"] for row in rows.values()})
    assert rows["SOBAG#0"]["text"] == "river sea run"
    assert index.verify("b1").ok
    assert index.verify("b1").expected == len(rows)

    openai_admin.clear_counters()
    again = index.write("b1")
    assert (again.rows_written, again.unchanged, again.deleted) == (len(rows), len(rows), 0)
    assert openai_admin.counters()["calls"] == {}
    assert index.rows() == rows

    index.world.change("b2", "SOLONG", text="now\n\nshort")
    index.world.change("b2", "SOSHORT", text=LONG)
    index.world.change("b2", "SOBAG", words=(), text="now there is a text")
    index.world.change("b2", "a/b", text=None)
    index.world.change("b2", "what?", genre="Folk")
    changed = index.write("b2")
    # Four passages of SOLONG became one, SOSHORT's one four; a/b's one is gone.
    assert (changed.rows_written, changed.unchanged, changed.deleted) == (7, 1, 4)
    index.assert_holds_the_world()
    assert index.verify("b2").ok
    assert index.verify("b1").ok  # today's lyrics are what counts

    index.world.drop("b3", [*ODD_KEYS, "SOSHORT", "SONONE"])
    dropped = index.write("b3", rows=5)
    assert (dropped.rows_written, dropped.deleted) == (0, len(ODD_KEYS) - 1 + 4)
    index.assert_holds_the_world()
    assert index.verify("b3").ok
    assert index.write("b3").deleted == 0


def test_a_song_that_is_refused_has_no_passage_and_the_others_have_theirs(index, monkeypatch):
    """Refused by the API for one of its passages, or by Milvus for its key."""
    monkeypatch.setattr(embeddings, "TEXT_BYTES", 100_000)  # as if nothing were cut
    long_key = "SO" + "x" * 600
    emoji = Song("SOEMOJI", text=LONG)
    index.world.put("b1", [*small(), emoji, Song(long_key, text="fine words")])
    told: dict[str, str] = {}
    # 8,000 characters of four bytes: some 30,000 tokens, of which the API takes 8,192.
    bag = ((chr(0x1F600) * 4_000, 2), (chr(0x1F601) * 3_990, 1))
    index.world.change("b0", "SOEMOJI", text="before")
    index.write("b0")
    assert "SOEMOJI#0" in index.rows()
    index.world.change("b1", "SOEMOJI", text=None, words=bag)
    result = index.write("b1", rows=4, refuse=told.__setitem__)
    assert set(told) == {"SOEMOJI", long_key}
    assert "maximum context length" in told["SOEMOJI"]
    assert "exceeds" in told[long_key]
    assert index.verify("b1", told).ok
    assert not index.verify("b1").ok
    held = dict(index.world.songs)
    del index.world.songs["SOEMOJI"], index.world.songs[long_key]
    index.assert_holds_the_world()
    assert result.rows_written == len(index.rows())
    assert result.details["songs"] == len(index.world.songs) - 1
    with pytest.raises(Exception, match="maximum context length"):
        index.write("b1")
    index.world.songs |= held


def test_a_refused_song_is_told_with_its_records_object_and_line(index):
    index.world.put("b1", [Song("SO1", text="la")])
    with psycopg.connect(index.pg.url) as conn:
        for key, line in (("x", 3), ("lyrics", 8)):
            conn.execute(
                "INSERT INTO music.song_source (record_key, format, rank, seq, row_hash, source,"
                " line, fingerprint) VALUES (%s, 'hdf5', 1, 1, 'h', 'minio://raw/a#1', %s, 'f')",
                (key, line),
            )
        conn.execute("UPDATE music.song_lyrics SET source_record = 'lyrics'")
    for lyrics, line in ((False, 3), (True, 8)):
        told = Refusals()
        delivery: Any = SimpleNamespace(refuse=told)
        song_rows.refusing(index.pg, delivery, lyrics=lyrics)("SO1", "no")
        assert told.places == {"SO1": ("minio://raw/a#1", line)}


def test_what_is_missing_other_or_too_much_is_found(index):
    index.world.put("b1", small())
    index.write("b1")
    index.world.change("b1", "SOSHORT", text="not written")
    index.world.put("b1", [Song("SONEW", text="not written either")])
    index.world.drop("b1", ["SOLONG"])
    found = index.verify("b1")
    assert (found.missing, found.differing, found.unexpected) == (1, 1, 4)
    assert {"SONEW#0", "SOSHORT#0", "SOLONG#3"} <= set(found.sample)


def test_a_vector_that_is_not_the_texts_is_found(index):
    index.world.put("b1", [Song("SO1", text="a song")])
    index.write("b1")
    row = dict(index.rows()["SO1#0"])
    row["vector"] = np.full(1024, 1 / 32, dtype="f4")
    index.store.upsert([row])
    found = index.verify("b1")
    assert (found.missing, found.differing, found.sample) == (0, 1, ("SO1#0",))


@pytest.mark.parametrize("survived", [0, 1, 2, 3])
def test_killed_between_two_writes(index, survived):
    """Passages of the old and of the new lyrics lie side by side; the next run ends that."""
    index.world.put("b0", small()[:6])
    index.write("b0")
    index.world.change("b1", "SOLONG", text="now it is short")
    index.world.change("b1", "SOSHORT", text=LONG)
    index.world.change("b1", "SOBAG", words=(("other", 1),))
    index.world.drop("b1", [ODD_KEYS[0]])
    assert forks.exit_code_of(search_killed.main, "lyrics", "b1", survived) == -signal.SIGKILL
    assert not index.verify("b1").ok
    index.write("b1")
    index.assert_holds_the_world()
    assert index.verify("b1").ok


def test_never_two_models_nor_two_schemas(index):
    index.world.put("b1", [Song("SO1", text="a song")])
    index.write("b1")
    other = replace(index.store, space=Space("another-model"))
    with pytest.raises(AnotherModelError, match=r"OPENAI_EMBEDDING_MODEL.*--job music") as caught:
        lyrics_vectors.write(index.pages("b1"), other, index.pg, index.openai)
    assert classify(caught.value) == "permanent"
    language = Column("language", "text", "Language of the passage.")
    table = replace(index.store.table, columns=(*index.store.table.columns, language))
    other = replace(index.store, table=table)
    with pytest.raises(AnotherSchemaError, match=r"language.*drop this one.*--job music") as unlike:
        lyrics_vectors.write(index.pages("b1"), other, index.pg, index.openai)
    assert classify(unlike.value) == "permanent"
    index.assert_holds_the_world()


@pytest.mark.parametrize("field", ["vector", "sparse"])
def test_a_collection_without_an_index_is_completed(index, field):
    index.store.ensure()
    index.client.release_collection(index.name)
    index.client.drop_index(index.name, field)
    assert field not in index.client.list_indexes(index.name)
    index.world.put("b1", small())
    index.write("b1")
    index.assert_holds_the_world()
    assert index.search("river")


def test_no_collection_holds_nothing(index):
    assert lyrics_vectors.songs(index.client, index.name) == 0
