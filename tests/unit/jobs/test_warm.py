"""The run server's parts that need no server: its socket's place, its files, its sources."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from jobs.warm import preloading, protocol, sources
from jobs.warm.known_runs import KnownRuns, Worker, started_at
from tests import processes


def test_the_socket_lies_in_its_directory_or_where_the_kernel_takes_it(tmp_path: Path) -> None:
    short = Path("/tmp/quintet-x")
    assert protocol.socket_of(short) == short / "socket"
    long = [tmp_path / ("x" * 100) / name for name in ("a", "b")]
    elsewhere = [protocol.socket_of(one) for one in long]
    assert elsewhere[0] != elsewhere[1]
    for path in elsewhere:
        path.parent.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
        path.unlink()
        path.parent.rmdir()


def test_nobody_there_is_told_apart_from_an_answer(tmp_path: Path) -> None:
    with pytest.raises(protocol.NoRunServer, match="no run server at"):
        protocol.ask(tmp_path, "status", "a run")


@pytest.mark.parametrize("said", [b"", b"nonsense\n", b"[1]\n", b'{"answer": "ok"'])
def test_what_is_no_message_is_none(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ValueError, match=r"hung up|no message|Expecting"):
            protocol.received(ours)


def test_a_message_arrives_in_pieces(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    message = {"answer": "ok", "words": "ä" * 9_000}
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(protocol.encoded(message),))
        sender.start()
        assert protocol.received(ours) == message
        sender.join()


def test_runs_are_known_by_their_process_until_they_are_forgotten(tmp_path: Path) -> None:
    child = processes.start([sys.executable, "-c", "input()"], stdin=processes.PIPE)
    started = started_at(child.pid)
    assert started is not None
    KnownRuns(tmp_path / "runs").add("one", Worker(child.pid, started))
    known = KnownRuns(tmp_path / "runs")
    found = known.get("one")
    assert found is not None
    assert started_at(found.pid) == found.started
    assert not Worker(child.pid, started - 1).alive, "an earlier process of this number"
    child.kill()
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        pass
    assert not found.alive, "nobody has collected it, and it has ended"
    child.wait()
    assert not found.alive
    assert [*known] == ["one"]
    known.remove("one")
    known.remove("one")
    assert known.get("one") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": 1}'])
def test_a_damaged_file_means_an_unknown_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "one.json").write_text(content)
    assert KnownRuns(tmp_path).get("one") is None


@pytest.mark.parametrize("name", ["", "../other", ".hidden", "a/b"])
def test_no_id_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no run id"):
        KnownRuns(tmp_path / "runs").add(name, Worker(1, 1))
    assert KnownRuns(tmp_path / "runs").get(name) is None


def test_a_change_of_any_source_is_seen_and_of_nothing_else(tmp_path: Path) -> None:
    package = tmp_path / "assets" / "deep" / "__pycache__"
    package.mkdir(parents=True)
    (tmp_path / "definitions.py").write_text("x = 1")
    (tmp_path / "assets" / "deep" / "query.sql").write_text("SELECT 1")
    before = sources.picture(tmp_path)
    (package / "a.pyc").write_text("x")
    (tmp_path / "README.md").write_text("x")
    assert sources.picture(tmp_path) == before
    pictures = {before}
    (tmp_path / "assets" / "deep" / "query.sql").write_text("SELECT 22")
    pictures.add(sources.picture(tmp_path))
    (tmp_path / "definitions.py").write_text("x = 1234")
    pictures.add(sources.picture(tmp_path))
    (tmp_path / "assets" / "new.py").touch()
    pictures.add(sources.picture(tmp_path))
    os.remove(tmp_path / "assets" / "deep" / "query.sql")  # noqa: PTH107
    pictures.add(sources.picture(tmp_path))
    assert len(pictures) == 5


def test_what_is_preloaded_is_there() -> None:
    for name in (*preloading.LIBRARIES, *preloading.OF_DAGSTER):
        assert importlib.util.find_spec(name.partition(".")[0]) is not None, name


def test_a_thread_forbids_the_fork() -> None:
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait, name="a connection's")
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="a connection's"):
            preloading.require_alone()
    finally:
        waiting.set()
        thread.join()
