"""Where copies lie, and that nothing is held or fetched beyond its bounds."""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from assets.music.bronze import batch_files as batch_reading
from assets.music.bronze.archive import Archive, CopyLost, Held
from assets.music.bronze.copies import copy_key
from assets.sinks.objects import MEMORY_BYTES, fetch
from landing.batch.chunks import UnreadableObject
from landing.stores.base import ObjectGone, ObjectSuperseded
from tests.memory_store import MemoryStore


@dataclass
class Buckets(MemoryStore):
    """A memory store that keeps metadata, as MinioStore does."""

    kept: dict[str, dict[str, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def upload(self, key, stream, *, size, content_type="", metadata=None):
        data = stream.read()
        assert size == len(data)
        with self.lock:
            self.put(key, data)
            self.kept[key] = dict(metadata or {})

    def metadata(self, key):
        return self.kept.get(key) if key in self.objects else None


@pytest.fixture
def raw():
    return Buckets("raw", "minio")


@pytest.fixture
def processed():
    return Buckets("processed", "minio")


class Known(Archive):
    """An archive whose notes are given instead of being read from Postgres."""

    def __init__(self, raw, processed):
        self.notes = {}
        super().__init__(raw, processed, lambda versions: self.notes)


def lines(stream, version):
    """A parser of sorts: a chunk per line."""
    data = stream.read()
    if data.startswith(b"bad"):
        raise UnreadableObject("bad", "it says so")
    yield from data.split(b"\n")


def read(archive, versions, parse=lines):
    got: dict[str, Any] = {}
    with batch_reading.archive_reader(archive, parse)(versions) as reading:
        for version in versions:
            try:
                got[version.key] = list(reading.chunks(version))
            except (ObjectGone, ObjectSuperseded, UnreadableObject) as error:
                got[version.key] = type(error).__name__
    return got


def test_a_copy_lies_where_its_version_says(raw):
    first, second = raw.put("a/b.h5", b"1"), raw.put("a/b.h5", b"1")
    assert copy_key(first).startswith("objects/a/b.h5/")
    assert len(copy_key(first).rpartition("/")[2]) == 16
    assert copy_key(first) != copy_key(second)


def test_no_copy_s_key_is_longer_than_s3_takes(raw):
    long = raw.put("é" * 500, b"1")
    other = raw.put("é" * 499 + "e", b"1")
    assert len(copy_key(long).encode()) <= 1_024
    assert copy_key(long) != copy_key(other)
    assert len(copy_key(raw.put("k" * (1_024 - 25), b"1")).encode()) == 1_024


def test_readable_objects_are_copied_with_their_digest_and_others_are_not(raw, processed):
    versions = [raw.put("a", b"one\ntwo"), raw.put("b", b"bad"), raw.put("c", b"three")]
    gone, replaced = raw.put("d", b"x"), raw.put("e", b"x")
    raw.delete("d")
    raw.put("e", b"y")
    got = read(Known(raw, processed), [*versions, gone, replaced])
    assert got == {
        "a": [b"one", b"two"], "b": "UnreadableObject", "c": [b"three"],
        "d": "ObjectGone", "e": "ObjectSuperseded",
    }  # fmt: skip
    assert {key: data for key, (_, data) in processed.objects.items()} == {
        copy_key(versions[0]): b"one\ntwo", copy_key(versions[2]): b"three",
    }  # fmt: skip
    assert (
        processed.kept[copy_key(versions[0])]["sha256"] == hashlib.sha256(b"one\ntwo").hexdigest()
    )


def test_what_is_noted_is_read_from_its_copy_even_when_raw_is_empty(raw, processed):
    version = raw.put("a", b"one")
    archive = Known(raw, processed)
    read(archive, [version])
    with archive.open(version) as stream:
        held = stream.read()
    raw.delete("a")
    content = fetch(processed, processed.stat(copy_key(version)))
    archive.notes = {version: archive.copy_of(Held(version, content, kept=True))}
    puts = len(processed.puts)
    assert read(archive, [version]) == {"a": [held]}
    assert len(processed.puts) == puts, "nothing to copy again"


def test_a_killed_run_s_copy_serves_when_the_original_is_gone(raw, processed):
    version = raw.put("a", b"one")
    archive = Known(raw, processed)
    read(archive, [version])
    raw.delete("a")
    assert read(archive, [version]) == {"a": [b"one"]}


def test_a_damaged_copy_is_replaced_from_raw_or_said_to_be_lost(raw, processed):
    version = raw.put("a", b"one")
    archive = Known(raw, processed)
    read(archive, [version])
    archive.notes = {version: archive.copy_of(archive.fetch(version, None))}
    processed.put(copy_key(version), b"garbage")
    assert read(archive, [version]) == {"a": [b"one"]}
    assert processed.get(copy_key(version)) == b"one"
    processed.put(copy_key(version), b"garbage")
    raw.delete("a")
    with pytest.raises(CopyLost, match="upload the file again"):
        read(archive, [version])


def test_copies_are_there_when_the_reading_ends_and_a_failed_one_is_an_error(raw, processed):
    versions = [raw.put(f"{number}", b"x" * number) for number in range(1, 40)]
    processed.puts_left = 20
    with pytest.raises(Exception, match="objects/"):
        read(Known(raw, processed), versions)
    processed.puts_left = None
    read(Known(raw, processed), versions)
    assert set(processed.objects) == {copy_key(version) for version in versions}


def test_a_stream_may_be_closed_by_the_parser(raw, processed):
    def closing(stream, version):
        with io.TextIOWrapper(stream) as text:
            yield text.read()

    versions = [raw.put("a", b"one"), raw.put("b", b"x" * (MEMORY_BYTES + 1))]
    read(Known(raw, processed), versions, closing)
    assert processed.get(copy_key(versions[0])) == b"one"
    assert len(processed.get(copy_key(versions[1]))) == MEMORY_BYTES + 1


def test_large_objects_are_seekable_and_start_at_their_beginning(raw, processed):
    data = bytes(range(256)) * (MEMORY_BYTES // 128)

    def seeking(stream, version):
        stream.seek(-1, io.SEEK_END)
        last = stream.read()
        stream.seek(0)
        yield (stream.read(3), last)

    version = raw.put("a", data)
    assert read(Known(raw, processed), [version], seeking) == {"a": [(data[:3], data[-1:])]}
    assert processed.get(copy_key(version)) == data


def test_only_so_many_objects_are_held_at_a_time(raw, processed, monkeypatch):
    monkeypatch.setattr(batch_reading, "AHEAD_OBJECTS", 5)
    monkeypatch.setattr(batch_reading, "AHEAD_BYTES", 100)
    opened = []
    original = Buckets.open

    def counting(self, version):
        opened.append(version.key)
        return original(self, version)

    monkeypatch.setattr(Buckets, "open", counting)
    versions = [raw.put(f"{number:02d}", b"x" * 40) for number in range(30)]
    seen = []

    def parse(stream, version):
        seen.append(len(set(opened)))
        yield stream.read()

    read(Known(raw, processed), versions, parse)
    # By size two fit beside each other; what is being parsed counts no more.
    assert all(ahead <= number + 3 for number, ahead in enumerate(seen, start=1)), seen
