"""Sessions whose calls BigQuery's or Pub/Sub's server answers with errors, or never.

The real client libraries talk to the local servers through a proxy that takes a request and keeps
the answer to itself, or does not take it. What must be in the tables is what was published.
Where a client goes on by itself until its own time is up, that time is shorter here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import grpc
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.api_core.retry import Retry, if_exception_type
from google.cloud.pubsub_v1 import SubscriberClient

from assets.reading.stream import pulling, rejects
from resources import pubsub
from resources.pubsub import PubSubResource
from tests.grpc_proxy import Fault, GrpcProxy
from tests.reading_stream import (
    LIMITS,
    Systems,
    balanced,
    made_events,
    payload,
    session,
    wait_until,
)

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.xdist_group("reading-stream"),
]

#: Seconds until a session gives up an append without an answer: not 30 as with Google's servers.
APPEND_SECONDS = 0.5
TIMES = 3
#: Seconds for which Pub/Sub's client goes on by itself, and of one request: not 20 and 60.
CLIENT_SECONDS, REQUEST_SECONDS = 1.0, 0.3

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


AWAY = {
    "UNAVAILABLE": Fault(grpc.StatusCode.UNAVAILABLE, "The service was unable to fulfill it."),
    "UNAVAILABLE once it has taken effect": Fault(
        grpc.StatusCode.UNAVAILABLE, "The service was unable to fulfill it.", taken=True
    ),
    "hangs": Fault(),
}


class Away:
    """One fault of every request of some methods for as long as it is ``on``."""

    def __init__(self, methods: tuple[str, ...], fault: Fault) -> None:
        self._methods, self._fault = methods, fault
        self.on = True
        self.refused = 0

    def __call__(self, method: str, _request: bytes) -> Fault | None:
        if not self.on or not method.endswith(self._methods):
            return None
        self.refused += 1
        return self._fault


class Impatient(PubSubResource):
    """Its subscriber gives up after seconds where it extends leases, which nobody else calls."""

    def subscriber(self) -> SubscriberClient:
        client = super().subscriber()
        client.modify_ack_deadline = partial(
            client.modify_ack_deadline,
            retry=Retry(if_exception_type(ServiceUnavailable), timeout=CLIENT_SECONDS),
            timeout=REQUEST_SECONDS,
        )
        return client


@pytest.fixture
def impatient(env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Systems:
    monkeypatch.setattr(pubsub, "RETRY_SECONDS", CLIENT_SECONDS)
    monkeypatch.setattr(pulling, "ACK_TIMEOUT", REQUEST_SECONDS)
    monkeypatch.setattr(rejects, "PUBLISH_TIMEOUT", REQUEST_SECONDS)
    direct = Systems.of(env)
    return replace(direct, pubsub=Impatient(**direct.pubsub.model_dump()))


def through(systems: Systems, proxy: GrpcProxy) -> Systems:
    """The same with Pub/Sub behind the proxy."""
    return replace(
        systems, pubsub=systems.pubsub.model_copy(update={"emulator_host": proxy.address})
    )


@pytest.mark.parametrize("name", AWAY)
@pytest.mark.parametrize(("method", "step"), [("/Acknowledge", "acknowledge"),
                                              ("/Publish", "reject")])  # fmt: skip
def test_pubsub_that_is_away_for_longer_than_its_client_tries(
    impatient: Systems, method: str, step: str, name: str
) -> None:
    """The session says what it waits for, and goes on by itself."""
    away = Away((method,), AWAY[name])
    events = made_events(60)
    topic = impatient.reading.interaction_topic
    says = "SELECT coalesce(string_agg(waiting, ' '), '') FROM reading.session_stream"
    gave_up = "Deadline Exceeded" if AWAY[name].code is None else f"Timeout of {CLIENT_SECONDS}s"
    with GrpcProxy(impatient.pubsub.emulator_host, away) as proxy:
        impatient.publish(topic, ["no json", *map(payload, events[:40])])
        with session(through(impatient, proxy)) as one:

            def waits() -> bool:
                [(said,)] = impatient.rows(says)
                return f"{step} since" in said and gave_up in said

            wait_until(lambda: one.errors or waits())
            assert not one.errors
            away.on = False
            impatient.publish(topic, map(payload, events[40:]))
            wait_until(lambda: one.errors or written(impatient, one.id) >= 61)
            wait_until(lambda: impatient.rows(says) == [("",)])
            report = one.end()
    assert impatient.events() == sorted(events)
    assert impatient.rows(
        "SELECT reason, dead_letter_id IS NULL FROM reading.rejected_message"
    ) == [("not_json", False)]
    assert impatient.pull(impatient.reading.interaction_subscription) == []
    assert balanced(report)


def test_a_session_ends_though_pubsub_takes_no_acknowledgement(impatient: Systems) -> None:
    """Its events are there; what comes again is the next session's to find."""
    away = Away(("/Acknowledge",), AWAY["UNAVAILABLE"])
    events = made_events(40)
    with GrpcProxy(impatient.pubsub.emulator_host, away) as proxy:
        impatient.publish(impatient.reading.interaction_topic, map(payload, events))
        limits = replace(LIMITS, drain_seconds=CLIENT_SECONDS)
        with session(through(impatient, proxy), limits=limits) as one:
            wait_until(lambda: one.errors or away.refused)
            report = one.end()
    assert impatient.events() == sorted(events)
    assert [stream.accepted for stream in report.streams] == [len(events), 0]
    assert balanced(report)


@pytest.mark.parametrize("name", ["UNAVAILABLE", "hangs"])
def test_leases_that_cannot_be_extended_for_longer_than_the_client_tries(
    impatient: Systems, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A RetryError ends the subscriber's stream, with what it held; no answer does not."""
    away = Away(("/ModifyAckDeadline",), AWAY[name])
    events = made_events(60)
    topic = impatient.reading.interaction_topic
    ended = f"stream_reopened.*Timeout of {CLIENT_SECONDS}s exceeded"
    with GrpcProxy(impatient.pubsub.emulator_host, away) as proxy:
        impatient.publish(topic, map(payload, events[:40]))
        with session(through(impatient, proxy)) as one:
            if name == "hangs":
                wait_until(lambda: one.errors or written(impatient, one.id) >= 40)
            else:
                wait_until(lambda: one.errors or re.search(ended, caplog.text))
            assert away.refused
            assert not one.errors
            away.on = False
            impatient.publish(topic, map(payload, events[40:]))
            wait_until(lambda: one.errors or written(impatient, one.id) >= len(events), seconds=60)
            report = one.end()
    assert impatient.events() == sorted(events)
    assert impatient.pull(impatient.reading.interaction_subscription) == []
    assert balanced(report)


def test_pubsub_that_is_away_altogether(impatient: Systems) -> None:
    """From before the session begins: it waits for it, and is the one that goes on."""
    away = Away(("",), AWAY["UNAVAILABLE"])
    events = made_events(60)
    topic = impatient.reading.interaction_topic
    impatient.publish(topic, ["no json", *map(payload, events)])
    with (
        GrpcProxy(impatient.pubsub.emulator_host, away) as proxy,
        session(through(impatient, proxy)) as one,
    ):
        wait_until(lambda: one.errors or away.refused >= TIMES)
        assert not one.errors
        away.on = False
        wait_until(lambda: one.errors or written(impatient, one.id) >= 61, seconds=60)
        report = one.end()
    assert impatient.events() == sorted(events)
    assert impatient.pull(impatient.reading.interaction_subscription) == []
    assert balanced(report)
