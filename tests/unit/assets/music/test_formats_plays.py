"""Files of plays: which lines are good, what a file's one record says, and what is counted."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.music.bronze.formats import lines, plays
from assets.music.bronze.formats.sniffing import read_records
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import Chunk
from landing.batch.origins import origin_of

USERS = [hashlib.sha1(bytes([n])).hexdigest() for n in range(4)]
NOW = datetime(2026, 11, 28, tzinfo=UTC)
SONGS = ["SOAAAAA12AB0180001", "SOBBBBB12AB0180002", "SOZZZZZ12AB0189999"]


def line(user: str, song: str, count: object) -> str:
    return f"{user}\t{song}\t{count}"


def chunks(data: bytes) -> list[Chunk]:
    return list(plays.read_plays(io.BytesIO(data)))


def record(found: list[Chunk]) -> dict[str, Any]:
    (said,) = found[-1].accepted["plays"].to_list()
    return said[0]


def rejects(found: list[Chunk]) -> list[tuple[int, str]]:
    return [row for chunk in found for row in chunk.rejected.select("line", "reason").iter_rows()]


def facts(data: bytes) -> list[tuple[str, str, int, int]]:
    return [row for block in plays.blocks(io.BytesIO(data)) for row in block.facts.iter_rows()]


def plainly(data: bytes) -> tuple[list[tuple[str, str, int, int]], list[int]]:
    """Good lines and the numbers of bad ones, by nothing but Python's own string methods."""
    good, bad = [], []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        text = raw.removesuffix(b"\r")
        parts = text.split(b"\t")
        if not raw.strip():
            continue
        if (
            len(parts) == 3
            and len(parts[0]) == 40 and set(parts[0]) <= set(b"0123456789abcdef")
            and len(parts[1]) == 18 and parts[1][:2] == b"SO"
            and set(parts[1][2:]) <= set(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
            and 1 <= len(parts[2]) <= 9 and set(parts[2]) <= set(b"0123456789")
            and parts[2][:1] != b"0"
        ):  # fmt: skip
            good.append((parts[0].decode(), parts[1].decode(), int(parts[2]), number))
        else:
            bad.append(number)
    return good, bad


GOOD = st.builds(line, st.sampled_from(USERS), st.sampled_from(SONGS), st.integers(1, 10**9 - 1))
BAD = st.sampled_from(
    [
        line(USERS[0], SONGS[0], 0), line(USERS[0], SONGS[0], -1), line(USERS[0], SONGS[0], "1.0"),
        line(USERS[0], SONGS[0], 10**9), line(USERS[0], SONGS[0], "007"),
        line(USERS[0].upper(), SONGS[0], 1), line(USERS[0][1:], SONGS[0], 1),
        line(USERS[0], "SOaaaaa12AB0180001", 1), line(USERS[0], SONGS[0] + "X", 1),
        line(USERS[0], SONGS[0], "1\t2"), f"{USERS[0]}\t{SONGS[0]}", "\u00e9t\u00e9",
        "#", "", " \t ",
        f" {line(USERS[0], SONGS[0], 3)}", line(USERS[0], SONGS[0], "\u0663"), "\x00",
    ]
)  # fmt: skip


@given(st.lists(GOOD | BAD, max_size=30), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_lines_are_taken_as_plain_python_takes_them(texts, ending, bom):
    data = (b"\xef\xbb\xbf" if bom else b"") + ending.join(texts).encode()
    good, bad = plainly(data)
    found = chunks(data)
    assert facts(data) == good
    assert [number for number, _ in rejects(found)] == bad
    pairs = {(user, song) for user, song, *_ in good}
    if not good:
        assert all(chunk.accepted.is_empty() for chunk in found)
        return
    assert record(found) == {
        "sha256": hashlib.sha256(data).hexdigest(),
        "pairs": len(pairs),
        "repeated": len(good) - len(pairs),
        "rejected": len(bad),
    }
    assert (found[-1].stands_for, found[-1].superseded) == (len(pairs), len(good) - len(pairs))


@given(st.lists(GOOD, min_size=1, max_size=60), st.integers(1, 200), st.integers(1, 20))
def test_blocks_and_spilled_pairs_change_nothing(texts, block, held):
    data = "\n".join(texts).encode()
    whole = chunks(data)[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plays, "BLOCK_BYTES", block)
        patch.setattr(plays, "HELD_PAIRS", held)
        small = chunks(data)[-1]
        assert facts(data) == plainly(data)[0]
    assert small.accepted.equals(whole.accepted)
    assert (small.stands_for, small.superseded) == (whole.stands_for, whole.superseded)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{USERS[0]}\t{SONGS[0]}", "bad_line"),
        (line(USERS[0], SONGS[0], "1\t"), "bad_line"),
        (line("b80344", SONGS[0], 1), "bad_id"),
        (line(USERS[0], "TRAAAAA12AB0180001", 1), "bad_id"),
        (line(USERS[0], SONGS[0], "often"), "bad_number"),
        (line(USERS[0], SONGS[0], -3), "bad_number"),
        (line(USERS[0], SONGS[0], 0), "out_of_range"),
        (line(USERS[0], SONGS[0], 2**31), "out_of_range"),
        (line(USERS[0], SONGS[0], 1) + "\udce9", "bad_encoding"),
        ("x" * (lines.LINE_BYTES + 1), "line_too_long"),
    ],
    ids=lambda value: value[-12:] if isinstance(value, str) else None,
)
def test_a_bad_line_says_why(text, reason):
    data = f"{line(USERS[1], SONGS[1], 2)}\n".encode() + text.encode(errors="surrogateescape")
    found = chunks(data)
    assert rejects(found) == [(2, reason)]
    assert found[0].rejected["text"][0][:40] == text.encode(errors="surrogateescape")[:40].decode()
    assert found[-1].stands_for == 1


def test_lines_after_an_overlong_one_keep_their_numbers(monkeypatch):
    monkeypatch.setattr(plays, "BLOCK_BYTES", 64 * 1024)
    good = line(USERS[0], SONGS[0], 1).encode()
    data = b"\n".join([good, b"y" * (3 * lines.LINE_BYTES), good, b"short", good])
    assert rejects(chunks(data)) == [(2, "line_too_long"), (4, "bad_line")]
    assert [number for *_, number in facts(data)] == [1, 3, 5]


def test_a_file_is_known_by_its_lines_whatever_it_is_called():
    text = f"{line(USERS[0], SONGS[0], 1)}\n{line(USERS[1], SONGS[0], 2)}\n"
    version = ObjectVersion("minio", "raw", "any/name.cls", "1", len(text), NOW)
    (chunk,) = read_records(io.BytesIO(text.encode()), version)
    assert chunk.accepted["record_key"].to_list() == [f"{origin_of('any/name.cls')}:plays"]
    assert chunk.accepted["format"].to_list() == ["plays"]


def test_a_version_with_rejected_lines_is_a_record_beside_the_whole_one():
    whole = chunks(f"{line(USERS[0], SONGS[0], 1)}\n".encode())
    partly = chunks(f"{line(USERS[0], SONGS[0], 1)}\nbad\n".encode())
    assert whole[-1].accepted["record_key"].item() == "plays"
    assert partly[-1].accepted["record_key"].item().startswith("plays:")
