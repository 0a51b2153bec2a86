from __future__ import annotations

import io
import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from assets.formats.hdf5 import Limits
from assets.music.bronze.formats.hdf5 import read_hdf5
from landing.batch.chunks import UnreadableObject
from samples.music_formats import hdf5
from samples.music_songs import Song, made
from tests.unit.assets.music.format_files import Trickle, chunks, given, read, reasons

SONGS = made(40, seed=3)


def changed(change: Callable[[h5py.File], None], songs: list[Song] | None = None) -> bytes:
    """A good file after ``change``."""
    buffer = io.BytesIO(hdf5(songs or SONGS[:1]))
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def refused(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(UnreadableObject) as caught:
        list(read_hdf5(io.BytesIO(data), limits))
    assert caught.value.detail
    return caught.value.reason


def set_row(path: str, row: int, **values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        rows = file[path][:]
        for name, value in values.items():
            rows[name][row] = value
        file[path][:] = rows

    return change


def test_one_song():
    song = SONGS[7]
    [row], rejected = read(hdf5([song]))
    assert rejected == []
    assert given(row) == {
        "song_id": song.song_id, "track_id": song.track_id, "title": song.title,
        "artist_name": song.artist.name, "artist_id": song.artist.artist_id,
        "artist_mbid": song.artist.mbid,
        **({"artist_location": song.artist.location} if song.artist.location else {}),
        "artist_latitude": song.artist.latitude, "artist_longitude": song.artist.longitude,
        "album": song.album, "album_release_id": song.release_id, "year": song.year,
        "duration": song.duration, "tempo": song.tempo, "loudness": song.loudness,
        "key": song.key, "key_confidence": 0.5, "mode": song.mode, "mode_confidence": 0.5,
        "time_signature": song.time_signature, "end_of_fade_in": 0.25,
        "start_of_fade_out": round(song.duration - 4, 3), "song_hotttnesss": song.hotness,
        "artist_terms": [{"name": name, "weight": weight} for name, weight in song.artist.terms],
        "artist_mbtags": [{"name": name, "weight": count} for name, count in song.artist.tags],
    }  # fmt: skip
    assert row["record_key"] == f"hdf5:{song.track_id}"
    assert row["line"] == 1
    assert json.loads(row["text"])["release_7digitalid"] == song.release_id


def expected_terms(song: Song) -> list[dict] | None:
    return [{"name": name, "weight": weight} for name, weight in song.artist.terms] or None


@pytest.mark.parametrize("slice_rows", [1, 7, 40, 1_000])
@pytest.mark.parametrize("memory_bytes", [0, 1 << 24])
def test_an_aggregate_is_cut_up_by_its_offsets(slice_rows, memory_bytes):
    limits = Limits(slice_rows=slice_rows, memory_bytes=memory_bytes)
    found = list(read_hdf5(Trickle(hdf5(SONGS), 10_000), limits))
    assert len(found) == -(-40 // slice_rows)
    rows = [row for chunk in found for row in chunk.accepted.iter_rows(named=True)]
    assert [row["line"] for row in rows] == list(range(1, 41))
    assert [row["track_id"] for row in rows] == [song.track_id for song in SONGS]
    assert [row["artist_terms"] for row in rows] == [expected_terms(song) for song in SONGS]
    assert [row["artist_mbtags"] for row in rows] == [
        [{"name": name, "weight": count} for name, count in song.artist.tags] or None
        for song in SONGS
    ]
    single = [read(hdf5([song]))[0][0] for song in SONGS[:5]]
    assert [row["row_hash"] for row in single] == [row["row_hash"] for row in rows[:5]]


def test_terms_far_apart_are_read_one_by_one():
    limits = Limits(slice_terms=2)
    [chunk] = read_hdf5(io.BytesIO(hdf5(SONGS)), limits)
    assert chunk.accepted["artist_terms"].to_list() == [expected_terms(song) for song in SONGS]


def test_a_bad_song_does_not_harm_its_neighbours():
    def change(file: h5py.File) -> None:
        set_row("analysis/songs", 1, key=13)(file)
        set_row("metadata/songs", 2, title=b"caf\xe9")(file)
        set_row("metadata/songs", 3, title=b"", song_id=b"")(file)
        set_row("analysis/songs", 3, track_id=b"")(file)
        set_row("analysis/songs", 4, tempo=float("inf"))(file)
        set_row("metadata/songs", 6, idx_artist_terms=9_999)(file)
        set_row("metadata/songs", 9, idx_artist_terms=-5)(file)

    accepted, rejected = read(changed(change, SONGS[:12]))
    assert reasons(rejected) == [
        (3, "bad_encoding"),
        (4, "no_identity"),
        (6, "bad_offsets"),
        (7, "bad_offsets"),
        (9, "bad_offsets"),
        (10, "bad_offsets"),
    ]
    assert [row["line"] for row in accepted] == [1, 2, 5, 8, 11, 12]
    assert (accepted[1]["key"], accepted[2]["tempo"]) == (None, None)
    assert accepted[3]["artist_terms"] == expected_terms(SONGS[7])
    assert json.loads(rejected[0]["text"])["title"] == "caf\\xe9"


def test_what_is_unknown_is_null():
    def change(file: h5py.File) -> None:
        set_row("metadata/songs", 0, artist_latitude=np.nan, title=b" ", release_7digitalid=-1)(
            file
        )
        set_row("analysis/songs", 0, key=-1, mode=-1, tempo=0, danceability=0.7)(file)
        set_row("musicbrainz/songs", 0, year=0)(file)

    [row], _ = read(changed(change))
    for name in ("artist_latitude", "title", "album_release_id", "key", "mode", "tempo", "year"):
        assert row[name] is None, name
    assert row["danceability"] == 0.7
    assert row["fingerprint"] is None


def test_a_character_cut_at_the_fields_end_is_dropped():
    whole = "é" * 512
    [row], _ = read(changed(set_row("metadata/songs", 0, title=whole.encode())))
    assert row["title"] == whole
    [row], _ = read(changed(set_row("metadata/songs", 0, title=("a" + whole).encode()[:1024])))
    assert row["title"] == "a" + whole[:-1]
    _, rejected = read(changed(set_row("metadata/songs", 0, title=b"\xff" + b"a" * 1023)))
    assert reasons(rejected) == [(1, "bad_encoding")]


def remake(path: str, **options: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        data = file[path][:]
        del file[path]
        file.create_dataset(path, **{"data": data, **options})

    return change


def test_tables_alone_are_enough():
    def change(file: h5py.File) -> None:
        for name in ("analysis", "musicbrainz"):
            del file[name]
        del file["metadata/artist_terms"]
        del file["metadata/artist_terms_weight"]

    accepted, rejected = read(changed(change, SONGS[:3]))
    assert rejected == []
    assert [row["record_key"] for row in accepted] == [f"hdf5:{s.song_id}" for s in SONGS[:3]]
    assert accepted[1]["artist_terms"] is None


def test_terms_without_weights_and_lists_emptied_for_a_summary():
    def without_weights(file: h5py.File) -> None:
        del file["metadata/artist_terms_weight"]

    rows, _ = read(changed(without_weights, SONGS[:8]))
    names = [name for name, _ in SONGS[7].artist.terms]
    assert rows[7]["artist_terms"] == [{"name": name, "weight": None} for name in names]

    def emptied(file: h5py.File) -> None:
        file["metadata/artist_terms"].resize((0,))
        file["metadata/artist_terms_weight"].resize((0,))

    rows, rejected = read(changed(emptied, SONGS[:8]))
    assert rejected == []
    assert {row["artist_terms"] for row in rows} == {None}


def test_text_of_variable_length_is_taken():
    def change(file: h5py.File) -> None:
        old = file["metadata/songs"][:]
        kinds = [
            (name, h5py.string_dtype() if old.dtype[name].kind == "S" else old.dtype[name])
            for name in old.dtype.names
        ]
        new = np.empty(len(old), kinds)
        for name in old.dtype.names:
            new[name] = old[name]
        del file["metadata/songs"]
        file["metadata/songs"] = new

    [row], _ = read(changed(change))
    assert row["title"] == SONGS[0].title
    assert row["artist_name"] == SONGS[0].artist.name


def elsewhere(path: str, link: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if path in file:
            del file[path]
        file[path] = link

    return change


def virtual(file: h5py.File) -> None:
    source = h5py.VirtualSource("/etc/passwd", "x", shape=(1,), dtype="S256")
    layout = h5py.VirtualLayout(shape=(1,), dtype="S256")
    layout[:] = source
    del file["metadata/artist_terms"]
    file.create_virtual_dataset("metadata/artist_terms", layout)


def virtual_songs(file: h5py.File) -> None:
    kind = file["metadata/songs"].dtype
    layout = h5py.VirtualLayout(shape=(1,), dtype=kind)
    layout[:] = h5py.VirtualSource(".", "other", shape=(1,), dtype=kind)
    del file["metadata/songs"]
    file.create_virtual_dataset("metadata/songs", layout)


def external_storage(file: h5py.File) -> None:
    del file["metadata/artist_terms"]
    external = [("/etc/passwd", 0, 256)]
    file.create_dataset("metadata/artist_terms", (1,), "S256", external=external)


@pytest.mark.parametrize(
    "change",
    [
        elsewhere("metadata/songs", h5py.ExternalLink("/tmp/other.h5", "/metadata/songs")),
        elsewhere("metadata", h5py.ExternalLink("/tmp/other.h5", "/metadata")),
        elsewhere("musicbrainz/artist_mbtags", h5py.ExternalLink("other.h5", "/x")),
        elsewhere("anything/else", h5py.ExternalLink("other.h5", "/x")),
        virtual,
        virtual_songs,
        external_storage,
    ],
)
def test_nothing_outside_of_the_file_is_read(change):
    assert refused(changed(change)) == "external_link"


def test_external_links_are_not_followed_to_a_file_that_is_there(tmp_path):
    (tmp_path / "other.h5").write_bytes(hdf5(SONGS[:1]))
    link = h5py.ExternalLink(str(tmp_path / "other.h5"), "/metadata/songs")
    data = changed(elsewhere("metadata/songs", link), SONGS[1:2])
    assert refused(data) == "external_link"
    assert refused(data, Limits(memory_bytes=0)) == "external_link"


def test_soft_links_inside_of_the_file_are_followed():
    def change(file: h5py.File) -> None:
        file.move("metadata/songs", "real")
        file["metadata/songs"] = h5py.SoftLink("/real")

    [row], _ = read(changed(change))
    assert row["title"] == SONGS[0].title
    assert (
        refused(changed(elsewhere("metadata/songs", h5py.SoftLink("/gone")))) == "not_a_song_file"
    )
    loop = elsewhere("metadata/songs", h5py.SoftLink("/metadata/songs"))
    assert refused(changed(loop)) in {"not_a_song_file", "corrupt_hdf5"}


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.__delitem__("metadata"),
        elsewhere("metadata/songs", np.arange(3)),
        elsewhere("metadata/songs", 1.5),
        remake("metadata/songs", data=np.zeros((1, 1), [("title", "S10")])),
        remake("metadata/songs", data=np.zeros(1, [("loudness", "<f8")])),
        remake("metadata/songs", data=np.zeros(2, [("title", "S10")])),
        remake("metadata/songs", data=np.zeros(1, [("title", "S70000")])),
        remake("analysis/songs", data=np.zeros(1)),
    ],
)  # fmt: skip
def test_other_hdf5_is_refused(change):
    assert refused(changed(change)) == "not_a_song_file"


def test_a_group_in_the_tables_place_is_refused():
    def change(file: h5py.File) -> None:
        del file["metadata/songs"]
        file.create_group("metadata/songs")

    assert refused(changed(change)) == "not_a_song_file"


def test_small_files_that_ask_for_much_are_refused():
    def declared(rows: int, chunk: int) -> bytes:
        kind = [("title", "S1024"), ("song_id", "S32")]

        def change(file: h5py.File) -> None:
            for name in ("analysis", "musicbrainz", "metadata/songs"):
                del file[name]
            file.create_dataset("metadata/songs", (rows,), kind, chunks=(chunk,), compression=1)

        return changed(change)

    many, wide = declared(10_000_000, 100), declared(1_000_000, 1_000_000)
    assert len(many) + len(wide) < 100_000
    assert refused(many) == refused(wide) == "not_a_song_file"


def never_written(rows: int, written: int, **storage: Any) -> bytes:
    """A file of empty songs, of which only the first ``written`` take space."""
    kind = np.dtype([("title", "S1024"), ("song_id", "S32")])

    def change(file: h5py.File) -> None:
        for name in ("analysis", "musicbrainz", "metadata/songs"):
            del file[name]
        songs = file.create_dataset("metadata/songs", (rows,), kind, **storage)
        if written:
            songs[:written] = np.zeros(written, kind)

    return changed(change)


@pytest.mark.parametrize("storage", [{"chunks": (1_000,), "compression": 1}, {}])
def test_songs_that_are_only_claimed_are_refused_before_they_are_read(storage):
    data = never_written(1_000_000, 0, **storage)
    assert len(data) < 100_000
    with pytest.raises(UnreadableObject, match="claims 1,000,000 rows and has 0") as caught:
        next(read_hdf5(io.BytesIO(data)))
    assert caught.value.reason == "not_a_song_file"
    few = never_written(1_000_000, 5_000, chunks=(1_000,), compression=1)
    with pytest.raises(UnreadableObject, match="claims 1,000,000 rows and has 5,000"):
        next(read_hdf5(io.BytesIO(few)))


def test_rows_that_were_never_written_take_little_memory():
    data = never_written(20_000, 12_000, chunks=(100,), compression=1)
    tracemalloc.start()
    rejected = sum(len(chunk.rejected) for chunk in read_hdf5(io.BytesIO(data)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rejected == 20_000
    assert peak < 20 * 1024 * 1024


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.99])
def test_a_file_cut_off_is_corrupt(part):
    data = hdf5(SONGS)
    rest = data[: int(len(data) * part)]
    for limits in (None, Limits(memory_bytes=0)):
        with pytest.raises(UnreadableObject) as caught:
            list(read_hdf5(io.BytesIO(rest), limits))
        assert caught.value.reason == "corrupt_hdf5"
        assert f"truncated: {len(rest):,} bytes of {len(data):,}" in str(caught.value)


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
def test_a_truncated_file_of_any_superblock_says_so(libver):
    image = io.BytesIO()
    with h5py.File(image, "w", libver=libver) as file:
        file["metadata/songs"] = np.zeros(1_000)
    data = image.getvalue()
    for size in (len(data) - 1, len(data) // 2, 60):
        with pytest.raises(UnreadableObject, match=f"truncated: {size:,} bytes of {len(data):,}"):
            list(read_hdf5(io.BytesIO(data[:size])))
    for size in (9, 20, 47):
        with pytest.raises(UnreadableObject, match=f"truncated: {size} bytes"):
            list(read_hdf5(io.BytesIO(data[:size])))


def test_a_slice_that_is_corrupt_is_rejected_row_by_row():
    data = bytearray(changed(remake("metadata/songs", chunks=(10,), compression=9), SONGS))
    with h5py.File(io.BytesIO(data)) as file:
        where = file["metadata/songs"].id.get_chunk_info(2)
    data[where.byte_offset : where.byte_offset + where.size] = b"\xff" * where.size
    found = list(read_hdf5(io.BytesIO(bytes(data)), Limits(slice_rows=5)))
    rows = [row for chunk in found for row in chunk.rejected.iter_rows(named=True)]
    # A slice is read with the row behind it, whose offset tells where its terms end.
    assert reasons(rows) == [(line, "corrupt_hdf5") for line in range(16, 31)]
    assert sum(len(chunk.accepted) for chunk in found) == 25


def test_flipped_bytes_never_do_more_than_reject():
    data = hdf5(SONGS[:3])
    rng = random.Random(5)
    outcomes = set()
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 30)):
            broken[rng.randrange(8, len(broken))] = rng.randrange(256)
        try:
            found = chunks(bytes(broken))
        except UnreadableObject as error:
            outcomes.add(error.reason)
        else:
            assert sum(len(chunk.accepted) + len(chunk.rejected) for chunk in found) == 3
            outcomes.add("read")
    assert outcomes <= {"read", "corrupt_hdf5", "not_a_song_file", "external_link"}
    assert {"read", "corrupt_hdf5"} <= outcomes


def test_a_user_block_before_the_file_is_skipped():
    buffer = io.BytesIO()
    with (
        h5py.File(io.BytesIO(hdf5(SONGS[:1])), "r") as source,
        h5py.File(buffer, "w", userblock_size=1024) as file,
    ):
        for name in source:
            source.copy(name, file)
    data = b"A comment.".ljust(1024, b"\n") + buffer.getvalue()[1024:]
    [row], _ = read(data)
    assert row["title"] == SONGS[0].title
