from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from landing.batch.chunks import UnreadableObject
from samples.music import FEWEST_SONGS, write, write_songs
from samples.music_songs import made
from tests import processes
from tests.unit.assets.music.format_files import chunks, read


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_files(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / name, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


@pytest.mark.parametrize("songs", [FEWEST_SONGS, 17, 40, 101])
def test_files_are_read_as_their_manifest_says(tmp_path, songs):
    manifest = write(tmp_path, seed=songs, songs=songs)
    assert set(manifest.files) == set(contents(tmp_path))
    keys: Counter[tuple[str, str]] = Counter()
    found: dict[tuple, set[str]] = {}
    song_of_track: dict[str, str] = {}
    rows = []
    for key, figures in manifest.files.items():
        data = (tmp_path / key).read_bytes()
        if figures.reason is not None:
            with pytest.raises(UnreadableObject) as caught:
                chunks(data, key)
            assert caught.value.reason == figures.reason, key
            continue
        accepted, rejected = read(data, key)
        if figures.kind == "plays":
            (said,) = accepted[0]["plays"]
            assert (said["pairs"], said["repeated"]) == (figures.pairs, figures.repeated)
            assert sum(said[name] for name in ("pairs", "repeated", "rejected")) == figures.rows
        else:
            assert len(accepted) + len(rejected) == figures.rows, key
        assert Counter(row["reason"] for row in rejected) == figures.rejects, key
        assert {row["format"] for row in accepted} == {figures.kind}
        keys += Counter((key, row["record_key"]) for row in accepted)
        rows += [row for row in accepted if row["format"] != "plays"]
        for row in accepted:
            if row["song_id"] and row["track_id"]:
                song_of_track[row["track_id"]] = row["song_id"]
    for row in rows:
        if row["format"] == "extract" and row["track_id"] not in song_of_track:
            song_of_track[row["track_id"]] = row["fingerprint"]
    for row in rows:
        song = row["song_id"] or song_of_track.get(row["track_id"]) or row["fingerprint"]
        found.setdefault(row["format"], set()).add(song)
    waiting = sum(row["format"] == "musixmatch" for row in rows) - len(found["musixmatch"] - {None})
    totals = manifest.as_json()
    assert totals["records"] == len(keys)
    assert totals["duplicates"] == keys.total() - len(keys) == 1
    assert totals["songs_by_format"] == {form: len(songs - {None}) for form, songs in found.items()}
    assert totals["songs"] == len(set().union(*found.values()) - {None})
    assert totals["tracks_waiting"] == waiting == 2


def test_every_quirk_is_there(tmp_path):
    write(tmp_path, seed=5, songs=40)
    entries = json.loads((tmp_path / "song_list/songs.json").read_bytes())
    songs = [entry for entry in entries if isinstance(entry, dict)]
    assert any("\x00" in (song["lyrics"] or "") for song in songs)
    assert any("\r\n" in (song["lyrics"] or "") for song in songs)
    assert any(song["lyrics"] is None for song in songs)
    assert any(";" in song["artist"] for song in songs)
    assert any(song["artist_location"] == "" for song in songs)
    assert all(isinstance(song["key"], float) for song in songs)
    titles = [song.title for song in made(40, seed=5)]
    assert all(any(mark in title for title in titles) for mark in "/?#;")
    objects = [json.loads(path.read_bytes()) for path in tmp_path.glob("song_object/**/*.json")]
    assert any(song["year"] == 0 for song in objects)
    assert any(song["artist_latitude"] is None for song in objects)
    assert any(song["title"] == "" for song in objects)
    text = (tmp_path / "extract/extract.csv").read_text(errors="replace")
    assert text.startswith('"","tid",')
    assert "2.71502\n" in text
    assert '""Best""' in text
    tracks = {
        form: {path.stem for path in tmp_path.glob(f"{form}/**/TR*")}
        for form in ("hdf5", "song_object")
    }
    everywhere = tracks["hdf5"] & tracks["song_object"]
    bags = (tmp_path / "musixmatch/train.txt").read_text()
    assert any(track in text and track in bags for track in everywhere)
    catalogue = made(40, seed=5)
    albums: dict[str, set[str]] = {}
    named: dict[str, set[str]] = {}
    for song in catalogue:
        albums.setdefault(song.album, set()).add(song.artist.name)
        named.setdefault(song.title, set()).add(song.artist.name)
    assert max(map(len, albums.values())) > 2
    assert len(named["Home"]) == 4


def test_too_few_songs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least"):
        write(tmp_path, seed=1, songs=FEWEST_SONGS - 1)


@pytest.mark.parametrize("name", ["songs.json", "songs.csv"])
def test_songs_for_measurements(tmp_path, name):
    write_songs(tmp_path / name, 3_000, 1)
    write_songs(tmp_path / "again", 0, 1)
    data = (tmp_path / name).read_bytes()
    if name.endswith("json"):
        plain = json.loads(data)
    else:
        with (tmp_path / name).open(newline="") as file:
            plain = list(csv.DictReader(file))
    accepted, rejected = read(data)
    assert rejected == []
    assert len(accepted) == len(plain) == len({row["record_key"] for row in accepted}) == 3_000
    assert [row["title"] for row in accepted] == [row["title"] for row in plain]
    assert len({row["artist_name"] for row in accepted}) == 150
    assert json.loads((tmp_path / "again").read_bytes()) == []
    write_songs(tmp_path / f"same-{name}", 3_000, 1)
    assert (tmp_path / f"same-{name}").read_bytes() == data


def test_the_command_writes_files_and_prints_the_manifest(tmp_path):
    printed = processes.output_of(
        [sys.executable, "-m", "samples", "music", "--songs", "20", "--out", tmp_path]
    )
    figures = json.loads(printed)
    assert figures == json.loads((tmp_path / "manifest.json").read_text())
    assert figures["files"] == len(contents(tmp_path / "files"))
