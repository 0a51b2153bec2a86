"""Searching songs, and one song.

Belongs here: these pages. Does not: the answers (``api/routes/music.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from api import service
from api.pages import parts
from api.pages.parameters import MaybeInt, MaybeName, MaybeWords
from api.pages.rendering import page
from api.pages.session import signed_in
from api.parameters import Name
from api.problems import ProblemError
from api.routes import music as routes
from assets.music import answers

router = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in)])

#: Values of a facet that a page names.
FACETS = 12
SIMILAR = 10
_LAST_YEAR = 9_999
_PITCHES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


@router.get("/music")
async def search(
    request: Request,
    q: MaybeWords = None,
    by: Literal["words", "meaning"] = "words",
    genre: MaybeName = None,
    year: Annotated[MaybeInt, Query(ge=1, le=_LAST_YEAR)] = None,
) -> Response:
    """Songs by words, with facets, or by what their lyrics mean; the form alone without either."""
    asked: dict[str, Any] = {"q": q, "by": by, "genre": genre, "year": year}
    if q is None:
        return page(request, "music.html", **asked, found=None, cards={}, facets=FACETS)
    ask = parts.bare(request)
    question = (
        routes.songs_by_words(ask, q, genre, year, limit=20)
        if by == "words"
        else routes.songs_by_lyrics(ask, q, limit=20)
    )
    (found,) = await parts.asked(question)
    status, headers = parts.status([found])
    named = [one["song_key"] for one in found.answer or []] if by == "meaning" else []
    return page(
        request, "music.html", status, headers, **asked, found=found, facets=FACETS,
        cards=await _cards(request, named),
    )  # fmt: skip


@router.get("/music/song")
async def song(request: Request, key: Annotated[Name, Query()]) -> Response:
    """A song: what is said of it, how often it was played, and songs like it."""
    ask = parts.bare(request)
    found = await parts.asked(
        routes.song_plays(ask, key),
        routes.similar_songs(ask, key, by="audio", k=SIMILAR),
        routes.similar_songs(ask, key, by="lyrics", k=SIMILAR),
        routes.similar_songs(ask, key, by="listeners", k=SIMILAR),
    )
    status, headers = parts.status(found)
    plays, audio, lyrics, listeners = found
    # Of a key of before the song became part of another this is that other's.
    current = plays.answer["song_key"] if plays.answer else key
    others = [one["song_key"] for part in found[1:] for one in part.answer or []]
    cards = await _cards(request, [current, *others])
    return page(
        request, "song.html", status, headers, key=current, plays=plays, card=cards.get(current),
        cards=cards, pitches=_PITCHES,
        similar=(("audio", audio), ("lyrics", lyrics), ("listeners", listeners)),
    )  # fmt: skip


async def _cards(request: Request, keys: Sequence[str]) -> dict[str, Any]:
    """What is said of songs; nothing while Postgres is away: their keys remain."""
    if not keys:
        return {}
    of = service.of(request)

    def found() -> dict[str, Any]:
        with of.clients.postgres() as connection:
            return dict(answers.cards(connection, keys))

    try:
        return await of.stores.ask(["postgres"], found)
    except ProblemError:
        return {}
