"""How lyrics are cut into passages."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from assets.music.search.passages import (
    PASSAGE_CHARACTERS,
    WORDS_CHARACTERS,
    Lyrics,
    passages,
    words_text,
)

TEXT = st.lists(
    st.sampled_from(
        [*"ab é夏\t\u00a0", "\n", "\r\n", "\n\n", "a" * 90, " " * 40, "word " * 50, "x" * 700]
    ),
    max_size=60,
).map("".join)


@given(TEXT)
def test_nothing_is_lost_doubled_or_too_long(text: str) -> None:
    cut = passages(Lyrics(text))
    assert re.sub(r"\s", "", "".join(cut)) == re.sub(r"\s", "", text)
    assert all(0 < len(passage) <= PASSAGE_CHARACTERS for passage in cut)
    assert all(passage == passage.strip() for passage in cut)


@given(st.lists(st.integers(1, 12), min_size=1), st.sampled_from(["\n\n", "\r\n \r\n"]))
def test_verses_are_never_cut_when_they_fit(lengths: list[int], between: str) -> None:
    """A verse of up to 12 lines of 40 characters is whole in one passage."""
    verses = [
        "\n".join(f"verse {number} line {line}".ljust(40, ".") for line in range(lines))
        for number, lines in enumerate(lengths)
    ]
    cut = passages(Lyrics(between.join(verses)))
    assert [v for passage in cut for v in re.split(r"\n\s*\n", passage)] == verses
    # As few as can be: no two neighbours would fit together.
    assert all(len(a) + 2 + len(b) > PASSAGE_CHARACTERS for a, b in pairwise(cut))


def test_a_long_verse_is_cut_at_lines_a_long_line_between_words() -> None:
    line = "word " * 19 + "end"
    long_verse = "\n".join([line] * 9)
    assert all(p.split("\n") == [line] * len(p.split("\n")) for p in passages(Lyrics(long_verse)))
    words = "seven77 " * 200
    assert {w for p in passages(Lyrics(words)) for w in p.split()} == {"seven77"}
    assert [len(p) for p in passages(Lyrics("x" * 1_300))] == [600, 600, 100]


def test_lyrics_without_a_word_have_no_passage() -> None:
    for nothing in (Lyrics(), Lyrics(""), Lyrics(" \r\n\t"), Lyrics(None, []), Lyrics("\n", [])):
        assert passages(nothing) == []
    assert Lyrics("\n", [{"word": "a", "count": 1}]).kind == "words"


def test_a_bag_of_words_is_one_passage_by_count() -> None:
    bag = [
        {"word": "the", "count": 3},
        {"word": "love", "count": 7},
        {"word": "and", "count": 3},
        {"word": " ", "count": 9},
    ]
    assert passages(Lyrics(None, bag)) == ["love the and"]
    assert passages(Lyrics("Text is better", bag)) == ["Text is better"]


def test_the_rarest_words_of_a_great_bag_are_left_out() -> None:
    bag = [{"word": f"word{number:05d}", "count": 5_000 - number} for number in range(5_000)]
    text = words_text(bag)
    assert len(text) == WORDS_CHARACTERS - WORDS_CHARACTERS % 10 - 1
    assert text.split() == [item["word"] for item in bag[: len(text.split())]]
    exact = [{"word": "x" * 3_999, "count": 2}, {"word": "y" * 4_000, "count": 1}]
    assert len(words_text(exact)) == WORDS_CHARACTERS
