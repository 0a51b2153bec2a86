"""How well songs are found: judged queries, asked in every way that there is.

Songs are loaded into servers of its own, the real ones where QUINTET_DATA_DIR has them, else those
of ``samples``. Prints nDCG@5 and precision of the first five by kind of query, of songs by words
(Typesense), of lyrics by meaning (vectors) and of both fused (hybrid); and the floor of the cosine
with which meaning answers best, which is what ``assets/music/search/floors.py`` should have for the
model. With OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_EMBEDDING_MODEL set, vectors are those of
that API (some 1,000 short texts). Run:

    python -m benchmarks.search [--stack DIRECTORY]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

from assets.music.search.floors import NO_FLOOR, floor_of
from benchmarks.search_corpus import SERVERS, Corpus, Lyrics, corpus
from benchmarks.search_judged import Measured, Query, judged, measured, ndcg
from local.stack import Stack
from samples.music import write
from tests.servers import isolated_environment, start

#: Kinds that are about lyrics: what the floor is measured with.
OF_LYRICS = ("fragment", "stems", "meaning", "noise")
SAMPLE_SONGS = 80
_HUNDREDTHS = range(100)
_API = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_EMBEDDING_MODEL")


def files(scratch: Path) -> tuple[str, Path]:
    """The judged set's name and the folder of its songs' files."""
    data = os.environ.get("QUINTET_DATA_DIR")
    if data and (real := Path(data) / "music").exists():
        return "real", real
    folder = scratch / "samples"
    write(folder, seed=1, songs=SAMPLE_SONGS)
    return "samples", folder


def figures(songs: Corpus, queries: Sequence[Query]) -> dict[str, dict[str, Measured]]:
    """The measures by way of asking, then kind."""
    asked = {query.term: songs.by_lyrics(query.term) for query in queries}
    return {
        "words": measured(queries, songs.by_words),
        "meaning": measured(queries, lambda term: asked[term].meaning()),
        "hybrid": measured(queries, lambda term: asked[term].hybrid),
    }


def best_floor(queries: Sequence[Query], asked: Mapping[str, Lyrics]) -> tuple[float, float, float]:
    """The floor with the best mean nDCG by meaning, that mean, and the mean without a floor.

    ``asked`` without a floor. The middle one of those that are equally good.
    """
    means = {
        floor: fmean(ndcg(asked[one.term].meaning(floor), one.grades) for one in queries)
        for floor in (NO_FLOOR, *(hundredth / 100 for hundredth in _HUNDREDTHS))
    }
    best = max(means.values())
    floor = median(floor for floor, mean in means.items() if mean == best)
    return round(floor, 2), best, means[NO_FLOOR]


def report(songs: Corpus, name: str) -> None:
    queries = judged(name, songs.songs)
    print(f"{name}: {len(songs.songs):,} songs, {len(queries)} queries; nDCG@5 and precision")
    ways = figures(songs, queries)
    print(f"{'':12} {'queries':>7}  " + "  ".join(f"{way:>12}" for way in ways))
    for kind in dict.fromkeys(query.kind for query in queries):
        row = [ways[way][kind] for way in ways]
        cells = "  ".join(f"{one.ndcg:.3f} {one.precision:6.3f}" for one in row)
        print(f"{kind:12} {row[0].queries:7}  {cells}")
    of_lyrics = [query for query in queries if query.kind in OF_LYRICS]
    asked = {query.term: songs.by_lyrics(query.term, NO_FLOOR) for query in of_lyrics}
    floor, best, without = best_floor(of_lyrics, asked)
    model = songs.lyrics.space.model
    print(
        f"{model}: the best floor is {floor} (nDCG by meaning {best:.3f}, {without:.3f} without);"
        f" it has {floor_of(model)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    home = scratch / "home"
    home.mkdir()
    api = {name: os.environ[name] for name in _API if os.environ.get(name)}
    try:
        start(stack, list(SERVERS))
        name, folder = files(scratch)
        with (
            isolated_environment(stack, list(SERVERS), home) as env,
            corpus({**env, **api}, folder) as songs,
        ):
            report(songs, name)
    finally:
        if not arguments.stack:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
