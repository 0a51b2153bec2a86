"""The gold tables: song details, and what is summed up by artist, album, genre, tempo and key.

Belongs here: these tables' columns. Does not: how they are filled (``gold``).
"""

from __future__ import annotations

from dataclasses import replace

from assets.frame.tables import STAMPS, Column, Reference, Table
from assets.music.registry import PIPELINE
from assets.music.registry.bronze import AUDIO, YEAR
from assets.music.registry.lyrics import SONG_LYRICS
from assets.music.registry.silver import ALBUM_KEY, ARTIST_KEY, SONG_KEY, TITLE

_SONGS = "silver_songs"
_TO_SONG = Reference("fact_song", "song_key", enforced=False)
_TO_ARTIST = Reference("dim_artist", "artist_key", enforced=False)
_TO_ALBUM = Reference("dim_album", "album_key", enforced=False)
_AUDIO = {column.name: column.read_from(_SONGS) for column in AUDIO}


def _of(description: str, name: str, kind: str, *sources: str, nullable: bool = True) -> Column:
    return Column(
        name,
        kind,
        description,
        nullable=nullable,
        sources=tuple(f"{_SONGS}.{source}" for source in sources),
    )


_ARTISTS = _of("Names of all artists.", "artists", "text[]", "artist_key", nullable=False)
_COUNT = replace(_of("Songs.", "songs", "integer", "song_key", nullable=False), minimum=1)
_AVERAGE_TEMPO = _AUDIO["tempo"].named(
    "average_tempo", "Mean beats per minute of the songs that have a tempo."
)
_AVERAGE_LOUDNESS = _AUDIO["loudness"].named(
    "average_loudness", "Mean loudness in dB of the songs that have one."
)

SONG_DETAILS = Table(
    PIPELINE,
    "song_details",
    "One row per song, with names instead of keys, and how its lyrics stand.",
    ("song_key",),
    (
        replace(SONG_KEY.read_from(_SONGS), reference=_TO_SONG),
        TITLE.read_from(_SONGS),
        _of("Name of the first artist.", "artist", "text", "artist_key"),
        _ARTISTS.named("artists", "Names of all artists, as they are named."),
        replace(ARTIST_KEY.read_from(_SONGS), reference=_TO_ARTIST, description="First artist."),
        _of("Title of the album.", "album", "text", "album_key"),
        replace(ALBUM_KEY.read_from(_SONGS), reference=_TO_ALBUM, description="Album."),
        _of("Genre.", "genre", "text", "genre_key"),
        replace(YEAR, sources=(f"{_SONGS}.year_key",)),
        *(
            _AUDIO[name]
            for name in (
                "duration",
                "tempo",
                "loudness",
                "key",
                "mode",
                "time_signature",
                "song_hotttnesss",
            )
        ),
        _of("Million Song ids of its tracks.", "track_ids", "text[]", "track_ids", nullable=False),
        SONG_LYRICS.column("status")
        .read_from(SONG_LYRICS.name)
        .named("lyrics_status", "How the search for lyrics went; pending before it."),
        Column(
            "has_lyrics",
            "boolean",
            "Whether there is text or a bag of words.",
            nullable=False,
            sources=("song_lyrics.status",),
        ),
        Column(
            "row_hash",
            "text",
            "Digest of all other columns and the lyrics, hex.",
            nullable=False,
            sources=("song_lyrics.text", "song_lyrics.words", f"{_SONGS}.row_hash"),
        ),
    ),
    asset="song_details",
    made=STAMPS,
)

ARTIST_PERFORMANCE = Table(
    PIPELINE,
    "artist_performance",
    "Per artist who has a song (one of several artists counts for each): songs, mean tempo and "
    "loudness of those that have one, total duration.",
    ("artist_key",),
    (
        replace(ARTIST_KEY.read_from(_SONGS), reference=_TO_ARTIST).required(),
        _of("Name.", "artist", "text", "artist_key"),
        _COUNT,
        _AVERAGE_TEMPO,
        _AVERAGE_LOUDNESS,
        replace(
            _of("Sum of the known durations in seconds.", "total_duration", "double precision",
                "duration"),
            above=0,
        ),
        _of("Where the artist is from.", "location", "text", "artist_key"),
        _of("Latitude in degrees.", "latitude", "double precision", "artist_key"),
        _of("Longitude in degrees.", "longitude", "double precision", "artist_key"),
    ),
    asset="artist_performance",
    made=STAMPS,
)  # fmt: skip

