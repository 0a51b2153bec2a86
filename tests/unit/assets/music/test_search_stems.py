"""Words cut to stems, against what musiXmatch published of its own."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.music.search.lyrics_search import with_stems
from assets.music.search.stems import stems
from assets.music.search.terms import as_written

DATA = Path(os.environ.get("QUINTET_DATA_DIR", "/nonexistent")) / "music" / "mxm"

#: Lines of musiXmatch's table of stems and words, and what its bags hold of contractions.
KNOWN = {
    "hatred": "hatr", "sleeve": "sleev", "accused": "accus", "spinning": "spin", "sorry": "sorri",
    "sweetest": "sweetest", "buddy": "buddi", "día": "día", "otra": "otra", "d'amour": "damour",
    "est-ce": "estc", "oh-oh": "ohoh", "alleluia!": "alleluia", "(x2)": "x2", "won't": "wo not",
    "I'm": "i am", "they\u2019re": "they are", "don't": "do not", "ain't": "is not",
    "it's": "it is",
    "Little babies": "littl babi", "heaven's heavenly heaven": "heaven", "weißt": "weißt",
}  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), KNOWN.items())
def test_words_become_the_stems_that_musixmatch_has(words: str, expected: str) -> None:
    assert " ".join(stems(words)) == expected


@pytest.mark.skipif(not DATA.exists(), reason="about the real files of QUINTET_DATA_DIR")
def test_the_published_words_become_their_stems() -> None:
    lines = (DATA / "mxm_reverse_mapping.txt").read_text("utf-8").splitlines()
    table = [line.split("<SEP>") for line in lines]
    assert len(table) == 5_000
    assert sum(stems(word) == (stem,) for stem, word in table) == 4_967


@given(st.text(max_size=60))
def test_any_text_has_stems_without_space_or_punctuation(text: str) -> None:
    found = stems(text)
    assert len(set(found)) == len(found)
    assert all(stem and not set(stem) & {*string.punctuation, *string.whitespace} for stem in found)
    assert found == stems(f"  {text} ")


def test_bm25_is_asked_for_the_stems_that_are_no_words_already() -> None:
    assert with_stems("Little baby love") == "Little baby love littl babi"
    assert with_stems("the love") == "the love"


def test_phrases_and_words_not_to_be_there_stand_for_themselves() -> None:
    assert all(map(as_written, ("*", '"moon river"', "love -hate", "-")))
    assert not any(map(as_written, ("moon river", "rock-n-roll", "2 * 2")))
