"""Gold of the touched songs, artists and albums against gold of all, by the share that is touched.

Silver is loaded with generated songs and gold made of it; then a share of the songs is changed and
noted as touched, and each table with a scope is replaced in both ways, in transactions that are
rolled back. Run:

    python -m benchmarks.music_gold [--songs 100000] [--stack DIRECTORY]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import psycopg

from assets.music.gold.replacement import replace
from assets.music.gold.targets import TARGETS
from benchmarks.music_silver import database, load, settle
from benchmarks.music_songs import Staged
from local.stack import Stack
from tests.servers import start

SHARES = (0.001, 0.01, 0.1, 0.2, 0.5, 1.0)
_TOUCH = """
WITH changed AS (
    UPDATE music.fact_song SET tempo = tempo + 1, row_hash = md5(row_hash)
    WHERE abs(hashtext(song_key) %% 1000) < %(share)s * 1000
    RETURNING song_key, artist_key, album_key)
INSERT INTO music.touched (batch_id, kind, key)
SELECT DISTINCT 'changed', kind, key FROM changed, LATERAL (
    VALUES ('song', song_key), ('artist', artist_key), ('album', album_key)) AS t (kind, key)
WHERE key <> 'Unknown member'
"""


def seconds(url: str, name: str, share: float, rebuild_share: float) -> tuple[float, int, int]:
    """Of one replacement: seconds, keys in scope, keys in silver."""
    with psycopg.connect(url) as conn:
        conn.execute(_TOUCH, {"share": share})
        conn.execute("ANALYZE music.touched")
        done = replace(conn, TARGETS[name], "changed", rebuild_share=rebuild_share)
        conn.rollback()
    return done.seconds, done.in_scope, done.population


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, ["postgres"])
        with database(stack) as url:
            load(url, Staged.of("b1", [np.arange(arguments.songs)], version=1, terms=0))
            for target in TARGETS.values():
                with psycopg.connect(url) as conn:  # its temporary tables end with the transaction
                    replace(conn, target, "b1", rebuild_share=0.0)
            settle(url)
            print(f"{arguments.songs:,} songs; seconds incrementally / in full", flush=True)
            for name, target in TARGETS.items():
                if target.population is None:
                    continue
                for share in SHARES:
                    narrow, in_scope, population = seconds(url, name, share, 1.0)
                    full, _, _ = seconds(url, name, share, -1.0)
                    print(
                        f"  {name:24} {in_scope / population:6.1%} touched  {narrow:6.2f} / "
                        f"{full:6.2f} s   {full / narrow:6.1f}x",
                        flush=True,
                    )
    finally:
        if not arguments.stack:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
