"""What music costs: all its benchmarks, one after another.

Silver against a raw COPY and dlt (``music_silver``), HDF5 files against bare h5py
(``music_hdf5``), memory by the number of songs (``music_memory``), gold of what was touched against
gold of all (``music_gold``), plays against a raw COPY (``music_plays``); each can be run alone.
Run:

    python -m benchmarks.music [--songs 1000000 --repetitions 3]
        [--parts silver,hdf5,memory,gold,plays]
"""

from __future__ import annotations

import argparse
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--parts", default="silver,hdf5,memory,gold,plays")
    arguments = parser.parse_args()
    songs, repetitions = str(arguments.songs), str(arguments.repetitions)
    parts = {
        "silver": ["--songs", songs, "--upsert", str(arguments.songs // 10), "--peers",
                   "--repetitions", repetitions],
        "hdf5": ["--repetitions", repetitions],
        "gold": ["--songs", str(arguments.songs // 10)],
        "plays": ["--rows", songs, "--repetitions", repetitions],
        "memory": ["--songs", "1", str(arguments.songs // 10), songs],
    }  # fmt: skip
    for part in arguments.parts.split(","):
        print(f"== {part}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.music_{part}", *parts[part]], check=True)


if __name__ == "__main__":
    main()
