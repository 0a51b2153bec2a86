"""A MusicBrainz-compatible web service, version 2, asked for an artist's genres.

Belongs here: how it is asked (musicbrainz.org/doc/MusicBrainz_API: one request a second, a
User-Agent with a contact) and how its answers are read. Does not: which artists are asked for
(`assets.music.lyrics`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resources.polite_http import (
    Answer,
    Failed,
    Found,
    Missing,
    NoAnswerError,
    Pace,
    PoliteAsker,
    PoliteService,
    clean_text,
)

_INC = {"inc": "genres+tags", "fmt": "json"}
_HITS = "10"
_MBID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NO_AGENT = "no User-Agent: MUSIC_MUSICBRAINZ_USER_AGENT must be 'application/version ( contact )'"


class MusicBrainzClient(PoliteAsker):
    """Asks for one artist at a time."""

    def genre(self, name: str | None, mbid: str | None) -> Answer:
        """The genre that most people gave an artist, by MBID or else by exactly this name.

        A name costs two requests: search results carry tags, which need not be genres.
        """
        known = mbid if is_mbid(mbid) else None
        if known is None:
            found = self._search(name or "")
            if not isinstance(found, Found):
                return found
            known = found.text
        answer = self._client.get(f"artist/{known}", _INC)
        if isinstance(answer, Failed):
            return answer
        if not answer.found:
            return answer.none("no artist of that MBID")
        return read_genre(answer.content)

    def _search(self, name: str) -> Answer:
        query = {"query": f"artist:{phrase(name)}", "limit": _HITS, "fmt": "json"}
        answer = self._client.get("artist", query)
        if isinstance(answer, Failed):
            return answer
        return (
            read_search(answer.content, name)
            if answer.found
            else Failed("a 404 to a search: is the URL right?")
        )


class MusicBrainzResource(PoliteService):
    """One service, asked at the pace that it asks for.

    The pace is that of one client: requests are one after the other, ``requests_per_second``
    apart, whatever their number of threads.
    """

    user_agent: str
    requests_per_second: int = 1
    timeout: float = 15.0
    concurrency: int = 2

    @contextmanager
    def client(self) -> Iterator[MusicBrainzClient]:
        """A client that is closed at the end. Use one at a time: the pace is its own."""
        with self.polite(self._headers, Pace(self.requests_per_second)) as client:
            yield MusicBrainzClient(client)

    def check(self) -> str:
        """What is reachable, in one line. Raises NoAnswerError."""
        if not self.configured:
            return "no MusicBrainz: artists without a genre stay so"
        if not self.user_agent:
            raise NoAnswerError(_NO_AGENT)
        with self.polite(self._headers, Pace(self.requests_per_second), once=True) as client:
            answer = MusicBrainzClient(client).genre("quintet", None)
        if isinstance(answer, Failed):
            raise NoAnswerError(answer.reason)
        return f"MusicBrainz at {self.url}, {self.requests_per_second} requests a second at most"

    @property
    def _headers(self) -> dict[str, str]:
        return {"User-Agent": self.user_agent or "none", "Accept": "application/json"}


def is_mbid(text: str | None) -> bool:
    """Whether this is a MusicBrainz id: a UUID in its usual form."""
    return bool(text and _MBID.fullmatch(text))


def phrase(name: str) -> str:
    """A name as one phrase of Lucene's query language."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_search(content: object, name: str) -> Answer:
    """The MBID of the best hit that has exactly this name, as its name or an alias."""
    hits = content.get("artists") if isinstance(content, dict) else None
    if not isinstance(hits, list):
        return Failed("a search result without artists")
    wanted = _folded(name)
    named = [hit for hit in hits if isinstance(hit, dict) and wanted in _names(hit)]
    named = [hit for hit in named if is_mbid(str(hit.get("id")))]
    if not named:
        return Missing("no artist of that name")
    best = max(named, key=lambda hit: _number(hit.get("score")))
    return Found(best["id"])


def read_genre(content: object) -> Answer:
    """The genre with most votes, by name where several have; tags only from servers without genres.

    Negative votes are possible: what is not above 0 is no genre.
    """
    if not isinstance(content, dict) or not isinstance(content.get("id"), str):
        return Failed("an answer that is no artist")
    given = content.get("genres", content.get("tags"))
    if not isinstance(given, list):
        return Failed("an artist without genres and tags")
    votes = [
        (-_number(entry.get("count")), clean_text(entry["name"]))
        for entry in given
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    ]
    voted = sorted((count, name) for count, name in votes if count < 0 and name)
    return Found(voted[0][1]) if voted else Missing("no genre")


def _names(hit: dict[str, Any]) -> set[str]:
    given = [hit.get("name"), hit.get("sort-name")]
    if isinstance(aliases := hit.get("aliases"), list):
        given += [alias.get("name") for alias in aliases if isinstance(alias, dict)]
    return {_folded(name) for name in given if isinstance(name, str)}


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _number(value: object) -> float:
    # Scores were once given as text.
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
