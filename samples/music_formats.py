"""Songs as bytes, in each format that music comes in.

Belongs here: layouts and their quirks. Does not: which songs there are
(``music_songs.py``).
The HDF5 layout is that of the Million Song Dataset (http://millionsongdataset.com/faq), less the
arrays of segments, beats and bars, which nothing reads.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samples.music_songs import Hymn, Song

_METADATA = [
    ("analyzer_version", "S32"), ("artist_7digitalid", "<i4"), ("artist_familiarity", "<f8"),
    ("artist_hotttnesss", "<f8"), ("artist_id", "S32"), ("artist_latitude", "<f8"),
    ("artist_location", "S1024"), ("artist_longitude", "<f8"), ("artist_mbid", "S40"),
    ("artist_name", "S1024"), ("artist_playmeid", "<i4"), ("genre", "S1024"),
    ("idx_artist_terms", "<i4"), ("idx_similar_artists", "<i4"), ("release", "S1024"),
    ("release_7digitalid", "<i4"), ("song_hotttnesss", "<f8"), ("song_id", "S32"),
    ("title", "S1024"), ("track_7digitalid", "<i4"),
]  # fmt: skip
_ANALYSIS = [
    ("analysis_sample_rate", "<i4"), ("audio_md5", "S32"), ("danceability", "<f8"),
    ("duration", "<f8"), ("end_of_fade_in", "<f8"), ("energy", "<f8"), ("key", "<i4"),
    ("key_confidence", "<f8"), ("loudness", "<f8"), ("mode", "<i4"), ("mode_confidence", "<f8"),
    ("start_of_fade_out", "<f8"), ("tempo", "<f8"), ("time_signature", "<i4"),
    ("time_signature_confidence", "<f8"), ("track_id", "S32"),
]  # fmt: skip
_MUSICBRAINZ = [("idx_artist_mbtags", "<i4"), ("year", "<i4")]

EXTRACT_COLUMNS = (
    "", "tid", "song_hotttnesss", "end_of_fade_in", "mode", "time_signature", "bars_start", "key",
    "start_of_fade_out", "year", "duration", "loudness", "tempo", "title", "artist_name", "genre",
    "topic",
)  # fmt: skip


def hdf5(songs: Sequence[Song]) -> bytes:
    """One song's file, or an aggregate of many."""
    import h5py
    import numpy as np

    terms: list[tuple[str, float]] = []
    tags: list[tuple[str, int]] = []
    rows: dict[str, list[tuple[Any, ...]]] = {"metadata": [], "analysis": [], "musicbrainz": []}
    for song in songs:
        values = _hdf5_values(song, len(terms), len(tags))
        for group, columns in _TABLES.items():
            rows[group].append(tuple(values.get(name, _UNSET[kind[:2]]) for name, kind in columns))
        terms += song.artist.terms
        tags += song.artist.tags
    buffer = io.BytesIO()
    # Without times, so that the same songs give the same bytes.
    with h5py.File(buffer, "w", track_order=False) as file:
        for group, columns in _TABLES.items():
            made = file.create_group(group)
            table = np.array(rows[group], dtype=columns)
            made.create_dataset("songs", data=table, chunks=True, maxshape=(None,), compression=1)
        lists = {
            "metadata/artist_terms": np.array([name.encode() for name, _ in terms], "S256"),
            "metadata/artist_terms_weight": np.array([weight for _, weight in terms], "<f8"),
            "musicbrainz/artist_mbtags": np.array([name.encode() for name, _ in tags], "S256"),
            "musicbrainz/artist_mbtags_count": np.array([count for _, count in tags], "<i4"),
        }
        for name, data in lists.items():
            file.create_dataset(name, data=data, chunks=(64,), maxshape=(None,), compression=1)
    return buffer.getvalue()


_TABLES = {"metadata": _METADATA, "analysis": _ANALYSIS, "musicbrainz": _MUSICBRAINZ}
_UNSET: dict[str, Any] = {"<i": -1, "<f": float("nan"), "S3": b"", "S4": b"", "S1": b""}


def _hdf5_values(song: Song, term: int, tag: int) -> dict[str, Any]:
    artist = song.artist
    nan = float("nan")
    return {
        "artist_id": artist.artist_id.encode(),
        "artist_mbid": artist.mbid.encode(),
        "artist_name": artist.name.encode(),
        "artist_location": artist.location.encode(),
        "artist_latitude": nan if artist.latitude is None else artist.latitude,
        "artist_longitude": nan if artist.longitude is None else artist.longitude,
        "idx_artist_terms": term,
        "idx_similar_artists": 0,
        "release": song.album.encode(),
        "release_7digitalid": song.release_id,
        "song_hotttnesss": nan if song.hotness is None else song.hotness,
        "song_id": song.song_id.encode(),
        "title": song.title.encode(),
        "analysis_sample_rate": 22_050,
        "danceability": 0.0,
        "energy": 0.0,
        "duration": song.duration,
        "end_of_fade_in": 0.25,
        "start_of_fade_out": round(song.duration - 4, 3),
        "key": song.key,
        "key_confidence": 0.5,
        "mode": song.mode,
        "mode_confidence": 0.5,
        "loudness": song.loudness,
        "tempo": song.tempo,
        "time_signature": song.time_signature,
        "time_signature_confidence": 0.5,
        "track_id": song.track_id.encode(),
        "idx_artist_mbtags": tag,
        "year": song.year,
    }


