"""What Prometheus reads, against rows of the ledger that the test has put there."""

from __future__ import annotations

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.servers("postgres")


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_sources_and_requests_are_counted(service, env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,"
            " created_at) VALUES"
            " ('b1', 'campaigns_gcs', 'campaigns', 'failed_permanent', 1, 1, now()),"
            " ('b2', 'campaigns_gcs', 'campaigns', 'loaded', 1, 1, now())"
        )
        connection.execute(
            "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
            " modified_at, seen_at, batch_id) VALUES ('campaigns_gcs', 'gcs', 'b', 'k', '1', 1,"
            " now(), now() - interval '1 hour', 'b1')"
        )
        connection.execute(
            "INSERT INTO landing.quarantine (batch_id, bucket, key, rows, reasons, written_at)"
            " VALUES ('b2', 'q', 'k', 7, '{}', now())"
        )
        for user in ("a", "b"):
            assert service.get(f"/v1/images/tasks/{user}/items").status_code == 404
        found = samples(service.get("/metrics").text)
        of = (("source", "campaigns_gcs"),)
        assert 3_600 <= found["quintet_source_oldest_seconds", of] < 7_200
        assert found["quintet_quarantined_rows", of] == 7
        assert found["quintet_batches_open", (*of, ("state", "failed_permanent"))] == 1
        assert ("quintet_batches_open", (*of, ("state", "loaded"))) not in found
        asked = (
            ("method", "GET"),
            ("route", "/v1/images/tasks/{task_id}/items"),
            ("status", "404"),
        )
        assert found["quintet_request_seconds_count", tuple(sorted(asked))] == 2
        assert found["quintet_system_there", (("system", "postgres"),)] == 1

        connection.execute("UPDATE landing.batch SET state = 'loaded'")
        later = samples(service.get("/metrics").text)
        assert later["quintet_source_oldest_seconds", of] == 0
        assert not any(name == "quintet_batches_open" for name, _ in later)
