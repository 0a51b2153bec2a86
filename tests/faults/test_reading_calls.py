"""Sessions whose calls BigQuery's or Pub/Sub's server answers with errors, or never.

The real client libraries talk to the local servers through a proxy that takes a request and keeps
the answer to itself, or does not take it. What must be in the tables is what was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import grpc
import pytest

from tests.grpc_proxy import Fault, GrpcProxy
from tests.reading_stream import Systems, balanced, made_events, payload, session, wait_until

pytestmark = pytest.mark.servers("postgres", "bigquery", "pubsub")

#: Seconds until a session gives up an append without an answer: not 30 as with Google's servers.
APPEND_SECONDS = 0.5
TIMES = 3

APPEND_FAULTS = {
    "hangs": Fault(),
    "hangs once it has taken effect": Fault(taken=True),
    "ABORTED": Fault(grpc.StatusCode.ABORTED, "The operation was aborted."),
    "ABORTED once it has taken effect": Fault(
        grpc.StatusCode.ABORTED, "The operation was aborted.", taken=True
    ),
    "INTERNAL": Fault(grpc.StatusCode.INTERNAL, "Internal error encountered."),
    "RESOURCE_EXHAUSTED": Fault(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "Exceeds 'AppendRows throughput' quota"
    ),
}


class Few:
    """So many faults of one method's requests that have ``part`` in them, then none."""

    def __init__(self, method: str, fault: Fault, times: int, part: bytes = b"") -> None:
        self._method, self._fault, self._part = method, fault, part
        self.left = times

    def __call__(self, method: str, request: bytes) -> Fault | None:
        if not method.endswith(self._method) or self._part not in request or not self.left:
            return None
        self.left -= 1
        return self._fault


def written(systems: Systems, session_id: str) -> int:
    """The deliveries that the session has accounted for."""
    [(count,)] = systems.rows(
        "SELECT coalesce(sum(accepted + rejected + redelivered), 0)::int"
        " FROM reading.session_stream WHERE session_id = %s",
        session_id,
    )
    return int(count)


@pytest.mark.parametrize("name", APPEND_FAULTS)
def test_an_append_that_fails_or_is_never_answered(env: Mapping[str, str], name: str) -> None:
    direct = Systems.of(env)
    faults = Few("/AppendRows", APPEND_FAULTS[name], TIMES)
    events = made_events(120)
    with GrpcProxy(direct.bigquery_write.grpc_endpoint, faults) as proxy:
        faulty = direct.bigquery_write.model_copy(
            update={"grpc_endpoint": proxy.address, "answer_seconds": APPEND_SECONDS}
        )
        systems = replace(direct, bigquery_write=faulty)
        systems.publish(systems.reading.interaction_topic, map(payload, events))
        with session(systems) as one:
            wait_until(lambda: one.errors or written(systems, one.id) >= len(events), seconds=60)
            report = one.end()
    assert faults.left == 0
    assert systems.events() == sorted(events)
    assert systems.rows("SELECT reason, detail FROM reading.rejected_message") == []
    assert balanced(report)


def test_a_dead_letter_topic_that_is_forbidden_holds_nothing_up(env: Mapping[str, str]) -> None:
    """Postgres has the message; a later one takes it along once it is allowed."""
    direct = Systems.of(env)
    topic = direct.pubsub.topic_path(direct.reading.interaction_dead_topic)
    forbidden = Fault(
        grpc.StatusCode.PERMISSION_DENIED, "User not authorized to perform this action."
    )
    faults = Few("/Publish", forbidden, 10**6, topic.encode())
    events = made_events(40)
    letters = "SELECT reason, dead_letter_id IS NULL FROM reading.rejected_message ORDER BY 1"
    with GrpcProxy(direct.pubsub.emulator_host, faults) as proxy:
        faulty = direct.pubsub.model_copy(update={"emulator_host": proxy.address})
        systems = replace(direct, pubsub=faulty)
        direct.publish(direct.reading.interaction_topic, ["no json", *map(payload, events)])
        with session(systems) as one:
            wait_until(lambda: one.errors or written(systems, one.id) >= 41)
            assert systems.rows(letters) == [("not_json", True)]
            faults.left = 0
            systems.rows(
                "UPDATE reading.rejected_message SET rejected_at = now() - interval '1 hour'"
                " RETURNING 1"
            )
            direct.publish(direct.reading.interaction_topic, ["[]"])
            wait_until(lambda: one.errors or written(systems, one.id) >= 42)
            report = one.end()
    assert systems.events() == sorted(events)
    assert systems.rows(letters) == [("not_an_object", False), ("not_json", False)]
    assert balanced(report)
