"""Lists of tracks and of their genres: published lines, and what is rejected of them."""

from __future__ import annotations

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from assets.music.bronze.formats.lines import LINE_BYTES
from landing.batch.chunks import UnreadableObject
from tests.unit.assets.music.format_files import Trickle, chunks, given, read, reasons

TRACKS = (
    "TRMMMYQ128F932D901<SEP>SOQMMHC12AB0180CB8<SEP>Faster Pussy cat<SEP>Silent Night\n"
    "TRMMMKD128F425225D<SEP>SOVFVAK12A8C1350D9<SEP>Karkkiautomaatti<SEP>Tanssi vaan\r\n"
    "TRMMMRX128F93187D9<SEP>SOGTUKN12AB017F4F1<SEP>Hudson Mohawke<SEP>\n"
)
ONE, TWO, THREE = "TRAAAAK128F9318786", "TRAAAAV128F421A322", "TRAAAAW128F429D538"
CLS = f"# Genres\n# http://www.tagtraum.com/\n{ONE}\tRock\n{TWO}\tRock\tPunk\n\n{THREE}\tRap\n"


def test_a_list_of_tracks_says_whose_they_are():
    accepted, rejected = read(TRACKS.encode())
    assert rejected == []
    assert [(row["line"], row["record_key"]) for row in accepted] == [
        (1, "unique_tracks:TRMMMYQ128F932D901"), (2, "unique_tracks:TRMMMKD128F425225D"),
        (3, "unique_tracks:TRMMMRX128F93187D9"),
    ]  # fmt: skip
    assert given(accepted[1]) == {
        "track_id": "TRMMMKD128F425225D", "song_id": "SOVFVAK12A8C1350D9",
        "artist_name": "Karkkiautomaatti", "title": "Tanssi vaan",
    }  # fmt: skip
    assert accepted[2]["title"] is None, "it has its ids"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("TRMMMYQ128F932D901<SEP>SOQMMHC12AB0180CB8<SEP>Only three", "bad_line"),
        ("TRMMMYQ128F932D901<SEP>AR1234512AB0180CB8<SEP>A<SEP>B", "bad_id"),
        ("6f807x0ima9a1j3VPbc7VN<SEP>SOQMMHC12AB0180CB8<SEP>A<SEP>B", "bad_id"),
        ("<SEP>SOQMMHC12AB0180CB8<SEP>A<SEP>B", "bad_id"),
        ("x" * (LINE_BYTES + 1), "line_too_long"),
    ],
    ids=["fields", "song", "track", "no track", "long"],
)
def test_a_bad_line_of_a_list_is_rejected_alone(line, reason):
    accepted, rejected = read(f"{TRACKS}{line}\n{TRACKS}".encode())
    assert len(accepted) == 6
    assert reasons(rejected) == [(4, reason)]


def test_what_is_no_utf8_is_rejected_by_line():
    accepted, rejected = read(TRACKS.encode().replace(b"Hudson", b"H\xfcdson"))
    assert len(accepted) == 2
    assert reasons(rejected) == [(3, "bad_encoding")]


def test_all_genres_of_a_line_are_kept_the_best_first():
    accepted, rejected = read(CLS.encode())
    assert rejected == []
    assert [row["line"] for row in accepted] == [3, 4, 6]
    assert given(accepted[1]) == {
        "track_id": TWO, "genre": "Rock", "genres": [{"name": "Rock"}, {"name": "Punk"}],
    }  # fmt: skip


def test_a_record_is_of_a_track():
    keys = [row["record_key"] for row in read(CLS.encode())[0]]
    assert keys == [f"genres:{track}" for track in (ONE, TWO, THREE)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{ONE}", "bad_line"),
        (f"{ONE}\t", "bad_line"),
        (f"{ONE}\t\tRock", "bad_line"),
        (f"{ONE}\tRock\tPop\tRap", "bad_line"),
        ("SOQMMHC12AB0180CB8\tRock", "bad_id"),
        ("\tRock", "bad_id"),
    ],
)
def test_a_bad_line_of_genres_is_rejected_alone(line, reason):
    accepted, rejected = read(f"{CLS}{line}\n".encode())
    assert len(accepted) == 3
    assert reasons(rejected) == [(7, reason)]


@pytest.mark.parametrize(
    "data",
    [
        f"{ONE}\t12\n",
        f"{ONE}\tSOQMMHC12AB0180CB8\t3\t4\n",
        "someone\tRock\n",
        "TRAAAAK128F9318786,Rock\n",
        "SOQMMHC12AB0180CB8<SEP>TRMMMYQ128F932D901<SEP>A<SEP>B\n",
        "# only a comment\n",
    ],
)
def test_one_column_alone_makes_no_format(data):
    with pytest.raises(UnreadableObject, match="unknown_format"):
        chunks(data.encode())


@examples(st.lists(st.sampled_from(["Rock", "Pop_Rock", "新しい", "R&B"]), min_size=1, max_size=2))
def test_whatever_the_genres_they_come_out_as_they_went_in(genres):
    line = "\t".join((ONE, *genres)) + "\n"
    [row], _ = read(Trickle(line.encode(), 7))
    assert [item["name"] for item in row["genres"]] == genres
