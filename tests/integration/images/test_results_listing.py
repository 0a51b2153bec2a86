"""A task's results against its items: what is found, and what a listing leaves alone meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from assets.images.tasks import results_listing
from assets.sinks.result import SAMPLE
from migrations.upgrade import upgrade
from tests.memory_store import MemoryStore

pytestmark = pytest.mark.servers("postgres")

#: Small, so that a listing has many pages.
PAGE = 7
ITEMS = 150
STATUSES = ("ok", "ok", "ok", "ok", None, "missing", "corrupt", "timeout")
#: What lies beside the images, and is none.
BESIDE = (
    "metadata.csv",
    "metadata.parquet",
    "result.json",
    "refused.json",
    "webdataset/000000.tar",
)
STRANGE = ("007.jpg", "1.png", "x.jpg", "9" * 30 + ".jpg", "²1.jpg", "12", ".jpg", "12.jpg.part")


class Task:
    """Items and objects drawn by chance, and a plain account of what follows from them."""

    def __init__(self, connection: psycopg.Connection[Any], seed: int) -> None:
        chosen = random.Random(seed)
        self.connection, self.store = connection, MemoryStore("results", kind="minio")
        self.good, self.waiting = dict[str, int](), set[str]()
        settled = 0
        connection.execute(
            "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at)"
            " VALUES ('t', '{}', '', '', now())"
        )
        for number, product in enumerate(sorted(chosen.sample(range(2, 10**6), ITEMS)), 1):
            status, name, size = chosen.choice(STATUSES), f"{product}.jpg", chosen.randint(1, 9)
            settled += status is not None
            connection.execute(
                "INSERT INTO images.image_task_item (task_id, number, product_id, extension,"
                " status, bytes) VALUES ('t', %s, %s, 'jpg', %s, %s)",
                (number, product, status, size if status == "ok" else None),
            )
            if status == "ok":
                self.good[name] = size
            elif status is None:
                self.waiting.add(name)
            self._put(name, chosen.choice((size, size, size, size + 1, None)))
        for name in (*BESIDE, *STRANGE):
            self._put(name, 3)
        self.settled = settled
        connection.execute("UPDATE images.image_task SET settled = %s", (settled,))

    def _put(self, name: str, size: int | None) -> None:
        if size is not None:
            self.store.put(f"t/{name}", bytes(size))

    def held(self) -> dict[str, int]:
        return {key.removeprefix("t/"): len(data) for key, (_, data) in self.store.objects.items()}

    def statuses(self) -> dict[str, str | None]:
        return dict(
            self.connection.execute(
                "SELECT product_id || '.' || extension, status FROM images.image_task_item"
            ).fetchall()
        )


@pytest.fixture
def connection(env, monkeypatch) -> Iterator[psycopg.Connection[Any]]:
    monkeypatch.setattr(results_listing, "_PAGE", PAGE)
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as made:
        yield made


@pytest.mark.parametrize("seed", range(4))
def test_what_is_lost_waits_again_and_what_is_of_no_item_goes(connection, seed):
    task = Task(connection, seed)
    before, statuses = task.held(), task.statuses()
    lost = {name for name, size in task.good.items() if before.get(name) != size}
    strange = before.keys() - task.good.keys() - task.waiting - set(BESIDE)
    assert lost
    assert strange > set(STRANGE)

    found = results_listing.reconcile(connection, task.store, "t")

    assert found == (len(lost), len(strange))
    assert task.held() == {name: before[name] for name in before if name not in strange}
    assert task.statuses() == statuses | dict.fromkeys(lost)
    settled = connection.execute("SELECT settled FROM images.image_task").fetchone()
    assert settled == (task.settled - len(lost),)
    assert results_listing.reconcile(connection, task.store, "t") == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_verification_counts_what_is_missing_and_what_differs(connection, seed):
    task = Task(connection, seed)
    before, statuses = task.held(), task.statuses()
    missing = task.good.keys() - before.keys()
    differing = {
        name for name in task.good.keys() & before.keys() if before[name] != task.good[name]
    }

    found = results_listing.verify(connection, task.store, "t")

    assert (found.expected, found.missing, found.differing) == (
        len(task.good), len(missing), len(differing),
    )  # fmt: skip
    in_order = sorted(missing | differing, key=lambda name: int(name.split(".")[0]))
    assert list(found.sample) == in_order[:SAMPLE]
    assert task.statuses() == statuses
    assert task.held().keys() == (before.keys() & (task.good.keys() | task.waiting)) | set(BESIDE)


@pytest.mark.parametrize("listing", [results_listing.reconcile, results_listing.verify])
def test_no_transaction_is_open_while_a_bucket_is_listed_or_emptied(
    connection, env, monkeypatch, listing
):
    task = Task(connection, 0)
    (session,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    looked = list[str]()

    def looking(name: str) -> None:
        made = getattr(task.store, name)

        def look(*args: Any) -> Any:
            with psycopg.connect(env["POSTGRES_URL"]) as other:
                row = other.execute(
                    "SELECT state, xact_start, backend_xmin FROM pg_stat_activity WHERE pid = %s",
                    (session,),
                ).fetchone()
            assert row == ("idle", None, None)
            looked.append(name)
            return made(*args)

        monkeypatch.setattr(task.store, name, look)

    looking("list_page")
    looking("delete")
    listing(connection, task.store, "t")

    assert looked.count("list_page") > ITEMS / PAGE / 2
    assert looked.count("delete") > PAGE
