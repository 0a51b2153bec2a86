"""Songs in every format that music comes in, quirks included, and what they hold, counted here.

Belongs here: making files and a manifest of expected figures. Does not: making songs up
(``music_songs.py``), layouts (``music_formats.py``), reading or loading; the figures come from the
songs as they were made, not from any code of the pipeline.

Quirks: NUL characters, CRLF in lyrics, empty titles and locations, key and mode as floats, names
with ``/ ? # ;``, several artists joined by ``;``, year 0, tempo 0, null coordinates, valid HDF5
that is no song, R-quoted CSV with an unnamed column and arrays over two lines, the same track in
HDF5, JSON, CSV and musiXmatch, one song in two tracks, one title by several artists, one album
name with several artists, plays with a header, of a song that no file has, and twice of one pair.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from samples import music_formats as formats
from samples.music_songs import (
    ADJECTIVES,
    GENRES,
    LINES,
    NAMES,
    NOUNS,
    PLACES,
    WORDS,
    Hymn,
    Song,
    hymn_of,
    identifier,
    made,
)

#: Below this, some quirk would have no song.
FEWEST_SONGS = 16


@dataclass(slots=True)
class FileFigures:
    """What one file holds. ``reason`` is set where the whole file is refused.

    ``pairs`` of a listener and a song are in a file of plays, and ``repeated`` lines about one that
    a later line is about, too: such a file is one record.
    """

    kind: str
    rows: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    reason: str | None = None
    pairs: int = 0
    repeated: int = 0


@dataclass(slots=True)
class Manifest:
    """What the files hold together; ``files`` by path below the folder, in writing order."""

    files: dict[str, FileFigures] = field(default_factory=dict)
    #: Numbers of songs (hymns from 1,000,000) by format of the records that tell of them.
    songs: dict[str, set[int]] = field(default_factory=dict)
    #: Rows of one object whose key a later row of it has, too.
    duplicates: int = 0
    #: Tracks of musiXmatch whose song is in no other file.
    waiting: int = 0

    def tell(self, form: str, *songs: Song | Hymn) -> None:
        """Count songs as told of by a record of a format."""
        offset = _FIRST_HYMN if form == "lyrics" else 0
        self.songs.setdefault(form, set()).update(song.number + offset for song in songs)

    def as_json(self) -> dict[str, object]:
        """The figures of all files together."""
        read = [figures for figures in self.files.values() if figures.reason is None]
        reasons: Counter[str] = sum((figures.rejects for figures in read), Counter())
        rows, rejected = sum(figures.rows for figures in read), reasons.total()
        pairs, repeated = sum(one.pairs for one in read), sum(one.repeated for one in read)
        records = rows - rejected - self.duplicates - pairs - repeated
        refused = Counter(one.reason for one in self.files.values() if one.reason)
        return {
            "files": len(self.files),
            "files_refused": dict(sorted(refused.items())),
            "rows": rows,
            "rows_accepted": rows - rejected,
            "rows_rejected": dict(sorted(reasons.items())),
            "duplicates": self.duplicates,
            "records": records + sum(one.pairs > 0 for one in read),
            "plays": pairs,
            "plays_superseded": repeated,
            "songs": len(set().union(*self.songs.values())),
            "songs_by_format": {form: len(found) for form, found in sorted(self.songs.items())},
            "tracks_waiting": self.waiting,
        }


_FIRST_HYMN = 1_000_000


def write(folder: Path, *, seed: int, songs: int = 40) -> Manifest:
    """Write files of every format below ``folder`` and return what they hold.

    ``songs`` are shared out among the formats, at least FEWEST_SONGS; on top come hymns, tracks
    that only musiXmatch knows, bad rows and files that are none of songs.
    """
    if songs < FEWEST_SONGS:
        raise ValueError(f"{songs} songs do not show every quirk, at least {FEWEST_SONGS} do")
    catalogue = made(songs, seed)
    quarter, eighth = songs // 4, songs // 8
    manifest = Manifest()
    files = _Files(folder, manifest)
    single, many = catalogue[:quarter], catalogue[quarter : 2 * quarter]
    only_object = catalogue[2 * quarter : 2 * quarter + eighth]
    only_extract = catalogue[2 * quarter + eighth : 3 * quarter]
    listed = catalogue[3 * quarter :]
    files.hdf5(single, many, seed)
    files.objects([*single[quarter // 2 :], *many[: quarter // 2], *only_object])
    files.extract([*single, *many, *only_object, *only_extract])
    files.musixmatch([*single, *only_extract], seed)
    files.unique_tracks(single)
    files.genres(single)
    files.lastfm(single)
    files.song_list(listed)
    files.plays([*single, *many], seed)
    files.hymns()
    files.others()
    return manifest


def write_songs(path: Path, rows: int, seed: int, *, lyrics: bool = False) -> None:
    """``rows`` songs for measurements, in bounded memory.

    ``*.json`` is an array of songs, ``*.csv`` an extract with track ids. Every row is good and a
    song of its own; there is one artist to 20 songs, one album to 10. ``lyrics`` gives each song
    of an array some 400 characters.
    """
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            file.write(formats.extract_header())
            file.writelines(_csv_rows(rng, rows))
        else:
            file.write("[")
            file.writelines(_json_rows(rng, rows, lyrics=lyrics))
            file.write("]\n")


def main(out: Path, songs: int, seed: int) -> dict[str, object]:
    """All files below ``out`` and the figures beside them; returns the figures."""
    out.mkdir(parents=True, exist_ok=True)
    figures = write(out / "files", seed=seed, songs=songs).as_json()
    (out / "manifest.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


class _Files:
    """Writes files and counts what goes into them."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    def _put(self, key: str, data: bytes, figures: FileFigures) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._manifest.files[key] = figures

    def hdf5(self, single: list[Song], many: list[Song], seed: int) -> None:
        """Files of one song, one song's second track, an aggregate, and what is no song."""
        rng = random.Random(seed + 1)
        again = replace(single[0], track_id=identifier(rng, "TR"), duration=single[0].duration + 1)
        for song in (*single, again):
            key = f"hdf5/{_folders(song.track_id)}/{song.track_id}.h5"
            self._put(key, formats.hdf5([song]), FileFigures("hdf5", rows=1))
        # The last row of the aggregate names no song; the one before has a key that no scale has.
        bad = replace(many[-1], song_id="", track_id="", title="")
        many = [*many[:-1], replace(many[-1], key=13)]
        self._put(
            "hdf5/aggregate.h5",
            formats.hdf5([*many, bad]),
            FileFigures("hdf5", len(many) + 1, Counter(no_identity=1)),
        )
        self._manifest.tell("hdf5", *single, *many)
        whole = formats.hdf5(single[:1])
        for name, data, reason in (
            ("no_song", formats.hdf5_without_song(), "not_a_song_file"),
            ("elsewhere", formats.hdf5_with_external_link(), "external_link"),
            ("cut_off", whole[: len(whole) // 2], "corrupt_hdf5"),
        ):
            self._put(f"hdf5/{name}.h5", data, FileFigures("hdf5", reason=reason))

    def objects(self, songs: list[Song]) -> None:
        """One song per file, its track being the file's name."""
        for song in songs:
            key = f"song_object/{_folders(song.track_id)}/{song.track_id}.json"
            self._put(key, formats.song_object(song), FileFigures("song_object", rows=1))
        self._manifest.tell("song_object", *songs)

    def extract(self, songs: list[Song]) -> None:
        """As R writes it; arrays of every third row stand on two lines."""
        text = formats.extract_header()
        for number, song in enumerate(songs, start=1):
            bars = "[0.71054 2.71502\n 4.70861 6.69288]" if number % 3 == 0 else "[0.71054]"
            text += formats.extract_row(number, song, bars)
        data = text.encode()
        row = formats.extract_row(len(songs) + 1, songs[0]).encode()
        data += row.replace(songs[0].track_id.encode(), b"no id")
        data += row.replace(b'"Rock"', b'"R\xf6ck"').replace(b'"Pop"', b'"P\xf6p"')
        data += b'"1","TRSHORTROW"\n'
        rejects = Counter(bad_id=1, bad_encoding=1, too_few_fields=1)
        self._put("extract/extract.csv", data, FileFigures("extract", len(songs) + 3, rejects))
        self._manifest.tell("extract", *songs)

    def musixmatch(self, songs: list[Song], seed: int) -> None:
        """Bags of words, two of them of tracks that nothing else tells of."""
        rng = random.Random(seed + 2)
        text = formats.musixmatch_head(WORDS)
        unknown = [identifier(rng, "TR") for _ in range(2)]
        for number, track in enumerate([*(song.track_id for song in songs), *unknown], start=1):
            indices = sorted(rng.sample(range(1, len(WORDS) + 1), 5))
            text += formats.musixmatch_line(
                track, 4_000_000 + number, {index: rng.randint(1, 9) for index in indices}
            )
        text += formats.musixmatch_line(identifier(rng, "TR"), 1, {len(WORDS) + 1: 1})
        text += "TRNOTABAG\n"
        figures = FileFigures("musixmatch", len(songs) + 4, Counter(bad_word=1, bad_line=1))
        self._put("musixmatch/train.txt", text.encode(), figures)
        self._manifest.tell("musixmatch", *songs)
        self._manifest.waiting += len(unknown)

    def unique_tracks(self, songs: list[Song]) -> None:
        """The list of tracks, of which a line lacks its song and another a field."""
        text = "".join(map(formats.unique_tracks_line, songs))
        text += formats.unique_tracks_line(replace(songs[0], song_id="none"))
        text += formats.unique_tracks_line(songs[0]).rpartition("<SEP>")[0] + "\n"
        figures = FileFigures("unique_tracks", len(songs) + 2, Counter(bad_id=1, bad_line=1))
        self._put("additional/unique_tracks.txt", text.encode(), figures)
        self._manifest.tell("unique_tracks", *songs)

    def genres(self, songs: list[Song]) -> None:
        """Two files that do not agree: with comments and minorities, and with one genre each."""
        most = formats.genre_head() + "".join(
            formats.genre_line(song, "Rock", *(["Blues"] if song.number % 2 else []))
            for song in songs
        )
        most += f"{songs[0].track_id}\tRock\tBlues\tJazz\n"
        rejects = Counter(bad_line=1)
        self._put("genres/cd1.cls", most.encode(), FileFigures("genres", len(songs) + 1, rejects))
        one = "".join(formats.genre_line(song, "Pop_Rock") for song in songs)
        one += "TRSHORT\tPop_Rock\n"
        rejects = Counter(bad_id=1)
        self._put("genres/magd.cls", one.encode(), FileFigures("genres", len(songs) + 1, rejects))
        self._manifest.tell("genres", *songs)

    def lastfm(self, songs: list[Song]) -> None:
        """A file per song, each like the next one."""
        for song, other in zip(songs, [*songs[1:], songs[0]], strict=True):
            key = f"lastfm/{_folders(song.track_id)}/{song.track_id}.json"
            self._put(key, formats.lastfm(song, other), FileFigures("lastfm", rows=1))
        self._manifest.tell("lastfm", *songs)

    def song_list(self, songs: list[Song]) -> None:
        """An array without ids: an entry twice but for case and spaces, and bad entries."""
        entries: list[object] = [formats.song_entry(song) for song in songs]
        again = formats.song_entry(songs[-1])
        again["title"] = f"  {again['title'].upper()} "
        half = {**formats.song_entry(songs[0]), "title": 6.5}
        nameless = {**formats.song_entry(songs[0]), "title": " \x00", "artist": ""}
        entries += [again, half, nameless, 7]
        rejects = Counter(bad_text=1, no_identity=1, unknown_entry=1)
        figures = FileFigures("song_list", len(entries), rejects)
        self._put("song_list/songs.json", json.dumps(entries, indent=1).encode(), figures)
        self._manifest.tell("song_list", *songs)
        self._manifest.duplicates += 1

    def hymns(self) -> None:
        """An array of lyrics, and one object."""
        hymns = [hymn_of(number) for number in range(1, 5)]
        listed = json.dumps([formats.hymn(one) for one in hymns[:3]], ensure_ascii=False)
        self._put("lyrics/hymns.json", listed.encode(), FileFigures("lyrics", rows=3))
        alone = json.dumps(formats.hymn(hymns[3]))
        self._put("lyrics/hymn.json", alone.encode(), FileFigures("lyrics", rows=1))
        self._manifest.tell("lyrics", *hymns)

    def plays(self, songs: list[Song], seed: int) -> None:
        """Who played what, also a song that no file has; bad lines, and a pair that is there twice.

        The second file tells of some of the same listeners and songs.
        """
        rng = random.Random(seed)
        ids = [*(song.song_id for song in songs), "SOUNKNOWN12AB01800"]
        for name, listeners, last in (
            ("train_triplets.txt", range(30), ["user\tsong\tplays\n", "0\n"]),
            ("kaggle_visible_evaluation_triplets.txt", range(25, 40), []),
        ):
            lines = [
                formats.play_line(listener, song, rng.choice((1, 1, 1, 2, 3, 5, 17)))
                for listener in listeners
                for song in rng.sample(ids, min(len(ids), 1 + listener % 9))
            ]
            again = [lines[0].rpartition("\t")[0] + "\t99\n"] if last else []
            rejects = Counter(bad_id=1, bad_line=1) if last else Counter[str]()
            text = "".join([*lines, *again, *last])
            rows = len(lines) + len(again) + rejects.total()
            figures = FileFigures("plays", rows, rejects, pairs=len(lines), repeated=len(again))
            self._put(f"echonest/{name}", text.encode(), figures)

    def others(self) -> None:
        """What is none of the formats, whatever its name says."""
        for key, data, reason in (
            ("other/readme.txt", b"Nothing to hear here.\n", "unknown_format"),
            ("other/people.json", b'[{"name": "Ann", "age": 40}]', "unknown_format"),
            ("other/people.csv", b"name,age\nAnn,40\n", "unknown_format"),
            ("other/cut_off.json", b'{"num_songs": 1, "title": "Ha', "bad_json"),
        ):
            self._put(key, data, FileFigures("other", reason=reason))


def _folders(track_id: str) -> str:
    return "/".join(track_id[2:5])


def _json_rows(rng: random.Random, rows: int, *, lyrics: bool) -> Iterator[str]:
    words = json.dumps("\n".join(LINES * 3)) if lyrics else "null"
    for number in range(rows):
        comma = ",\n" if number else ""
        seconds, tempo, loudness = rng.uniform(60, 600), rng.uniform(60, 200), rng.uniform(-30, -2)
        yield (
            f'{comma}{{"title": "{_title(number)}", "artist": "{_credit(number)}", '
            f'"duration": {seconds:.5f}, "artist_location": "{PLACES[number % len(PLACES)]}", '
            f'"album": "Album {number // 10}", "tempo": {tempo:.3f}, "key": {number % 12}.0, '
            f'"loudness": {loudness:.3f}, "mode": {number % 2}.0, "time_signature": 4.0, '
            f'"year": {1950 + number % 60}, "lyrics": {words}}}'
        )


def _csv_rows(rng: random.Random, rows: int) -> Iterator[str]:
    for number in range(rows):
        seconds, tempo, loudness = rng.uniform(60, 600), rng.uniform(60, 200), rng.uniform(-30, -2)
        yield (
            f'"{number + 1}","TR{number:016d}",NA,0.25,{number % 2},4,"[0.71054 2.71502]",'
            f"{number % 12},{seconds - 4:.3f},{1950 + number % 60},{seconds:.5f},{loudness:.3f},"
            f'{tempo:.3f},"{_title(number)}","{_credit(number)}",'
            f'"{GENRES[number % len(GENRES)]}",8\n'
        )


def _title(number: int) -> str:
    adjective = ADJECTIVES[number % len(ADJECTIVES)]
    return f"{adjective} {NOUNS[number // 8 % len(NOUNS)]} {number}"


def _credit(number: int) -> str:
    return f"{NAMES[number // 20 % len(NAMES)]} {number // 20}"
