"""Files of music for a daemon test, and what the real ones hold, recounted in plain Python.

Belongs here: reading the files with h5py, json and csv alone. Does not: any code under test.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py

_YEAR = re.compile(r"(\s*\((c\. |©)?\d{4}\))+$|\s+\d{4}$")


@dataclass
class Expected:
    """What is in Postgres once all files are loaded, by song key."""

    rows: int = 0
    rejected: int = 0
    titles: dict[str, str] = field(default_factory=dict)
    tempos: dict[str, float] = field(default_factory=dict)
    years: dict[str, int] = field(default_factory=dict)
    tracks: dict[str, set[str]] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    verses: dict[str, list[str]] = field(default_factory=dict)


def real_folder() -> Path | None:
    """The folder of the real files, where there is one."""
    data_dir = os.environ.get("QUINTET_DATA_DIR")
    folder = Path(data_dir or "") / "music"
    return folder if data_dir and folder.is_dir() else None


def real_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Keys and files, the one that is no song first."""
    for pattern in ("h5_bad/*.h5", "h5/*.h5", "song_json/**/*.json", "*.csv",
                    "mxm/mxm_dataset_*.txt", "hymns/*.json"):  # fmt: skip
        for file in sorted(folder.glob(pattern)):
            yield str(file.relative_to(folder)), file


def expected_of(folder: Path) -> Expected:
    """The songs of the real files: one per Million Song id, else per artist and title."""
    found = Expected()
    of_track: dict[str, str] = {}
    _hdf5(folder, found, of_track)
    extract = _extract(folder)
    objects = {}
    for file in (folder / "song_json").glob("**/*.json"):
        song = json.loads(file.read_text())
        objects[file.stem] = song
        of_track[file.stem] = song["song_id"]
        found.tracks.setdefault(song["song_id"], set()).add(file.stem)
        found.rows += 1
    for row in extract:
        of_track.setdefault(row["tid"], _key(row["artist_name"], row["title"]))
        _take(found, of_track[row["tid"]], row["title"], float(row["tempo"]), int(row["year"]))
        found.tracks.setdefault(of_track[row["tid"]], set()).add(row["tid"])
        found.rows += 1
    for song in objects.values():
        _take(found, song["song_id"], song["title"], 0.0, song["year"])
    for name in ("train", "test"):
        for line in (folder / "mxm" / f"mxm_dataset_{name}.txt").read_text().splitlines():
            if line[0] not in "#%":
                found.rows += 1
                if not re.fullmatch(r"\w+,\d+(,\d+:\d+)+", line):  # cut off in the middle
                    found.rejected += 1
                    continue
                track = line.partition(",")[0]
                if track in of_track:
                    found.words.add(of_track[track])
                    found.tracks[of_track[track]].add(track)
    for hymn in json.loads((folder / "hymns" / "hymns_pre1901.json").read_text()):
        key = _key(_YEAR.sub("", hymn["author"]), hymn["title"])
        found.titles[key] = hymn["title"]
        found.verses[key] = [line for verse in hymn["verses"] for line in verse]
        found.tracks[key] = set()
        found.rows += 1
    return found


def _hdf5(folder: Path, found: Expected, of_track: dict[str, str]) -> None:
    for path in (folder / "h5").glob("*.h5"):
        with h5py.File(path) as file:
            song, analysis = file["metadata/songs"][0], file["analysis/songs"][0]
            year = int(file["musicbrainz/songs"][0]["year"])
        key, track = song["song_id"].decode(), analysis["track_id"].decode()
        of_track[track] = key
        found.tracks.setdefault(key, set()).add(track)
        _take(found, key, song["title"].decode(), float(analysis["tempo"]), year)
        found.rows += 1


def _extract(folder: Path) -> list[dict[str, str]]:
    with (folder / "MSD_master_data.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _take(found: Expected, key: str, title: str, tempo: float, year: int) -> None:
    """The first source to know something says it: files are read from the best to the least."""
    if title.strip():
        found.titles.setdefault(key, " ".join(title.split()))
    if tempo > 0:
        found.tempos.setdefault(key, tempo)
    if year > 0:
        found.years.setdefault(key, year)


def _key(artist: str, title: str) -> str:
    folded = [
        " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        for text in (artist, title, "")
    ]
    return "fp-" + hashlib.sha256("\x1f".join(folded).encode()).hexdigest()[:32]
