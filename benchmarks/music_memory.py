"""Peak memory of loading silver, by the number of songs.

Each size is a first load into a database of its own, by a process of its own, whose largest
resident set is compared with that of the first size (a single song). Run:

    python -m benchmarks.music_memory [--songs 1 100000 1000000] [--stack DIRECTORY]
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.music_silver import database, load
from benchmarks.music_songs import Staged
from local.stack import Stack
from tests.servers import start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, nargs="+", default=[1, 100_000, 1_000_000])
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        url, songs = arguments.load
        seconds = load(url, Staged.of("b1", [np.arange(int(songs))], version=1, terms=0))
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    least = 0.0
    try:
        start(stack, ["postgres"])
        for songs in arguments.songs:
            with database(stack) as url:
                command = [sys.executable, "-m", "benchmarks.music_memory", "--load", url]
                done = subprocess.run(
                    [*command, str(songs)], check=True, stdout=subprocess.PIPE, text=True
                )
            seconds, peak = map(float, done.stdout.split())
            least = least or peak
            print(
                f"{songs:9,} songs {seconds:7.1f} s   peak {peak:5.0f} MiB ({peak - least:+.0f})",
                flush=True,
            )
    finally:
        if not arguments.stack:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
