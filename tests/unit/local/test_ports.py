"""Ports are free when chosen, kept afterwards, and chosen again when somebody took them."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

from local.ports import RANGE, Ports, is_free


def test_ports_are_distinct_free_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    Ports(path).assign(["a", "a.http", "b"])
    first = json.loads(path.read_text())
    assert set(first) == {"a", "a.http", "b"}
    assert len(set(first.values())) == 3
    assert all(number in RANGE for number in first.values())

    again = Ports(path)
    again.assign(["b", "a", "a.http"])
    assert again.numbers == first


def test_a_taken_port_is_chosen_again_and_others_stay(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    ports.assign(["a", "b"])
    before = ports.numbers
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", before["a"]))
        squatter.listen()
        assert not is_free(before["a"])
        ports.assign(["a", "b"])
    after = ports.numbers
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
    assert Ports(tmp_path / "ports.json").numbers == after


def test_a_port_that_is_let_go_at_once_is_kept(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    ports.assign(["a"])
    before = ports.numbers
    with socket.socket() as dying:
        dying.bind(("127.0.0.1", before["a"]))
        dying.listen()
        threading.Timer(0.2, dying.close).start()
        ports.assign(["a"])
    assert ports.numbers == before


def test_ports_of_running_servers_are_not_touched(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    ports.assign(["a"])
    kept = ports.numbers["a"]
    with socket.socket() as server:
        server.bind(("127.0.0.1", kept))
        server.listen()
        ports.assign(["b"])
    assert ports.numbers["a"] == kept
