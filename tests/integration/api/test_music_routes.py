"""Songs over HTTP: by words, by meaning, and like a song."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from assets.music.search import song_documents
from assets.music.search.song_rows import TouchedPages
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource
from tests.integration.api.played import played
from tests.integration.music.lyrics_index import opened
from tests.integration.music.search_world import Song, generated

pytestmark = pytest.mark.servers("postgres", "milvus", "openai", "typesense")


@pytest.fixture
def index(env):
    with opened(env) as index:
        yield index


def test_songs_by_words_meaning_and_likeness(service, index, env):
    songs, _ = generated()
    twin = replace(songs[20], key="SO/TW IN")
    index.world.put("b1", [*songs, twin, Song("SONONE", title="Nothing but a title")])
    index.write("b1")
    typesense = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    pg = PostgresResource(url=env["POSTGRES_URL"])
    with typesense.client() as client:
        documents = song_documents.store(client, env["MUSIC_TYPESENSE_COLLECTION"])
        song_documents.write(TouchedPages(pg, "b1", 1_000), documents, pg)

    named = service.get("/v1/music/songs", params={"q": "nothing but a title"}).json()["answer"]
    assert [one["song_key"] for one in named["songs"]] == ["SONONE"]
    every = service.get("/v1/music/songs", params={"q": "*", "limit": 1}).json()["answer"]
    assert every["found"] == len(songs) + 2
    genre = next(one.genre for one in songs if one.genre)
    of_genre = service.get("/v1/music/songs", params={"q": "*", "genre": genre}).json()["answer"]
    assert of_genre["found"] == sum(one.genre == genre for one in (*songs, twin))

    verse = songs[20].text.splitlines()[0]
    meant = service.get("/v1/music/lyrics", params={"q": verse}).json()["answer"]
    assert {songs[20].key, twin.key} <= {one["song_key"] for one in meant[:5]}

    assert_modes_agree(service, verse, genre)

    key = quote(twin.key, safe="")
    alike = service.get(f"/v1/music/songs/{key}/similar", params={"by": "lyrics", "k": 1}).json()
    assert [one["song_key"] for one in alike["answer"]] == [songs[20].key]
    bare = service.get("/v1/music/songs/SONONE/similar", params={"by": "lyrics"})
    assert (bare.status_code, bare.json()["code"]) == (409, "nothing_to_compare")
    nobody = service.get("/v1/music/songs/nobody/similar")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_song")


def assert_modes_agree(service, verse, genre):
    """One question in three ways, against the two searches and the sum of reciprocal ranks."""

    def searched(mode, **asked):
        said = service.get("/v1/music/search", params={"q": verse, "mode": mode, **asked})
        assert said.status_code == 200, said.text
        return said.json()["answer"]

    words = service.get("/v1/music/songs", params={"q": verse, "limit": 100}).json()["answer"]
    meant = service.get("/v1/music/lyrics", params={"q": verse, "limit": 100}).json()["answer"]
    by_words = [one["song_key"] for one in words["songs"]]
    by_meaning = [one["song_key"] for one in meant]
    assert by_words
    assert by_meaning

    def keys(answer):
        return [one["song"]["song_key"] for one in answer["songs"]]

    assert keys(searched("words", limit=100)) == by_words
    assert searched("words", limit=100)["words"]["found"] == words["found"]
    assert keys(searched("meaning", limit=100)) == by_meaning
    both = searched("hybrid", limit=100)
    places = [{key: n for n, key in enumerate(one, 1)} for one in (by_words, by_meaning)]
    total = {
        key: round(sum(1 / (60 + one[key]) for one in places if key in one), 6)
        for key in {*by_words, *by_meaning}
    }
    best = sorted(total, key=lambda key: (-total[key], *(one.get(key, 1e9) for one in places), key))
    assert keys(both) == best[:100]
    assert [(one["rank_by_words"], one["rank_by_meaning"]) for one in both["songs"]] == [
        tuple(one.get(key) for one in places) for key in best[:100]
    ]
    only = searched("words", genre=genre)
    assert {one["song"]["genre"] for one in only["songs"]} <= {genre}
    wrong = service.get("/v1/music/search", params={"q": verse, "mode": "hybrid", "year": 2000})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")


def test_what_was_played(service, index, env):
    songs, _ = generated()
    index.world.put("b1", songs)
    listener = "0000000000000000000000000000000000000001"
    first, second, third = (one.key for one in songs[:3])
    played(env["POSTGRES_URL"], listener, {first: 3, second: 7, "SOUNKNOWN": 50})
    path = f"/v1/music/listeners/{listener}/songs"
    top = service.get(path).json()["answer"]
    assert [(one["song_key"], one["plays"]) for one in top] == [(second, 7), (first, 3)]
    assert len(service.get(path, params={"limit": 1}).json()["answer"]) == 1
    for key, plays in ((second, 7), (third, 0)):
        said = service.get(f"/v1/music/songs/{quote(key, safe='')}/plays").json()["answer"]
        assert (said["plays"], said["listeners"]) == (plays, 1 if plays else 0)
    nobody = service.get("/v1/music/listeners/nobody/songs")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_listener")
    assert service.get("/v1/music/songs/nobody/plays").status_code == 404


@pytest.mark.parametrize("term", ["\x00", "😀😀", "'; DROP TABLE music.fact_song; --"])
def test_noise_is_no_error_of_the_service(service, index, env, term):
    searches = [f"/v1/music/search?mode={mode}" for mode in ("words", "meaning", "hybrid")]
    for path in (
        *searches,
        "/v1/music/songs",
        "/v1/music/lyrics",
        f"/v1/music/songs/{quote(term)}/similar",
    ):
        said = service.get(f"{path}{'&' if '?' in path else '?'}q={quote(term)}")
        assert said.status_code in {200, 404, 409, 422}, (path, said.text)
