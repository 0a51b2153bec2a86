"""`docs/a-sixth-pipeline.md`, built exactly as it stands and run on real servers."""

from __future__ import annotations

import json
import re
import sys
import time

import psycopg
import pymongo
import pytest

from local.service import REPOSITORY
from migrations.upgrade import upgrade
from resources.minio import MinioResource
from tests import processes
from tests.e2e.copied_tree import copied_tree

pytestmark = pytest.mark.servers("postgres", "s3", "mongo")

DOCUMENT = (REPOSITORY / "docs" / "a-sixth-pipeline.md").read_text()
#: Path and content of every file that the page shows.
FILES = dict(re.findall(r"`(assets/orders/\w+\.py)`.*?```python\n(.*?)```", DOCUMENT, re.DOTALL))
GOOD = [(f"o{number}", f"c{number % 7}", number * 1.5) for number in range(40)]
HEADER = "order_id,customer,amount,placed_at\n"


def line(order: str, customer: str, amount: object) -> str:
    return f"{order},{customer},{amount},2026-11-{int(order[1:] or 1) % 9 + 1:02d} 10:00:00\n"


def content(orders: list[tuple[str, str, float]]) -> bytes:
    bad = ["o99,c,much,2026-11-01 10:00:00\n", ",c,1,2026-11-01 10:00:00\n"]
    return (HEADER + "".join([line(*order) for order in orders] + bad)).encode()


def test_it_fits_into_one_small_package():
    assert sorted(FILES) == [
        "assets/orders/__init__.py", "assets/orders/pipeline.py", "assets/orders/rules.py",
    ]  # fmt: skip
    assert sum(text.count("\n") for text in FILES.values()) <= 200


def test_two_bad_rows_are_set_aside_and_the_others_are_in_both_stores(env, tmp_path):
    upgrade(env["POSTGRES_URL"])
    mark = env["POSTGRES_URL"].rpartition("_")[2]
    names = {
        "ORDERS_BUCKET": f"orders-{mark}",
        "ORDERS_QUARANTINE_BUCKET": f"orders-quarantine-{mark}",
        "ORDERS_MONGO_DATABASE": f"orders_{mark}",
    }
    minio = MinioResource(
        endpoint=env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    ).client()
    for variable in ("ORDERS_BUCKET", "ORDERS_QUARANTINE_BUCKET"):
        minio.make_bucket(names[variable])

    def put(data: bytes) -> None:
        (tmp_path / "orders.csv").write_bytes(data)
        minio.fput_object(names["ORDERS_BUCKET"], "in/orders.csv", str(tmp_path / "orders.csv"))
        time.sleep(2.5)  # an object without versions is taken once its second is over

    with copied_tree() as tree:
        for path, text in FILES.items():
            (tree.root / path).parent.mkdir(exist_ok=True)
            (tree.root / path).write_text(text)
        listed = tree.root / "assets" / "pipelines.py"
        text = listed.read_text()
        assert '"images")' in text
        listed.write_text(text.replace('"images")', '"images", "orders")'))
        variables = {**processes.environment(env), **names, "PYTHONPATH": str(tree.root)}
        variables["QUINTET_PIPELINES"] = "orders"

        def run() -> dict:
            command = [sys.executable, str(tree.root / "tests" / "e2e" / "orders_run.py")]
            said = processes.output_of(command, env=variables, cwd=tmp_path, timeout=240)
            return json.loads(said.splitlines()[-1])

        put(content(GOOD))
        first = run()
        held = stores(env, names)
        put(content([("o1", "someone else", 9.0), *GOOD[2:]]))
        second = run()
        corrected = stores(env, names)

    assert "orders_minio_sensor" in first["sensors"]
    assert {"orders", "orders_audit", "maintenance"} <= set(first["jobs"])
    standing = {
        "no_batch_failed_for_good", "no_object_left_waiting", "records_can_be_given_again",
    }  # fmt: skip
    assert standing <= set(first["checks"])
    (done,) = first["runs"]
    assert done["success"]
    assert done["checks"] == {
        "rows_balance": True, "rejected_share": True, "holds_the_batch": True,
    }  # fmt: skip
    expected = {order: (customer, amount) for order, customer, amount in GOOD}
    assert held == (expected, expected)
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        quarantined = connection.execute(
            "SELECT rows, reasons FROM landing.quarantine WHERE batch_id = %s", (done["batch"],)
        ).fetchone()
        states = connection.execute("SELECT DISTINCT state FROM landing.batch").fetchall()
    assert quarantined == (2, {"bad_amount": 1, "missing_order_id": 1})
    assert states == [("loaded_with_rejects",)]
    assert second["runs"][0]["success"]
    expected["o1"] = ("someone else", 9.0)
    assert corrected == (expected, expected)


def stores(env, names):
    """What Postgres and MongoDB hold: customer and amount by order."""
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        rows = connection.execute("SELECT order_id, customer, amount FROM orders.orders").fetchall()
    with pymongo.MongoClient(env["MONGO_URI"]) as client:
        documents = list(client[names["ORDERS_MONGO_DATABASE"]]["orders"].find())
    return (
        {order: (customer, amount) for order, customer, amount in rows},
        {one["_id"]: (one["customer"], one["amount"]) for one in documents},
    )
