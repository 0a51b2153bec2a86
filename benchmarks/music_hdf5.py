"""HDF5 song files per second: the pipeline's reader against bare h5py, both on two processes.

Both get the same files and read the same datasets; the reader also checks for links out of the
file, applies the rules and makes typed rows with a hash. The real files of QUINTET_DATA_DIR, each
as often as it takes, where they are; else generated ones. Run:

    python -m benchmarks.music_hdf5 [--files 2000 --repetitions 3]
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

PROCESSES = 2
GOAL = 0.8
DATASETS = (
    "metadata/songs",
    "analysis/songs",
    "musicbrainz/songs",
    "metadata/artist_terms",
    "metadata/artist_terms_weight",
    "musicbrainz/artist_mbtags",
    "musicbrainz/artist_mbtags_count",
)


def bare(files: Sequence[Path]) -> int:
    """Every dataset whole, as h5py gives it."""
    import h5py

    songs = 0
    for path in files:
        with h5py.File(path, "r") as file:
            read = {name: file[name][:] for name in DATASETS}
        songs += len(read["metadata/songs"])
    return songs


def ours(files: Sequence[Path]) -> int:
    """Accepted records."""
    from assets.music.bronze.formats.sniffing import read_records
    from landing.arrival.identity import ObjectVersion

    records = 0
    for path in files:
        data = path.read_bytes()
        version = ObjectVersion(
            "minio", "music-raw", path.name, "1", len(data), datetime(2026, 1, 1, tzinfo=UTC)
        )
        records += sum(len(chunk.accepted) for chunk in read_records(io.BytesIO(data), version))
    return records


READERS: dict[str, Callable[[Sequence[Path]], int]] = {"bare": bare, "ours": ours}


def worker(name: str, files: Sequence[Path], barrier: object, results: object) -> None:
    """Warm up, start together, read; the seconds and how many songs."""
    read = READERS[name]
    read(files[:5])
    barrier.wait(60)  # type: ignore[attr-defined]
    began = time.monotonic()
    songs = read(files)
    results.put((time.monotonic() - began, songs))  # type: ignore[attr-defined]


def measure(name: str, files: Sequence[Path]) -> float:
    """Files per second of all processes together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    shares = [files[at::PROCESSES] for at in range(PROCESSES)]
    workers = [
        context.Process(target=worker, args=(name, share, barrier, results)) for share in shares
    ]
    for one in workers:
        one.start()
    answers = [results.get(timeout=600) for _ in workers]
    for one in workers:
        one.join()
    songs = sum(count for _, count in answers)
    if songs != len(files):
        raise RuntimeError(f"{name}: {songs} songs in {len(files)} files")
    slowest: float = max(seconds for seconds, _ in answers)
    return len(files) / slowest


def prepared(folder: Path, count: int) -> list[Path]:
    """``count`` files of one song each."""
    real = sorted((Path(os.environ.get("QUINTET_DATA_DIR", "")) / "music" / "h5").glob("*.h5"))
    contents = [path.read_bytes() for path in real]
    if not contents:
        from samples.music_formats import hdf5
        from samples.music_songs import made

        contents = [hdf5([song]) for song in made(50, seed=1)]
    files = []
    for number in range(count):
        path = folder / f"{number:06d}.h5"
        path.write_bytes(contents[number % len(contents)])
        files.append(path)
    print(
        f"{count:,} files, {sum(map(len, contents)) / len(contents) / 1024:.0f} KiB on average, "
        f"{'real' if real else 'generated'}",
        flush=True,
    )
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    try:
        files = prepared(scratch, arguments.files)
        ratios = []
        for _ in range(arguments.repetitions):
            speeds = {name: measure(name, files) for name in READERS}
            ratios.append(speeds["ours"] / speeds["bare"])
            print(
                f"bare h5py {speeds['bare']:7.0f} files/s   reader {speeds['ours']:7.0f} files/s"
                f"   {ratios[-1]:.2f}x",
                flush=True,
            )
        print(f"median {statistics.median(ratios):.2f}x of bare h5py (goal ≥ {GOAL}x)")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
