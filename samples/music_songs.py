"""Songs, artists and hymns as they would be if there were any.

Belongs here: what is made up, quirks included. Does not: layouts (``music_formats.py``), files
and figures (``music.py``).
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, replace

GENRES = ("Rock", "Pop", "Rap", "Country", "Metal", "Folk", "Jazz", "Electronic")
_TERMS = ("classic rock", "pop rock", "hip hop", "country rock", "doom metal", "folk", "bebop")
ADJECTIVES = ("Silent", "Golden", "Broken", "Distant", "Little", "Electric", "Lonely", "Wild")
NOUNS = ("River", "Heart", "Road", "Morning", "Train", "Ocean", "Fire", "Garden", "Winter")
NAMES = ("Adams", "Baker", "Clarke", "Dunn", "Ellis", "Foster", "Grant", "Hughes", "Ivers")
PLACES = ("Memphis, TN", "London, England", "", "Ohio", "Reykjavík", "", "São Paulo")
_ODD_TITLES = ("Either/Or", "Who? Me?", "#1", "Rock; Roll", 'The "Best"', "Ça va")
_SHARED_TITLE = "Home"
_SHARED_ALBUM = "Greatest Hits"
WORDS = ("i", "the", "you", "to", "and", "a", "me", "love", "night", "babi", "día", "redempt")
LINES = (
    "Redemption came by morning light",
    "The river carries what we said",
    "I walked the long road home at night",
    "And mercy broke the daily bread",
)


@dataclass(frozen=True, slots=True)
class Artist:
    """Who is credited. ``terms`` have weights, ``tags`` counts."""

    artist_id: str
    mbid: str
    name: str
    location: str
    latitude: float | None
    longitude: float | None
    terms: tuple[tuple[str, float], ...]
    tags: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Song:
    """One song in one track. ``number`` tells songs apart, whatever their names are."""

    number: int
    song_id: str
    track_id: str
    title: str
    artist: Artist
    album: str
    release_id: int
    year: int
    duration: float
    tempo: float
    loudness: float
    key: int
    mode: int
    time_signature: int
    hotness: float | None
    genre: str
    lyrics: str


@dataclass(frozen=True, slots=True)
class Hymn:
    """Lyrics that are known by title and author."""

    number: int
    title: str
    author: str
    year: int
    verses: tuple[tuple[str, ...], ...]
    chorus: tuple[str, ...]


def made(count: int, seed: int) -> list[Song]:
    """Songs with all their quirks, the same for the same count and seed."""
    rng = random.Random(seed)
    artists = [_artist(rng, number) for number in range(max(4, count // 2))]
    return [_song(rng, number, count, artists) for number in range(count)]


def identifier(rng: random.Random, prefix: str) -> str:
    """An id in Million Song's manner: SO, TR or AR and 16 characters."""
    return prefix + "".join(rng.choices(string.ascii_uppercase + string.digits, k=16))


def _artist(rng: random.Random, number: int) -> Artist:
    name = f"{ADJECTIVES[number % len(ADJECTIVES)]} {NAMES[number % len(NAMES)]} {number}"
    located = number % 3 != 0
    terms = rng.sample(_TERMS, k=number % 4)
    return Artist(
        artist_id=identifier(rng, "AR"),
        mbid=f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}",
        name=name if number % 5 else f"{name} / Die Ärzte",
        location=PLACES[number % len(PLACES)],
        latitude=round(rng.uniform(-60, 60), 5) if located else None,
        longitude=round(rng.uniform(-180, 180), 5) if located else None,
        terms=tuple((term, round(1 - at / 10, 3)) for at, term in enumerate(terms)),
        tags=((rng.choice(_TERMS), number),) if number % 3 == 1 else (),
    )


def _song(rng: random.Random, number: int, count: int, artists: list[Artist]) -> Song:
    artist = artists[number % len(artists)]
    listed = number >= 3 * (count // 4)
    title = f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} {number}"
    if number % 4 == 3:
        title = f"{_ODD_TITLES[number // 4 % len(_ODD_TITLES)]} {number}"
    if number in {1, 2, count - 3, count - 2}:
        title = _SHARED_TITLE
    elif number == count // 4:
        title = ""
    if listed and number % 3 == 0:
        # Files without ids name several artists in one field.
        artist = replace(artist, name=f"{artist.name};{artists[0].name}")
    lyrics = "\r\n".join(rng.sample(LINES, k=3)) if number % 2 else ""
    return Song(
        number=number,
        song_id=identifier(rng, "SO"),
        track_id=identifier(rng, "TR"),
        title=title,
        artist=artist,
        album=_SHARED_ALBUM if number % 7 == 3 else f"{rng.choice(NOUNS)} {number // 2}",
        release_id=100_000 + number,
        year=0 if number % 5 == 0 else rng.randint(1950, 2010),
        duration=round(rng.uniform(60, 600), 5),
        tempo=0.0 if number % 11 == 5 else round(rng.uniform(60, 200), 3),
        loudness=round(rng.uniform(-30, -2), 3),
        key=rng.randint(0, 11),
        mode=rng.randint(0, 1),
        time_signature=rng.choice((3, 4, 5)),
        hotness=None if number % 3 == 0 else round(rng.random(), 6),
        genre=GENRES[number % 2],
        lyrics=lyrics.replace("the", "the\x00") if number % 4 == 1 else lyrics,
    )


def hymn_of(number: int) -> Hymn:
    """One of the hymns, 1 to 7; number 2 has a chorus, the odd ones a year."""
    return Hymn(
        number=number,
        title=f"{NOUNS[number]} of Grace",
        author=f"{NAMES[number]} & {NAMES[number + 1]}",
        year=1700 + number if number % 2 else 0,
        verses=(LINES, LINES[::-1]),
        chorus=("Sing, redemption, sing",) if number == 2 else (),
    )
