"""The columns that silver fuses, and the order in which records of one song are believed.

Belongs here: column lists from which the statements are made. Does not: the statements, nor the
tables' definition (``migrations``).
"""

from __future__ import annotations

#: Best first, for records of one song or one artist: better format, newer object, then by key.
BEST_FIRST = "rank, seq DESC, record_key"

#: Fields of a song that are fused each for itself: the first record that has it gives it.
FEATURES = (
    "duration",
    "tempo",
    "loudness",
    "key",
    "key_confidence",
    "mode",
    "mode_confidence",
    "time_signature",
    "end_of_fade_in",
    "start_of_fade_out",
    "danceability",
    "energy",
    "song_hotttnesss",
)
FUSED = ("title", "year", *FEATURES, "genre")

#: What a record says of the artist and the album: taken whole, from one record.
ARTIST = (
    "artist_id",
    "artist_name",
    "artist_mbid",
    "artist_location",
    "artist_latitude",
    "artist_longitude",
)
ALBUM = ("album", "album_release_id")

#: Columns of music.song_source that a record brings as they are, in the table's order.
RECORD = (
    "row_hash",
    "source",
    "line",
    "song_id",
    "track_id",
    "fingerprint",
    "title",
    "artist_name",
    "artist_id",
    "artist_mbid",
    "artist_location",
    "artist_latitude",
    "artist_longitude",
    *ALBUM,
    "year",
    *FEATURES,
    "genre",
    "lyrics_text",
    "musixmatch_id",
    "artist_terms",
    "artist_mbtags",
    "lyrics_words",
)
JSON = ("artist_terms", "artist_mbtags", "lyrics_words")
SOURCE = ("record_key", "song_key", "format", "rank", "seq", *RECORD)

#: Columns of music.fact_song; ``row_hash`` is over all of them.
FACT = (
    "song_key",
    "title",
    "artist_key",
    "album_key",
    "genre_key",
    "year_key",
    "track_ids",
    *FEATURES,
    "sources",
    "base_source",
    "provenance",
)


def listed(names: tuple[str, ...], alias: str = "") -> str:
    """``a.x, a.y`` for a statement."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + name for name in names)


def digest(text: str) -> str:
    """SQL for 32 hex digits of the SHA-256 of a text."""
    return f"left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 32)"


def fact_hash(alias: str, **instead: str) -> str:
    """SQL for ``row_hash`` of a row that has the columns of FACT, or other values ``instead``."""
    values = (instead.get(name, f"{alias}.{name}") for name in FACT)
    return digest(f"ROW({', '.join(values)})::text")
