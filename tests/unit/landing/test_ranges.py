"""The stream over ranges: exact bytes, bounded memory, broken transfers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landing.stores.ranges import RETRY_DELAYS, ShortReadError, buffered


@given(
    content=st.binary(max_size=200),
    chunk=st.integers(1, 50),
    reads=st.lists(st.integers(0, 60), max_size=20),
)
def test_any_reads_give_the_content(content: bytes, chunk: int, reads: list[int]) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append((start, end))
        return content[start:end]

    stream = buffered(len(content), fetch, chunk_bytes=chunk)
    got = [stream.read(size) for size in reads]
    got.append(stream.read())
    assert b"".join(got) == content
    assert asked == [(at, min(at + chunk, len(content))) for at in range(0, len(content), chunk)]


def test_the_first_range_is_read_on_opening() -> None:
    with pytest.raises(LookupError):
        buffered(10, lambda _start, _end: {}["gone"])


def test_a_broken_transfer_is_asked_for_again() -> None:
    waited: list[float] = []
    answers: list[bytes | Exception] = [b"ab", ConnectionError("reset"), b"c", b"cd", b"e"]

    def fetch(start: int, end: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert buffered(5, fetch, chunk_bytes=2, sleep=waited.append).read() == b"abcde"
    assert waited == list(RETRY_DELAYS[:2])


def test_a_range_that_stays_short_is_an_error() -> None:
    waited: list[float] = []
    with pytest.raises(ShortReadError, match="asked for bytes 0-5, received 1"):
        buffered(5, lambda _start, _end: b"a", sleep=waited.append)
    assert waited == list(RETRY_DELAYS)


def test_other_errors_pass_at_once() -> None:
    calls: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        calls.append(start)
        raise ValueError("no retry")

    with pytest.raises(ValueError, match="no retry"):
        buffered(5, fetch, sleep=lambda _seconds: None)
    assert calls == [0]
