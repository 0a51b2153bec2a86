"""A service's own words around lyrics, and instead of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lyrics_service import read
from resources.lyrics_words import lyrics_in
from resources.polite_http import Document, Found, Missing

CREDIT = "Paroles de la chanson Invented Song (Live) par Somebody"


@pytest.mark.parametrize(
    "text",
    [
        "We are not authorized to display these lyrics",
        "We are not authorised to display these lyrics.",
        "Unfortunately, we are not licensed to display the full lyrics\nat the moment.",
        "We\u2019re not authorized to show the lyrics",
        "Unfortunately, due to licensing restrictions from some publishers\n\nwe cannot.",
        "Lyrics not found",
        "No lyrics available.",
        "Sorry, lyrics not available for this song.",
        "Instrumental",
        "[Instrumental]",
        "( instrumental )",
        "{{Instrumental}}",
        "This song is an instrumental.",
        CREDIT,
        f"{CREDIT}\n\nInstrumental",
    ],
)
def test_a_placeholder_is_missing_in_the_services_words(text):
    answer = read(Document(found=True, content={"lyrics": text.replace("\n", "\r\n")}))
    assert answer == Missing(f"no lyrics, but: {text[:100]}")


def test_a_credit_before_lyrics_is_no_part_of_them():
    text = f"{CREDIT}\r\nla la\nla"
    assert read(Document(found=True, content={"lyrics": text})) == Found("la la\nla")


@pytest.mark.parametrize(
    "text",
    [
        "Instrumental in my fall",
        "[Instrumental]\nla la",
        "la la\nLyrics not found",
        "Lyrics not found in any book\nla la",
        "la la\nParoles de la chanson X par Y\nla la",
        "Paroles de la chanson\nla la",
        "We are not allowed to show the love\nla la",
        "We are not allowed to show the lyrics\n" + "la " * 400,
    ],
)
def test_songs_that_sing_of_it_stay_as_they_are(text):
    assert lyrics_in(text.strip()) == text.strip()


@given(st.text(st.characters(exclude_characters="\r"), min_size=1))
def test_any_line_before_makes_it_a_song(text):
    song = f"la la\n{text}".strip()
    assert lyrics_in(song) == song
    assert lyrics_in(f"{CREDIT}\n{song}") == song
