"""What the stand-in lyrics and MusicBrainz services know: made up, the same at every call.

Belongs here: generated lyrics and artists, and which are unknown. Does not: HTTP
(`local.music_services`). Nothing here is anybody's real text or data. A service knows what the hash
of the normalised names says, so that the shares hold over many songs and need no list.
"""

from __future__ import annotations

import hashlib
import random
import unicodedata
import uuid
from itertools import count
from typing import Any

#: Shares of songs with lyrics, of artists (names or MBIDs) that are known, of those with genres.
LYRICS_SHARE = 0.75
ARTIST_SHARE = 0.8
GENRE_SHARE = 0.9

GENRES = (
    "ambient", "blues", "classical", "country", "disco", "electronic", "folk", "funk", "gospel",
    "heavy metal", "hip hop", "house", "jazz", "latin", "pop", "punk", "reggae", "rock", "soul",
    "techno",
)  # fmt: skip

_NAMESPACE = uuid.UUID("3b1d0a52-6a5c-4f0e-9d53-0f6f7e0c2a11")
_WHO = ("the morning", "an old sailor", "my sister", "the river", "a paper boat", "the night train")
_DOES = ("carries", "remembers", "forgives", "is waiting for", "sings about", "walks home with")
_WHAT = (
    "a handful of salt", "the light on the hill", "every letter you wrote",
    "a coat without buttons", "the smell of rain", "two tickets to the coast",
)  # fmt: skip
_WHERE = (
    "by the harbour wall",
    "under a copper moon",
    "past the sleeping fields",
    "until it snows",
)


def normalised(text: str) -> str:
    """NFKC, casefolded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(normalised(part) for part in parts).encode()).digest()


def _in_share(share: float, *parts: str) -> bool:
    return int.from_bytes(_digest(*parts)[:4], "big") < share * 2**32


def lyrics(artist: str, title: str) -> str | None:
    """The lyrics of a song, CRLF and blank lines included; None for one that is not known."""
    if not _in_share(LYRICS_SHARE, "lyrics", artist, title):
        return None
    chosen = random.Random(_digest("words", artist, title))
    refrain = f"{title}, {title}, so sings {artist}"
    verses = []
    for _ in range(chosen.randint(2, 4)):
        lines = [
            f"{chosen.choice(_WHO)} {chosen.choice(_DOES)} {chosen.choice(_WHAT)}"
            f" {chosen.choice(_WHERE)}"
            for _ in range(4)
        ]
        verses.append("\n".join([*lines, refrain]))
    # The real service mixes both line ends, too.
    return f"{refrain}\r\n" + "\n\n\n".join(verses)


def artist(mbid: str) -> dict[str, Any] | None:
    """An artist as ``/ws/2/artist/{mbid}?inc=genres+tags`` shows it; None for one not known.

    Tags are what people wrote: the most frequent one is no genre, one of them was voted down.
    """
    if not _knows(mbid):
        return None
    chosen = random.Random(_digest("genres", mbid))
    names = chosen.sample(GENRES, 3) if _in_share(GENRE_SHARE, "has genres", mbid) else []
    genres = [
        {
            "id": str(uuid.uuid5(_NAMESPACE, name)),
            "name": name,
            "count": votes,
            "disambiguation": "",
        }
        for name, votes in zip(names, (chosen.randint(5, 9), chosen.randint(1, 4), 0), strict=False)
    ]
    genres.sort(key=lambda genre: str(genre["name"]))
    tags = [{"name": genre["name"], "count": genre["count"]} for genre in genres]
    name = f"Artist {mbid[:8]}"
    return {
        "id": mbid,
        "type": "Group",
        "name": name,
        "sort-name": name,
        "disambiguation": "",
        "country": None,
        "genres": genres,
        "tags": [{"name": "seen live", "count": 12}, *tags] if tags else [],
    }


def _knows(mbid: str) -> bool:
    return _in_share(ARTIST_SHARE, "artist", mbid)


def mbid_of(name: str) -> str | None:
    """The id under which an artist of this name is found; None when there is none."""
    if not _in_share(ARTIST_SHARE, "name", name):
        return None
    numbered = (uuid.uuid5(_NAMESPACE, f"{normalised(name)}#{number}") for number in count())
    return next(str(mbid) for mbid in numbered if _knows(str(mbid)))


def search(name: str) -> dict[str, Any]:
    """The answer to ``/ws/2/artist?query=artist:"name"``: a namesake too, sometimes it alone."""
    namesake = {
        "id": str(uuid.uuid5(_NAMESPACE, f"tribute to {normalised(name)}")),
        "score": 100,
        "name": f"{name} Tribute Band",
        "sort-name": f"{name} Tribute Band",
        "aliases": [],
    }
    found = [namesake]
    if mbid := mbid_of(name):
        # Spelt in another way, as in a database that others keep.
        found.append({**namesake, "id": mbid, "score": 98, "name": name.upper(), "sort-name": name})
    return {
        "created": "2026-01-01T00:00:00.000Z",
        "count": len(found),
        "offset": 0,
        "artists": found,
    }
