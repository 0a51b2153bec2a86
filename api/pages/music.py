"""Searching songs, and one song.

Belongs here: these pages. Does not: the answers (``api/routes/music*.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from api import service
from api.pages import parts
from api.pages.parameters import BLANK, MaybeName, MaybeWords
from api.pages.rendering import page
from api.pages.session import signed_in
from api.parameters import Name
from api.problems import ProblemError
from api.routes import music as routes
from api.routes import music_catalogue
from assets.music import answers

router = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in)])

#: Values of a facet that a page names.
FACETS = 12
FOUND = 20
SIMILAR = 10
Year = Annotated[int, Field(ge=1, le=9_999)]
_PITCHES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


@router.get("/music")
async def search(
    request: Request,
    *,
    q: MaybeWords = None,
    mode: answers.Mode = "words",
    genre: MaybeName = None,
    year: Annotated[Year | None, BLANK, Query()] = None,
) -> Response:
    """Songs by words, with facets, by what their lyrics mean, or both; without any the form."""
    if mode != "words":
        # The form keeps them while somebody looks another way.
        genre = year = None
    asked: dict[str, Any] = {"q": q, "mode": mode, "genre": genre, "year": year}
    if q is None:
        return page(request, "music.html", **asked, found=None, facets=FACETS)
    ask = parts.bare(request)
    (found,) = await parts.asked(
        routes.search(ask, q, mode=mode, genre=genre, year=year, limit=FOUND)
    )
    status, headers = parts.status([found])
    return page(request, "music.html", status, headers, **asked, found=found, facets=FACETS)


@router.get("/music/song")
async def song(request: Request, key: Annotated[Name, Query()]) -> Response:
    """A song: all that is known of it, and songs like it."""
    ask = parts.bare(request)
    found = await parts.asked(
        music_catalogue.song(ask, key),
        routes.similar_songs(ask, key, by="audio", k=SIMILAR),
        routes.similar_songs(ask, key, by="lyrics", k=SIMILAR),
        routes.similar_songs(ask, key, by="listeners", k=SIMILAR),
    )
    status, headers = parts.status(found)
    details, audio, lyrics, listeners = found
    others = [one["song_key"] for part in found[1:] for one in part.answer or []]
    return page(
        request, "song.html", status, headers, key=key, details=details, pitches=_PITCHES,
        names=await _names(request, others),
        similar=(("audio", audio), ("lyrics", lyrics), ("listeners", listeners)),
    )  # fmt: skip


async def _names(request: Request, keys: Sequence[str]) -> dict[str, Any]:
    """What songs are called; nothing while Postgres is away: their keys remain."""
    if not keys:
        return {}
    of = service.of(request)

    def found() -> dict[str, Any]:
        with of.clients.postgres() as connection:
            return dict(answers.names_of(connection, keys))

    try:
        return await of.stores.ask(["postgres"], found)
    except ProblemError:
        return {}
