"""Songs in the music tables by SQL, and what indexes should hold of them.

Belongs here: what the search tests share. Does not: any code under test.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg


@dataclass(frozen=True)
class Song:
    key: str
    title: str | None = None
    artists: tuple[str, ...] = ()
    album: str | None = None
    genre: str | None = None
    year: int | None = None
    text: str | None = None
    words: tuple[tuple[str, int], ...] = ()
    tempo: float | None = None
    loudness: float | None = None
    duration: float | None = None
    pitch: int | None = None
    mode: int | None = None
    time_signature: int | None = None

    @property
    def row_hash(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]

    @property
    def lyrics(self) -> str | None:
        ordered = sorted(self.words, key=lambda item: -item[1])
        return self.text or " ".join(word for word, _ in ordered) or None


@dataclass
class World:
    """The tables of one test's database, and the songs that they were given."""

    url: str
    songs: dict[str, Song] = field(default_factory=dict)

    def put(self, batch: str, songs: Iterable[Song]) -> None:
        """As silver and gold would: the songs are what they are now, and touched by the batch."""
        songs = list(songs)
        self.songs |= {song.key: song for song in songs}
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            keys = [song.key for song in songs]
            self._remove(cursor, keys)
            cursor.executemany(
                "INSERT INTO music.fact_song (song_key, title, year_key, track_ids, sources,"
                " base_source, provenance, row_hash) VALUES (%s, %s, 0, '{}', 1, 'x', '{}', %s)",
                [(song.key, song.title, song.row_hash) for song in songs],
            )
            cursor.executemany(
                "INSERT INTO music.song_lyrics (song_key, status, source, text, words)"
                " VALUES (%s, %s, 'file', %s, %s)",
                [
                    (
                        song.key,
                        "found" if song.lyrics else "missing",
                        song.text,
                        json.dumps([{"word": w, "count": n} for w, n in song.words])
                        if song.words and not song.text
                        else None,
                    )
                    for song in songs
                ],
            )
            cursor.executemany(
                "INSERT INTO music.song_details (song_key, title, artist, artists, album,"
                " genre, year, tempo, loudness, duration, key, mode, time_signature, track_ids,"
                " lyrics_status, has_lyrics, row_hash) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s,"
                " %s, %s, %s, %s, '{}', %s, %s, %s)",
                [
                    (
                        song.key, song.title, next(iter(song.artists), None), list(song.artists),
                        song.album, song.genre, song.year, song.tempo, song.loudness,
                        song.duration, song.pitch, song.mode, song.time_signature,
                        "found" if song.lyrics else "missing", bool(song.lyrics), song.row_hash,
                    )
                    for song in songs
                ],
            )  # fmt: skip
            self._touch(cursor, batch, keys)

    def drop(self, batch: str, keys: Iterable[str]) -> None:
        """The songs are gone: another batch made them part of others."""
        keys = list(keys)
        for key in keys:
            del self.songs[key]
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            self._remove(cursor, keys)
            self._touch(cursor, batch, keys)

    def change(self, batch: str, key: str, **values: Any) -> None:
        self.put(batch, [replace(self.songs[key], **values)])

    def rename_artist(self, batch: str, old: str, new: str) -> None:
        """Only the artist is touched; gold has its songs under the new name."""
        for song in [song for song in self.songs.values() if old in song.artists]:
            artists = tuple(new if artist == old else artist for artist in song.artists)
            self.songs[song.key] = replace(song, artists=artists)
            renamed = self.songs[song.key]
            with psycopg.connect(self.url) as connection:
                connection.execute(
                    "UPDATE music.song_details SET artist = %s, artists = %s, row_hash = %s"
                    " WHERE song_key = %s",
                    (artists[0], list(artists), renamed.row_hash, song.key),
                )
                connection.execute(
                    "INSERT INTO music.dim_artist (artist_key, name) VALUES ('ar', %s)"
                    " ON CONFLICT DO NOTHING", (new,),
                )  # fmt: skip
                connection.execute(
                    "INSERT INTO music.bridge_song_artist VALUES (%s, 'ar', 0)", (song.key,)
                )
                connection.execute(
                    "INSERT INTO music.touched VALUES (%s, 'artist', 'ar') ON CONFLICT DO NOTHING",
                    (batch,),
                )

    @staticmethod
    def _remove(cursor: Any, keys: list[str]) -> None:
        cursor.execute("DELETE FROM music.song_details WHERE song_key = ANY(%s)", [keys])
        cursor.execute("DELETE FROM music.fact_song WHERE song_key = ANY(%s)", [keys])

    @staticmethod
    def _touch(cursor: Any, batch: str, keys: list[str]) -> None:
        cursor.executemany(
            "INSERT INTO music.touched VALUES (%s, 'song', %s) ON CONFLICT DO NOTHING",
            [(batch, key) for key in keys],
        )


