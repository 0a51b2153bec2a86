"""Raw tables keep messages as long as the setting says, and never too short."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from tests.reading_stream import Systems, session, wait_until

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.xdist_group("reading-stream"),
]
DAY = 86_400_000
SERVING = "SELECT 1 FROM reading.session WHERE state = 'serving' AND session_id = %s"


def kept(systems: Systems) -> dict[str, int | None]:
    with systems.bigquery.client() as client:
        tables = {
            name: client.get_table(f"{client.project}.{systems.reading.dataset}.{name}")
            for name in ("user_interaction_raw", "content_meta_raw", "user_interaction")
        }
    return {name: table.time_partitioning.expiration_ms for name, table in tables.items()}


def keeping(env: Mapping[str, str], days: int) -> Systems:
    return Systems.of({**env, "READING_RAW_DAYS": str(days)})


def serve_shortly(systems: Systems) -> None:
    with session(systems) as one:
        wait_until(lambda: one.errors or systems.rows(SERVING, one.id))
        one.end()


def test_a_session_sets_how_long_raw_is_kept_and_nothing_else(env: Mapping[str, str]) -> None:
    for days, expected in ((0, None), (45, 45 * DAY), (0, None)):
        systems = keeping(env, days)
        serve_shortly(systems)
        assert kept(systems) == {
            "user_interaction_raw": expected,
            "content_meta_raw": expected,
            "user_interaction": None,
        }


def test_days_in_which_a_message_may_still_come_are_refused(env: Mapping[str, str]) -> None:
    with pytest.raises(ValueError, match="Set 40 or more, or 0"):
        keeping(env, 39).serve(stopping=threading.Event(), seconds=5)
