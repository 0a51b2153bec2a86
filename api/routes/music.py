"""Music: songs by words, by meaning, and like a song.

Belongs here: these routes. Does not: the answers (``assets/music/answers.py``).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import service
from api.access import needs
from api.clients import Clients
from api.evidence import Answered
from api.parameters import Name, Words, examples
from api.problems import ProblemError, responses
from assets.music import answers
from assets.music.settings import MusicSettings

router = APIRouter(prefix="/v1/music", tags=["music"], dependencies=[Depends(needs("read"))])

_OF_MEANING = ["milvus", "openai", "postgres"]
SongKey = Annotated[Name, Path(openapi_examples=examples("SOTHEME0", "nobody"))]
Limit = Annotated[int, Query(ge=1, le=answers.MOST_SONGS)]


@router.get("/songs", response_model=Answered[answers.FoundSongs], responses=responses(409))
async def songs_by_words(
    request: Request,
    q: Annotated[
        Words,
        Query(
            description='Words; "…" is a phrase, * every song.', openapi_examples=examples("love")
        ),
    ],
    genre: Annotated[Name | None, Query()] = None,
    year: Annotated[int | None, Query(ge=1, le=9_999)] = None,
    limit: Limit = 10,
) -> Response:
    """Songs whose title, artists, album or lyrics hold the words, with facets."""

    def found(clients: Clients) -> Any:
        return answers.search_songs(_songs(clients), q, limit, genre=genre, year=year)

    return await _answer(request, ["typesense"], found)


@router.get(
    "/lyrics", response_model=Answered[tuple[answers.LyricsMatch, ...]], responses=responses(409)
)
async def songs_by_lyrics(
    request: Request,
    q: Annotated[
        Words,
        Query(description="What is meant.", openapi_examples=examples("a river runs to the sea")),
    ],
    limit: Limit = 10,
) -> Response:
    """Songs whose lyrics mean the question or hold its words, with the best passage of each."""
    return await _answer(
        request,
        ["milvus", "openai"],
        lambda clients: answers.search_lyrics(_lyrics(clients), clients.openai, q, limit),
    )


@router.get("/search", response_model=Answered[answers.Searched], responses=responses(409))
async def search(
    request: Request,
    q: Annotated[
        Words,
        Query(
            description="Words of a song, or what its lyrics mean.",
            openapi_examples=examples("love"),
        ),
    ],
    *,
    mode: Annotated[answers.Mode, Query()] = "words",
    genre: Annotated[Name | None, Query(description="Of `mode=words` only.")] = None,
    year: Annotated[int | None, Query(ge=1, le=9_999, description="As genre.")] = None,
    limit: Limit = 10,
) -> Response:
    """Songs by words of their names and lyrics, by the meaning of their lyrics, or by both."""
    if mode != "words" and (genre is not None or year is not None):
        raise ProblemError(
            422, "invalid_request", "The request cannot be understood",
            f"genre and year are of mode=words, not of mode={mode}",
            then="Ask by words, or without genre and year.",
            errors=[{"in": "query", "name": "mode", "says": "only words have a genre or a year"}],
        )  # fmt: skip
    words, meaning = mode != "meaning", mode != "words"

    def found(clients: Clients) -> Any:
        asked: dict[str, Any] = {"genre": genre, "year": year}
        if words:
            asked["songs"] = _songs(clients)
        if not meaning:
            return answers.search(q, mode, limit, **asked)
        asked |= {"lyrics": _lyrics(clients), "openai": clients.openai}
        with clients.postgres() as connection:
            return answers.search(q, mode, limit, connection=connection, **asked)

    needed = [*(["typesense"] if words else []), *(_OF_MEANING if meaning else [])]
    return await _answer(request, needed, found)


@router.get(
    "/songs/{song_key:path}/similar",
    response_model=Answered[tuple[answers.SimilarSong, ...]],
    responses=responses(404, 409),
)
async def similar_songs(
    request: Request,
    song_key: SongKey,
    by: Annotated[answers.By, Query(openapi_examples=examples("lyrics"))] = "audio",
    k: Limit = 10,
) -> Response:
    """Songs like a song: by what was measured of them, by their lyrics, or by who listens."""

    def found(clients: Clients) -> Any:
        lyrics: Any = _lyrics(clients) if by == "lyrics" else None
        with clients.postgres() as connection:
            return answers.similar_songs(connection, lyrics, song_key, k, by)

    return await _answer(request, ["postgres", *(["milvus"] if by == "lyrics" else [])], found)


@router.get(
    "/songs/{song_key:path}/plays",
    response_model=Answered[answers.SongPlays],
    responses=responses(404, 409),
)
async def song_plays(request: Request, song_key: SongKey) -> Response:
    """How often a song was played, and by how many listeners."""

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            return answers.song_plays(connection, song_key)

    return await _answer(request, ["postgres"], found)


@router.get(
    "/listeners/{user_id:path}/songs",
    response_model=Answered[tuple[answers.PlayedSong, ...]],
    responses=responses(404, 409),
)
async def listener_songs(
    request: Request,
    user_id: Annotated[Name, Path(openapi_examples=examples(f"{1:040}", "nobody"))],
    limit: Limit = 10,
) -> Response:
    """The songs that a listener played most."""

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            return answers.listener_songs(connection, user_id, limit)

    return await _answer(request, ["postgres"], found)


async def _answer(request: Request, needed: list[str], question: Any) -> Response:
    try:
        return await service.of(request).answer(request, answers.rests_on, needed, question)
    except answers.UnknownSongError as error:
        raise ProblemError(
            404, "unknown_song", "There is no such song", str(error),
            then="GET /v1/music/songs?q=… finds songs and their keys.",
        ) from None  # fmt: skip
    except answers.UnknownListenerError as error:
        raise ProblemError(
            404, "unknown_listener", "There is no such listener", str(error),
            then="Ask for a user that a loaded file of plays names.",
        ) from None  # fmt: skip
    except answers.NothingToCompareError as error:
        raise ProblemError(
            409, "nothing_to_compare", "The song lacks what is compared", str(error),
            then="Compare by something else: by=audio, lyrics or listeners.",
        ) from None  # fmt: skip


def _songs(clients: Clients) -> Any:
    return answers.song_index(clients.typesense, MusicSettings.current().typesense_collection)


def _lyrics(clients: Clients) -> Any:
    name = MusicSettings.current().milvus_lyrics
    model = service.variable("OPENAI_EMBEDDING_MODEL")
    return clients.derived(
        "milvus", name, lambda: answers.lyrics_index(clients.milvus, name, model)
    )