def holding(songs: Iterable[Song], *words: str) -> set[str]:
    """Songs whose lyrics hold all of the words anywhere, whatever their case."""
    return {
        song.key
        for song in songs
        if all(word.casefold() in (song.lyrics or "").casefold() for word in words)
    }


#: Keys that must come through addresses and filters unharmed.
ODD_KEYS = (
    "fp-0123456789abcdef0123456789abcdef", "a/b", "what?", "no#1", "x#0", "50%", "%2F", "a b",
    "a,b", "tick`tick", 'quote"d', "back\\slash", "[1]", "(x)", "é夏", "a+b", "a;b=c&d", "..", ".",
    "it's", "<b>", "id:=x || id:!=y",
)  # fmt: skip

#: A verse, its lines divided by slashes, and what it says in other words.
_THEMES = {
    "The lamp upon the rocky shore/keeps every sailor from the reef/its beam goes round till morn":
        "a beacon that guides ships safely past the rocks in the dark",
    "We bring the golden sheaves at last/the wagons heavy with the grain/the barns are full":
        "farmers have gathered the wheat and filled the granary",
    "The train is leaving, wave goodbye/I hold your letter in my hand/my heart is broken and I cry":
        "weeping over a lover who went away on the railway",
    "The snow has covered hill and lane/the frozen water does not flow/we light a fire in the cold":
        "warming ourselves by the hearth while it snows outside",
    "Stir the soup and slice the bread/salt the onions in the pan/mother calls us to be fed":
        "cooking supper for hungry children",
    "The bank has come to take my house/the money that I owed is due/redemption of the loan failed":
        "a poor man who cannot pay his mortgage",
}  # fmt: skip
_FILLER = re.findall(
    r"\w+",
    "river stone window garden silver morning shadow whisper candle meadow thunder valley copper"
    " lantern feather harbour marble orchard velvet willow",
)


def generated() -> tuple[list[Song], dict[str, str]]:
    """46 songs: six with a theme, forty of filler words; and a paraphrase by theme song."""
    rng = random.Random(11)
    songs, paraphrases = [], {}
    for number, (verse, paraphrase) in enumerate(_THEMES.items()):
        key = f"SOTHEME{number}"
        paraphrases[key] = paraphrase
        filler = "\n".join(" ".join(rng.choices(_FILLER, k=6)) for _ in range(15))
        text = f"{filler}\n\n{verse.replace('/', chr(10))}"
        songs.append(Song(key, f"No {number}", ("Us",), "All", "Folk", 1990 + number, text))
    for number in range(40):
        verses = [
            "\n".join(" ".join(rng.choices(_FILLER, k=rng.randint(4, 7))) for _ in range(6))
            for _ in range(rng.randint(1, 6))
        ]
        songs.append(
            Song(
                f"SOFILL{number:02d}",
                " ".join(rng.sample(_FILLER, 2)).title(),
                tuple(rng.sample(["Ann Ray", "The Choir", "Jo/Jo", "R. Roe"], rng.randint(1, 2))),
                rng.choice(["One", "Two", None]),
                rng.choice(["Rock", "R&B", "hip hop", "Folk", None]),
                rng.choice([None, 1968, 1999, 2004]),
                "\n\n".join(verses),
            )
        )
    return songs, paraphrases


_PARAPHRASES = {
    317: "never lose heart in trouble: bring your temptations to God in prayer",
    90: "tired and unhappy I came to Jesus and found rest and gladness",
    1: "the lost son who wandered far from his father is pardoned and welcomed back",
    457: "sick minds are healed and the blind receive sight and light",
    45: "the offering is completed and the curtain of the temple is torn in two",
    353: "our transformed bodies will shine when we arrive at our quiet home",
}


def hymns() -> tuple[list[Song], dict[str, str]] | None:
    """The real hymns, with a paraphrase of a verse of some; None where there is no real data."""
    directory = os.environ.get("QUINTET_DATA_DIR")
    if not directory:
        return None
    path = Path(directory) / "music" / "hymns" / "hymns_pre1901.json"
    songs, paraphrases = [], {}
    for hymn in json.loads(path.read_text("utf-8")):
        key = f"fp-{hashlib.md5(json.dumps(hymn).encode()).hexdigest()}"
        text = "\n\n".join("\n".join(verse) for verse in hymn["verses"])
        author = re.sub(r"\s*\(.*", "", hymn["author"])
        songs.append(Song(key, hymn["title"], (author,), None, None, None, text))
        if hymn["id"] in _PARAPHRASES:
            paraphrases[key] = _PARAPHRASES[hymn["id"]]
    return songs, paraphrases
