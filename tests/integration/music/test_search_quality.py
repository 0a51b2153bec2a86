"""Judged queries are answered no worse than they were: nDCG@5 by kind of query and way of asking.

The floors are 0.02 below what ``python -m benchmarks.search`` printed on 2026-11-28.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.search import OF_LYRICS, SAMPLE_SONGS, figures
from benchmarks.search_corpus import SERVERS, corpus
from benchmarks.search_judged import judged, measured
from samples.music import write

pytestmark = pytest.mark.servers(*SERVERS)

DATA = Path(os.environ.get("QUINTET_DATA_DIR", "/nonexistent")) / "music"

#: By words, every kind.
WORDS = {
    "real": dict.fromkeys(
        ("title", "artist", "typo", "phrase", "fragment", "stems", "language", "punctuation"), 0.98
    )
    | {"noise": 0.88},
    "samples": dict.fromkeys(
        ("title", "artist", "typo", "phrase", "stems", "language", "punctuation", "noise"), 0.98
    )
    | {"fragment": 0.84},
}
#: By meaning, and by meaning and words: kinds that are about lyrics.
LYRICS = {
    "real": {
        "meaning": {"fragment": 0.73, "stems": 0.60, "meaning": 0.22, "noise": 0.98},
        "hybrid": {"fragment": 0.93, "stems": 0.86, "meaning": 0.28, "noise": 0.98},
    },
    "samples": {
        "meaning": {"fragment": 0.84, "stems": 0.98, "meaning": 0.31, "noise": 0.81},
        "hybrid": {"fragment": 0.84, "stems": 0.98, "meaning": 0.31, "noise": 0.81},
    },
}


@pytest.mark.parametrize("name", ["samples", "real"])
def test_judged_queries_are_answered_no_worse(env, tmp_path, name):
    folder = DATA if name == "real" else tmp_path / "files"
    if name == "samples":
        write(folder, seed=1, songs=SAMPLE_SONGS)
    elif not DATA.exists():
        pytest.skip("about the real files of QUINTET_DATA_DIR")
    with corpus(env, folder) as songs:
        queries = judged(name, songs.songs)
        by_words = measured(queries, songs.by_words)
        ways = figures(songs, [query for query in queries if query.kind in OF_LYRICS])
    low = [
        (way, kind, round(found[kind].ndcg, 3), floor)
        for way, found, floors in (
            ("words", by_words, WORDS[name]),
            *((way, ways[way], floors) for way, floors in LYRICS[name].items()),
        )
        for kind, floor in floors.items()
        if found[kind].ndcg < floor
    ]
    assert low == []
