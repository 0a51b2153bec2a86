"""GET from services that are not ours: paced, retried only where that may help, never guessed at.

Belongs here: pace, retries, timeouts, limits of an answer, the three kinds of answer that a
question can have, what every such service is configured by. Does not: any service
(`lyrics_service`, `musicbrainz`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources import retryable

if TYPE_CHECKING:
    import httpx

#: Seconds of a Retry-After that are waited for within a call; a longer wait ends the call.
LONGEST_RETRY_AFTER = 30.0
#: Bytes of an answer that are read at most.
LARGEST_ANSWER = 2 * 1024 * 1024
CONNECT_TIMEOUT = 5.0
#: Seconds that a check of the service waits.
CHECK_TIMEOUT = 10.0

_OK, _NOT_FOUND = 200, 404


@dataclass(frozen=True, slots=True)
class Found:
    """The service has it: ``text`` is never blank."""

    text: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The service answered in its own words that it has none; ``reason`` says what is missing."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing is known: no answer, or one that can't be read.

    ``retry_after``: seconds that the service asks to be left alone; 0 when it does not say.
    """

    reason: str
    retry_after: float = 0.0


Answer = Found | Missing | Failed


@dataclass(frozen=True, slots=True)
class Document:
    """The parsed JSON of a 200 (``found``) or of a 404."""

    found: bool
    content: object

    def none(self, what: str) -> Missing | Failed:
        """What a 404 says: any other server's is no JSON with an error, and tells nothing."""
        own = isinstance(self.content, dict) and isinstance(self.content.get("error"), str)
        return Missing(what) if own else Failed("a 404 that is not the service's own")


class NoAnswerError(ConnectionError):
    """A check found that a service does not answer as it should."""


class RefusedError(Exception):
    """A status that is no answer to the question."""

    def __init__(self, status: int, retry_after: float) -> None:
        super().__init__(f"status {status}")
        self.status, self.retry_after = status, retry_after

    @property
    def transient(self) -> bool:
        """Worth another call, unless the server asks for a longer wait than a call has."""
        return retryable.http(self.status) and self.retry_after <= LONGEST_RETRY_AFTER


class UnreadableAnswerError(Exception):
    """A 200 or 404 whose body is no JSON, or too large."""


class Pace:
    """Lets the calls of all threads start ``per_second`` apart; None for no limit."""

    def __init__(self, per_second: float | None = None) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when this call may start."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._interval
        if start > now:
            time.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """No call starts for ``seconds``: a server that limits one thread means them all."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


class PoliteClient:
    """One service; safe to share among threads. ``seconds`` bound one attempt as a whole."""

    def __init__(self, client: httpx.Client, *, pace: Pace, attempts: int, seconds: float) -> None:
        self._client, self._pace = client, pace
        self._attempts, self._seconds = attempts, seconds
        self._calls, self._lock = 0, threading.Lock()

    @property
    def calls(self) -> int:
        """Requests made so far, retries included."""
        with self._lock:
            return self._calls

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Document | Failed:
        """The JSON of a 200 or 404. ``path`` is percent-encoded and relative to the base URL.

        Statuses that ``retryable`` names, timeouts and broken connections are tried again, not
        before the server's Retry-After; every other failure is final for this call. Raises nothing
        for them.
        """
        import httpx
        import stamina

        tried = 0
        try:
            for attempt in stamina.retry_context(
                on=_worth_another,
                attempts=self._attempts,
                timeout=None,
                wait_initial=0.2,
                wait_max=5.0,
                wait_jitter=0.3,
            ):
                with attempt:
                    tried += 1
                    self._pace.wait()
                    return self._once(path, params)
        except RefusedError as error:
            return Failed(f"{error}, {_times(tried)}", error.retry_after)
        except httpx.RequestError as error:
            return Failed(f"{type(error).__name__}: {error}, {_times(tried)}")
        except (httpx.InvalidURL, UnreadableAnswerError) as error:
            return Failed(str(error))
        raise AssertionError  # the last attempt returns or raises

    def _once(self, path: str, params: Mapping[str, str] | None) -> Document:
        with self._lock:
            self._calls += 1
        end = time.monotonic() + self._seconds
        with self._client.stream("GET", path, params=params) as response:
            if response.status_code not in {_OK, _NOT_FOUND}:
                wait = retry_after(response.headers.get("retry-after"), time.time())
                if 0 < wait <= LONGEST_RETRY_AFTER:
                    self._pace.hold(wait)
                raise RefusedError(response.status_code, wait)
            body = _read(response, end)
        try:
            return Document(response.status_code == _OK, json.loads(body))
        except (ValueError, RecursionError) as error:
            raise UnreadableAnswerError(
                f"the body of the {response.status_code} is not JSON"
            ) from error


class PoliteService(dg.ConfigurableResource[Any]):
    """One service. ``timeout`` is seconds per attempt; an empty ``url`` is none to be asked."""

    url: str
    timeout: float = 10.0
    attempts: int = 4
    concurrency: int = 8

    @property
    def configured(self) -> bool:
        """Whether there is a service to ask."""
        return bool(self.url)

    @contextmanager
    def polite(
        self, headers: Mapping[str, str], pace: Pace, *, once: bool = False
    ) -> Iterator[PoliteClient]:
        """A client that is closed at the end; ``once`` for a check, which tries nothing again."""
        import httpx

        seconds = CHECK_TIMEOUT if once else self.timeout
        with httpx.Client(
            base_url=self.url.rstrip("/") + "/",
            headers=dict(headers),
            timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT)),
            limits=httpx.Limits(
                max_connections=self.concurrency, max_keepalive_connections=self.concurrency
            ),
            follow_redirects=True,
        ) as client:
            attempts = 1 if once else self.attempts
            yield PoliteClient(client, pace=pace, attempts=attempts, seconds=seconds)


class PoliteAsker:
    """What puts the questions of one service to it; safe to share among threads."""

    def __init__(self, client: PoliteClient) -> None:
        self._client = client

    @property
    def calls(self) -> int:
        """Requests made so far, retries included."""
        return self._client.calls


def retry_after(header: str | None, now: float) -> float:
    """Seconds from ``now`` (epoch) that a Retry-After, a number or a date, asks for; 0 if none."""
    from email.utils import parsedate_to_datetime

    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if seconds < float("inf") else 0.0


def clean_text(text: str) -> str:
    """Without what Postgres can't hold (NUL, lone surrogates), line ends as LF, stripped."""
    storable = text.encode("utf-8", "ignore").decode("utf-8").replace("\x00", "")
    return storable.replace("\r\n", "\n").replace("\r", "\n").strip()


def _read(response: httpx.Response, end: float) -> bytes:
    """The body. The client's own timeout is for each read, which a drop at a time would renew."""
    import httpx

    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise UnreadableAnswerError(f"an answer of more than {LARGEST_ANSWER} bytes")
        if time.monotonic() > end:
            raise httpx.ReadTimeout("the answer took too long", request=response.request)
    return bytes(body)


def _worth_another(error: Exception) -> bool | float:
    import httpx

    if isinstance(error, RefusedError):
        return (error.retry_after or True) if error.transient else False
    if isinstance(error, httpx.UnsupportedProtocol):
        return False
    return isinstance(error, httpx.TransportError)


def _times(tried: int) -> str:
    return "1 attempt" if tried == 1 else f"{tried} attempts"
