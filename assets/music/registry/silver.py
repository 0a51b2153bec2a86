"""The star schema: what files say of songs, facts, dimensions, bridges.

Belongs here: these tables' columns; what is copied of a record is bronze's (``bronze.py``). Does
not: lyrics (``lyrics.py``), gold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from assets.frame.tables import LINE, SEQ, SOURCE, STAMPS, Column, Reference, Table, read_from
from assets.music.registry import PIPELINE
from assets.music.registry.bronze import AUDIO, CONTENT, PLAYS, RECORD, YEAR, Format

_BRONZE, _SONGS = RECORD.name, "silver_songs"

#: Why two keys are one song: what agrees besides artist and title, or that an operator says so.
MatchReason = Literal[
    "decided", "duration and tempo", "duration", "tempo", "name", "name of several"
]

#: Whether one album with a release id has the title, or several.
AlbumReason = Literal["title", "title of several"]

#: The row of every dimension that facts refer to where nothing is known, and what it is called.
#: Nothing that files bring makes such a key: ids have no space, genres no capital, albums a prefix.
#: Years have 0. SQL in files spells the key out.
UNKNOWN_KEY = "Unknown member"
UNKNOWN_NAME = "Unknown"

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
    "`r-` and the release id, else `fp-` and a digest of artist and album (`album_match`).",
    sources=(f"{_BRONZE}.album_release_id", f"{_BRONZE}.album", f"{_BRONZE}.artist_name"),
)
TITLE = RECORD.column("title").read_from(_BRONZE)

_TO_SONG = Reference("fact_song", "song_key")
_TO_ARTIST = Reference("dim_artist", "artist_key")
_TO_ALBUM = Reference("dim_album", "album_key")
#: Written before the artist is, in the same transaction.
_TO_ARTIST_LATER = Reference("dim_artist", "artist_key", enforced=False)
_GENRE_SOURCES = tuple(f"{_BRONZE}.{name}" for name in ("genre", "artist_mbtags", "artist_terms"))


def _said(name: str) -> Column:
    """A column of bronze as Postgres keeps it."""
    column = RECORD.column(name).read_from(_BRONZE)
    return replace(column, type="jsonb", fields=()) if column.fields else column


_FROM_BRONZE = read_from(_BRONZE, AUDIO)

SONG_SOURCE = Table(
    PIPELINE,
    "song_source",
    "What every file says of a song, one row per current record.",
    ("record_key",),
    (
        _said("record_key"),
        replace(
            SONG_KEY,
            nullable=True,
            description="Song that it belongs to; null for lyrics that wait for theirs.",
            reference=Reference("fact_song", "song_key", enforced=False),
        ),
        _said("format"),
        Column("rank", "smallint", "1 = best source of a song's fields.", nullable=False,
               minimum=1, maximum=len(get_args(Format)), sources=(f"{_BRONZE}.format",)),
        SEQ.read_from(_BRONZE),
        _said("row_hash"),
        SOURCE.read_from(_BRONZE).required(),
        LINE.read_from(_BRONZE),
        *(_said(column.name) for column in CONTENT[1:] if column is not PLAYS),
        Column("match_key", "text", "Artist and title, folded: songs that share it may be one.",
               sources=(f"{_BRONZE}.artist_name", f"{_BRONZE}.title")),
        Column("own_key", "text", "Key that it has by itself or by its track.",
               sources=SONG_KEY.sources),
        Column("artist_match", "text", "The artist's name, folded; null where it joins several.",
               sources=(f"{_BRONZE}.artist_name",)),
    ),
    asset=_SONGS,
)  # fmt: skip

SONG_MATCH = Table(
    PIPELINE,
    "song_match",
    "Keys of records that are another one's song, and why: the crosswalk.",
    ("own_key",),
    (
        Column("own_key", "text", "Key that records have by themselves.", nullable=False,
               sources=SONG_KEY.sources),
        Column("match_key", "text", "Artist and title by which they match.",
               sources=(f"{_BRONZE}.artist_name", f"{_BRONZE}.title")),
        SONG_KEY,
        Column("reason", "text", "What agrees besides the name, or that an operator decided.",
               nullable=False, allowed=get_args(MatchReason),
               sources=(f"{_BRONZE}.duration", f"{_BRONZE}.tempo")),
        Column("confidence", "double precision", "0 to 1, by the reason.", nullable=False,
               minimum=0, maximum=1, sources=(f"{_BRONZE}.duration", f"{_BRONZE}.tempo")),
        Column("evidence", "jsonb", "What both have of duration (s) and tempo (beats per minute).",
               nullable=False, sources=(f"{_BRONZE}.duration", f"{_BRONZE}.tempo")),
        Column("matched_at", "timestamptz", "Since when.", nullable=False),
    ),
    asset=_SONGS,
)  # fmt: skip

ARTIST_MATCH = Table(
    PIPELINE,
    "artist_match",
    "Names without an id, and the artists that they are.",
    ("name_key",),
    (
        Column("name_key", "text", "`fp-` and a digest of the name.", nullable=False,
               sources=(f"{_BRONZE}.artist_name",)),
        Column("match_key", "text", "The name, folded.", sources=(f"{_BRONZE}.artist_name",)),
        ARTIST_KEY.required(),
        Column("matched_at", "timestamptz", "Since when.", nullable=False),
    ),
    asset=_SONGS,
)  # fmt: skip

_MATCH_TITLE = Column("match_title", "text", "The title, folded.", nullable=False,
                      sources=(f"{_BRONZE}.album",))  # fmt: skip
_BY_ITSELF = "`r-` and a release id, or `fp-` and a digest of artist and title."
ALBUM_NAME = Table(
    PIPELINE,
    "album_name",
    "What albums are called by songs, by the first artist of these.",
    ("artist_key", "match_title", "own_key"),
    (
        replace(ARTIST_KEY, reference=_TO_ARTIST_LATER).required(),
        _MATCH_TITLE,
        ALBUM_KEY.named("own_key", _BY_ITSELF).required(),
    ),
    asset=_SONGS,
)
ALBUM_MATCH = Table(
    PIPELINE,
    "album_match",
    "Titles without a release id that are the album of one: the crosswalk.",
    ("name_key",),
    (
        ALBUM_KEY.named("name_key", "`fp-` and a digest of artist and title.").required(),
        _MATCH_TITLE,
        replace(
            ALBUM_KEY,
            description="Album of the same artist and title.",
            nullable=False,
            reference=Reference("dim_album", "album_key", enforced=False),
        ),
        Column("reason", "text", "Whether one release id has the title, or several.",
               nullable=False, allowed=get_args(AlbumReason), sources=ALBUM_KEY.sources),
        Column("confidence", "double precision", "0 to 1, by the reason.", nullable=False,
               minimum=0, maximum=1, sources=ALBUM_KEY.sources),
        Column("matched_at", "timestamptz", "Since when.", nullable=False),
    ),
    asset=_SONGS,
)  # fmt: skip

ALBUM_REDIRECT = Table(
    PIPELINE,
    "album_redirect",
    "Keys that were albums, and the albums of the same title that they became part of.",
    ("old_key",),
    (
        ALBUM_KEY.named("old_key", "Key of an album that is no more.").required(),
        ALBUM_KEY.required(),
        Column("since", "timestamptz", "Since when.", nullable=False),
    ),
    asset=_SONGS,
)

SONG_REDIRECT = Table(
    PIPELINE,
    "song_redirect",
    "Keys that were songs, and the songs that they became part of.",
    ("old_key",),
    (
        Column("old_key", "text", "Key of a song that is no more.", nullable=False,
               sources=SONG_KEY.sources),
        SONG_KEY,
        Column("since", "timestamptz", "Since when.", nullable=False),
    ),
    asset=_SONGS,
)  # fmt: skip

DIM_ARTIST = Table(
    PIPELINE,
    "dim_artist",
    "Artists, and the unknown one.",
    ("artist_key",),
    (
        ARTIST_KEY.required(),
        _said("artist_id"),
        _said("artist_name").named("name", "Name."),
        _said("artist_mbid").named("mbid"),
        _said("artist_location").named("location"),
        _said("artist_latitude").named("latitude"),
        _said("artist_longitude").named("longitude"),
    ),
    asset=_SONGS,
    made=STAMPS,
)  # fmt: skip

DIM_ALBUM = Table(
    PIPELINE,
    "dim_album",
    "Albums, and the unknown one.",
    ("album_key",),
    (
        ALBUM_KEY.required(),
        _said("album").named("title"),
        _said("album_release_id").named("release_id"),
    ),
    asset=_SONGS,
    made=STAMPS,
)

DIM_GENRE = Table(
    PIPELINE,
    "dim_genre",
    "Genres, and the unknown one.",
    ("genre_key",),
    (
        Column("genre_key", "text", "The name, normalised.", nullable=False,
               sources=_GENRE_SOURCES),
        Column("name", "text", "The name that is shown.", nullable=False,
               sources=_GENRE_SOURCES),
    ),
    asset=_SONGS,
    made=STAMPS,
)  # fmt: skip

_YEAR_KEY = Column("year_key", "smallint", "Release year; 0 for unknown.", nullable=False,
                   minimum=0, maximum=2100, sources=(f"{_BRONZE}.year",))  # fmt: skip
_CALENDAR = (
    Column("label", "text", f"The year as a text; `{UNKNOWN_NAME}` for 0.", nullable=False),
    Column("century", "smallint", "Century: 1901 to 2000 is 20."),
    Column("first_day", "date", "1 January."),
    Column("last_day", "date", "31 December."),
)
DIM_DATE = Table(
    PIPELINE,
    "dim_date",
    "Release years, the finest that files have.",
    ("year_key",),
    (
        _YEAR_KEY,
        YEAR.read_from(_BRONZE),
        Column("decade", "smallint", "First year of the decade.", minimum=1000, maximum=2100,
               sources=(f"{_BRONZE}.year",)),
    ),
    asset=_SONGS,
    made=(*_CALENDAR[1:], *STAMPS, _CALENDAR[0]),
)  # fmt: skip

FACT_SONG = Table(
    PIPELINE,
    "fact_song",
    "Songs: per field the value of the best source.",
    ("song_key",),
    (
        SONG_KEY,
        TITLE,
        replace(ARTIST_KEY, reference=_TO_ARTIST, nullable=False,
                description=f"First artist, or `{UNKNOWN_KEY}`."),
        replace(ALBUM_KEY, reference=_TO_ALBUM, nullable=False,
                description=f"Album, or `{UNKNOWN_KEY}`."),
        Column("genre_key", "text", f"Genre, or `{UNKNOWN_KEY}`.", nullable=False,
               reference=Reference("dim_genre", "genre_key"),
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
    made=STAMPS,
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
    made=STAMPS,
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
    made=STAMPS,
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
    made=STAMPS,
)  # fmt: skip

_TO_GENRE = Reference("dim_genre", "genre_key")
BRIDGE_SONG_GENRE = Table(
    PIPELINE,
    "bridge_song_genre",
    "All genres that files give songs, the best first; those of artists are not among them.",
    ("song_key", "genre_key"),
    (
        replace(SONG_KEY, reference=_TO_SONG),
        Column("genre_key", "text", "Genre.", nullable=False, reference=_TO_GENRE,
               sources=(f"{_BRONZE}.genre", f"{_BRONZE}.genres")),
        Column("position", "integer", "Order of the genres, from 1.", nullable=False, minimum=1,
               sources=(f"{_BRONZE}.genre", f"{_BRONZE}.genres")),
        Column("source_record", "text", "Key of the best record that gives it.", nullable=False,
               sources=(f"{_BRONZE}.record_key",)),
    ),
    asset=_SONGS,
    made=STAMPS,
)  # fmt: skip

BRIDGE_SONG_TAG = Table(
    PIPELINE,
    "bridge_song_tag",
    "Tags of songs, with the highest count that any of their records has.",
    ("song_key", "tag"),
    (
        replace(SONG_KEY, reference=_TO_SONG),
        Column("tag", "text", "The tag.", nullable=False, sources=(f"{_BRONZE}.tags",)),
        Column("weight", "double precision", "Count, 0 to 100.", minimum=0,
               sources=(f"{_BRONZE}.tags",)),
    ),
    asset=_SONGS,
    made=STAMPS,
)  # fmt: skip

BRIDGE_SONG_SIMILAR = Table(
    PIPELINE,
    "bridge_song_similar",
    "Tracks like songs, of which songs may have come or not: song_source says whose track it is.",
    ("song_key", "track_id"),
    (
        replace(SONG_KEY, reference=_TO_SONG),
        Column("track_id", "text", "Million Song id of the other track.", nullable=False,
               sources=(f"{_BRONZE}.similars",)),
        Column("score", "double precision", "How alike, 0 to 1.", minimum=0, maximum=1,
               sources=(f"{_BRONZE}.similars",)),
    ),
    asset=_SONGS,
    made=STAMPS,
)  # fmt: skip

TABLES = (
    SONG_SOURCE,
    SONG_MATCH,
    ARTIST_MATCH,
    ALBUM_NAME,
    ALBUM_MATCH,
    SONG_REDIRECT,
    ALBUM_REDIRECT,
    DIM_ARTIST,
    DIM_ALBUM,
    DIM_GENRE,
    DIM_DATE,
    FACT_SONG,
    BRIDGE_SONG_ARTIST,
    BRIDGE_ALBUM_ARTIST,
    BRIDGE_ARTIST_TERM,
    BRIDGE_SONG_GENRE,
    BRIDGE_SONG_TAG,
    BRIDGE_SONG_SIMILAR,
)