def hdf5_without_song() -> bytes:
    """Valid HDF5 that holds some numbers."""
    import h5py
    import numpy as np

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("default", data=np.arange(1_000, dtype="<f8"))
    return buffer.getvalue()


def hdf5_with_external_link() -> bytes:
    """HDF5 whose songs lie in another file."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("metadata")["songs"] = h5py.ExternalLink("/etc/passwd", "/songs")
    return buffer.getvalue()


def song_object(song: Song) -> bytes:
    """One song as a JSON object; its track id belongs into the file's name."""
    artist = song.artist
    return json.dumps(
        {
            "num_songs": 1,
            "artist_id": artist.artist_id,
            "artist_latitude": artist.latitude,
            "artist_longitude": artist.longitude,
            "artist_location": artist.location,
            "artist_name": artist.name,
            "song_id": song.song_id,
            "title": song.title,
            "duration": song.duration,
            "year": song.year,
        }
    ).encode()


def song_entry(song: Song) -> dict[str, Any]:
    """One song of a JSON array, key and mode as floats."""
    return {
        "title": song.title,
        "artist": song.artist.name,
        "duration": song.duration,
        "artist_location": song.artist.location,
        "album": song.album,
        "tempo": song.tempo,
        "key": float(song.key),
        "loudness": song.loudness,
        "mode": float(song.mode),
        "time_signature": float(song.time_signature),
        "lyrics": song.lyrics or None,
    }


def extract_header() -> str:
    """The first line of an extract, as R writes it."""
    return ",".join(map(_quoted, EXTRACT_COLUMNS)) + "\n"


def extract_row(number: int, song: Song, bars: str = "[0.71054 2.71502]") -> str:
    """One row of an extract: text quoted, numbers not, NA for what is missing."""
    hotness = "NA" if song.hotness is None else repr(song.hotness)
    cells = (
        _quoted(str(number)), _quoted(song.track_id), hotness, "0.25", str(song.mode),
        str(song.time_signature), _quoted(bars), str(song.key), repr(round(song.duration - 4, 3)),
        str(song.year), repr(song.duration), repr(song.loudness), repr(song.tempo),
        _quoted(song.title), _quoted(song.artist.name), _quoted(song.genre), "8",
    )  # fmt: skip
    return ",".join(cells) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def musixmatch_head(words: Sequence[str]) -> str:
    """Comments and the words."""
    return f"# SAMPLE\n#     #   - comment, to ignore\n%{','.join(words)}\n"


def musixmatch_line(track_id: str, number: int, counts: dict[int, int]) -> str:
    """A track's words, the index from 1."""
    pairs = "".join(f",{index}:{count}" for index, count in counts.items())
    return f"{track_id},{number}{pairs}\n"


def unique_tracks_line(song: Song) -> str:
    """A line of unique_tracks.txt."""
    return f"{song.track_id}<SEP>{song.song_id}<SEP>{song.artist.name}<SEP>{song.title}\n"


def play_line(listener: int, song_id: str, plays: int) -> str:
    """A line of train_triplets.txt; listeners are known by a digest."""
    user = hashlib.sha1(f"listener {listener}".encode(), usedforsecurity=False).hexdigest()
    return f"{user}\t{song_id}\t{plays}\n"


def genre_head() -> str:
    """Comments, as tagtraum's files begin."""
    return "# SAMPLE\n# track\tmajority genre\tminority genre\n"


def genre_line(song: Song, *genres: str) -> str:
    """A line of a .cls file."""
    return "\t".join((song.track_id, *genres)) + "\n"


def lastfm(song: Song, other: Song) -> bytes:
    """A file of the Last.fm dataset: counts are texts, scores are numbers."""
    return json.dumps(
        {
            "artist": song.artist.name,
            "timestamp": "2011-08-02 20:13:25.674526",
            "similars": [[other.track_id, 0.75], ["TRZZZZZ000000000ZZ", 1]],
            "tags": [["seen live", "50"], [song.genre, "100"]],
            "track_id": song.track_id,
            "title": song.title,
        }
    ).encode()


def hymn(of: Hymn) -> dict[str, Any]:
    """Lyrics with title, author and verses."""
    return {
        "id": of.number,
        "title": of.title,
        "author": f"{of.author} ({of.year})" if of.year else of.author,
        "meter": "C.M.",
        "tuneName": "Arlington",
        "verses": [list(verse) for verse in of.verses],
        "chorus": list(of.chorus),
        "addedChorus": [],
    }
