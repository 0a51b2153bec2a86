from __future__ import annotations

import json

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.embeddings import TEXT_BYTES, _calls, beginning
from assets.sinks.result import Verification, compared
from resources.milvus import one_of
from resources.openai import LONGEST_RETRY_AFTER, OpenAIResource, retry_after


def status_error(status: int, headers: dict[str, str] | None = None) -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://api/v1/embeddings")
    response = httpx2.Response(status, headers=headers, request=request)
    return openai.APIStatusError("said no", response=response, body=None)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_transient_statuses(status):
    assert retry_after(status_error(status)) is True


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_permanent_statuses(status):
    assert retry_after(status_error(status, {"retry-after": "1"})) is False


def test_the_server_says_how_long_but_not_for_ever():
    assert retry_after(status_error(429, {"retry-after": "2.5"})) == 2.5
    assert retry_after(status_error(503, {"retry-after": "86400"})) == LONGEST_RETRY_AFTER
    assert retry_after(status_error(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})) is True


def test_broken_answers():
    request = httpx2.Request("POST", "http://api/v1/embeddings")
    assert retry_after(openai.APIConnectionError(request=request)) is True
    assert retry_after(openai.APITimeoutError(request)) is True
    assert retry_after(json.JSONDecodeError("x", "{", 1)) is True
    assert retry_after(TypeError("x")) is False


@given(st.text(max_size=40), st.integers(1, 3_000))
def test_the_beginning_of_a_text_is_whole_characters_of_so_many_bytes(text, times):
    found = beginning(text * times)
    whole = (text * times).encode()
    assert (text * times).startswith(found)
    assert len(found.encode()) <= TEXT_BYTES
    assert len(found.encode()) > min(len(whole), TEXT_BYTES) - 4
    assert found == text * times or len(whole) > TEXT_BYTES


@given(
    st.lists(st.tuples(st.text("x", min_size=1, max_size=3), st.integers(1, 9_000)), max_size=200)
)
def test_calls_hold_every_text_once_and_no_more_than_the_api_takes(shapes):
    texts = [(str(n), word * times) for n, (word, times) in enumerate(shapes)]
    calls = list(_calls(texts))
    assert [one for call in calls for one in call] == texts
    for call in calls:
        assert 0 < len(call) <= 128
        assert sum(len(beginning(text).encode()) for _, text in call) <= 300_000


def test_the_key_is_not_shown():
    resource = OpenAIResource(base_url="http://a", api_key="s3cret", embedding_model="m")
    assert "s3cret" not in f"{resource!r} {resource}"


def test_filter_values_are_escaped():
    assert one_of("user_id", ["a", 'b" or 1 == 1', "c\\", "d\ne"]) == (
        'user_id in ["a","b\\" or 1 == 1","c\\\\","d\\ne"]'
    )


def test_compared():
    found = compared({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "x": "7"}, ["x", "y"])
    assert found == Verification(3, 1, 1, 1, ("c", "b", "x"))
    assert not found.ok
    assert compared({"a": "1"}, {"a": "1"}).plus(Verification(1)).ok
