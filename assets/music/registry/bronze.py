"""A bronze record: what any file says of one song, and what staging adds to it.

Belongs here: names, types, units and ranges. What is written (``bronze/records.py``), what a value
may be (``bronze/fields.py``) and silver's copies (``silver.py``) follow from it. Does not: which
record of a song is believed (``silver/precedence.py``).
"""

from __future__ import annotations

from typing import Literal, get_args

from assets.frame.tables import INGESTED_AT, LINE, SEQ, SOURCE, Column, Table
from assets.music.registry import PIPELINE

Format = Literal[
    "hdf5",
    "extract",
    "song_list",
    "song_object",
    "lyrics",
    "musixmatch",
    "spotify",
    "unique_tracks",
    "genres",
    "lastfm",
    "plays",
    "takedown",
    "join",
    "split",
]


def _text(name: str, description: str) -> Column:
    return Column(name, "text", description)


def _real(
    name: str,
    description: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
) -> Column:
    return Column(
        name, "double precision", description, minimum=minimum, above=above, maximum=maximum
    )


def _weighted(name: str, description: str) -> Column:
    return Column(name, "record[]", description, fields=(
        _text("name", "The term."),
        _real("weight", "Weight of a term, 0 to 1; count of a tag."),
    ))  # fmt: skip


YEAR = Column("year", "smallint", "Release year.", minimum=1000, maximum=2100)
#: What was measured of the track. Confidences and hotness (0 to 1) are as published.
AUDIO = (
    _real("duration", "Length in seconds.", above=0, maximum=86_400),
    _real("tempo", "Beats per minute.", above=0, maximum=500),
    _real("loudness", "Overall loudness in dB.", minimum=-100, maximum=20),
    Column("key", "smallint", "Pitch class, 0 = C to 11 = B.", minimum=0, maximum=11),
    _real("key_confidence", "Confidence of the key, 0 to 1."),
    Column("mode", "smallint", "0 = minor, 1 = major.", minimum=0, maximum=1),
    _real("mode_confidence", "Confidence of the mode, 0 to 1."),
    Column("time_signature", "smallint", "Beats per bar, estimated."),
    _real("end_of_fade_in", "End of the fade-in, seconds from the start."),
    _real("start_of_fade_out", "Start of the fade-out, seconds."),
    _real("danceability", "Danceability; null when not analysed."),
    _real("energy", "Energy; null when not analysed."),
    _real("song_hotttnesss", "Popularity when collected, 0 to 1."),
)

#: What a file of plays holds, which its one record stands for; its pairs are ``fact_play``'s.
PLAYS = Column("plays", "record[]", "Of a file of plays: what it holds.", fields=(
    _text("sha256", "Digest of the file, decompressed, hex."),
    Column("pairs", "bigint", "Pairs of user and song."),
    Column("repeated", "bigint", "Lines about a pair that a later line is about, too."),
    Column("rejected", "bigint", "Lines that were rejected."),
))  # fmt: skip
#: Columns that came when there were records already: a row that has none of them keeps its hash.
LATER = (
    Column("genres", "record[]", "All genres that the file gives, the best first.", fields=(
        _text("name", "The genre."),
    )),
    _weighted("tags", "Last.fm tags of the track, with counts from 0 to 100."),
    Column("similars", "record[]", "Tracks like this one, by who hears them.", fields=(
        _text("track_id", "Million Song id of the other track."),
        _real("score", "How alike, 0 to 1."),
    )),
    PLAYS,
)  # fmt: skip

#: What identifies a record; the rest of its columns is its content.
RECORD_KEY = Column(
    "record_key",
    "text",
    "Key of the record: its file, as a digest of the key, its format, and its id there.",
    nullable=False,
)
ROW_HASH = Column("row_hash", "text", "Digest of the record's content, hex.", nullable=False)
CONTENT = (
    Column("format", "text", "Format of the file.", nullable=False, allowed=get_args(Format)),
    _text("song_id", "Million Song id of the song."),
    _text("track_id", "Million Song id of the track; a song may have several."),
    _text("fingerprint", "Digest of artist, title and album, normalised."),
    _text("title", "Title of the song."),
    _text("artist_name", "Artist, or several joined by `;`."),
    _text("artist_id", "Million Song artist id."),
    _text("artist_mbid", "MusicBrainz artist id."),
    _text("artist_location", "Where the artist is from."),
    _real("artist_latitude", "Degrees north.", minimum=-90, maximum=90),
    _real("artist_longitude", "Degrees east.", minimum=-180, maximum=180),
    _text("album", "Title of the album."),
    Column("album_release_id", "bigint", "7digital release id.", minimum=1),
    YEAR,
    *AUDIO,
    _text("genre", "Genre that the file gives."),
    _text("lyrics_text", "Lyrics in the file, lines ended by LF."),
    Column("musixmatch_id", "bigint", "musiXmatch track id.", minimum=1),
    _weighted("artist_terms", "Echo Nest terms of the artist, with weights."),
    _weighted("artist_mbtags", "MusicBrainz tags of the artist, with counts."),
    Column("lyrics_words", "record[]", "Bag of words of the lyrics.", fields=(
        _text("word", "Stem of a word."),
        Column("count", "integer", "How often it occurs."),
    )),
    *LATER,
)  # fmt: skip

RECORD = Table(
    PIPELINE,
    "bronze_records",
    "Winners of one batch, staged as Parquet.",
    (RECORD_KEY.name,),
    (RECORD_KEY, ROW_HASH, *CONTENT),
)
STAGED = Table(
    PIPELINE,
    RECORD.name,
    RECORD.description,
    RECORD.key,
    (*RECORD.columns, SEQ, LINE, SOURCE.required(), INGESTED_AT),
)
