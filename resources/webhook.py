"""A webhook that takes alerts as JSON: a chat's, an incident service's, one's own.

Belongs here: the call, and what of an answer means "later" or "never". Does not: what is said and
when (``assets/frame/outbox.py``). The address may be a secret: no error names more than its host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import dagster as dg

from resources import retryable
from resources.channel_errors import ChannelRefusedError, ChannelUnavailableError
from resources.polite_http import CONNECT_TIMEOUT, retry_after

_SUCCESS, _BAD_REQUEST = range(200, 300), frozenset({400, 413, 422})


class WebhookResource(dg.ConfigurableResource[Any]):
    """``token``, if any, goes along as a bearer's; ``timeout`` is seconds per call.

    Without an address nothing is sent.
    """

    url: str = ""
    token: str = ""
    timeout: float = 10.0

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no token, and no path, which may be one."""
        yield from (("host", self.host),)

    @property
    def configured(self) -> bool:
        """Whether there is an address."""
        return bool(self.url)

    @property
    def host(self) -> str:
        """The part of the address that may be shown."""
        return urlsplit(self.url).hostname or ""

    def check(self) -> str:
        """Whether somebody listens there, in one line; nothing is sent.

        Raises ConnectionError.
        """
        import socket

        if not self.configured:
            return "no webhook"
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((self.host, port), timeout=CONNECT_TIMEOUT).close()
        except OSError as error:
            raise ConnectionError(f"{self.host}:{port}: {error}") from error
        return f"somebody listens at {self.host}:{port}; nothing was sent"

    def send(self, message: Mapping[str, Any], key: str) -> None:
        """POST a message. ``key`` names it: a receiver that minds it takes it once.

        Raises ChannelUnavailableError and ChannelRefusedError.
        """
        import time

        import httpx

        headers = {"Idempotency-Key": key.encode("ascii", "backslashreplace").decode()}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        waits = httpx.Timeout(self.timeout, connect=min(self.timeout, CONNECT_TIMEOUT))
        failed = ""
        try:
            answer = httpx.post(self.url, json=dict(message), headers=headers, timeout=waits)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            failed = type(error).__name__
        # Not from within the handler: a traceback would bring the request along, and its URL.
        if failed:
            raise ChannelUnavailableError(f"{self.host}: {failed}")
        status = answer.status_code
        if status in _SUCCESS:
            return
        said = f"{self.host}: status {status}"
        if retryable.http(status):
            wait = retry_after(answer.headers.get("retry-after"), time.time())
            raise ChannelUnavailableError(said, wait)
        raise ChannelRefusedError(said, about_message=status in _BAD_REQUEST)
