"""Music: songs, artists and albums as lists, and all that is known of one.

Belongs here: these routes. Does not: search and likeness (``music.py``), files
(``music_files.py``), the lists (``assets/music/catalogue``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import lists, service
from api.access import needs
from api.clients import Clients
from api.evidence import Answered
from api.lists import Asked, Rows
from api.parameters import Name, examples
from api.problems import ProblemError, responses
from assets.music import answers

router = APIRouter(prefix="/v1/music", tags=["music"], dependencies=[Depends(needs("read"))])

SongInPath = Annotated[Name, Path(openapi_examples=examples("SOTHEME0", "nobody"))]
ArtistInPath = Annotated[Name, Path(openapi_examples=examples("ARD7TVE1187B99BFB1", "nobody"))]
AlbumInPath = Annotated[Name, Path(openapi_examples=examples("300848", "nobody"))]
AskedFor = Annotated[Asked, Depends(lists.asked)]
ArtistKey = Annotated[Name | None, Query(description="Any of a song's or an album's artists.")]
ArtistName = Annotated[Name | None, Query(description="As it is named.")]
Year = Annotated[int | None, Query(ge=1, le=9_999)]


@router.get(
    "/catalogue/songs",
    response_model=Answered[Rows[answers.Song]],
    responses=lists.responses(),
)
async def songs(
    request: Request,
    asked: AskedFor,
    *,
    sort: Annotated[answers.SongSort, Query()] = "song_key",
    genre: Annotated[Name | None, Query(description="Whatever its case and spacing.")] = None,
    artist: ArtistName = None,
    artist_key: ArtistKey = None,
    album_key: Annotated[Name | None, Query()] = None,
    year: Year = None,
    year_from: Year = None,
    year_to: Year = None,
    lyrics: Annotated[answers.LyricsStatus | None, Query()] = None,
) -> Response:
    """Songs for which all that is asked for holds. By words: GET /v1/music/search."""
    listing = answers.songs(
        sort,
        genre=genre,
        artist=artist,
        artist_key=artist_key,
        album_key=album_key,
        year=year,
        year_from=year_from,
        year_to=year_to,
        lyrics=lyrics,
    )
    return await lists.answer(request, asked, listing, name="songs", rests_on=answers.rests_on)


@router.get(
    "/catalogue/artists",
    response_model=Answered[Rows[answers.Artist]],
    responses=lists.responses(),
)
async def artists(
    request: Request,
    asked: AskedFor,
    *,
    sort: Annotated[answers.ArtistSort, Query()] = "artist_key",
    name: Annotated[Name | None, Query(description="Whatever its case.")] = None,
    least_songs: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """Artists who have a song, with means and sums of their songs, plays and listeners."""
    listing = answers.artists(sort, name=name, least_songs=least_songs)
    return await lists.answer(request, asked, listing, name="artists", rests_on=answers.rests_on)


@router.get(
    "/catalogue/albums",
    response_model=Answered[Rows[answers.Album]],
    responses=lists.responses(),
)
async def albums(
    request: Request,
    asked: AskedFor,
    *,
    sort: Annotated[answers.AlbumSort, Query()] = "album_key",
    title: Annotated[Name | None, Query(description="Whatever its case.")] = None,
    artist: ArtistName = None,
    artist_key: ArtistKey = None,
) -> Response:
    """Albums that have a song, with their artists and the mean of their songs' durations."""
    listing = answers.albums(sort, title=title, artist=artist, artist_key=artist_key)
    return await lists.answer(request, asked, listing, name="albums", rests_on=answers.rests_on)


@router.get(
    "/songs/{song_key:path}",
    response_model=Answered[answers.SongDetails],
    responses=responses(404),
)
async def song(request: Request, song_key: SongInPath) -> Response:
    """All that is known of a song: how its lyrics stand, genres, tags, and the files it is of."""
    return await _one(request, lambda connection: answers.song(connection, song_key))


@router.get(
    "/artists/{artist_key:path}",
    response_model=Answered[answers.ArtistDetails],
    responses=responses(404),
)
async def artist(request: Request, artist_key: ArtistInPath) -> Response:
    """An artist: what the songs sum up to, plays, and the terms that files describe them by."""
    return await _one(request, lambda connection: answers.artist(connection, artist_key))


@router.get(
    "/albums/{album_key:path}", response_model=Answered[answers.Album], responses=responses(404)
)
async def album(request: Request, album_key: AlbumInPath) -> Response:
    """An album: its artists, songs, and their mean duration."""
    return await _one(request, lambda connection: answers.album(connection, album_key))


async def _one(request: Request, question: Callable[[Any], Any]) -> Response:
    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            return question(connection)

    with _named_errors():
        return await service.of(request).answer(request, answers.rests_on, ["postgres"], found)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except answers.UnknownSongError as error:
        raise _unknown("song", error, "songs") from None
    except answers.UnknownArtistError as error:
        raise _unknown("artist", error, "artists") from None
    except answers.UnknownAlbumError as error:
        raise _unknown("album", error, "albums") from None


def _unknown(what: str, error: Exception, listed: str) -> ProblemError:
    return ProblemError(
        404, f"unknown_{what}", f"There is no such {what}", str(error),
        then=f"GET /v1/music/catalogue/{listed} lists them with their keys.",
    )  # fmt: skip
