"""Asking that is killed with -9 in the middle: what was answered is not asked for again."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests import processes
from tests.integration.music.lyrics_world import BATCH, SERVERS, LyricsWorld

pytestmark = pytest.mark.servers(*SERVERS)

CONCURRENCY = 4
SONGS = 150

_CHILD = f"""
import os
from tests.integration.music.lyrics_world import LyricsWorld
LyricsWorld(dict(os.environ)).enrich(asking={{"concurrency": {CONCURRENCY}, "timeout": 10.0}})
"""


@pytest.fixture
def world(env: dict[str, str]) -> LyricsWorld:
    return LyricsWorld(env)


def wait_until_answered(world: LyricsWorld, process: processes.Process[bytes], songs: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "it ended before it was killed"
        ((stored,),) = world.query(
            "SELECT count(*) FROM music.song_lyrics WHERE status <> 'pending'"
        )
        if stored >= songs:
            return
        time.sleep(0.01)
    raise TimeoutError


def test_the_rerun_asks_only_the_rest(world):
    world.add_many(SONGS)
    world.admin.set_faults(latency=0.05)
    process = processes.start([sys.executable, "-c", _CHILD])
    try:
        wait_until_answered(world, process, 40)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    time.sleep(0.3)  # the service ends what it was asked
    kept = {key for key, status in world.statuses().items() if status != "pending"}
    assert 40 <= len(kept) < SONGS
    asked = world.admin.calls()
    assert asked - len(kept) <= 2 * CONCURRENCY, "answers lost by the kill"

    world.admin.set_faults(latency=0)
    details = world.enrich(BATCH)
    assert details["lyrics_asked"] == SONGS - len(kept)
    assert world.stored() == world.expected()
    times = world.admin.asked()
    assert all(times[world.names[key]] == 1 for key in kept)
    assert sum(times.values()) == asked + SONGS - len(kept) <= SONGS + 2 * CONCURRENCY
