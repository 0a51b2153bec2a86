"""When processes of their own pay for reading a batch, and what they may raise."""

from __future__ import annotations

import pickle
import sys
from datetime import UTC, datetime

from assets.music.bronze.parallel_reading import pays
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import UnreadableObject
from landing.stores.base import ObjectGone, ObjectSuperseded
from tests import processes


def versions(count: int, size: int) -> list[ObjectVersion]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [ObjectVersion("minio", "b", str(n), "1", size, at) for n in range(count)]


def test_many_small_objects_and_nothing_else():
    assert pays(versions(200, 250_000))
    assert not pays(versions(199, 250_000))
    assert not pays(versions(200, 2_000_000))
    assert not pays([])
    assert pays([*versions(999, 250_000), *versions(1, 100_000_000)])


def test_why_an_object_was_not_read_reaches_the_other_process():
    (version,) = versions(1, 10)
    for error in (ObjectGone(version), ObjectSuperseded(version)):
        sent = pickle.loads(pickle.dumps(error))
        assert (type(sent), sent.version, str(sent)) == (type(error), version, str(error))
    sent = pickle.loads(pickle.dumps(UnreadableObject("bad_json", "no brace", ("{", True))))
    assert (sent.reason, sent.detail, sent.text) == ("bad_json", "no brace", ("{", True))


def test_such_a_process_is_cheap_to_start():
    """Dagster alone would cost it more than the files of half a batch."""
    code = (
        "import sys, assets.music.bronze.parallel_reading, assets.music.bronze.formats.sniffing;"
        "print(sorted({'dagster', 'psycopg', 'pymilvus', 'openai'} & set(sys.modules)))"
    )
    assert processes.output_of([sys.executable, "-c", code]).strip() == "[]"
