"""The stand-in services' made-up answers: the same every time, in the stated shares."""

from __future__ import annotations

import uuid

import pytest

from local import music_answers
from local.music_answers import ARTIST_SHARE, GENRE_SHARE, GENRES, LYRICS_SHARE

NAMES = [f"Somebody {number}" for number in range(4_000)]


def test_lyrics_in_their_share():
    texts = [music_answers.lyrics(name, "Song") for name in NAMES]
    known = [text for text in texts if text is not None]
    assert len(known) / len(NAMES) == pytest.approx(LYRICS_SHARE, abs=0.03)
    assert len(set(known)) == len(known)
    assert all("\r\n" in text and "Song" in text for text in known)


def test_the_same_names_in_any_spelling_have_the_same_lyrics_or_none():
    for name in NAMES[:50]:
        plain, other = (music_answers.lyrics(n, "Song") for n in (name, f"  {name.upper()}\t"))
        assert (plain is None) == (other is None)


def test_a_known_answer_stays_what_it_is():
    # By hand: sha256("lyrics\x1fsomebody 0\x1fsong") begins with a byte below 0.75 * 256 or not.
    import hashlib

    digest = hashlib.sha256(b"lyrics\x1fsomebody 0\x1fsong").digest()
    known = int.from_bytes(digest[:4], "big") / 2**32 < 0.75
    assert (music_answers.lyrics("Somebody 0", "Song") is not None) == known


def test_artists_in_their_shares():
    ids = [music_answers.mbid_of(name) for name in NAMES]
    found = [mbid for mbid in ids if mbid]
    assert len(found) / len(NAMES) == pytest.approx(ARTIST_SHARE, abs=0.03)
    assert len(set(found)) == len(found)
    artists = [music_answers.artist(mbid) for mbid in found]
    assert None not in artists
    voted = [artist for artist in artists if artist and artist["genres"]]
    assert len(voted) / len(found) == pytest.approx(GENRE_SHARE, abs=0.03)
    assert {genre["name"] for artist in voted for genre in artist["genres"]} == set(GENRES)
    unknown = [music_answers.artist(str(uuid.uuid5(uuid.NAMESPACE_DNS, name))) for name in NAMES]
    assert unknown.count(None) / len(NAMES) == pytest.approx(1 - ARTIST_SHARE, abs=0.03)


def test_a_search_finds_the_namesake_first():
    for name in NAMES[:50]:
        first, *rest = music_answers.search(name)["artists"]
        assert first["name"] != name
        assert [hit["id"] for hit in rest] == list(filter(None, [music_answers.mbid_of(name)]))
