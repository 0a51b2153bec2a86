"""Raw is emptied of what is archived and in silver: of nothing else, and of nothing newer."""

from __future__ import annotations

import uuid

import pytest

from assets.music.bronze.copies import copy_key
from landing.stores.minio import MinioStore
from tests.integration.music.bronze_world import BronzeWorld, next_second
from tests.integration.music.test_bronze_files import as_list, song

pytestmark = pytest.mark.servers("postgres", "s3")


@pytest.fixture
def world(env) -> BronzeWorld:
    return BronzeWorld(env)


ONE, TWO, NONE = as_list(song("One")), as_list(song("Two")), b"no song at all"


def test_nothing_goes_before_silver(world):
    batch = world.batch({"a.json": ONE, "x.txt": NONE})
    world.validate(batch)
    assert world.remove(batch).removed == 0
    assert world.remove().removed == 0
    world.silver_done(batch)
    assert world.remove(batch).removed == 1
    assert world.contents(world.raw) == {"x.txt": NONE}, "what was rejected stays"
    assert world.removals() == {"a.json": "removed"}
    assert world.remove(batch).removed == 0
    assert world.remove().removed == 0


def test_what_had_every_row_rejected_stays_until_it_is_mended(world):
    bad = as_list({**song("Bad"), "title": ["no text"]}, {**song("Worse"), "artist": ["no text"]})
    half = as_list(song("Good"), {**song("Bad"), "title": ["no text"]})
    batch = world.batch({"all.json": bad, "half.json": half})
    world.load(batch)
    assert world.remove().removed == 0, "nor does the sweep take it"
    assert world.contents(world.raw) == {"all.json": bad}
    assert len(world.records()) == 1
    next_second()
    world.load(world.batch_of([world.raw.put("all.json", ONE)]))
    assert world.contents(world.raw) == {}


def test_the_sweep_takes_what_runs_left(world):
    first, second = world.batch({"a.json": ONE}), None
    world.validate(first)
    world.silver_done(first)
    second = world.batch({"b.json": TWO})
    world.validate(second)
    assert world.remove().removed == 1
    assert world.contents(world.raw) == {"b.json": TWO}


def test_a_rewrite_between_copy_and_removal_is_not_lost(world):
    batch = world.batch({"a.json": ONE})
    world.validate(batch)
    world.silver_done(batch)
    next_second()
    rewritten = world.raw.put("a.json", TWO)
    removals = world.remove(batch)
    assert (removals.removed, removals.replaced) == (0, 1)
    assert world.contents(world.raw) == {"a.json": TWO}
    second = world.batch_of([rewritten])
    world.load(second)
    assert world.contents(world.raw) == {}
    assert sorted(world.contents(world.processed, "objects/").values()) == sorted([ONE, TWO])
    assert len(world.records()) == 1, "what it said first is withdrawn"


def test_an_object_that_somebody_else_removed(world):
    batch = world.batch({"a.json": ONE})
    world.validate(batch)
    world.silver_done(batch)
    world.raw.delete("a.json")
    assert world.remove(batch).absent == 1
    assert world.removals() == {"a.json": "absent"}


def test_without_its_copy_an_object_stays(world, caplog):
    batch = world.batch({"a.json": ONE, "b.json": TWO})
    world.validate(batch)
    world.silver_done(batch)
    a, b = (world.raw.stat(key) for key in ("a.json", "b.json"))
    world.processed.delete(copy_key(a))
    world.processed.put(copy_key(b), b"other", metadata={"sha256": "0" * 64})
    removals = world.remove(batch)
    assert (removals.removed, removals.unsafe) == (0, 2)
    assert world.contents(world.raw) == {"a.json": ONE, "b.json": TWO}
    assert world.removals() == {"a.json": None, "b.json": None}
    assert "kept_in_raw" in caplog.text


def test_what_the_store_refuses_is_raised_when_the_others_are_done(world, monkeypatch):
    batch = world.batch({f"{n}.json": as_list(song(f"Song {n}")) for n in range(5)})
    world.validate(batch)
    world.silver_done(batch)
    remove = MinioStore.remove

    def refusing(self, version):
        if version.key == "2.json":
            raise PermissionError("object lock")
        return remove(self, version)

    monkeypatch.setattr(MinioStore, "remove", refusing)
    with pytest.raises(PermissionError):
        world.remove(batch)
    assert list(world.contents(world.raw)) == ["2.json"]
    monkeypatch.undo()
    assert world.remove(batch).removed == 1
    assert world.contents(world.raw) == {}


@pytest.fixture(scope="module")
def moto_url():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def versioned(moto_url) -> MinioStore:
    from minio import Minio
    from minio.commonconfig import ENABLED
    from minio.versioningconfig import VersioningConfig

    client = Minio(
        endpoint=moto_url.removeprefix("http://"),
        access_key="test",
        secret_key="test",  # pragma: allowlist secret
        secure=False,
        region="us-east-1",
    )
    bucket = f"raw-{uuid.uuid4().hex[:8]}"
    client.make_bucket(bucket)
    MinioStore(client, bucket).put("before", b"0")
    client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    return MinioStore(client, bucket)


def versions_of(store: MinioStore) -> list[str]:
    entries = store._client.list_objects(store.bucket, recursive=True, include_version=True)
    return [entry.version_id for entry in entries if not entry.is_delete_marker]


class TestByVersionId:
    """A bucket that keeps versions: what is newer is never touched."""

    def test_the_newer_version_stays(self, versioned):
        old = versioned.put("a", b"1")
        new = versioned.put("a", b"1")
        assert versioned.remove(old) == "removed"
        assert versioned.stat("a") == new
        assert old.version not in versions_of(versioned)

    def test_an_older_version_does_not_come_back(self, versioned):
        never_seen = versioned.put("a", b"0")
        loaded = versioned.put("a", b"1")
        assert versioned.remove(loaded) == "removed"
        assert versioned.stat("a") is None
        assert not {never_seen.version, loaded.version} & set(versions_of(versioned))

    def test_its_namesakes_stay(self, versioned):
        kept = {key: versioned.put(key, b"1") for key in ("a.b", "a/b", "ab")}
        assert versioned.remove(versioned.put("a", b"1")) == "removed"
        assert {key: versioned.stat(key) for key in kept} == kept

    def test_twice_is_once(self, versioned):
        only = versioned.put("a", b"1")
        assert versioned.remove(only) == "removed"
        assert versioned.remove(only) == "absent"
        newer = versioned.put("a", b"2")
        assert versioned.remove(only) == "replaced"
        assert versioned.stat("a") == newer

    def test_an_object_from_before_versions(self, versioned):
        before = versioned.stat("before")
        after = versioned.put("before", b"0")
        assert versioned.remove(before) == "removed"
        assert versioned.stat("before") == after
        assert versions_of(versioned) == [after.version]
