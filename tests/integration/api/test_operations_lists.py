"""Batches, rejected rows, streams and costs as lists, against rows that the test has put there."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta

import polars as pl
import psycopg
import pytest
from psycopg.types.json import Jsonb

from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import REJECT_SCHEMA
from landing.batch.quarantine import QuarantineWriter
from landing.stores.gcs import GcsStore
from resources.gcs import GcsResource
from tests.integration.api.listed import everywhere, of_csv, paged
from tests.integration.api.test_metrics import samples

pytestmark = pytest.mark.servers("postgres", "gcs", "s3")
AT = datetime(2026, 11, 28, tzinfo=UTC)
SOURCE = "campaigns_gcs"
TEXTS = ["=cmd|' /C calc'!A0", 'a,"b"\nc', "", "plain", "\tx"]


@pytest.fixture
def postgres(service, env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def batch(postgres, batch_id, state="loaded", source=SOURCE, pipeline="campaigns"):
    postgres.execute(
        "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes, created_at)"
        " VALUES (%s, %s, %s, %s, 1, 10, %s)",
        (batch_id, source, pipeline, state, AT),
    )


def rejected(postgres, store, batch_id, count):
    """So many rejected rows of two objects, in quarantine as validation leaves them."""
    rows = []
    with QuarantineWriter(("bad_timestamp", "too_few_fields", "bad_header")) as writer:
        for n in range(count):
            version = ObjectVersion("gcs", "b", f"{n % 2}.csv", "7", 1, AT)
            reason = ("bad_timestamp", "too_few_fields")[n % 3 == 0]
            row = (n + 2, reason, None, TEXTS[n % len(TEXTS)], False)
            writer.add(version, pl.DataFrame([row], schema=REJECT_SCHEMA, orient="row"))
            rows.append((batch_id, n + 1, version.uri, n + 2, reason, TEXTS[n % len(TEXTS)]))
        key = writer.put(store, "campaigns", batch_id)
        postgres.execute(
            "INSERT INTO landing.quarantine (batch_id, bucket, key, rows, reasons, written_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (batch_id, store.bucket, key, writer.rows, Jsonb(dict(writer.reasons)), AT),
        )
    return rows


@pytest.fixture
def store(env):
    with closing(GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()) as client:
        yield GcsStore(client, env["QUARANTINE_BUCKET"])


def shown(rows):
    names = ("batch_id", "number", "object", "line", "reason", "text")
    return [tuple(one[name] for name in names) for one in rows]


def test_rejected_rows_of_many_batches_are_one_list(service, postgres, store):
    expected = []
    for n, count in enumerate((5, 1, 3, 7)):
        batch(postgres, f"b{n}", "loaded_with_rejects")
        expected = rejected(postgres, store, f"b{n}", count) + expected
    batch(postgres, "b9")
    path = "/v1/operations/quarantine/rows"
    for limit in (1, 3, 100):
        assert shown(paged(service, path, limit=limit, source=SOURCE)) == expected
    assert shown(everywhere(service, path)) == expected
    assert shown(paged(service, path, batch="b2")) == [one for one in expected if one[0] == "b2"]
    few = [one for one in expected if one[4] == "too_few_fields"]
    assert shown(paged(service, path, reason="too_few_fields")) == few
    assert paged(service, path, source="music_minio") == []
    assert [one["text"] for one in of_csv(service, path, batch="b1")] == ["'" + TEXTS[0]]

    wrong = service.get(path, params={"source": "none"})
    assert (wrong.status_code, wrong.json()["code"]) == (404, "unknown_source")
    wrong = service.get(path, params={"batch": "none"})
    assert (wrong.status_code, wrong.json()["code"]) == (404, "unknown_batch")

    reasons = Counter(one[4] for one in expected)
    postgres.execute("UPDATE landing.quarantine SET replayed_at = now() WHERE batch_id = 'b3'")
    waiting = Counter(one[4] for one in expected if one[0] != "b3")
    counts = everywhere(service, "/v1/operations/quarantine/counts")
    assert {one["reason"]: (one["rows"], one["waiting"]) for one in counts} == {
        reason: (reasons[reason], waiting[reason]) for reason in reasons
    }
    by_batch = everywhere(service, "/v1/operations/quarantine/batches", source=SOURCE)
    assert [(one["batch_id"], one["rows"]) for one in by_batch] == [
        ("b3", 7), ("b2", 3), ("b1", 1), ("b0", 5),
    ]  # fmt: skip

    store.delete("campaigns/b2.parquet")
    rows = paged(service, path)
    (gone,) = [one for one in rows if one["batch_id"] == "b2"]
    assert gone["reason"] == "quarantine_gone"
    assert len(rows) == len(expected) - 3 + 1


def test_rows_that_sinks_refuse_are_listed_and_counted(service, postgres):
    batch(postgres, "b1", "loaded_with_rejects")
    for sink in ("mongo", "graph"):
        postgres.execute(
            "INSERT INTO landing.batch_sink (batch_id, sink, state) VALUES ('b1', %s, 'done')",
            (sink,),
        )
        for n in range(3):
            postgres.execute(
                "INSERT INTO landing.refused_row (batch_id, sink, record_key, source, line, detail,"
                " refused_at) VALUES ('b1', %s, %s, 'gs://b/a.csv#7', %s, 'too large', %s)",
                (sink, f"k{n}", n, AT),
            )
    rows = everywhere(service, "/v1/operations/quarantine/refused", batch="b1")
    assert [(one["sink"], one["record_key"]) for one in rows] == [
        (sink, f"k{n}") for sink in ("graph", "mongo") for n in range(3)
    ]
    (count,) = paged(service, "/v1/operations/quarantine/counts", source=SOURCE)
    assert (count["reason"], count["rows"]) == ("rejected_by_sink", 6)
    (one,) = paged(service, "/v1/operations/batches")
    assert (one["batch_id"], one["rejected"], one["refused"]) == ("b1", 0, 6)


def test_batches_are_listed_by_state_and_source(service, postgres):
    states = ["loaded", "failed_transient", "running", "loaded_with_rejects", "failed_permanent"]
    for n in range(12):
        source = ("campaigns", "music")[n % 2]
        batch(postgres, f"b{n:02}", states[n % 5], f"{source}_x", source)
    every = [f"b{n:02}" for n in reversed(range(12))]

    def ids(**asked):
        rows = everywhere(service, "/v1/operations/batches", **asked)
        return [one["batch_id"] for one in rows]

    assert ids() == every
    assert ids(source="music_x") == [one for one in every if int(one[1:]) % 2]
    assert ids(state="open") == [one for one in every if int(one[1:]) % 5 in {1, 2, 4}]
    assert ids(state="failed_permanent", source="campaigns_x") == ["b04"]
    assert service.get("/v1/operations/batches?state=lost").status_code == 422


def test_streams_messages_and_costs_are_lists_and_metrics(service, postgres):
    for n, session in enumerate(("old", "new")):
        at = AT + timedelta(hours=n)
        postgres.execute(
            "INSERT INTO reading.session (session_id, state, started_at, updated_at)"
            " VALUES (%s, 'serving', %s, %s)",
            (session, at, at),
        )
        for subscription in ("interactions", "meta"):
            postgres.execute(
                "INSERT INTO reading.session_stream (session_id, subscription, received, pending,"
                " lag, latency_p95) VALUES (%s, %s, 10, %s, %s, 0.5)",
                (session, subscription, n, 2.5 * n if subscription == "meta" else None),
            )
    rows = everywhere(service, "/v1/operations/streams", limit=1)
    assert [(one["session_id"], one["subscription"], one["lag"]) for one in rows] == [
        ("new", "meta", 2.5), ("new", "interactions", None),
        ("old", "meta", 0.0), ("old", "interactions", None),
    ]  # fmt: skip

    for n in range(5):
        postgres.execute(
            "INSERT INTO reading.rejected_message (subscription, message_id, publish_time,"
            " ordering_key, attributes, data, reason, detail, attempts, session_id, rejected_at)"
            " VALUES ('meta', %s, %s, '', '{}', %s, %s, 'd', 1, 'new', %s)",
            (str(n), AT, b"{\xff\x00", ("bad_json", "bad_id")[n % 2], AT),
        )
    messages = everywhere(service, "/v1/operations/messages")
    assert [one["message_id"] for one in messages] == list("43210")
    assert messages[0]["data"] == "{\\377\\000"
    odd = paged(service, "/v1/operations/messages", reason="bad_id", subscription="meta")
    assert [one["message_id"] for one in odd] == list("31")

    postgres.execute(
        "INSERT INTO domains.openai_budget (key, maximum, spent, reserved, written_off)"
        " VALUES ('2025-03', 5000000, 1234567, 10, 20), ('2025-02', 4000000, 0, 0, 0)"
    )
    postgres.execute(
        "INSERT INTO domains.openai_attempt (prompt_hash, attempt, mode, budget, result, paid,"
        " prompt_tokens, completion_tokens, cost) VALUES"
        " ('h', 1, 'direct', '2025-03', 'ok', 'yes', 100, 20, 5),"
        " ('h', 2, 'direct', '2025-03', 'ok', 'yes', 11, 2, 5)"
    )
    costs = everywhere(service, "/v1/operations/costs", limit=1)
    assert [(one["month"], one["spent"], one["maximum"]) for one in costs] == [
        ("2025-03", 1.234567, 5.0), ("2025-02", 0.0, 4.0),
    ]  # fmt: skip
    assert (costs[0]["requests"], costs[0]["prompt_tokens"]) == (2, 111)
    assert costs[0]["completion_tokens"] == 22

    told = samples(service.get("/metrics").text)
    assert told["quintet_openai_spent_dollars", (("month", "2025-03"),)] == 1.234567
    assert told["quintet_openai_budget_dollars", (("month", "2025-02"),)] == 4.0
    meta = (("subscription", "meta"),)
    assert told["quintet_stream_lag_seconds", meta] == 2.5
    assert told["quintet_stream_latency_seconds", meta] == 0.5
    assert told["quintet_stream_pending", meta] == 1
    heard = (datetime.now(UTC) - AT - timedelta(hours=1)).total_seconds()
    assert abs(told["quintet_stream_heard_seconds", meta] - max(heard, 0.0)) < 600
    assert ("quintet_stream_lag_seconds", (("subscription", "interactions"),)) not in told
