"""Documents, the lines of an import's answer, and failures' classes, without a server."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from typesense import exceptions

from assets.music.search import typesense_songs
from assets.music.search.columns import PASSAGES_SCHEMA, SONGS_SCHEMA
from assets.music.search.passages import Lyrics
from assets.music.search.song_rows import Song
from landing.batch.failures import PermanentError, TransientError, classify
from resources.typesense import TypesenseResource, in_address
from tests import processes

SONG = Song("SO1", "Title", "A", ("A", "B"), "Album", "R&B", 1999, "h1", Lyrics("la la"))
BARE = Song("SO2", None, None, (), None, None, None, "h2", Lyrics())


def importing(answer: str):
    documents = SimpleNamespace(import_=lambda body, parameters: answer)
    return SimpleNamespace(collections={"songs": SimpleNamespace(documents=documents)})


def lines(*outcomes: dict[str, object]) -> str:
    return "\n".join(json.dumps(outcome) for outcome in outcomes)


def test_a_document_has_what_the_song_has() -> None:
    assert typesense_songs.document(SONG) == {
        "id": "SO1", "song_key": "SO1", "title": "Title", "artist": "A", "artists": ["A", "B"],
        "album": "Album", "genre": "R&B", "genre_code": typesense_songs.genre_code("r&b "),
        "year": 1999, "lyrics": "la la", "row_hash": "h1",
    }  # fmt: skip
    assert typesense_songs.document(BARE) == {
        "id": "SO2", "song_key": "SO2", "artists": [], "row_hash": "h2",
    }  # fmt: skip


def test_every_field_of_a_document_is_declared_and_shown() -> None:
    declared = {field["name"] for field in typesense_songs.FIELDS}
    assert set(typesense_songs.document(SONG)) == declared | {"id"}
    assert {column.name for column in SONGS_SCHEMA.columns} == declared | {"id"}
    assert {"chunk_id", "vector", "sparse"} < {column.name for column in PASSAGES_SCHEMA.columns}


def test_genre_codes_keep_genres_apart_and_cannot_leave_a_filter() -> None:
    genres = ["R&B", "RB", "R & B", "hip hop", "hip-hop", "`", "`]||x:=1", "Ünï", ""]
    codes = {typesense_songs.genre_code(genre) for genre in genres}
    assert len(codes) == len(genres)
    assert all(code.isalnum() and len(code) == 32 for code in codes)
    assert typesense_songs.genre_code(" HIP  hop") == typesense_songs.genre_code("hip hop")


def test_every_line_of_the_answer_counts() -> None:
    documents = [typesense_songs.document(SONG), typesense_songs.document(BARE)]
    good, bad = {"success": True}, {"success": False, "code": 400, "error": "Field `year` must be"}
    typesense_songs._import(importing(lines(good, good)), "songs", documents)
    with pytest.raises(PermanentError, match=r"refused 1 of 2 .* SO2: 1 x 400 Field `year` must"):
        typesense_songs._import(importing(lines(good, bad)), "songs", documents)


@pytest.mark.parametrize("code", [500, 503, 429])
def test_lines_that_may_succeed_later(code: int) -> None:
    documents = [typesense_songs.document(SONG), typesense_songs.document(BARE)]
    busy = {"success": False, "code": code, "error": "not ready"}
    bad = {"success": False, "code": 400, "error": "Bad JSON."}
    with pytest.raises(TransientError, match=f"2 x {code} not ready"):
        typesense_songs._import(importing(lines(busy, busy)), "songs", documents)
    with pytest.raises(PermanentError, match="400 Bad JSON"):
        typesense_songs._import(importing(lines(busy, bad)), "songs", documents)


@pytest.mark.parametrize("answer", ["", lines({"success": True})])
def test_an_answer_that_was_cut_short(answer: str) -> None:
    documents = [typesense_songs.document(SONG), typesense_songs.document(BARE)]
    with pytest.raises(TransientError, match="of 2 documents"):
        typesense_songs._import(importing(answer), "songs", documents)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.RequestMalformed(400, "no"), "permanent"),
        (exceptions.RequestUnauthorized(401, "no"), "permanent"),
        (exceptions.ObjectNotFound(404, "no"), "permanent"),
        (exceptions.ObjectUnprocessable(422, "no"), "permanent"),
        (exceptions.TypesenseClientError(429, "no"), "transient"),
        (exceptions.ServerError(500, "no"), "transient"),
        (exceptions.ServiceUnavailable(503, "no"), "transient"),
        (exceptions.TypesenseClientError("All nodes are unhealthy"), "transient"),
    ],
)
def test_failures_are_classed(error: Exception, kind: str) -> None:
    with pytest.raises(Exception, match=r"no|unhealthy") as caught, typesense_songs.asking("x"):
        raise error
    assert classify(caught.value) == kind


def test_ids_in_addresses() -> None:
    assert in_address("a/b?c#d%e f;é") == "a%2Fb%3Fc%23d%25e%20f%3B%C3%A9"
    for dots in (".", ".."):
        with pytest.raises(ValueError, match="no address"):
            in_address(dots)


def test_the_key_is_not_shown_and_the_address_is_checked() -> None:
    resource = TypesenseResource(url="http://a:1", api_key="s3cret")
    assert "s3cret" not in f"{resource!r} {resource}"
    for url in ("a:8108", "ftp://a", "http://"):
        with (
            pytest.raises(ValueError, match="TYPESENSE_URL"),
            TypesenseResource(url=url, api_key="x").client(),
        ):
            pass
    with TypesenseResource(url="https://a/path/", api_key="x").client() as client:
        assert client.config.nodes[0].url() == "https://a:443/path"


def test_the_assets_are_cheap_to_import() -> None:
    code = (
        "import sys, assets.music.search.assets;"
        "print(sorted({'polars', 'numpy', 'pymilvus', 'typesense', 'openai', 'psycopg', 'httpx'}"
        " & set(sys.modules)))"
    )
    assert processes.output_of([sys.executable, "-c", code]).strip() == "[]"
