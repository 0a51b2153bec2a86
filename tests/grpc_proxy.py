"""A gRPC server that passes calls on to another one, and answers some as a faulty one would.

Belongs here: faults of calls, as real status codes or as silence. Does not: faults of connections
(``tcp_proxy.py``), which calls are faulty (the tests).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of a request: a status, or no answer for ever where there is none.

    ``taken``: the server behind does what it was asked, and nobody is told.
    """

    code: grpc.StatusCode | None = None
    details: str = ""
    taken: bool = False


#: The fault of a request, by the method's name and its bytes; None lets it pass.
Faults = Callable[[str, bytes], Fault | None]


class GrpcProxy:
    """Passes calls of every kind on to ``target`` (host:port); a context manager."""

    def __init__(self, target: str, faults: Faults) -> None:
        self._faults = faults
        self._channel = grpc.insecure_channel(target)
        self._pool = ThreadPoolExecutor(64, thread_name_prefix="grpc proxy")
        self._server = grpc.server(self._pool, handlers=[_Handler(self._pass)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _pass(self, method: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        passed = _Passed(partial(self._faults, method), requests)
        metadata = [
            (name, value)
            for name, value in context.invocation_metadata()
            if name != "user-agent" and not name.startswith("grpc-")
        ]
        # Calls of one message are written like streams of one.
        call = self._channel.stream_stream(method)(iter(passed), metadata=metadata)
        passed.behind.put(call)
        ended = threading.Event()
        if not context.add_callback(ended.set):
            return
        context.add_callback(call.cancel)
        try:
            for answer in call:
                if passed.fault:
                    break
                yield answer
        except grpc.RpcError as error:
            if not passed.fault:
                context.abort(error.code(), error.details())
        if passed.fault is None:
            return
        call.cancel()
        if passed.fault.code is None:
            ended.wait()
        else:
            context.abort(passed.fault.code, passed.fault.details)


@dataclass(slots=True)
class _Passed:
    """The requests that get through: all up to the one with a fault."""

    faults: Callable[[bytes], Fault | None]
    requests: Iterator[bytes]
    fault: Fault | None = None
    behind: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)

    def __iter__(self) -> Iterator[bytes]:
        # What iterating raises is the end of the client's call.
        with contextlib.suppress(grpc.RpcError):
            for request in self.requests:
                self.fault = self.faults(request)
                if self.fault is None or self.fault.taken:
                    yield request
                if self.fault is None:
                    continue
                if not self.fault.taken:
                    # The server behind would wait for the request.
                    self.behind.get().cancel()
                return


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, behaviour: Callable[[str, Iterator[bytes], Any], Iterator[bytes]]) -> None:
        self._behaviour = behaviour

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(partial(self._behaviour, details.method))
