"""The real files, recounted with the plainest means for each format."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter

import h5py
import pytest

from landing.batch.chunks import UnreadableObject
from tests.unit.assets.music.format_files import chunks, read, real, real_files


def test_songs_in_hdf5():
    files = dict(real_files("h5", ".h5"))
    assert len(files) == 17
    for key, data in files.items():
        [row], rejected = read(data, key)
        assert rejected == []
        with h5py.File(io.BytesIO(data)) as file:
            metadata, analysis = file["metadata/songs"][0], file["analysis/songs"][0]
            year = int(file["musicbrainz/songs"][0]["year"])
            terms = [name.decode() for name in file["metadata/artist_terms"]]
            weights = list(file["metadata/artist_terms_weight"])
            tags = [name.decode() for name in file["musicbrainz/artist_mbtags"]]
            counts = list(file["musicbrainz/artist_mbtags_count"])
        assert row["track_id"] == key.removeprefix("h5/").removesuffix(".h5")
        assert row["track_id"] == analysis["track_id"].decode()
        assert row["song_id"] == metadata["song_id"].decode()
        assert row["title"] == metadata["title"].decode()
        assert row["artist_name"] == metadata["artist_name"].decode()
        assert row["album"] == metadata["release"].decode()
        assert row["album_release_id"] == metadata["release_7digitalid"]
        assert row["year"] == (year or None)
        assert (row["tempo"], row["duration"]) == (analysis["tempo"], analysis["duration"])
        assert (row["key"], row["mode"]) == (analysis["key"], analysis["mode"])
        found = row["artist_terms"] or []
        assert [(term["name"], term["weight"]) for term in found] == list(
            zip(terms, weights, strict=True)
        )
        found = row["artist_mbtags"] or []
        assert [(tag["name"], tag["weight"]) for tag in found] == list(
            zip(tags, counts, strict=True)
        )


def test_valid_hdf5_that_is_no_song():
    [(key, data)] = real_files("h5_bad", ".h5")
    with pytest.raises(UnreadableObject) as caught:
        chunks(data, key)
    assert caught.value.reason == "not_a_song_file"


def test_songs_as_json_objects():
    files = dict(real_files("song_json", ".json"))
    rows = {}
    for key, data in files.items():
        [rows[key]], rejected = read(data, key)
        assert rejected == []
    plain = {key: json.loads(data) for key, data in files.items()}
    assert len(rows) == 71
    assert len({row["artist_id"] for row in rows.values()}) == 69
    assert sum(row["year"] is None for row in rows.values()) == 43
    assert sum(row["artist_location"] is None for row in rows.values()) == 28
    for key, row in rows.items():
        assert row["record_key"] == f"song_object:{key[-23:-5]}"
        for name in ("song_id", "title", "artist_id", "artist_name", "duration"):
            assert row[name] == plain[key][name]
        assert row["artist_latitude"] == plain[key]["artist_latitude"]


def test_hdf5_and_json_together_are_72_songs():
    hdf5 = {read(data, key)[0][0]["song_id"] for key, data in real_files("h5", ".h5")}
    objects = {read(data, key)[0][0]["song_id"] for key, data in real_files("song_json", ".json")}
    assert (len(hdf5), len(objects), len(hdf5 & objects)) == (17, 71, 16)
    assert len(hdf5 | objects) == 72


def test_the_extract():
    data = real("MSD_master_data.csv").read_bytes()
    accepted, rejected = read(data)
    plain = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert rejected == []
    assert len(accepted) == len(plain) == len({row["track_id"] for row in accepted}) == 1_267
    assert Counter(row["genre"] for row in accepted) == Counter(row["genre"] for row in plain)
    assert sum(row["year"] is None for row in accepted) == 173
    for row, expected in zip(accepted, plain, strict=True):
        assert row["track_id"] == expected["tid"]
        assert row["title"] == expected["title"].strip()
        assert row["artist_name"] == expected["artist_name"].strip()
        assert row["tempo"] == (float(expected["tempo"]) or None)
        assert row["key"] == int(expected["key"])
        missing = expected["song_hotttnesss"] == "NA"
        hotness = None if missing else float(expected["song_hotttnesss"])
        assert row["song_hotttnesss"] == hotness


@pytest.mark.parametrize(("name", "tracks"), [("test", 8_260), ("train", 115)])
def test_musixmatch_whose_last_line_is_cut_off(name, tracks):
    data = real(f"mxm/mxm_dataset_{name}.txt").read_bytes()
    accepted, rejected = read(data)
    lines = [line for line in data.decode().split("\n") if line and line[0] not in "#%"]
    assert len(lines) == tracks
    vocabulary = next(line for line in data.decode().split("\n") if line[:1] == "%")[1:].split(",")
    assert len(accepted) == tracks - 1
    assert [(row["reason"], row["text"]) for row in rejected] == [("bad_word", lines[-1])]
    for row, line in zip(accepted, lines, strict=False):
        track, number, *pairs = line.split(",")
        assert (row["track_id"], row["musixmatch_id"]) == (track, int(number))
        assert [(word["word"], word["count"]) for word in row["lyrics_words"]] == [
            (vocabulary[int(index) - 1], int(count))
            for index, count in (pair.split(":") for pair in pairs)
        ]


def test_what_lies_beside_musixmatch_is_none_of_it():
    with pytest.raises(UnreadableObject, match="unknown_format"):
        chunks(real("mxm/mxm_reverse_mapping.txt").read_bytes())


def test_hymns():
    data = real("hymns/hymns_pre1901.json").read_bytes()
    accepted, rejected = read(data)
    plain = json.loads(data)
    assert rejected == []
    assert len(accepted) == len({row["record_key"] for row in accepted}) == 210
    assert [row["title"] for row in accepted] == [hymn["title"].strip() for hymn in plain]
    for row, hymn in zip(accepted, plain, strict=True):
        lines = row["lyrics_text"].split("\n")
        parts = [*hymn["verses"], hymn["chorus"], hymn["addedChorus"]]
        sung = [line.strip() for part in parts for line in part]
        assert sorted(line.strip() for line in lines if line.strip()) == sorted(filter(None, sung))
        assert row["artist_name"] in hymn["author"]
        if row["year"]:
            assert str(row["year"]) in hymn["author"]
    assert sum(row["year"] is None for row in accepted) == sum(
        not any(character.isdigit() for character in hymn["author"][-6:]) for hymn in plain
    )
