"""The beginning of a stream, looked at and put back; gzip told by its first bytes."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.formats import sniffed
from assets.formats.gzipped import plain
from landing.batch.chunks import UnreadableObject


class Trickle(io.BytesIO):
    """Reads are short, as those of a network are."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(3 if size is None or size < 0 else min(size, 3))


def all_of(stream: Any, size: int) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


@given(st.binary(max_size=40), st.integers(0, 50), st.integers(1, 50))
def test_what_was_looked_at_is_read_again(data, looked, size):
    stream = Trickle(data)
    head = sniffed.head(stream, looked)
    assert head == data[:looked]
    assert all_of(sniffed.Rejoined(head, stream), size) == data


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf\r\n\na,b\r\nc", b"a,b", b"\na,b\n"])
def test_the_first_line_is_the_first_that_is_not_blank(data):
    assert sniffed.first_line(data) == b"a,b"


@given(st.binary(max_size=2_000))
def test_compressed_or_not_the_text_is_the_same(data):
    with plain(Trickle(gzip.compress(data))) as text:
        assert all_of(text, 100) == data
    if not data.startswith(b"\x1f\x8b"):
        with plain(Trickle(data)) as text:
            assert all_of(text, 100) == data


def test_a_file_that_was_cut_off_gives_no_text_at_all():
    with (
        pytest.raises(UnreadableObject, match="bad_gzip"),
        plain(io.BytesIO(gzip.compress(bytes(9_999))[:-9])),
    ):
        pytest.fail("the beginning of it was given")
