"""The star schema: what files say of songs, facts, dimensions, bridges.

Belongs here: these tables' columns. Does not: lyrics (``lyrics.py``), gold.
Ranges are those that validation rejects beyond; confidences and hotness (0 to 1) are as published.
"""

from __future__ import annotations

from dataclasses import replace

from assets.frame.tables import Column, Reference, Table
from assets.music.registry import PIPELINE

_BRONZE, _SONGS = "bronze_records", "silver_songs"

AUDIO = (
    Column("duration", "double precision", "Length in seconds.", above=0, maximum=86_400),
    Column("tempo", "double precision", "Beats per minute.", above=0, maximum=500),
    Column("loudness", "double precision", "Overall loudness in dB.", minimum=-100, maximum=20),
    Column("key", "smallint", "Pitch class, 0 = C to 11 = B.", minimum=0, maximum=11),
    Column("key_confidence", "double precision", "Confidence of the key, 0 to 1."),
    Column("mode", "smallint", "0 = minor, 1 = major.", minimum=0, maximum=1),
    Column("mode_confidence", "double precision", "Confidence of the mode, 0 to 1."),
    Column("time_signature", "smallint", "Beats per bar, estimated."),
    Column("end_of_fade_in", "double precision", "End of the fade-in, seconds from the start."),
    Column("start_of_fade_out", "double precision", "Start of the fade-out, seconds."),
    Column("danceability", "double precision", "Danceability; null when not analysed."),
    Column("energy", "double precision", "Energy; null when not analysed."),
    Column("song_hotttnesss", "double precision", "Popularity when collected, 0 to 1."),
)
YEAR = Column("year", "smallint", "Release year.", minimum=1000, maximum=2100)
SONG_KEY = Column(
    "song_key",
    "text",
    "Million Song id, else `fp-` and the fingerprint of artist, title, album.",
    nullable=False,
    sources=(f"{_BRONZE}.song_id", f"{_BRONZE}.track_id", f"{_BRONZE}.fingerprint"),
)
ARTIST_KEY = Column(
    "artist_key",
    "text",
    "Million Song artist id, else `fp-` and a digest of the name.",
    sources=(f"{_BRONZE}.artist_id", f"{_BRONZE}.artist_name"),
)
ALBUM_KEY = Column(
    "album_key",
    "text",
    "`r-` and the release id, else `fp-` and a digest of artist and album.",
    sources=(f"{_BRONZE}.album_release_id", f"{_BRONZE}.album", f"{_BRONZE}.artist_name"),
)
TITLE = Column("title", "text", "Title of the song.", sources=(f"{_BRONZE}.title",))

_TO_SONG = Reference("fact_song", "song_key")
_TO_ARTIST = Reference("dim_artist", "artist_key")
_TO_ALBUM = Reference("dim_album", "album_key")
_GENRE_SOURCES = tuple(f"{_BRONZE}.{name}" for name in ("genre", "artist_mbtags", "artist_terms"))


def _said(name: str, kind: str, description: str) -> Column:
    """A column of bronze as it came."""
    return Column(name, kind, description, sources=(f"{_BRONZE}.{name}",))


_FROM_BRONZE = tuple(column.read_from(_BRONZE) for column in AUDIO)

SONG_SOURCE = Table(
    PIPELINE,
    "song_source",
    "What every file says of a song, one row per current record.",
    ("record_key",),
    (
        _said("record_key", "text", "Key of the record, by format.").required(),
        replace(
            SONG_KEY,
            nullable=True,
            description="Song that it belongs to; null for lyrics that wait for theirs.",
            reference=Reference("fact_song", "song_key", enforced=False),
        ),
        replace(_said("format", "text", "Format of the file.").required(),
                allowed=("hdf5", "extract", "song_list", "song_object", "lyrics", "musixmatch")),
        Column("rank", "smallint", "1 = best source of a song's fields.", nullable=False,
               minimum=1, maximum=6, sources=(f"{_BRONZE}.format",)),
        _said("seq", "bigint", "Ledger sequence of the object version.").required(),
        _said("row_hash", "text", "Digest of the record's content, hex.").required(),
        _said("source", "text", "Object version that it was read from.").required(),
        _said("line", "bigint", "Line or entry in that object, from 1.").required(),
        _said("song_id", "text", "Million Song id of the song."),
        _said("track_id", "text", "Million Song id of the track."),
        _said("fingerprint", "text", "Digest of artist, title and album, normalised."),
        _said("title", "text", "Title of the song."),
        _said("artist_name", "text", "Artist, or several joined by `;`."),
        _said("artist_id", "text", "Million Song artist id."),
        _said("artist_mbid", "text", "MusicBrainz artist id."),
        _said("artist_location", "text", "Where the artist is from."),
        replace(_said("artist_latitude", "double precision", "Degrees north."),
                minimum=-90, maximum=90),
        replace(_said("artist_longitude", "double precision", "Degrees east."),
                minimum=-180, maximum=180),
        _said("album", "text", "Title of the album."),
        _said("album_release_id", "bigint", "7digital release id."),
        YEAR.read_from(_BRONZE),
        *_FROM_BRONZE,
        _said("genre", "text", "Genre that the file gives."),
        _said("lyrics_text", "text", "Lyrics in the file, lines ended by LF."),
        _said("musixmatch_id", "bigint", "musiXmatch track id."),
        _said("artist_terms", "jsonb", "Echo Nest terms of the artist, with weights."),
        _said("artist_mbtags", "jsonb", "MusicBrainz tags of the artist, with counts."),
        _said("lyrics_words", "jsonb", "Bag of words of the lyrics."),
    ),
    asset=_SONGS,
)  # fmt: skip

