"""Tasks of images and descriptions of domains, from what Postgres holds of them."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.types.json import Jsonb

from api import keys
from assets.domains.tables import PUBLISHED
from assets.sinks.postgres import ensure

pytestmark = pytest.mark.servers("postgres")
AT = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def postgres(service, env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def task(postgres, name, state):
    postgres.execute(
        "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at,"
        " state, items, settled) VALUES (%s, %s, 'h', 's3://requests/one.json', %s, %s, 3, 1)",
        (name, Jsonb({}), AT, state),
    )
    postgres.execute(
        "INSERT INTO images.image_task_item (task_id, number, product_id, extension, status)"
        " VALUES (%s, 1, 7, 'png', 'corrupt'), (%s, 2, 8, 'png', NULL)",
        (name, name),
    )


def test_a_task_and_an_operator_s_word_to_it(service, postgres):
    writer = {"Authorization": f"Bearer {keys.make(postgres, 'w', ['write'])}"}
    task(postgres, "shoes", "running")
    found = service.get("/v1/images/tasks/shoes").json()
    assert (found["state"], found["items"], found["settled"]) == ("running", 3, 1)
    assert found["counts"] == {"corrupt": 1}
    listed = service.get("/v1/images/tasks").json()["answer"]
    assert ([one["task_id"] for one in listed["rows"]], listed["next"]) == (["shoes"], None)

    reader = service.post("/v1/images/tasks/shoes/cancel")
    assert (reader.status_code, reader.json()["code"]) == (403, "scope_missing")
    resumed = service.post("/v1/images/tasks/shoes/resume", headers=writer)
    assert (resumed.status_code, resumed.json()["code"]) == (409, "wrong_state")
    assert service.post("/v1/images/tasks/shoes/cancel", headers=writer).status_code == 200
    row = postgres.execute("SELECT cancel_requested FROM images.image_task").fetchone()
    assert row == (True,)
    nobody = service.post("/v1/images/tasks/none/cancel", headers=writer)
    assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_task")


def test_a_domain_of_a_month_or_of_the_latest(service, postgres):
    none_yet = service.get("/v1/domains/a.de/description")
    assert (none_yet.status_code, none_yet.json()["code"]) == (409, "nothing_loaded")
    ensure(postgres, PUBLISHED)
    for month in ("2025-02-01", "2025-03-01"):
        postgres.execute(
            "INSERT INTO domains.published_description"
            " (month, domain, category, description, prompt_hash)"
            " VALUES (%s, 'a.de', 'Shoes', %s, 'h')",
            (month, f"As of {month}"),
        )
    latest = service.get("/v1/domains/a.de/description").json()["answer"]
    assert (latest["month"], latest["description"]) == ("2025-03", "As of 2025-03-01")
    before = service.get("/v1/domains/a.de/description", params={"month": "2025-02"}).json()
    assert before["answer"]["description"] == "As of 2025-02-01"
    none = service.get("/v1/domains/b.de/description")
    assert (none.status_code, none.json()["code"]) == (404, "unknown_domain")
    assert service.get("/v1/domains/a.de/description?month=2025-13").status_code == 422
