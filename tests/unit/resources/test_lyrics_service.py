"""What the lyrics service's answers mean, and how names become paths."""

from __future__ import annotations

from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lyrics_service import LyricsClient, LyricsServiceResource, path_part, read
from resources.polite_http import Document, Failed, Found, Missing, Pace, PoliteClient


@pytest.mark.parametrize(
    ("content", "found", "answer"),
    [
        ({"lyrics": "la\r\nla\x00"}, True, Found("la\nla")),
        ({"error": "No lyrics found"}, False, Missing("no lyrics")),
    ],
)
def test_plain_answers(content, found, answer):
    assert read(Document(found, content)) == answer


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"lyrics": ""}, True),
        ({"lyrics": " \r\n\x00"}, True),
        ({"lyrics": None}, True),
        ({"error": "No lyrics found"}, True),
        ([], True),
        ("text", True),
        (None, True),
        ({"detail": "Not Found"}, False),
        ({"error": {"code": 404}}, False),
        ([], False),
    ],
)
def test_what_is_neither_found_nor_missing_is_failed(content, found):
    assert isinstance(read(Document(found, content)), Failed)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(min_size=1, max_size=3)
)
def test_any_name_arrives_as_one_part_of_the_path(artist, title):
    title = title.encode("utf-8", "ignore").decode() or "t"
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(404, json={"error": "No lyrics found"})

    inner = httpx.Client(transport=httpx.MockTransport(handler), base_url="http://service/v1/")
    polite = PoliteClient(inner, pace=Pace(), attempts=1, seconds=5)
    assert LyricsClient(polite).ask(artist, title) == Missing("no lyrics")
    assert [unquote(part.decode()) for part in asked[0].split(b"/")] == ["", "v1", artist, title]


@pytest.mark.parametrize(
    "name", ["AC/DC", "Who?", "#1", "a;b", "..", ".", "50% %2F", "Sigur Rós", "愛"]
)
def test_awkward_names(name):
    part = path_part(name)
    assert unquote(part) == name
    assert not set(part) & set("/?#;. ")


def test_no_url_is_no_service():
    resource = LyricsServiceResource(url="")
    assert not resource.configured
    assert "stay pending" in resource.check()
