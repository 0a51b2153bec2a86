"""A lyrics service over HTTP, in the shape of lyrics.ovh: ``GET {url}/{artist}/{title}``.

Belongs here: how it is asked and how its answers are read. Does not: which songs are asked for and
what is kept (`assets.music.lyrics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import dagster as dg

from resources.polite_http import (
    Answer,
    Failed,
    Found,
    Missing,
    NoAnswerError,
    Pace,
    PoliteClient,
    clean_text,
    polite_client,
    says_none,
)

_CHECK_TIMEOUT = 10.0


class LyricsClient:
    """Asks for one song at a time; safe to share among threads."""

    def __init__(self, client: PoliteClient) -> None:
        self._client = client

    @property
    def calls(self) -> int:
        """Requests made so far, retries included."""
        return self._client.calls

    def ask(self, artist: str, title: str) -> Answer:
        """The song's lyrics. A 404 in the service's own words is Missing; the rest is Failed."""
        answer = self._client.get(f"{path_part(artist)}/{path_part(title)}")
        return answer if isinstance(answer, Failed) else read(answer.content, found=answer.found)


class LyricsServiceResource(dg.ConfigurableResource[Any]):
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
    def client(self) -> Iterator[LyricsClient]:
        """A client that is closed at the end."""
        with polite_client(
            self.url, {}, Pace(), self.attempts, self.timeout, self.concurrency
        ) as client:
            yield LyricsClient(client)

    def check(self) -> str:
        """What is reachable, in one line. Raises NoAnswerError."""
        if not self.configured:
            return "no lyrics service: songs without lyrics stay pending"
        with polite_client(self.url, {}, Pace(), 1, _CHECK_TIMEOUT, 1) as client:
            answer = LyricsClient(client).ask("quintet", "doctor")
        if isinstance(answer, Failed):
            raise NoAnswerError(answer.reason)
        return f"lyrics service at {self.url}"


def path_part(name: str) -> str:
    """A name as one part of a path: ``AC/DC`` stays one, and a name of dots is no directory."""
    return quote(name, safe="").replace(".", "%2E")


def read(content: object, *, found: bool) -> Answer:
    """What the JSON of a 200 (``found``) or of a 404 says."""
    if not found:
        own = says_none(content)
        return Missing("no lyrics") if own else Failed("a 404 that is not the service's own")
    text = content.get("lyrics") if isinstance(content, dict) else None
    if not isinstance(text, str):
        return Failed("an answer without lyrics")
    cleaned = clean_text(text)
    return Found(cleaned) if cleaned else Failed("empty lyrics")
