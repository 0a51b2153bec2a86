"""An HTTP server that passes requests on to another one, and may say something else in its answers.

Belongs here: passing on. Does not: what is said instead (the tests), gRPC (``grpc_proxy.py``),
connections (``tcp_proxy.py``).
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

#: The body of an answer, in place of that which came.
Says = Callable[[bytes], bytes]

_OF_THE_CONNECTION = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class HttpProxy:
    """Passes requests on to ``target`` (http://host:port); a context manager."""

    def __init__(self, target: str, says: Says) -> None:
        place = urlsplit(target).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                behind = http.client.HTTPConnection(place, timeout=60)
                headers = {**self.headers, "Host": place, "Accept-Encoding": "identity"}
                behind.request(self.command, self.path, body, headers)
                answer = behind.getresponse()
                said = says(answer.read())
                behind.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _OF_THE_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
