"""Many requests of one address over keep-alive connections, in a process of its own.

    python -m benchmarks.api_load URL REQUESTS CONNECTIONS    (a key in QUINTET_KEY)

Prints seconds, and exits with an error unless every answer is 200. The protocol is written down by
hand: a client library costs more than the server that it measures.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from urllib.parse import urlsplit


async def connection(host: str, port: int, request: bytes, left: list[int]) -> None:
    """Ask one after the other until all are asked."""
    reader, writer = await asyncio.open_connection(host, port)
    while left[0] > 0:
        left[0] -= 1
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode())
        lower = head.lower()
        begin = lower.index(b"content-length:") + len(b"content-length:")
        await reader.readexactly(int(lower[begin : lower.index(b"\r\n", begin)]))
    writer.close()


async def load(url: str, requests: int, connections: int) -> float:
    at = urlsplit(url)
    key = os.environ.get("QUINTET_KEY", "")
    request = (
        f"GET {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
    ).encode()
    left = [requests]
    began = time.perf_counter()
    await asyncio.gather(
        *(connection(at.hostname or "", at.port or 80, request, left) for _ in range(connections))
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    print(run(load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
