"""Songs like a song: by lyrics, and by what was measured."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from assets.music.answers import NothingToCompareError, UnknownSongError
from tests.integration.music.lyrics_index import opened
from tests.integration.music.search_world import Song, generated

pytestmark = pytest.mark.servers("postgres", "milvus", "openai")


@pytest.fixture
def index(env):
    with opened(env) as index:
        yield index


def test_similar_by_lyrics_is_the_best_pair_of_passages(index):
    songs, _ = generated()
    twin = replace(songs[20], key="SOTWIN")
    index.world.put("b1", [*songs, twin, Song("SONONE", title="No lyrics")])
    index.write("b1")
    vectors: dict[str, list[np.ndarray]] = {}
    for row in index.rows().values():
        vectors.setdefault(row["song_key"], []).append(np.array(row["vector"]))
    for key in (songs[20].key, "SOTHEME0"):
        expected = {
            other: max(float(a @ b) for a in vectors[key] for b in theirs)
            for other, theirs in vectors.items()
            if other != key
        }
        found = index.similar(key, 12)
        assert len(found) == 12
        for other, value in found:
            assert value == pytest.approx(expected[other], abs=2e-6)
        least = min(value for _, value in found)
        assert sum(value > least + 2e-6 for value in expected.values()) < 12
        assert found == sorted(found, key=lambda one: (-one[1], one[0]))
        assert index.similar(key, 3) == found[:3]
    assert index.similar(songs[20].key, 1) == [("SOTWIN", 1.0)]
    with pytest.raises(UnknownSongError, match="no song 'SONOBODY'"):
        index.similar("SONOBODY")
    with pytest.raises(NothingToCompareError, match="'SONONE' has no lyrics"):
        index.similar("SONONE")
    with pytest.raises(UnknownSongError):
        index.similar('x"] or song_key != "')


def audio_songs(rng, count):
    return [
        Song(
            f"SOA{n:03d}",
            tempo=rng.uniform(60, 200),
            loudness=rng.uniform(-30, 0),
            duration=rng.uniform(100, 400),
            pitch=rng.randrange(12),
            mode=rng.randrange(2),
            time_signature=rng.choice([3, 4, 4, 4, 5]),
        )
        for n in range(count)
    ]


def test_similar_by_audio_is_the_distance_of_z_scores(index):
    songs = audio_songs(random.Random(5), 60)
    twins = [replace(songs[7], key=f"SOZ{n}") for n in (2, 1)]
    partial = [replace(songs[7], key="SOPART", tempo=None, mode=None)]
    index.world.put("b1", [*songs, *twins, *partial])
    complete = [*songs, *twins]
    table = np.array(
        [
            [s.tempo, s.loudness, s.duration, s.mode, s.time_signature,
             math.cos(2 * math.pi * s.pitch / 12), math.sin(2 * math.pi * s.pitch / 12)]
            for s in complete
        ]
    )  # fmt: skip
    scored = (table - table.mean(axis=0)) / table.std(axis=0)
    for at in (7, 30):
        distances = np.linalg.norm(scored - scored[at], axis=1)
        expected = sorted(
            (round(float(d), 6), s.key)
            for s, d in zip(complete, distances, strict=True)
            if s.key != complete[at].key
        )
        found = index.similar(complete[at].key, 20, by="audio")
        assert [key for key, _ in found] == [key for _, key in expected[:20]]
        assert [d for _, d in found] == pytest.approx([d for d, _ in expected[:20]], abs=2e-6)
        assert index.similar(complete[at].key, 5, by="audio") == found[:5]
    assert index.similar(songs[7].key, 2, by="audio") == [("SOZ1", 0.0), ("SOZ2", 0.0)]
    with pytest.raises(NothingToCompareError, match="'SOPART' has no tempo, mode"):
        index.similar("SOPART", by="audio")
    with pytest.raises(UnknownSongError):
        index.similar("SO' OR true --", by="audio")
    with pytest.raises(ValueError, match="from 1 to 100"):
        index.similar(songs[7].key, 0, by="audio")


def test_similar_by_audio_where_all_songs_agree(index):
    """A feature without any spread adds nothing, instead of a division by zero."""
    one = audio_songs(random.Random(1), 1)[0]
    index.world.put("b1", [one, replace(one, key="SOB"), replace(one, key="SOC", tempo=60.0)])
    found = index.similar(one.key, by="audio")
    assert [key for key, _ in found] == ["SOB", "SOC"]
    assert found[0][1] == 0.0
    # Two of three equal: the deviation is the distance times the root of 2/9.
    assert found[1][1] == pytest.approx(1 / math.sqrt(2 / 9), abs=2e-6)
