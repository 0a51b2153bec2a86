"""The stand-in lyrics and MusicBrainz services over plain HTTP: names, faults, limits, counters."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from local import music_answers
from tests.music_services import MusicServicesAdmin

pytestmark = pytest.mark.servers("music_services")

Env = dict[str, str]
AGENT = "tests/1.0 (tests@localhost)"


@pytest.fixture
def admin(env: Env) -> Iterator[MusicServicesAdmin]:
    admin = MusicServicesAdmin.of(env)
    yield admin
    admin.end_faults()


def get(url: str, agent: str = AGENT, timeout: float = 10) -> tuple[int, Any, dict[str, str]]:
    """Status, parsed body (None when it is no JSON), headers; the path goes out as it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request("GET", path, headers={"User-Agent": agent})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    return response.status, content, dict(response.getheaders())


def lyrics(env: Env, artist: str, title: str, **options: Any) -> tuple[int, Any, dict[str, str]]:
    return get(f"{env['MUSIC_LYRICS_URL']}/{quote(artist, '')}/{quote(title, '')}", **options)


def known(*, there: bool = True) -> tuple[str, str]:
    """A song that the service knows, or one that it does not."""
    titles = (f"Song {number}" for number in range(1_000))
    return "Somebody", next(
        title for title in titles if (music_answers.lyrics("Somebody", title) is not None) == there
    )


def test_a_song_is_found_or_not(env: Env) -> None:
    status, content, _ = lyrics(env, *known())
    assert status == 200
    assert list(content) == ["lyrics"]
    assert known()[1] in content["lyrics"]
    status, content, _ = lyrics(env, *known(there=False))
    assert (status, content) == (404, {"error": "No lyrics found"})


@pytest.mark.parametrize(
    "artist", ["AC/DC", "Who?", "#1 Band", "a;b;c", "50% %2F", "Sigur Rós", "愛"]
)
def test_names_arrive_as_they_are(env: Env, admin: MusicServicesAdmin, artist: str) -> None:
    lyrics(env, artist, "What / is ? this # song ; &amp;")
    assert admin.asked() == {(artist, "What / is ? this # song ; &amp;"): 1}


def test_paths_that_nobody_serves(env: Env) -> None:
    base = env["MUSIC_LYRICS_URL"]
    for url in (
        base,
        f"{base}/only",
        f"{base}/a/b/c",
        f"{base}//b",
        base.replace("/v1", "/v3/a/b"),
    ):
        status, content, _ = get(url)
        assert (status, content) == (404, None)


def test_artists_by_name_and_by_id(env: Env) -> None:
    name = next(n for n in (f'The "{i}" / Ö' for i in range(99)) if music_answers.mbid_of(n))
    escaped = name.replace('"', '\\"')
    query = urlencode({"query": f'artist:"{escaped}"', "fmt": "json"})
    status, content, _ = get(f"{env['MUSIC_MUSICBRAINZ_URL']}/artist?{query}")
    assert status == 200
    assert [hit["name"] for hit in content["artists"]] == [f"{name} Tribute Band", name.upper()]
    mbid = content["artists"][1]["id"]
    url = f"{env['MUSIC_MUSICBRAINZ_URL']}/artist/{mbid}?inc=genres+tags&fmt=json"
    status, content, _ = get(url)
    assert status == 200
    assert content["id"] == mbid
    assert {"genres", "tags", "name", "sort-name"} <= content.keys()


def test_unknown_and_wrong_ids(env: Env) -> None:
    ids = (str(uuid.UUID(int=number)) for number in range(1_000))
    unknown = next(mbid for mbid in ids if music_answers.artist(mbid) is None)
    base = env["MUSIC_MUSICBRAINZ_URL"]
    status, content, _ = get(f"{base}/artist/{unknown}?fmt=json")
    assert (status, content["error"]) == (404, "Not Found")
    assert get(f"{base}/artist/nonsense?fmt=json")[0] == 400
    assert get(f"{base}/artist?query=nonsense&fmt=json")[0] == 400
    assert get(f"{base}/artist/{unknown}")[1] is None


@pytest.mark.parametrize(
    "agent", ["", "curl/8.0", "python-httpx/0.28", "python-requests/2 (x@y)", "app/1.0", "app"]
)
def test_nameless_applications_are_refused(env: Env, agent: str) -> None:
    url = f"{env['MUSIC_MUSICBRAINZ_URL']}/artist/x?fmt=json"
    assert get(url, agent)[0] == 403
    assert get(url, "app/1.0 ( https://example.org )")[0] == 400


def test_faults_by_script(env: Env, admin: MusicServicesAdmin) -> None:
    admin.set_faults(script=["500", "429", "503", "malformed", "empty", "401"], retry_after=7)
    answers = [lyrics(env, *known()) for _ in range(7)]
    assert [status for status, _, _ in answers] == [500, 429, 503, 200, 200, 401, 200]
    assert [headers.get("retry-after") for _, _, headers in answers[:3]] == [None, "7", "7"]
    assert answers[3][1] is None
    assert answers[4][1]["lyrics"].strip() == ""
    assert known()[1] in answers[6][1]["lyrics"]
    counters = admin.counters()
    assert counters["calls"] == {"lyrics": 7}
    assert counters["answered"] == {"lyrics": 1}
    assert sum(counters["faults"].values()) == 6


def test_hanging_and_breaking_off(env: Env, admin: MusicServicesAdmin) -> None:
    admin.set_faults(script=["hang", "disconnect"], hang_seconds=60)
    with pytest.raises(TimeoutError):
        lyrics(env, *known(), timeout=0.5)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        lyrics(env, *known())
    assert lyrics(env, *known())[0] == 200


def test_faults_of_one_endpoint_spare_the_other(env: Env, admin: MusicServicesAdmin) -> None:
    admin.set_faults(rates={"500": 1.0}, endpoints=["musicbrainz"])
    assert lyrics(env, *known())[0] == 200
    url = f"{env['MUSIC_MUSICBRAINZ_URL']}/artist/{uuid.UUID(int=1)}?fmt=json"
    assert get(url)[0] == 500


def test_a_limit_is_one_of_a_second(env: Env, admin: MusicServicesAdmin) -> None:
    admin.set_limits(lyrics=3)
    statuses = [lyrics(env, *known())[0] for _ in range(5)]
    assert statuses == [200, 200, 200, 503, 503]
    time.sleep(1.05)
    assert lyrics(env, *known())[0] == 200


def test_callers_do_not_share_faults_or_counters(env: Env, admin: MusicServicesAdmin) -> None:
    admin.set_faults(rates={"500": 1.0})
    other = {**env, "MUSIC_LYRICS_URL": env["MUSIC_LYRICS_URL"].replace("/v1", "x/v1")}
    assert lyrics(other, *known())[0] == 200
    assert admin.calls() == 0
    assert lyrics(env, *known())[0] == 500


def test_open_calls_are_counted(env: Env, admin: MusicServicesAdmin) -> None:
    admin.set_faults(latency=0.3)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: lyrics(env, *known()), range(5)))
    assert admin.counters()["most_open_calls"] == 5
    admin.clear_counters()
    assert admin.counters()["calls"] == {}


def test_what_is_no_plan_is_refused(env: Env, admin: MusicServicesAdmin) -> None:
    for body in (b"nonsense", b"[]", b'{"script": ["418"]}'):
        connection = http.client.HTTPConnection(urlsplit(admin.url).netloc, timeout=10)
        connection.request("PUT", f"{urlsplit(admin.url).path}/admin/faults", body)
        assert connection.getresponse().status == 400
        connection.close()
