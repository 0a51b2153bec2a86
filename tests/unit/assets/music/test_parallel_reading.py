"""When processes of their own pay for reading a batch."""

from __future__ import annotations

from datetime import UTC, datetime

from assets.music.bronze.file_workers import pays
from landing.arrival.identity import ObjectVersion


def versions(count: int, size: int) -> list[ObjectVersion]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [ObjectVersion("minio", "b", str(n), "1", size, at) for n in range(count)]


def test_many_small_objects_and_nothing_else():
    assert pays(versions(200, 250_000))
    assert not pays(versions(199, 250_000))
    assert not pays(versions(200, 2_000_000))
    assert not pays([])
    assert pays([*versions(999, 250_000), *versions(1, 100_000_000)])