DIM_ARTIST = Table(
    PIPELINE,
    "dim_artist",
    "Artists.",
    ("artist_key",),
    (
        ARTIST_KEY.required(),
        _said("artist_id", "text", "Million Song artist id."),
        Column("name", "text", "Name.", sources=(f"{_BRONZE}.artist_name",)),
        Column("mbid", "text", "MusicBrainz id.", sources=(f"{_BRONZE}.artist_mbid",)),
        Column("location", "text", "Where from.", sources=(f"{_BRONZE}.artist_location",)),
        Column("latitude", "double precision", "Degrees north.", minimum=-90, maximum=90,
               sources=(f"{_BRONZE}.artist_latitude",)),
        Column("longitude", "double precision", "Degrees east.", minimum=-180, maximum=180,
               sources=(f"{_BRONZE}.artist_longitude",)),
    ),
    asset=_SONGS,
)  # fmt: skip

DIM_ALBUM = Table(
    PIPELINE,
    "dim_album",
    "Albums.",
    ("album_key",),
    (
        ALBUM_KEY.required(),
        Column("title", "text", "Title.", sources=(f"{_BRONZE}.album",)),
        Column("release_id", "bigint", "7digital id.", sources=(f"{_BRONZE}.album_release_id",)),
    ),
    asset=_SONGS,
)

DIM_GENRE = Table(
    PIPELINE,
    "dim_genre",
    "Genres.",
    ("genre_key",),
    (
        Column("genre_key", "text", "The name, normalised.", nullable=False,
               sources=_GENRE_SOURCES),
        Column("name", "text", "The name that is shown.", nullable=False,
               sources=_GENRE_SOURCES),
    ),
    asset=_SONGS,
)  # fmt: skip

_YEAR_KEY = Column("year_key", "smallint", "Release year; 0 for unknown.", nullable=False,
                   minimum=0, maximum=2100, sources=(f"{_BRONZE}.year",))  # fmt: skip
DIM_DATE = Table(
    PIPELINE,
    "dim_date",
    "Release years.",
    ("year_key",),
    (
        _YEAR_KEY,
        YEAR.read_from(_BRONZE),
        Column("decade", "smallint", "First year of the decade.", minimum=1000, maximum=2100,
               sources=(f"{_BRONZE}.year",)),
    ),
    asset=_SONGS,
)  # fmt: skip

FACT_SONG = Table(
    PIPELINE,
    "fact_song",
    "Songs: per field the value of the best source.",
    ("song_key",),
    (
        SONG_KEY,
        TITLE,
        replace(ARTIST_KEY, reference=_TO_ARTIST, description="First artist."),
        replace(ALBUM_KEY, reference=_TO_ALBUM, description="Album."),
        Column("genre_key", "text", "Genre.", reference=Reference("dim_genre", "genre_key"),
               sources=_GENRE_SOURCES),
        replace(_YEAR_KEY, reference=Reference("dim_date", "year_key")),
        Column("track_ids", "text[]", "Million Song ids of its tracks, in order.", nullable=False,
               sources=(f"{_BRONZE}.track_id",)),
        *_FROM_BRONZE,
        Column("sources", "integer", "Records that say something of it.", nullable=False,
               minimum=1, sources=(f"{_BRONZE}.record_key",)),
        Column("base_source", "text", "Key of the best record.", nullable=False,
               sources=(f"{_BRONZE}.record_key",)),
        Column("provenance", "jsonb", "Field to record key, where another one gave it.",
               nullable=False, sources=(f"{_BRONZE}.record_key",)),
        Column("row_hash", "text", "Digest of all other columns, hex.", nullable=False),
    ),
    asset=_SONGS,
)  # fmt: skip

BRIDGE_SONG_ARTIST = Table(
    PIPELINE,
    "bridge_song_artist",
    "Artists of songs, in the order in which they are named.",
    ("song_key", "artist_key"),
    (
        replace(SONG_KEY, reference=_TO_SONG),
        replace(ARTIST_KEY, reference=_TO_ARTIST).required(),
        Column("position", "smallint", "Order of the artists.", nullable=False, minimum=0,
               sources=(f"{_BRONZE}.artist_name",)),
    ),
    asset=_SONGS,
)  # fmt: skip

BRIDGE_ALBUM_ARTIST = Table(
    PIPELINE,
    "bridge_album_artist",
    "Artists of albums.",
    ("album_key", "artist_key"),
    (
        replace(ALBUM_KEY, reference=_TO_ALBUM).required(),
        replace(ARTIST_KEY, reference=_TO_ARTIST).required(),
    ),
    asset=_SONGS,
)

_TERMS = (f"{_BRONZE}.artist_terms", f"{_BRONZE}.artist_mbtags")
BRIDGE_ARTIST_TERM = Table(
    PIPELINE,
    "bridge_artist_term",
    "Terms and tags of artists.",
    ("artist_key", "kind", "term"),
    (
        replace(ARTIST_KEY, reference=_TO_ARTIST).required(),
        Column("kind", "text", "Echo Nest term or MusicBrainz tag.", nullable=False,
               allowed=("term", "mbtag"), sources=_TERMS),
        Column("term", "text", "The term.", nullable=False, sources=_TERMS),
        Column("weight", "double precision", "Weight (0 to 1) of a term, count of a tag.",
               sources=_TERMS),
    ),
    asset=_SONGS,
)  # fmt: skip

TABLES = (
    SONG_SOURCE,
    DIM_ARTIST,
    DIM_ALBUM,
    DIM_GENRE,
    DIM_DATE,
    FACT_SONG,
    BRIDGE_SONG_ARTIST,
    BRIDGE_ALBUM_ARTIST,
    BRIDGE_ARTIST_TERM,
)
