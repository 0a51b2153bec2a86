"""Which source wins: the order in which records of one song are believed, field by field.

Belongs here: that order, what is taken field by field and what as a whole, whose genre an artist
has. Does not: the statements that choose by it (``songs.py``, ``dimensions.py``, ``genres.py``,
``lyrics.py``).
"""

from __future__ import annotations

from assets.music.registry.bronze import Format
from assets.music.silver.statements import FEATURES

#: From the best source of a song's fields to the least.
FORMATS: tuple[Format, ...] = (
    "hdf5", "extract", "song_list", "song_object", "lyrics", "musixmatch", "spotify",
    "unique_tracks", "genres", "lastfm",
    "takedown", "join", "split", "plays",
)  # fmt: skip
RANKS: dict[str, int] = {name: rank for rank, name in enumerate(FORMATS, start=1)}

#: Best first, for records of one song or one artist: better format, newer object, then by key.
BEST_FIRST_BY = ("rank", "seq DESC", "record_key")
BEST_FIRST = ", ".join(BEST_FIRST_BY)
#: The same for lyrics: any record's text comes before every bag of words.
BEST_LYRICS_FIRST = f"lyrics_text IS NULL, {BEST_FIRST}"

#: Fields of a song that are taken each for itself, from the first record that has it.
FUSED = ("title", "year", *FEATURES, "genre")
#: What a record says of the artist and of the album: taken whole, from one record.
ARTIST = (
    "artist_id",
    "artist_name",
    "artist_mbid",
    "artist_location",
    "artist_latitude",
    "artist_longitude",
)
ALBUM = ("album", "album_release_id")
#: What a record must have to be the one that gives it; the first condition that any record meets
#: decides. An id says more than a name, whichever record it comes from.
GIVEN_BY: dict[str, tuple[str, ...]] = {
    **{name: (f"{name} IS NOT NULL",) for name in FUSED},
    "artist": ("artist_id IS NOT NULL", "artist_name IS NOT NULL"),
    "album": ("album_release_id > 0", "album IS NOT NULL"),
}

#: Who says an artist's genre, for songs of which no file does, best first: files' MusicBrainz tags,
#: Echo Nest terms, the lookup service. ``provenance`` of such a genre is one of these, a colon, and
#: the artist's key.
ARTIST_GENRES = ("artist_mbtag", "artist_term", "musicbrainz")
