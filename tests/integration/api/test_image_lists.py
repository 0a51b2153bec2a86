"""Tasks, items and values of images as lists, against rows that the test has put there."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.integration.api.listed import everywhere, of_csv, paged

pytestmark = pytest.mark.servers("postgres")
AT = datetime(2026, 11, 28, tzinfo=UTC)
NAMES = ['Shoe "A", red\nlarge', "=1+1", "'so", None, "#complete", "Ä, Ö"]
COLOURS = ["Red", "Blue", None]


@pytest.fixture
def postgres(service, env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def product(postgres, number):
    """Whose image can be worked on unless its number is a multiple of four."""
    said = (NAMES[number % 6], COLOURS[number % 3], 2010 + number % 2)
    postgres.execute(
        "INSERT INTO images.product (id, gender, product_display_name, base_colour, year, repaired,"
        " row_hash, ingested_at) VALUES (%s, 'Men', %s, %s, %s, false, 'h', now())",
        (number, *said),
    )
    postgres.execute(
        "INSERT INTO images.image (product_id, key, version, modified_at, size, status, row_hash,"
        " ingested_at) VALUES (%s, 'k', 'v', now(), 1, %s, 'h', now())",
        (number, "ok" if number % 4 else "corrupt"),
    )
    return said


def task(postgres, name, at=AT, state="running"):
    postgres.execute(
        "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at,"
        " state, problems) VALUES (%s, %s, 'h', 's3://requests/one.json', %s, %s, '{\"a,b\"}')",
        (name, Jsonb({}), at, state),
    )


def item(postgres, name, number, product_id, status):
    postgres.execute(
        "INSERT INTO images.image_task_item (task_id, number, product_id, extension, status,"
        " detail, width, bytes) VALUES (%s, %s, %s, 'png', %s, '', 256, 7)",
        (name, number, product_id, status),
    )


def test_items_and_their_outcomes_are_listed_with_what_the_catalogue_says(service, postgres):
    task(postgres, "shoes")
    task(postgres, "others")
    outcomes = ["ok", "missing", None, "timeout", "ok", "corrupt", "ok"]
    expected = {}
    for number, status in enumerate(outcomes, 1):
        expected[number] = (*product(postgres, number), status)
        item(postgres, "shoes", number, number, status)
    item(postgres, "others", 1, 7, "ok")
    rows = everywhere(service, "/v1/images/tasks/shoes/items")
    assert {
        one["number"]: (
            one["product_display_name"], one["base_colour"], one["year"], one["status"]
        )
        for one in rows
    } == expected  # fmt: skip
    assert [one["number"] for one in rows] == list(expected)
    assert [one["path"] for one in rows if one["path"]] == ["1.png", "5.png", "7.png"]

    def numbers(status):
        return [one["number"] for one in paged(service, path, status=status)]

    path = "/v1/images/tasks/shoes/items"
    assert numbers("waiting") == [3]
    assert numbers("not_ok") == [2, 4, 6]
    assert numbers("ok") == [1, 5, 7]
    assert [one["status"] for one in of_csv(service, path, status="not_ok")] == [
        "missing", "timeout", "corrupt",
    ]  # fmt: skip

    one = service.get(f"{path}/2").json()["answer"]
    assert one == rows[1]
    assert service.get(f"{path}/99").json()["code"] == "unknown_item"
    for form in ("json", "csv"):
        nobody = service.get("/v1/images/tasks/none/items", params={"format": form})
        assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_task")


def test_tasks_that_were_asked_for_at_one_moment_come_once(service, postgres):
    states = ["running", "done", "failed"]
    for n in range(11):
        task(postgres, f"t{n:02}", AT + timedelta(seconds=n // 4), states[n % 3])
    names = [one["task_id"] for one in everywhere(service, "/v1/images/tasks", limit=3)]
    assert names == [f"t{n:02}" for n in sorted(range(11), key=lambda n: (n // 4, n))[::-1]]
    done = [one["task_id"] for one in paged(service, "/v1/images/tasks", state="done")]
    assert done == [name for name in names if int(name[1:]) % 3 == 1]


def test_what_a_request_may_ask_for_is_counted(service, postgres):
    for number in range(1, 14):
        product(postgres, number)
    rows = everywhere(service, "/v1/images/catalogue/values")
    with_image = [n for n in range(1, 14) if n % 4]
    expected = []
    for field, of in (
        ("base_colour", lambda n: COLOURS[n % 3]),
        ("gender", lambda n: "Men"),
        ("year", lambda n: str(2010 + n % 2)),
    ):
        products = Counter(value for n in range(1, 14) if (value := of(n)) is not None)
        images = Counter(of(n) for n in with_image)
        expected += [
            {"field": field, "value": value, "products": count, "images": images[value]}
            for value, count in sorted(products.items(), key=lambda one: (-one[1], one[0]))
        ]
    assert rows == expected
    years = paged(service, "/v1/images/catalogue/values", field="year")
    assert years == [one for one in rows if one["field"] == "year"]


def test_a_cursor_of_another_list_is_refused(service, postgres):
    for name in ("shoes", "others"):
        task(postgres, name)
        for number in (1, 2, 3):
            item(postgres, name, number, number, "ok")
    path = "/v1/images/tasks/{}/items"
    cursor = service.get(path.format("shoes"), params={"limit": 1}).json()["answer"]["next"]
    for asked in (
        (path.format("others"), {"cursor": cursor}),
        (path.format("shoes"), {"cursor": cursor, "status": "ok"}),
        (path.format("shoes"), {"cursor": cursor[:-1]}),
        (path.format("shoes"), {"cursor": "null"}),
        (path.format("shoes"), {"cursor": cursor[:-1], "format": "csv"}),
    ):
        said = service.get(asked[0], params=asked[1])
        assert (said.status_code, said.json()["code"]) == (422, "invalid_request"), asked
        assert said.json()["errors"][0]["name"] == "cursor"
    rest = service.get(path.format("shoes"), params={"cursor": cursor, "format": "ndjson"})
    assert rest.text.count('"number"') == 2
