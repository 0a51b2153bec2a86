"""What silver must hold for a set of records: the rules in plain Python, no code under test.

A record is a dictionary with the bronze columns and ``seq``. The result is a dictionary of tables,
each a dictionary from its key to its values.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tests.integration.music.match_oracle import albums_of_titles, folded_artist, matched

Record = Mapping[str, Any]
#: What facts refer to where nothing is known.
UNKNOWN = "Unknown member"
RANK = {
    "hdf5": 1, "extract": 2, "song_list": 3, "song_object": 4, "lyrics": 5, "musixmatch": 6,
    "spotify": 7, "unique_tracks": 8, "genres": 9, "lastfm": 10,
}  # fmt: skip
NUMBERS = (
    "duration", "tempo", "loudness", "key", "key_confidence", "mode", "mode_confidence",
    "time_signature", "end_of_fade_in", "start_of_fade_out", "danceability", "energy",
    "song_hotttnesss",
)  # fmt: skip


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _hex(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def fingerprint(artist: str | None, title: str | None, album: str | None) -> str:
    return _hex(plain(artist or ""), plain(title or ""), plain(album or ""))


def by_belief(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda r: (RANK[r["format"]], -r["seq"], r["record_key"]))


def first(records: Iterable[Record], name: str) -> Any:
    return next((r[name] for r in records if r[name] is not None), None)


def song_keys(records: Iterable[Record]) -> tuple[dict[str, str | None], dict[str, str]]:
    """Record key to song key, and keys of records' own to those of the songs that they match."""
    records = by_belief(records)
    tracks: dict[str, str] = {}
    for r in records:
        if r["track_id"] and r["song_id"]:
            tracks.setdefault(r["track_id"], r["song_id"])
    for r in records:
        if r["track_id"] and r["title"] is not None:
            tracks.setdefault(r["track_id"], "fp-" + r["fingerprint"])
    found: dict[str, str | None] = {}
    for r in records:
        own = "fp-" + r["fingerprint"] if r["title"] is not None else None
        found[r["record_key"]] = r["song_id"] or tracks.get(r["track_id"]) or own
    song_of = matched(records, found)
    keys = {record: song_of.get(own, own) if own else None for record, own in found.items()}
    return keys, song_of


def artists_of_names(records: Iterable[Record]) -> dict[str, str]:
    """Folded names to the artist ids that records give beside them, the first in order."""
    found: dict[str, str] = {}
    for r in records:
        if ";" in (r["artist_name"] or ""):
            continue
        if r["artist_id"] and (name := folded_artist(r["artist_name"])):
            found[name] = min(r["artist_id"], found.get(name, r["artist_id"]))
    return found


