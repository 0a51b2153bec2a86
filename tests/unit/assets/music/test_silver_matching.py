"""Which songs of one artist and title are one, by rules that anybody can read."""

from __future__ import annotations

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.music.silver.folding import folded_artist, match_key
from assets.music.silver.matching import Candidate, contradiction, matches
from tests.integration.music import match_oracle

SO = [f"SO{n:016d}" for n in range(3)]


def fold(artist: str | None, title: str | None) -> str | None:
    names = pl.DataFrame({"artist": [artist], "title": [title]}, schema=["artist", "title"],
                         schema_overrides={"artist": pl.String, "title": pl.String})  # fmt: skip
    return names.select(match_key(folded_artist(pl.col("artist")), pl.col("title"))).item()


@pytest.mark.parametrize(
    ("artist", "title"),
    [
        ("The Thrice", "A Song Known Thrice"),
        ("Thrice, The", "A song known thrice"),
        ("the  thrice;Somebody Else", "A Song Known\tThrice (feat. Another)"),
        ("Thrice", "A SONG, KNOWN THRICE!"),
        ("Thrice feat. Another", "A Song Known Thrice [ft. Other]"),
        ("Thríce", "A Söng Known Thrice featuring Another"),
    ],
)
def test_spellings_of_one_name(artist, title):
    assert fold(artist, title) == "thrice / a song known thrice"


@pytest.mark.parametrize(
    ("artist", "title"),
    [
        ("A", None),
        (None, "B"),
        ("???", "B"),
        ("A", "Intro"),
        ("A", "Track 3"),
        ("A", "7"),
        ("", "B"),
    ],
)
def test_what_names_no_recording_matches_nothing(artist, title):
    assert fold(artist, title) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("Song (Live)", "Song"), ("Song (Remix)", "Song"), ("Theft", "The ft"), ("Feather", "Feat")],
)
def test_words_that_say_which_song_it_is_stay(one, other):
    assert fold("A", one) != fold("A", other)


NAMES = st.text("abÅß .;,&'\u2019()[]THEthefeat.1\u0301\u3000", max_size=25) | st.text(
    # Which characters there are, two libraries of different years may not agree on.
    st.characters(exclude_categories=("Cs", "Cn")),
    max_size=12,
)


@given(artist=st.none() | NAMES, title=st.none() | NAMES)
def test_folding_is_what_plain_python_makes_of_it(artist, title):
    found = match_oracle.match_key({"artist_name": artist, "title": title})
    assert fold(artist, title) == (" / ".join(found) if found else None)


def test_ids_of_one_system_are_two_songs_and_of_two_systems_may_be_one():
    spotify = Candidate("6f807x0ima9a1j3VPbc7VN", 3)
    assert contradiction(Candidate(SO[0], 1), Candidate(SO[1], 2)) == "ids"
    assert contradiction(Candidate(SO[0], 1), spotify) is None
    assert contradiction(Candidate("fp-a", 1), Candidate("fp-b", 1)) is None


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ((211.3, 118.25), (211.302, 118.25), None), ((200, None), (201.9, None), None),
        ((200, None), (202.1, None), "duration"), ((600, None), (605.9, None), None),
        ((100, 90), (100, 181), None), ((100, 90), (100, 45.2), None),
        ((100, 90), (100, 100), "tempo"),
        ((None, 90), (100, None), None), ((100, None), (None, None), None),
    ],
)  # fmt: skip
def test_what_both_know_has_to_agree(one, other, found):
    assert contradiction(Candidate("fp-a", 1, *one), Candidate("fp-b", 2, *other)) == found


def told(found):
    return {one.key: (one.song_key, one.reason, one.confidence) for one in found}


def test_the_three_ways():
    first = Candidate("fp-1", 1, 211.3, 118.25)
    second, third = Candidate("fp-2", 2, 211.302, 118.25), Candidate("fp-3", 3, 340.0, 90.0)
    [match] = matches([third, first, second])
    assert told([match]) == {"fp-2": ("fp-1", "duration and tempo", 0.95)}
    assert match.evidence == {"duration": (211.302, 211.3), "tempo": (118.25, 118.25)}


def test_an_id_gives_the_key_and_what_knows_nothing_goes_to_one_of_several():
    songs = [Candidate(SO[1], 5, 100.0), Candidate(SO[0], 9, 300.0)]
    found = told(matches([*songs, Candidate("fp-a", 1), Candidate("fp-b", 2, 301.0)]))
    assert found == {
        "fp-a": (SO[1], "name of several", 0.4),
        "fp-b": (SO[0], "duration", 0.9),
    }


def test_an_operator_joins_what_contradicts_and_splits_what_does_not():
    group = [Candidate("fp-1", 1, 100.0), Candidate("fp-2", 2, 100.0), Candidate("fp-3", 3, 300.0)]
    assert told(matches(group)) == {"fp-2": ("fp-1", "duration", 0.9)}
    assert told(matches(group, apart=[("fp-1", "fp-2")])) == {}
    joined = told(matches(group, same=[("fp-1", "fp-3")]))
    assert joined["fp-3"] == ("fp-1", "decided", 1.0)
    both = told(matches(group, same=[("fp-1", "fp-2")], apart=[("fp-2", "fp-1")]))
    assert both == {}, "they are two is the stronger word"


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from([*SO, "fp-1", "fp-2", "fp-3", "fp-4", "6f807x0ima9a1j3VPbc7VN", "odd"]),
        st.integers(1, 5),
        st.sampled_from([None, 100.0, 101.0, 102.5, 300.0]),
        st.sampled_from([None, 60.0, 90.0, 120.0]),
    ),
    max_size=6,
    unique_by=lambda one: one.key,
)
PAIRS = st.lists(
    st.tuples(st.sampled_from(["fp-1", "fp-2", SO[0]]), st.sampled_from(["fp-3", SO[1]]))
)


@given(group=CANDIDATES, data=st.data())
def test_the_outcome_does_not_depend_on_the_order(group, data):
    again = data.draw(st.permutations(group))
    assert matches(group) == matches(again)
    oracle = match_oracle.clusters(
        {"key": c.key, "seq": c.first_seq, "duration": c.duration, "tempo": c.tempo} for c in group
    )
    found = told(matches(group))
    songs = {c.key: found[c.key][0] if c.key in found else c.key for c in group}
    assert {frozenset(m["key"] for m in cluster) for cluster in oracle} == {
        frozenset(k for k in songs if songs[k] == song) for song in set(songs.values())
    }


@given(group=CANDIDATES, same=PAIRS, apart=PAIRS)
def test_nothing_that_contradicts_is_one_unless_somebody_says_so(group, same, apart):
    found = told(matches(group, same, apart))
    songs = {c.key: found[c.key][0] if c.key in found else c.key for c in group}
    assert all(songs[song] == song for song in songs.values()), "no song leads on to another"
    never = {frozenset(pair) for pair in apart}
    for one, other in itertools.combinations(group, 2):
        together = songs[one.key] == songs[other.key]
        if frozenset({one.key, other.key}) in never:
            assert not together
        elif together and not same:
            assert contradiction(one, other) is None
