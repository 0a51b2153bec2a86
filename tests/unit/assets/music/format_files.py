"""How tests of the formats read: bytes in, rows as dictionaries out, invariants checked."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pytest

from assets.music.bronze.formats.sniffing import read_records
from assets.music.bronze.records import SCHEMA
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import REJECT_SCHEMA, Chunk


class Trickle(io.BytesIO):
    """A stream whose reads are short, as those of a network are."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._size if size is None or size < 0 else min(size, self._size))


def version(key: str = "some/file") -> ObjectVersion:
    return ObjectVersion("minio", "music-raw", key, "1", 1, datetime(2026, 1, 1, tzinfo=UTC))


def chunks(data: bytes | BinaryIO, key: str = "some/file") -> list[Chunk]:
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    found = list(read_records(stream, version(key)))
    last = 0
    for chunk in found:
        assert chunk.accepted.schema == {**SCHEMA, "line": pl.Int64, "text": pl.String}
        assert chunk.rejected.schema == REJECT_SCHEMA
        assert chunk.accepted["record_key"].null_count() == 0
        assert chunk.accepted["row_hash"].str.len_chars().eq(32).all()
        for frame in (chunk.accepted, chunk.rejected):
            assert frame["line"].is_sorted()
        lines = [*chunk.accepted["line"], *chunk.rejected["line"]]
        assert len(lines) == len(set(lines))
        assert min(lines, default=last + 1) > last
        last = max(lines, default=last)
    return found


def read(data: bytes | BinaryIO, key: str = "some/file") -> tuple[list[dict], list[dict]]:
    """Accepted and rejected rows; keys of records are those that they have in their object."""
    found = chunks(data, key)
    accepted = [row for chunk in found for row in chunk.accepted.iter_rows(named=True)]
    origin = hashlib.sha256(key.encode()).hexdigest()[:16]
    for row in accepted:
        of, _, row["record_key"] = row["record_key"].partition(":")
        assert of == origin
    rejected = [row for chunk in found for row in chunk.rejected.iter_rows(named=True)]
    return accepted, rejected


def given(row: dict[str, Any], *without: str) -> dict[str, Any]:
    """What a row has a value for, less what every row has."""
    always = {"record_key", "row_hash", "fingerprint", "format", "line", "text", *without}
    return {name: value for name, value in row.items() if value is not None and name not in always}


def reasons(rejected: list[dict]) -> list[tuple[int, str]]:
    return [(row["line"], row["reason"]) for row in rejected]


def real(name: str) -> Path:
    """A folder or file of the real data."""
    directory = os.environ.get("QUINTET_DATA_DIR")
    if not directory:
        pytest.skip("the real music is wanted: QUINTET_DATA_DIR is not set")
    return Path(directory, "music", name)


def real_files(name: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    folder = real(name)
    for path in sorted(folder.rglob(f"*{suffix}")):
        yield f"{name}/{path.relative_to(folder)}", path.read_bytes()
