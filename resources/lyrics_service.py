"""A lyrics service over HTTP, in the shape of lyrics.ovh: ``GET {url}/{artist}/{title}``.

Belongs here: how it is asked and how its answers are read. Does not: which songs are asked for and
what is kept (`assets.music.lyrics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from resources.lyrics_words import lyrics_in
from resources.polite_http import (
    Answer,
    Document,
    Failed,
    Found,
    Missing,
    NoAnswerError,
    Pace,
    PoliteAsker,
    PoliteService,
    clean_text,
)

#: Characters of a placeholder that are kept as the reason.
_SHOWN = 100


class LyricsClient(PoliteAsker):
    """Asks for one song at a time."""

    def ask(self, artist: str, title: str) -> Answer:
        """The song's lyrics. A 404 in the service's own words is Missing; the rest is Failed."""
        answer = self._client.get(f"{path_part(artist)}/{path_part(title)}")
        return answer if isinstance(answer, Failed) else read(answer)


class LyricsServiceResource(PoliteService):
    """One service, asked as fast as it answers.

    What it said is asked again after ``again_after_days``; 0 for never.
    """

    again_after_days: int = 180

    @contextmanager
    def client(self) -> Iterator[LyricsClient]:
        """A client that is closed at the end."""
        with self.polite({}, Pace()) as client:
            yield LyricsClient(client)

    def check(self) -> str:
        """What is reachable, in one line. Raises NoAnswerError."""
        if not self.configured:
            return "no lyrics service: songs without lyrics stay pending"
        with self.polite({}, Pace(), once=True) as client:
            answer = LyricsClient(client).ask("quintet", "doctor")
        if isinstance(answer, Failed):
            raise NoAnswerError(answer.reason)
        return f"lyrics service at {self.url}"


def path_part(name: str) -> str:
    """A name as one part of a path: ``AC/DC`` stays one, and a name of dots is no directory."""
    return quote(name, safe="").replace(".", "%2E")


def read(answer: Document) -> Answer:
    """What the JSON of a 200 or of a 404 says."""
    if not answer.found:
        return answer.none("no lyrics")
    text = answer.content.get("lyrics") if isinstance(answer.content, dict) else None
    if not isinstance(text, str):
        return Failed("an answer without lyrics")
    cleaned = clean_text(text)
    if not cleaned:
        return Failed("empty lyrics")
    lyrics = lyrics_in(cleaned)
    return Found(lyrics) if lyrics else Missing(f"no lyrics, but: {cleaned[:_SHOWN]}")
