"""Bronze killed (-9) at named points and run again: the end state is that of a run that lives."""

from __future__ import annotations

import signal

import pytest

from tests import forks
from tests.integration.music import killed_bronze
from tests.integration.music.bronze_world import BronzeWorld, next_second
from tests.integration.music.killed_bronze import POINTS
from tests.integration.music.test_bronze_files import as_list, song

pytestmark = pytest.mark.servers("postgres", "s3")

FILES = {
    f"in/{n}.json": as_list(song(f"Song {n}"), song("Shared", year=1990 + n)) for n in range(6)
}
REFUSED = {"in/no.txt": b"no song at all"}


@pytest.fixture
def world(env) -> BronzeWorld:
    return BronzeWorld(env)


def killed(batch: str, point: str) -> None:
    assert forks.exit_code_of(killed_bronze.main, batch, point) == -signal.SIGKILL


def finish(world: BronzeWorld, batch: str) -> None:
    world.validate(batch)
    world.silver_done(batch)
    world.remove(batch)


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again(world, point):
    batch = world.batch({**FILES, **REFUSED})
    killed(batch, point)
    validated = world.query("SELECT validated_at IS NOT NULL FROM landing.batch")
    assert validated == [(POINTS[point][1],)]
    if not POINTS[point][1]:
        assert world.contents(world.raw) == {**FILES, **REFUSED}
        assert world.query("SELECT count(*) FROM music.archived_object") == [(0,)]
        assert world.records() == {}

    finish(world, batch)

    assert world.contents(world.raw) == REFUSED
    assert world.copies() == FILES
    assert len(world.records()) == 12
    assert world.removals() == dict.fromkeys(FILES, "removed")
    staged = world.staged(batch)
    assert sorted(staged["title"]) == sorted([*(f"Song {n}" for n in range(6)), *["Shared"] * 6])
    assert staged.filter(staged["title"] == "Shared")["year"].to_list() == list(range(1990, 1996))
    counts = world.query(
        "SELECT sum(rows_read), sum(rows_written), sum(rows_superseded), sum(rows_rejected)"
        " FROM landing.object_version"
    )
    assert counts == [(12, 12, 0, 0)]
    assert world.rejects(batch)["key"].to_list() == list(REFUSED)
    assert world.query("SELECT count(*) FROM landing.staged_part") == [(1,)]


def test_a_rewrite_while_the_run_is_dead_is_another_version(world):
    batch = world.batch(FILES)
    killed(batch, "all copied")
    next_second()
    rewritten = world.raw.put("in/0.json", as_list(song("Song 0", year=2001)))
    finish(world, batch)
    assert world.contents(world.raw) == {"in/0.json": world.raw.get("in/0.json")}
    assert world.outcomes(batch)["in/0.json"][0] == "loaded", "its copy was made in time"
    second = world.batch_of([rewritten])
    finish(world, second)
    assert world.contents(world.raw) == {}
    assert world.staged(second)["year"].to_list() == [2001]
    assert len(world.copies()) == len(FILES)
    assert len(world.contents(world.processed, "objects/in/0.json/")) == 2


def test_a_deletion_while_the_run_is_dead_loses_nothing_that_was_copied(world):
    batch = world.batch(FILES)
    killed(batch, "all copied")
    for key in FILES:
        world.raw.delete(key)
    finish(world, batch)
    assert len(world.records()) == 12
    assert world.removals() == dict.fromkeys(FILES, "absent")
