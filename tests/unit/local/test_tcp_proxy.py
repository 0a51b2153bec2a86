"""The fault proxy cuts, restores, holds back and delays."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.tcp_proxy import TcpProxy


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1024):
                    connection.sendall(data)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def say(connection: socket.socket, word: bytes) -> bytes:
    connection.sendall(word)
    return connection.recv(1024)


def test_cut_breaks_and_refuses_until_restored_on_the_same_port(echo: tuple[str, int]) -> None:
    with TcpProxy(echo) as proxy:
        port = proxy.port
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            assert say(client, b"a") == b"a"
            proxy.cut()
            with pytest.raises(OSError, match=r"reset|[Bb]roken"):
                client.recv(1024)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        proxy.restore()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            assert say(client, b"c") == b"c"
        assert proxy.connections == 2


def test_freeze_holds_data_back_and_thaw_delivers_it(echo: tuple[str, int]) -> None:
    with TcpProxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as client:
        proxy.freeze()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            say(client, b"x")
        client.settimeout(5)
        proxy.thaw()
        assert client.recv(10) == b"x"


def test_delay_holds_each_piece_back_both_ways(echo: tuple[str, int]) -> None:
    with TcpProxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as client:
        proxy.delay = 0.2
        began = time.monotonic()
        assert say(client, b"x") == b"x"
        assert time.monotonic() - began >= 0.4
