"""What is tried again, what waits, and what an answer may be: no server, httpx's own transport."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import httpx
import pytest

from resources import polite_http
from resources.polite_http import Document, Failed, Pace, PoliteClient, clean_text, retry_after

Reply = httpx.Response | Exception


class Script:
    """Replies in order, the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.requests, self.times = list(replies), [], []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(time.monotonic())
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


def client(
    handler: Callable[[httpx.Request], httpx.Response], *, attempts: int = 3, seconds: float = 5.0
) -> PoliteClient:
    transport = httpx.MockTransport(handler)
    inner = httpx.Client(transport=transport, base_url="http://service/v1/")
    return PoliteClient(inner, pace=Pace(), attempts=attempts, seconds=seconds)


OK = httpx.Response(200, json={"x": 1})


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import stamina

    original = stamina.retry_context

    def quick(**options):
        return original(**{**options, "wait_initial": 0, "wait_max": 0, "wait_jitter": 0})

    monkeypatch.setattr(stamina, "retry_context", quick)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(408),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(503),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("hangs"),
        httpx.RemoteProtocolError("cut off"),
    ],
)
def test_what_may_pass_is_tried_again(trouble):
    script = Script(trouble, trouble, OK)
    assert client(script).get("a/b") == Document(found=True, content={"x": 1})
    assert len(script.requests) == 3
    script = Script(trouble)
    answer = client(script).get("a/b")
    assert isinstance(answer, Failed)
    assert "3 attempts" in answer.reason
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(400),
        httpx.Response(401),
        httpx.Response(403),
        httpx.Response(410),
        httpx.Response(501),
        httpx.Response(200, text='{"half'),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(404, text="<html>no such page</html>"),
        httpx.UnsupportedProtocol("ftp"),
    ],
)
def test_what_will_not_pass_is_failed_at_once(trouble):
    script = Script(trouble)
    assert isinstance(client(script).get("a/b"), Failed)
    assert len(script.requests) == 1


def test_a_404_in_json_is_an_answer():
    script = Script(httpx.Response(404, json={"error": "none"}))
    assert client(script).get("a/b") == Document(found=False, content={"error": "none"})


def test_no_attempt_comes_before_the_server_allows_it():
    limited = httpx.Response(429, headers={"Retry-After": "0.3"})
    script = Script(limited, limited, OK)
    assert isinstance(client(script).get("a/b"), Document)
    gaps = [later - earlier for earlier, later in zip(script.times, script.times[1:], strict=False)]
    assert all(0.3 <= gap < 2 for gap in gaps)


def test_a_limit_of_one_call_holds_for_the_others():
    polite = client(Script(httpx.Response(429, headers={"Retry-After": "0.3"})), attempts=1)
    polite.get("a/b")
    started = time.monotonic()
    polite.get("a/c")
    assert time.monotonic() - started >= 0.25


def test_a_long_retry_after_ends_the_call_and_is_handed_on():
    script = Script(httpx.Response(503, headers={"Retry-After": "3600"}))
    assert client(script).get("a/b") == Failed("status 503, 1 attempt", 3600)
    assert len(script.requests) == 1


def test_retry_after_as_number_and_as_date():
    now = 1_800_000_000.0
    assert retry_after("2.5", now) == 2.5
    assert retry_after(formatdate(now + 60, usegmt=True), now) == 60
    assert retry_after(formatdate(now - 60, usegmt=True), now) == 0
    for nonsense in (None, "", "soon", "-3", "nan", "inf", "Wed, 99 Foo 2026 07:28:00 GMT"):
        assert retry_after(nonsense, now) == 0


def test_an_answer_that_drips_does_not_last_for_ever():
    def drops() -> Iterator[bytes]:
        for _ in range(1_000):
            time.sleep(0.02)
            yield b" "

    script = Script(httpx.Response(200, content=drops()))
    started = time.monotonic()
    answer = client(script, attempts=1, seconds=0.2).get("a/b")
    assert isinstance(answer, Failed)
    assert "too long" in answer.reason
    assert time.monotonic() - started < 2


def test_a_huge_answer_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(polite_http, "LARGEST_ANSWER", 1_000)
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1_000):
            read += 1
            yield b"x" * 100

    script = Script(httpx.Response(200, content=pieces()))
    answer = client(script).get("a/b")
    assert isinstance(answer, Failed)
    assert "1000 bytes" in answer.reason
    assert read < 50


def test_calls_keep_their_distance():
    pace = Pace(20)
    times = []
    for _ in range(5):
        pace.wait()
        times.append(time.monotonic())
    assert times[-1] - times[0] >= 4 * 0.05 - 0.01


def test_text_that_no_database_takes_is_cleaned():
    given = json.loads(r'"\r\n a\u0000b\r\nc\rd \ud83d x\ud83d\ude00 \r\n"')
    assert clean_text(given) == "ab\nc\nd  x😀"
