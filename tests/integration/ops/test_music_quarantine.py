"""`make quarantine` for music: rejected files arrive again as they were, where that is right."""

from __future__ import annotations

import io

import pytest

from assets.music.bronze.formats import sniffing as reading
from ops import quarantine
from tests.integration.music.bronze_world import BronzeWorld, next_second
from tests.integration.music.test_bronze_files import as_list, song

pytestmark = pytest.mark.servers("postgres", "s3")

GOOD, ODD = song("One"), song("Two", artist=6.5)
MIXED = as_list(GOOD, ODD)
NONE = b"no song at all"


@pytest.fixture
def world(env) -> BronzeWorld:
    return BronzeWorld(env)


@pytest.fixture
def lenient(monkeypatch):
    """A release whose rules reject nothing any more."""

    def strict_no_more(stream, version):
        data = stream.read().replace(b"6.5", b"6").replace(NONE, as_list(song("Text")))
        return original(io.BytesIO(data), version)

    original = reading.read_records
    return lambda: monkeypatch.setattr(reading, "read_records", strict_no_more)


def arrived(world: BronzeWorld) -> str:
    """A batch of what lies in raw now and is not known."""
    known = {(k, v) for k, v in world.query("SELECT key, version FROM landing.object_version")}
    page = world.raw.list_page("", None, 1_000)
    return world.batch_of([v for v in page.objects if (v.key, v.version) not in known])


def test_a_rejected_file_is_written_again_where_it_lies(world, lenient, capsys):
    batch = world.batch({"in/no.txt": NONE})
    world.load(batch)
    assert quarantine.run(batch, replay=False, limit=5) == 0
    assert "whole object  unknown_format" in capsys.readouterr().out
    next_second()
    assert quarantine.run(batch, replay=True, limit=5) == 0
    assert "1 of 1 row put back" in capsys.readouterr().out
    assert world.contents(world.raw) == {"in/no.txt": NONE}
    lenient()
    second = arrived(world)
    result = world.load(second)
    assert (result.rows.written, result.rows.rejected) == (1, 0)
    assert world.contents(world.raw) == {}


def test_rejected_rows_come_back_with_their_file(world, lenient, capsys):
    batch = world.batch({"in/a.json": MIXED})
    result = world.load(batch)
    assert (result.rows.written, result.rows.rejected) == (1, 1)
    assert world.contents(world.raw) == {}
    next_second()
    assert quarantine.run(batch, replay=True, limit=5) == 0
    assert world.contents(world.raw) == {"in/a.json": MIXED}, "from its copy"
    lenient()
    again = world.load(arrived(world))
    assert (again.rows.read, again.rows.unchanged, again.rows.written) == (2, 1, 1)
    assert len(world.records()) == 2


def test_a_file_that_a_later_version_corrected_stays_out(world, capsys):
    batch = world.batch({"in/a.json": MIXED})
    world.load(batch)
    next_second()
    world.load(world.batch({"in/a.json": as_list(song("One", year=1999))}))
    assert quarantine.run(batch, replay=True, limit=5) == 1
    said = capsys.readouterr()
    assert "later files say otherwise of 1 of its records" in said.out
    assert world.contents(world.raw) == {}


def test_a_file_that_was_replaced_or_deleted_is_told_about(world, capsys):
    batch = world.batch({"in/a.txt": NONE, "in/b.txt": NONE, "in/c.json": as_list(GOOD, GOOD)})
    world.load(batch)
    next_second()
    world.raw.put("in/a.txt", b"another")
    world.raw.delete("in/b.txt")
    assert quarantine.run(batch, replay=True, limit=5) == 1
    said = capsys.readouterr().out
    assert "in/a.txt was replaced: its newer version arrives by itself" in said
    assert "in/b.txt was deleted: upload it again" in said
    assert "duplicate: another row of the same file was kept" in said
    assert world.contents(world.raw) == {"in/a.txt": b"another"}
