"""What `RAW_REMOVE` may say."""

from __future__ import annotations

import pytest

from assets.music.settings import MusicSettings
from landing.batch.failures import PermanentError


def settings(raw_remove: str) -> MusicSettings:
    return MusicSettings(
        raw_bucket="r", raw_prefix="", processed_bucket="p", quarantine_bucket="q",
        raw_remove=raw_remove, typesense_collection="s", milvus_lyrics="l",
    )  # fmt: skip


def test_two_words_are_understood():
    assert settings("committed").removes_raw
    assert not settings("never").removes_raw


@pytest.mark.parametrize("word", ["", "Never", "yes", "false"])
def test_another_word_removes_nothing_and_says_so(word):
    with pytest.raises(PermanentError, match="RAW_REMOVE"):
        assert settings(word).removes_raw