def credits_of(record: Record, known: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """The artists of a record in order: key and name."""
    if record["artist_id"]:
        return [(record["artist_id"], record["artist_name"])]
    spelled: dict[str, str] = {}
    for name in (record["artist_name"] or "").split(";"):
        if plain(name):
            spelled.setdefault("fp-" + fingerprint("", name, ""), name.strip())
    found: dict[str, str] = {}
    for key, name in spelled.items():
        found.setdefault(known.get(folded_artist(name), key), name)
    return list(found.items())


def album_key(record: Record, artist: str | None) -> str | None:
    if (record["album_release_id"] or 0) > 0:
        return f"r-{record['album_release_id']}"
    if record["album"] and plain(record["album"]):
        return "fp-" + _hex(artist or "", plain(record["album"]))
    return None


def state(
    records: Iterable[Record], lookups: Mapping[str, str] | None = None
) -> dict[str, dict[Any, Any]]:
    """Every table of silver."""
    records = list(records)
    keys, song_of = song_keys(records)
    songs: dict[str, list[Record]] = defaultdict(list)
    for r in by_belief(records):
        if key := keys[r["record_key"]]:
            songs[key].append(r)

    chosen: dict[str, tuple[Record | None, Record | None]] = {}
    for key, sources in songs.items():
        artist = next((r for r in sources if r["artist_id"]), None) or next(
            (r for r in sources if r["artist_name"] is not None), None
        )
        album = next((r for r in sources if (r["album_release_id"] or 0) > 0), None) or next(
            (r for r in sources if r["album"] is not None), None
        )
        chosen[key] = artist, album
    known = artists_of_names(records)
    credit = {key: credits_of(c[0], known) if c[0] else [] for key, c in chosen.items()}
    mains = {key: credited[0][0] if credited else None for key, credited in credit.items()}
    own = {key: album_key(c[1], mains[key]) if c[1] else None for key, c in chosen.items()}
    album_of = albums_of_titles(
        (main, plain(c[1]["album"]), its_own)
        for key, c in chosen.items()
        if (main := mains[key]) and (its_own := own[key]) and c[1] and c[1]["album"] is not None
    )

    artists = _artists(chosen, credit)
    terms = _terms(songs, chosen, credit)
    genre_of_artist = {}
    for one in artists:
        for kind in ("mbtag", "term"):
            listed = [
                (-(weight if weight is not None else float("-inf")), term)
                for (owner, k, term), weight in terms.items()
                if owner == one and k == kind
            ]
            if listed:
                genre_of_artist[one] = (plain(min(listed)[1]), f"artist_{kind}:{one}")
                break
        else:
            if one in (lookups or {}):
                genre_of_artist[one] = (plain(lookups[one]), f"musicbrainz:{one}")

    facts: dict[str, Any] = {}
    lyrics: dict[str, tuple[Any, ...]] = {}
    for key, sources in songs.items():
        base = sources[0]["record_key"]
        origin = {
            name: next(r["record_key"] for r in sources if r[name] is not None)
            for name in ("title", "year", *NUMBERS, "genre")
            if first(sources, name) is not None
        }
        for name, found in zip(("artist", "album"), chosen[key], strict=True):
            if found:
                origin[name] = found["record_key"]
        provenance = {name: record for name, record in origin.items() if record != base}
        main = mains[key]
        genre = plain(first(sources, "genre") or "") or None
        if genre is None and main in genre_of_artist:
            genre, provenance["genre"] = genre_of_artist[main]
        facts[key] = {
            "title": first(sources, "title"),
            "artist_key": main,
            "album_key": album_of[own[key]][0] if own[key] in album_of else own[key],
            "genre_key": genre,
            "year_key": first(sources, "year") or 0,
            "track_ids": sorted({r["track_id"] for r in sources if r["track_id"]}),
            **{name: first(sources, name) for name in NUMBERS},
            "sources": len(sources),
            "base_source": base,
            "provenance": provenance,
        }
        text = next((r for r in sources if r["lyrics_text"] is not None), None)
        words = next((r for r in sources if r["lyrics_words"] is not None), None)
        if text:
            lyrics[key] = ("found", "file", text["record_key"], text["lyrics_text"], None)
        elif words:
            lyrics[key] = ("found", "file", words["record_key"], None, words["lyrics_words"])
        else:
            lyrics[key] = ("pending", None, None, None, None)

    albums = _albums(chosen, facts)
    said = _lists(songs)
    years = {fact["year_key"] for fact in facts.values()} | {0}
    return {
        "source_song": keys,
        "song_match": song_of,
        "album_match": album_of,
        "fact_song": {
            key: {
                name: UNKNOWN if name.endswith("_key") and value is None else value
                for name, value in fact.items()
            }
            for key, fact in facts.items()
        },
        "song_lyrics": lyrics,
        "dim_artist": artists,
        "dim_album": albums,
        "dim_genre": {
            genre: genre
            for genre in (
                *(f["genre_key"] for f in facts.values()),
                *(genre for _, genre in said["bridge_song_genre"]),
            )
            if genre
        },
        "dim_date": {y: (y or None, y // 10 * 10 if y else None) for y in years},
        "bridge_song_artist": {
            (key, artist): position
            for key, artists_of in credit.items()
            for position, (artist, _) in enumerate(artists_of, start=1)
        },
        "bridge_album_artist": {
            (facts[key]["album_key"], artist): True
            for key, artists_of in credit.items()
            for artist, _ in artists_of
            if facts[key]["album_key"]
        },
        "bridge_artist_term": terms,
        **said,
    }


def _lists(songs: Mapping[str, list[Record]]) -> dict[str, dict[Any, Any]]:
    """The bridges of what songs have many of; records are in order of belief."""
    genres: dict[Any, Any] = {}
    tags: dict[Any, float] = {}
    similars: dict[Any, float] = {}
    for key, sources in songs.items():
        for r in sources:
            names = [r["genre"], *(item["name"] for item in r["genres"] or ())]
            for genre in filter(None, (plain(name or "") for name in names)):
                place = 1 + sum(song == key for song, _ in genres)
                genres.setdefault((key, genre), (place, r["record_key"]))
            for item in r["tags"] or ():
                at = key, item["name"]
                tags[at] = max(item["weight"], tags.get(at, 0.0))
            for item in r["similars"] or ():
                at = key, item["track_id"]
                similars[at] = max(item["score"], similars.get(at, 0.0))
    return {
        "bridge_song_genre": genres,
        "bridge_song_tag": tags,
        "bridge_song_similar": similars,
    }


def _artists(chosen: Any, credit: Any) -> dict[str, Any]:
    said: dict[str, list[Record]] = defaultdict(list)
    for song, (record, _) in chosen.items():
        for artist, name in credit[song]:
            alone = len(credit[song]) == 1
            said[artist].append(
                {
                    "format": record["format"], "seq": record["seq"],
                    "record_key": record["record_key"], "name": name,
                    "mbid": record["artist_mbid"] if alone else None,
                    "location": record["artist_location"] if alone else None,
                    "latitude": record["artist_latitude"] if alone else None,
                    "longitude": record["artist_longitude"] if alone else None,
                }
            )  # fmt: skip
    found = {}
    for artist, sayings in said.items():
        ordered = by_belief(sayings)
        names = ("name", "mbid", "location", "latitude", "longitude")
        found[artist] = (
            None if artist.startswith("fp-") else artist,
            *(first(ordered, name) for name in names),
        )
    return found


def _albums(chosen: Any, facts: Any) -> dict[str, Any]:
    said: dict[str, list[Record]] = defaultdict(list)
    for song, (_, record) in chosen.items():
        if album := facts[song]["album_key"]:
            said[album].append(record)
    return {
        album: (
            first(by_belief(records), "album"),
            int(album[2:]) if album.startswith("r-") else None,
        )
        for album, records in said.items()
    }


def _terms(songs: Any, chosen: Any, credit: Any) -> dict[Any, Any]:
    lists: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for song, sources in songs.items():
        if len(credit[song]) != 1:
            continue
        for r in sources:
            if r["artist_id"] != chosen[song][0]["artist_id"]:
                continue
            for kind, name in (("term", "artist_terms"), ("mbtag", "artist_mbtags")):
                if r[name] is not None:
                    lists[credit[song][0][0], kind].append(r)
    found: dict[Any, Any] = {}
    for (artist, kind), records in lists.items():
        best = by_belief(records)[0]
        for item in best["artist_terms" if kind == "term" else "artist_mbtags"]:
            if item["name"]:
                key = (artist, kind, item["name"])
                weights = [w for w in (found.get(key), item["weight"]) if w is not None]
                found[key] = max(weights, default=None)
    return found
