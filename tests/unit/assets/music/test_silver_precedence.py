"""The order of belief names every format, and every field of a song has one."""

from __future__ import annotations

from typing import get_args

from assets.music.registry.bronze import Format
from assets.music.registry.silver import FACT_SONG
from assets.music.silver.precedence import FORMATS, GIVEN_BY, RANKS


def test_every_format_has_its_rank():
    assert sorted(FORMATS) == sorted(get_args(Format))
    assert [RANKS[name] for name in FORMATS] == list(range(1, len(FORMATS) + 1))
    assert (RANKS["hdf5"], RANKS["extract"], RANKS["musixmatch"]) == (1, 2, 6)


def test_every_field_of_a_song_is_given_by_some_record():
    own = {"song_key", "track_ids", "sources", "base_source", "provenance", "row_hash"}
    keys = {"artist_key": "artist", "album_key": "album", "genre_key": "genre", "year_key": "year"}
    fields = {keys.get(name, name) for name in FACT_SONG.names if name not in own}
    assert fields == set(GIVEN_BY)
