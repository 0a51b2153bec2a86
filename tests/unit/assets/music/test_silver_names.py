"""Names as keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assets.music.silver.names import artist_key, split


def test_joined_names_are_split_and_counted_once():
    assert [name for _, name in split(" Ann ;Bob;ANN;; \t;Cee")] == ["Ann", "Bob", "Cee"]
    assert split(";") == []


def test_spelling_does_not_make_another_artist():
    assert artist_key("ﬁve  Straße") == artist_key("FIVE STRASSE")
    assert artist_key("Bjork") != artist_key("Björk")


@given(st.lists(st.text(st.characters(exclude_characters=";", exclude_categories=["Cs"]))))
def test_splitting_what_was_split_changes_nothing(names):
    found = split(";".join(names))
    assert split(";".join(name for _, name in found)) == found
    assert len({key for key, _ in found}) == len(found)
