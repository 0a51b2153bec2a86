"""How MusicBrainz is asked and what its answers mean."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.musicbrainz import (
    MusicBrainzClient,
    MusicBrainzResource,
    is_mbid,
    phrase,
    read_genre,
    read_search,
)
from resources.polite_http import Failed, Found, Missing, NoAnswerError, Pace, PoliteClient

MBID = "5b11f4ce-a62d-471e-81fc-a69a8278c7da"
OTHER = "65f4f0c5-ef9e-490c-aee3-909e7ae6b2ab"


def artist(**fields):
    return {"id": MBID, "name": "Somebody", **fields}


def votes(*given):
    return [{"name": name, "count": count} for name, count in given]


def test_the_genre_with_most_votes():
    genres = votes(("rock", 3), ("grunge", 9), ("pop", -2))
    assert read_genre(artist(genres=genres, tags=votes(("seen live", 50)))) == Found("grunge")


def test_equal_votes_go_by_name_in_any_order():
    assert read_genre(artist(genres=votes(("rock", 3), ("jazz", 3)))) == Found("jazz")
    assert read_genre(artist(genres=votes(("jazz", 3), ("rock", 3)))) == Found("jazz")


@pytest.mark.parametrize("genres", [[], votes(("rock", 0), ("pop", -1)), [{"count": 4}], ["rock"]])
def test_no_genre_is_missing_whatever_the_tags(genres):
    assert read_genre(artist(genres=genres, tags=votes(("seen live", 9)))) == Missing("no genre")


def test_a_server_without_genres_has_tags():
    assert read_genre(artist(tags=votes(("rock", 2)))) == Found("rock")


@pytest.mark.parametrize("content", [None, [], {}, {"id": 1}, artist(), artist(genres=None)])
def test_what_is_no_artist_is_failed(content):
    assert isinstance(read_genre(content), Failed)


def hit(name, score, mbid=MBID, **fields):
    return {"id": mbid, "name": name, "score": score, **fields}


def test_only_exactly_this_name_is_a_hit():
    hits = [hit("Nirvana Tribute", 100, OTHER), hit("NIRVANA ", 90)]
    assert read_search({"artists": hits}, "Nirvana") == Found(MBID)
    assert read_search({"artists": hits[:1]}, "Nirvana") == Missing("no artist of that name")
    assert read_search({"artists": []}, "Nirvana") == Missing("no artist of that name")


def test_the_best_of_several_and_aliases():
    hits = [hit("Nirvana", 90, OTHER), hit("Nirvana", "97")]
    assert read_search({"artists": hits}, "Nirvana") == Found(MBID)
    other = hit("Nirvana (band)", 97, aliases=[{"name": "nirvana"}, None, {"name": None}])
    assert read_search({"artists": [other]}, "Nirvana") == Found(MBID)
    assert read_search({"artists": [hit("x", 9, aliases=5)]}, "Nirvana") == Missing(
        "no artist of that name"
    )


@pytest.mark.parametrize("content", [None, [], {}, {"artists": None}])
def test_what_is_no_search_result_is_failed(content):
    assert isinstance(read_search(content, "x"), Failed)


@given(st.text())
def test_a_name_is_one_phrase(name):
    quoted = phrase(name)
    inner, escaped, read = quoted[1:-1], False, []
    for character in inner:
        if escaped or character not in '\\"':
            read.append(character)
            escaped = False
        else:
            assert character == "\\"
            escaped = True
    assert not escaped
    assert "".join(read) == name
    assert quoted[0] == quoted[-1] == '"'


def ask(replies, name, mbid):
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return replies.pop(0)

    inner = httpx.Client(transport=httpx.MockTransport(handler), base_url="http://mb/ws/2/")
    client = MusicBrainzClient(PoliteClient(inner, pace=Pace(), attempts=1, seconds=5))
    return client.genre(name, mbid), requests


def test_by_mbid_in_one_request():
    reply = httpx.Response(200, json=artist(genres=votes(("rock", 1))))
    answer, (request,) = ask([reply], "Somebody", MBID)
    assert answer == Found("rock")
    assert request.url.path == f"/ws/2/artist/{MBID}"
    assert dict(request.url.params) == {"inc": "genres+tags", "fmt": "json"}


@pytest.mark.parametrize("mbid", [None, "", "not an id", f"{MBID}/../x"])
def test_by_name_in_two(mbid):
    replies = [
        httpx.Response(200, json={"artists": [hit('AC/DC "live"', 100)]}),
        httpx.Response(200, json=artist(genres=votes(("rock", 1)))),
    ]
    answer, (search, lookup) = ask(replies, 'AC/DC "live"', mbid)
    assert answer == Found("rock")
    assert search.url.params["query"] == 'artist:"AC/DC \\"live\\""'
    assert lookup.url.path == f"/ws/2/artist/{MBID}"


def test_not_found_in_its_own_words_only():
    own = httpx.Response(404, json={"error": "Not Found", "help": "…"})
    assert ask([own], None, MBID)[0] == Missing("no artist of that MBID")
    other = httpx.Response(404, json={"detail": "Not Found"})
    assert isinstance(ask([other], None, MBID)[0], Failed)
    search = httpx.Response(404, json={"error": "Not Found"})
    assert isinstance(ask([search], "x", None)[0], Failed)


def test_ids():
    assert is_mbid(MBID)
    assert is_mbid(MBID.upper())
    assert not is_mbid(MBID + "0")
    assert not is_mbid(None)


def test_a_check_says_what_to_set():
    assert "stay so" in MusicBrainzResource(url="", user_agent="").check()
    with pytest.raises(NoAnswerError, match="MUSIC_MUSICBRAINZ_USER_AGENT"):
        MusicBrainzResource(url="http://mb/ws/2", user_agent="").check()
