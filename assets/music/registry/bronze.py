"""Columns of a bronze record, as Dagster shows them.

Belongs here: names, types, descriptions. Does not: the schema that is written (``records.py``),
which this is tested against: that one needs polars, and the code location must not.
"""

from __future__ import annotations

import dagster as dg

_TERMS = "list<struct<name: string, weight: float64>>"
_CONFIDENCE = "0 to 1: how sure the analysis is."

COLUMNS: dict[str, tuple[str, str]] = {
    "record_key": ("string", "Format and natural key of the record."),
    "row_hash": ("string", "Digest of all that the record says, hex."),
    "format": ("string", "Format of the file: its rank among the sources of a song."),
    "song_id": ("string", "Million Song id of the song."),
    "track_id": ("string", "Million Song id of the track; a song may have several."),
    "fingerprint": ("string", "Digest of artist, title and album, normalised."),
    "title": ("string", "Title; null when empty."),
    "artist_name": ("string", "Artist as credited; several are joined by semicolons."),
    "artist_id": ("string", "Echo Nest id of the artist."),
    "artist_mbid": ("string", "MusicBrainz id of the artist."),
    "artist_location": ("string", "Where the artist is from, in words."),
    "artist_latitude": ("float64", "Degrees north."),
    "artist_longitude": ("float64", "Degrees east."),
    "album": ("string", "Release that the track is on."),
    "album_release_id": ("int64", "7digital id of the release."),
    "year": ("int16", "Release year; null for unknown."),
    "duration": ("float64", "Seconds."),
    "tempo": ("float64", "Beats per minute; null for unknown."),
    "loudness": ("float64", "Decibel, -100 to 20."),
    "key": ("int16", "0 for C to 11 for B."),
    "key_confidence": ("float64", _CONFIDENCE),
    "mode": ("int16", "0 minor, 1 major."),
    "mode_confidence": ("float64", _CONFIDENCE),
    "time_signature": ("int16", "Beats per bar, estimated."),
    "end_of_fade_in": ("float64", "Seconds from the start."),
    "start_of_fade_out": ("float64", "Seconds from the start."),
    "danceability": ("float64", "0 to 1; null when it was not analysed."),
    "energy": ("float64", "0 to 1; null when it was not analysed."),
    "song_hotttnesss": ("float64", "0 to 1: how much it was talked about."),
    "genre": ("string", "Genre of the track, where the file names one."),
    "lyrics_text": ("string", "Lyrics, lines ended by LF."),
    "musixmatch_id": ("int64", "musiXmatch's id of the track."),
    "artist_terms": (_TERMS, "Echo Nest terms of the artist, with weights of 0 to 1."),
    "artist_mbtags": (_TERMS, "MusicBrainz tags of the artist, with counts as weights."),
    "lyrics_words": (
        "list<struct<word: string, count: int32>>",
        "Stemmed words of the lyrics and how often they occur.",
    ),
}
#: What staging adds to a record.
ORIGIN: dict[str, tuple[str, str]] = {
    "seq": ("int64", "Ledger sequence of the object version."),
    "line": ("int64", "Line, element or row of the object, from 1."),
    "source": ("string", "Object version that it was read from."),
    "ingested_at": ("timestamp[us, UTC]", "When that version was first seen."),
}

BRONZE_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn(name, kind, text) for name, (kind, text) in {**COLUMNS, **ORIGIN}.items()
    ]
)
