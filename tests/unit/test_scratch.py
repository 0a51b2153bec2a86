"""Temporary files go into memory only where there is plenty of it."""

from __future__ import annotations

import tempfile
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from tests import scratch

Partition = namedtuple("Partition", "mountpoint fstype")  # noqa: PYI024 - as psutil has it


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """The test's directory as a memory file system with enough of everything."""
    kinds = [Partition(str(tmp_path), "tmpfs")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: kinds)
    monkeypatch.setattr(scratch, "ROOM", 1)
    monkeypatch.setattr(scratch, "BESIDES", 1)
    monkeypatch.setattr(scratch, "_MEMORY", tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    return tmp_path


def test_memory_is_used_where_it_is(memory):
    scratch.use_memory()
    assert Path(tempfile.gettempdir()) == memory


@pytest.mark.parametrize("lacking", ["kind", "room", "memory", "limit", "choice"])
def test_and_not_where_anything_is_lacking(memory, monkeypatch, tmp_path, lacking):
    if lacking == "kind":
        monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [Partition(str(memory), "ext4")])
    elif lacking == "room":
        monkeypatch.setattr(scratch, "ROOM", 2**60)
    elif lacking == "memory":
        monkeypatch.setattr(scratch, "BESIDES", 2**60)
    elif lacking == "limit":
        (tmp_path / "memory.max").write_text("1000\n")
        (tmp_path / "memory.current").write_text("999\n")
        monkeypatch.setattr(scratch, "_CGROUP", tmp_path)
    else:
        (chosen := tmp_path / "chosen").mkdir()
        monkeypatch.setenv("TMPDIR", str(chosen))
        monkeypatch.setattr(tempfile, "tempdir", None)
    scratch.use_memory()
    assert Path(tempfile.gettempdir()) != memory
