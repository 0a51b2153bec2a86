from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from assets.music.bronze.formats import musixmatch
from landing.batch.chunks import UnreadableObject
from tests.unit.assets.music.format_files import Trickle, chunks, given, read, reasons

HEAD = "# comment\n\n%i,the,love,día\n"


def words(*pairs: tuple[str, int]) -> list[dict]:
    return [{"word": word, "count": count} for word, count in pairs]


def test_bags_of_words():
    text = HEAD + "TRA,4623710,1:6,4:2\n# another comment\nTRB,7,3:1\r\nTRC,8\n"
    accepted, rejected = read(text.encode())
    assert rejected == []
    assert [given(row) for row in accepted] == [
        {"track_id": "TRA", "musixmatch_id": 4623710, "lyrics_words": words(("i", 6), ("día", 2))},
        {"track_id": "TRB", "musixmatch_id": 7, "lyrics_words": words(("love", 1))},
        {"track_id": "TRC", "musixmatch_id": 8},
    ]
    assert [row["line"] for row in accepted] == [4, 6, 7]
    assert accepted[0]["record_key"] == "musixmatch:TRA"
    assert accepted[0]["text"] == "TRA,4623710,1:6,4:2"
    [chunk] = chunks(text.encode())
    assert (chunk.lines, chunk.blank_lines) == (7, 4)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"TRX", "bad_line"),
        (b"TRX,", "bad_line"),
        (b"TRX,one,1:1", "bad_line"),
        (b"TRX,1,1", "bad_word"),
        (b"TRX,1,1:", "bad_word"),
        (b"TRX,1,1:1,", "bad_word"),
        (b"TRX,1,0:1", "bad_word"),
        (b"TRX,1,5:1", "bad_word"),
        (b"TRX,1,1:0", "bad_word"),
        (b"TRX,1,-1:1", "bad_word"),
        (b"TRX,1,1:9999999999", "bad_word"),
        (b"TRX,1,1:1:1", "bad_word"),
        (b"TRX,1,\xd9\xa1:1", "bad_word"),
        (b",1,1:1", "no_identity"),
        (b"TR X,1,1:1", "bad_id"),
        (b"TRX\xff,1,1:1", "bad_encoding"),
        (b"TRX,1," + b"1:1," * 300_000, "line_too_long"),
    ],
)
def test_a_bad_line_does_not_harm_its_neighbours(line, reason):
    data = HEAD.encode() + b"TRA,1,1:1\n" + line + b"\nTRB,2,2:2\n"
    accepted, rejected = read(data)
    assert [(row["line"], row["track_id"]) for row in accepted] == [(4, "TRA"), (6, "TRB")]
    assert accepted[1]["lyrics_words"] == words(("the", 2))
    assert reasons(rejected) == [(5, reason)]
    assert rejected[0]["text"]
    assert rejected[0]["truncated"] == (len(line) > 64 * 1024)


def test_files_put_together_have_words_each():
    accepted, rejected = read(b"%a,b\nTRA,1,1:1\n%c,d\nTRB,2,2:1\n")
    assert rejected == []
    assert [row["lyrics_words"] for row in accepted] == [words(("a", 1)), words(("d", 1))]
    assert [row["line"] for row in accepted] == [2, 4]


@pytest.mark.parametrize(
    "data", [b"# only comments\n", b"#a\nTRA,1,1:1\n%a,b\n", "día<SEP>día\n".encode(), b"%\n"]
)
def test_other_text_is_refused(data):
    with pytest.raises(UnreadableObject, match="unknown_format"):
        chunks(data)


def test_a_file_without_tracks_holds_nothing():
    assert read(HEAD.encode()) == ([], [])


@examples(
    rows=st.lists(
        st.dictionaries(st.integers(1, 4), st.integers(1, 10**9 - 1), max_size=4), max_size=30
    ),
    size=st.integers(1, 100),
    ended=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_every_line_is_a_track(rows, size, ended):
    vocabulary = ["i", "the", "love", "día"]
    lines = [
        ",".join([f"TR{number}", str(number + 1), *(f"{i}:{n}" for i, n in row.items())])
        for number, row in enumerate(rows)
    ]
    data = (HEAD + "".join(line + "\n" for line in lines)).encode()
    accepted, rejected = read(Trickle(data if ended else data.rstrip(b"\n"), size))
    assert rejected == []
    assert [row["lyrics_words"] for row in accepted] == [
        words(*((vocabulary[i - 1], n) for i, n in row.items())) or None for row in rows
    ]


@examples(
    lines=st.lists(
        st.one_of(
            st.just(b"TRA,1,1:1"),
            st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")),
            st.text(st.sampled_from("TR1,:#%é \r"), max_size=12).map(str.encode),
        ),
        max_size=30,
    ),
    size=st.integers(1, 60),
)
@settings(max_examples=300, deadline=None)
def test_every_line_ends_up_in_exactly_one_place(lines, size):
    data = HEAD.encode() + b"".join(line + b"\n" for line in lines)
    found = chunks(Trickle(data, size))
    rows = [n for chunk in found for f in (chunk.accepted, chunk.rejected) for n in f["line"]]
    none = [n for n, line in enumerate(lines, 4) if line[:1] in {b"#", b"%"} or not line.strip()]
    assert sorted([*rows, *none]) == list(range(4, 4 + len(lines)))
    assert sum(chunk.lines for chunk in found) == len(lines) + 3
    assert sum(chunk.blank_lines for chunk in found) == len(none) + 3


def test_memory_does_not_grow_with_the_file(monkeypatch):
    monkeypatch.setattr(musixmatch, "CHUNK_ROWS", 50)
    rng = random.Random(1)
    vocabulary = [f"w{n}" for n in range(1, 2_001)]

    def peak(tracks: int) -> int:
        lines = [
            f"TR{n},1," + ",".join(f"{i}:1" for i in sorted(rng.sample(range(1, 2_001), 100)))
            for n in range(tracks)
        ]
        data = f"%{','.join(vocabulary)}\n{chr(10).join(lines)}\n".encode()
        stream = Trickle(data, 10_000)
        tracemalloc.start()
        rows = sum(len(chunk.accepted) for chunk in musixmatch.read_musixmatch(stream))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == tracks
        return found

    peak(10)
    assert peak(3_000) < 1.3 * peak(600) + 1024 * 1024


def test_a_line_that_never_ends_is_not_kept():
    size = 20 * 1024 * 1024

    class Long:
        left = size

        def __init__(self) -> None:
            self.head = HEAD.encode()

        def read(self, wanted: int) -> bytes:
            if self.head:
                head, self.head = self.head, b""
                return head
            part = min(self.left, wanted)
            self.left -= part
            return b"1" * part

    tracemalloc.start()
    [chunk] = musixmatch.read_musixmatch(Long())  # type: ignore[arg-type] # reads are enough
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert chunk.rejected.select("line", "reason", "truncated").rows() == [
        (4, "line_too_long", True)
    ]
    assert f"a line of {size} bytes" in chunk.rejected["detail"][0]
    assert peak < 8 * 1024 * 1024
