"""Files of plays from the raw bucket to gold, against a recount in plain Python."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from assets.music.answers import (
    SongPlays,
    UnknownListenerError,
    UnknownSongError,
    listener_songs,
    song_plays,
)
from assets.music.bronze.archive import Archive
from assets.music.bronze.copies import copies_in
from assets.music.plays import indexes
from assets.music.plays.load import load_batch
from assets.music.silver.load import load_batch as load_silver
from assets.pipelines import apply_defaults
from tests import processes
from tests.integration.music.test_rewritten_files import World, remove

pytestmark = pytest.mark.servers("postgres", "s3")

USERS = [hashlib.sha1(bytes([n])).hexdigest() for n in range(30)]
SONGS = [f"SOPLAYS12AB018{n:04d}" for n in range(12)]
#: Songs of which a file tells: one has two artists; the last ids are of songs that are not known.
KNOWN = SONGS[:9]

Triple = tuple[str, str, int]


def triplets(*numbers: tuple[int, int, int]) -> list[Triple]:
    return [(USERS[user], SONGS[song], count) for user, song, count in numbers]


def text(rows: list[Triple]) -> bytes:
    return "".join(f"{user}\t{song}\t{count}\n" for user, song, count in rows).encode()


def artists_of(number: int) -> str:
    return "Artist 0;Artist 1" if number == 0 else f"Artist {number % 4}"


def songs_file() -> bytes:
    rows = ["track_id,song_id,title,artist_name,release,duration,tempo,loudness"]
    rows += [
        f"TRPLAYS128F429{n:04d},{song},Song {n},{artists_of(n)},Album,{100 + n},{90 + n},-5"
        for n, song in enumerate(KNOWN)
    ]
    return ("\n".join(rows) + "\n").encode()


@dataclass
class PlaysWorld(World):
    """What the files that count say by now, oldest first."""

    said: dict[str, list[Triple]] = field(default_factory=dict)
    gold_tables: Collection[str] = ("song_details", "song_plays", "artist_plays")

    def give(self, batch_id: str) -> None:
        with self.delivered(batch_id, "silver_songs") as delivery, self.pg.connect() as conn:
            assert load_silver(conn, delivery)[1].ok
        self.plays(batch_id)
        self.gold(batch_id)

    def plays(self, batch_id: str) -> Any:
        archive = Archive(self.raw, self.processed, copies_in(self.pg, self.raw.bucket))
        with self.delivered(batch_id, "fact_play") as delivery, self.pg.connect() as conn:
            result, found = load_batch(conn, delivery, archive.open)
            assert found.ok, found
        return result

    def put(self, files: Mapping[str, bytes]) -> Any:
        from tests.integration.music.bronze_world import next_second

        next_second()
        result = self.take(self.batch(files))
        unbalanced = self.query(
            "SELECT key FROM landing.object_version WHERE outcome = 'loaded' AND rows_read <>"
            " rows_written + rows_unchanged + rows_superseded + rows_rejected"
        )
        assert unbalanced == []
        return result

    def tell(self, key: str, rows: list[Triple], data: bytes | None = None) -> Any:
        """Put a file; it is the newest from now on."""
        self.said.pop(key, None)
        self.said[key] = rows
        return self.put({key: data if data is not None else text(rows)})

    def check(self) -> None:
        """Facts and gold, added up from what was said."""
        facts = {
            (source.rpartition("/")[2].partition("#")[0], user, song): count
            for source, user, song, count in self.query(
                "SELECT f.source, p.user_id, p.song_id, p.plays"
                " FROM music.fact_play p JOIN music.play_file f USING (file_id)"
            )
        }
        last = {key: {(u, s): c for u, s, c in rows} for key, rows in self.said.items()}
        assert facts == {
            (key, *pair): count for key, pairs in last.items() for pair, count in pairs.items()
        }
        counted: dict[tuple[str, str], int] = {}
        for pairs in last.values():
            counted.update(pairs)
        found = self.query("SELECT user_id, song_id, plays FROM music.counted_play")
        assert {(user, song): count for user, song, count in found} == counted
        assert len(found) == len(counted)
        songs: dict[str, list[tuple[str, int]]] = defaultdict(list)
        artists: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for (user, song), count in counted.items():
            if song in KNOWN:
                songs[song].append((user, count))
                for artist in artists_of(KNOWN.index(song)).split(";"):
                    artists[artist].append((user, song, count))
        assert {
            key: (plays, listeners)
            for key, plays, listeners in self.query(
                "SELECT song_key, plays, listeners FROM music.song_plays"
            )
        } == {song: (sum(c for _, c in rows), len(rows)) for song, rows in songs.items()}
        assert {
            name: tuple(figures)
            for name, *figures in self.query(
                "SELECT artist, songs, plays, listeners FROM music.artist_plays"
            )
        } == {
            artist: (len({s for _, s, _ in rows}), sum(c for *_, c in rows),
                     len({u for u, *_ in rows}))
            for artist, rows in artists.items()
        }  # fmt: skip


@pytest.fixture
def world(env) -> PlaysWorld:
    apply_defaults()
    return PlaysWorld(env)


FIRST = triplets(*((n % 30, n * 7 % 12, n % 5 + 1) for n in range(200)))
SECOND = triplets(*((n % 20, n % 11, n % 3 + 2) for n in range(100)))


def test_plays_reach_gold_with_songs_before_and_after_them(world):
    world.tell("train_triplets.txt", FIRST)
    assert world.query("SELECT count(*) FROM music.song_plays") == [(0,)]
    world.put({"songs.csv": songs_file()})
    world.check()
    world.tell("more/kaggle.txt.gz", SECOND, gzip.compress(text(SECOND), mtime=0))
    world.said["kaggle.txt.gz"] = world.said.pop("more/kaggle.txt.gz")
    world.check()
    # What a listener played, by the newer file where both say so.
    counted = {(u, s): c for rows in (FIRST, SECOND) for u, s, c in rows}
    own = [(-c, s) for (u, s), c in counted.items() if u == USERS[3] and s in KNOWN]
    with world.pg.connect() as conn:
        top = listener_songs(conn, USERS[3], 3)
        assert [(-one.plays, one.song_key) for one in top] == sorted(own)[:3]
        of_song = [c for (_, s), c in counted.items() if s == SONGS[2]]
        assert song_plays(conn, SONGS[2]) == SongPlays(SONGS[2], sum(of_song), len(of_song))
        with pytest.raises(UnknownListenerError):
            listener_songs(conn, "0" * 40)
        with pytest.raises(UnknownSongError):
            song_plays(conn, SONGS[-1])
    assert world.contents(world.raw) == {}


def test_bad_lines_are_quarantined_and_repeated_pairs_superseded(world):
    pairs = len({(user, song) for user, song, _ in FIRST})
    data = text(FIRST) + b"user\tsong\tplays\n\n" + text(triplets((0, 0, 0)))
    world.said["a.txt"] = FIRST
    result = world.put({"a.txt": data, "songs.csv": songs_file()})
    world.check()
    counts = world.query(
        "SELECT rows_read, rows_written, rows_superseded, rows_rejected, whole"
        " FROM landing.object_version WHERE key = 'a.txt'"
    )
    assert counts == [(202, pairs, 200 - pairs, 2, False)]
    rejected = world.rejects(result.batch_id).select("line", "reason").rows()
    assert rejected == [(201, "bad_id"), (203, "out_of_range")]


def test_a_rewritten_file_is_all_that_it_says(world):
    world.put({"songs.csv": songs_file()})
    world.tell("a.txt", FIRST)
    world.tell("b.txt", SECOND)
    world.check()
    world.tell("a.txt", SECOND[:10])
    world.check()
    # Again, with the same content: nothing is written.
    before = world.query("SELECT ctid, xmin FROM music.fact_play ORDER BY 1")
    result = world.put({"a.txt": text(SECOND[:10])})
    assert result.rows.unchanged == len({pair[:2] for pair in SECOND[:10]})
    assert world.query("SELECT ctid, xmin FROM music.fact_play ORDER BY 1") == before
    # What says nothing takes all of it back, and so does another format.
    del world.said["a.txt"]
    world.put({"a.txt": b"[]"})
    world.check()
    del world.said["b.txt"]
    world.put({"b.txt": json.dumps([{"title": "T", "artist_name": "A"}]).encode()})
    world.check()
    assert world.query("SELECT count(*) FROM music.play_file") == [(0,)]


def test_a_version_with_rejected_lines_takes_nothing_back(world):
    world.put({"songs.csv": songs_file()})
    first, second = triplets((0, 0, 1), (1, 1, 1)), triplets((0, 0, 5), (2, 2, 2))
    world.tell("a.txt", first)
    world.put({"a.txt": text(second) + b"cut\toff"})
    counted = world.query("SELECT user_id, song_id, plays FROM music.counted_play")
    assert sorted(counted) == sorted([*second, first[1]])
    world.tell("a.txt", second)
    world.check()


def test_a_file_or_a_song_that_is_taken_down_leaves(world):
    world.put({"songs.csv": songs_file()})
    world.tell("a.txt", FIRST)
    world.tell("b.txt", SECOND)
    assert remove(file="b.txt") == 0
    del world.said["b.txt"]
    world.arrived()
    world.check()
    assert world.put({"b.txt": text(SECOND)}).reasons == {"taken_down": 1}
    world.raw.delete("b.txt")
    world.check()
    assert remove(song=SONGS[3]) == 0
    world.arrived()
    assert world.query("SELECT * FROM music.song_plays WHERE song_key = %s", SONGS[3]) == []
    assert remove(song=SONGS[3], undo=True) == 0
    world.arrived()
    world.check()


def test_batches_given_again_in_any_order_end_the_same(world):
    batches = [world.put({"songs.csv": songs_file()}).batch_id]
    batches += [
        world.tell(key, rows).batch_id
        for key, rows in (("a.txt", FIRST), ("b.txt", SECOND), ("a.txt", SECOND[5:40]))
    ]
    for batch_id in reversed(batches):
        world.execute(
            "UPDATE landing.batch_sink SET state = 'pending' WHERE batch_id = %s", batch_id
        )
        world.give(batch_id)
        world.check()


def test_a_large_first_load_leaves_the_same_indexes(world, monkeypatch):
    monkeypatch.setattr(indexes, "MANY", 2)
    statement = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'fact_play' ORDER BY 1"
    )
    before = world.query(statement)
    world.put({"songs.csv": songs_file()})
    world.tell("a.txt", FIRST)
    world.tell("b.txt", SECOND)
    world.check()
    assert world.query(statement) == before
    assert len(before) == 3


@pytest.mark.parametrize("point", ["a block copied", "former rows deleted", "all copied"])
def test_killed_and_run_again(world, point):
    world.put({"songs.csv": songs_file()})
    world.tell("a.txt", FIRST)
    before = world.query("SELECT ctid, xmin FROM music.fact_play ORDER BY 1")
    world.said["a.txt"] = SECOND
    batch = world.batch({"a.txt": text(SECOND)})
    world.validate(batch)
    command = [sys.executable, "-m", "tests.integration.music.killed_plays", batch, point]
    died = processes.run(command)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert world.query("SELECT ctid, xmin FROM music.fact_play ORDER BY 1") == before
    world.give(batch)
    world.check()