ALBUM_PERFORMANCE = Table(
    PIPELINE,
    "album_performance",
    "Per album that has a song: artists, songs, mean duration.",
    ("album_key",),
    (
        replace(ALBUM_KEY.read_from(_SONGS), reference=_TO_ALBUM).required(),
        _of("Title.", "album", "text", "album_key"),
        _ARTISTS.named("artists", "Names of all artists, in order of name."),
        _COUNT,
        _AUDIO["duration"].named("average_duration", "Mean of the known durations in seconds."),
    ),
    asset="album_performance",
    made=STAMPS,
)

GENRE_BY_YEAR = Table(
    PIPELINE,
    "genre_by_year",
    "Per genre and release year: songs, mean tempo and loudness; replaced as a whole. Songs "
    "without a genre are in none.",
    ("genre", "year"),
    (
        _of("Genre.", "genre", "text", "genre_key", nullable=False),
        replace(
            _of("Release year; 0 for unknown.", "year", "smallint", "year_key", nullable=False),
            minimum=0,
            maximum=2100,
        ),
        _COUNT,
        _AVERAGE_TEMPO,
        _AVERAGE_LOUDNESS,
    ),
    asset="genre_by_year",
    made=STAMPS,
)

TEMPO_KEY_PROFILE = Table(
    PIPELINE,
    "tempo_key_profile",
    "Songs by key, mode and bin of 10 beats per minute; replaced as a whole. Songs that lack one "
    "of the three are in none.",
    ("key", "mode", "tempo_from"),
    (
        _AUDIO["key"].required(),
        _AUDIO["mode"].required(),
        replace(
            _of("Left edge, included, of a bin of 10 beats per minute.", "tempo_from", "smallint",
                "tempo", nullable=False),
            minimum=0,
            maximum=500,
        ),
        _COUNT,
        _AVERAGE_LOUDNESS,
    ),
    asset="tempo_key_profile",
    made=STAMPS,
)  # fmt: skip

_OF_PLAYS = ("fact_play.plays", f"{_SONGS}.song_key")


def _plays(name: str, description: str) -> Column:
    return Column(name, "bigint", description, nullable=False, minimum=1, sources=_OF_PLAYS)


SONG_PLAYS = Table(
    PIPELINE,
    "song_plays",
    "Per song that somebody played: plays and listeners, by the newest file for each listener.",
    ("song_key",),
    (
        replace(SONG_KEY.read_from(_SONGS), reference=_TO_SONG),
        _plays("plays", "How often it was played."),
        _plays("listeners", "By how many."),
    ),
    asset="song_plays",
    made=STAMPS,
)

ARTIST_PLAYS = Table(
    PIPELINE,
    "artist_plays",
    "Per artist whose songs somebody played (one of several artists counts for each): songs that "
    "were played, plays and listeners.",
    ("artist_key",),
    (
        replace(ARTIST_KEY.read_from(_SONGS), reference=_TO_ARTIST).required(),
        _of("Name.", "artist", "text", "artist_key"),
        replace(_COUNT, description="Songs that were played.", sources=_OF_PLAYS),
        _plays("plays", "How often the songs were played."),
        _plays("listeners", "By how many, each counted once."),
    ),
    asset="artist_plays",
    made=STAMPS,
)

#: Those that follow the plays as well as silver.
OF_PLAYS = (SONG_PLAYS, ARTIST_PLAYS)

TABLES = (
    SONG_DETAILS,
    ARTIST_PERFORMANCE,
    ALBUM_PERFORMANCE,
    GENRE_BY_YEAR,
    TEMPO_KEY_PROFILE,
    *OF_PLAYS,
)
