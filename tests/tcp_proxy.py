"""A TCP proxy that makes a server slow, silent or unreachable in the middle of a test.

Belongs here: the connection's faults. Does not: anything about the protocol inside.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class TcpProxy:
    """Passes ``127.0.0.1:port`` on to ``target``; a context manager.

    ``cut()`` breaks every connection and refuses new ones, ``restore()`` listens on the same port
    again; ``freeze()`` keeps connections open but passes nothing until ``thaw()``; ``delay``
    (seconds) holds back each piece of data in both directions. ``connections`` counts those
    accepted so far.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.delay = 0.0
        self.connections = 0
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._flowing.set()
        self.cut()

    @property
    def address(self) -> str:
        """``host:port`` for a client."""
        return f"127.0.0.1:{self.port}"

    def restore(self) -> None:
        """Listen (again), on the same port as before."""
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse new connections and break the open ones with a reset."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # shutdown wakes the thread that waits in accept; close alone would leave it listening.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._guard:
            connections, self._open = self._open, set()
        for connection in connections:
            _reset(connection)

    def freeze(self) -> None:
        """Pass nothing on until `thaw`; connections stay open and new ones are accepted."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Pass data again, what was held back included."""
        self._flowing.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            with self._guard:
                if self._listener is not listener:
                    _reset(client)
                    _reset(server)
                    return
                self._open |= {client, server}
                self.connections += 1
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self._flowing.wait()
                sink.sendall(data)
        # One side ended: pass the end on; the other direction goes on until it ends too.
        with self._guard, contextlib.suppress(OSError):
            if sink in self._open:
                sink.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Linger of zero seconds: the peer gets a reset instead of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        # Wakes the thread that reads from it; closing the writing side would send an orderly end.
        connection.shutdown(socket.SHUT_RD)
    connection.close()
