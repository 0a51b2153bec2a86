"""Objects that are put, rewritten and deleted while every process is killed, and what must remain.

Belongs here: the uploader, the killer, and the recount, which knows the ledger's outcomes and its
own log of what it put, and no code of landing. Does not: how long it goes on (``benchmarks``,
``tests/e2e``). The catalogue of images is what lands: its one sink is a table, so that a run is
little else than landing itself.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
import psutil
import psycopg

from landing.stores.minio import MinioStore
from local.dagster_processes import DagsterProcesses
from resources.minio import MinioResource

SOURCE = "images_catalogue_minio"
_HEADER = (
    "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,"
    "productDisplayName\n"
)
#: Products and keys that there are: few, so that objects tell of each other's products.
_PRODUCTS, _KEYS = 400, 40
#: The store tells two writes apart by the second; so long after one the next comes.
_BETWEEN_WRITES = 1.1


@dataclass(frozen=True, slots=True)
class Written:
    """One version of one object; ``names`` by product."""

    key: str
    version: str
    modified_at: datetime
    names: Mapping[int, str]


@dataclass
class Uploader:
    """Writes what nobody has written before; remembers all of it."""

    env: Mapping[str, str]
    seed: int
    written: list[Written] = field(default_factory=list)
    current: dict[str, Written] = field(default_factory=dict)
    deleted: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        client = MinioResource(
            endpoint=self.env["MINIO_ENDPOINT"],
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
        ).client()
        self._store = MinioStore(client, self.env["IMAGES_PRODUCTS_BUCKET"])
        self._next = 0.0

    def step(self) -> None:
        """One put, rewrite or deletion, once the last one's second is over."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        draw = self._random
        if self.current and draw.random() < 0.12:
            key = draw.choice(sorted(self.current))
            self._store.delete(key)
            del self.current[key]
            self.deleted += 1
        else:
            number = len(self.written)
            key = f"styles/{draw.choice('aäZ_ %')}{draw.randrange(_KEYS):02}.csv"
            products = draw.sample(range(1, _PRODUCTS + 1), draw.randint(1, 40))
            names = {product: f"Shirt {product} of write {number}" for product in products}
            put = self._store.put(key, _csv(names))
            self.current[key] = Written(key, put.version, put.modified_at, names)
            self.written.append(self.current[key])
        self._next = time.monotonic() + _BETWEEN_WRITES


def _csv(names: Mapping[int, str]) -> bytes:
    lines = [
        f"{product},Men,Apparel,Topwear,Shirts,Blue,Fall,2010,Casual,{name}\n"
        for product, name in names.items()
    ]
    return (_HEADER + "".join(lines)).encode()


@dataclass
class Killer:
    """Kill -9 of a random process of Dagster's; a server or daemon that died is started again.

    ``spares_starting`` waits until no run is starting: one that dies then is known to be dead after
    ``start_timeout_seconds`` of dagster.yaml only, for which a short test has no time.
    """

    processes: DagsterProcesses
    seed: int
    spares_starting: bool = False
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def strike(self) -> None:
        """Kill one kind of process, or all at once."""
        while self.spares_starting and _starting():
            time.sleep(0.2)
        pid = self.processes.pids().get("daemon")
        if pid is None:
            self._start_again()
            return
        serving = self._of("code")
        family = [one for server in serving for one in server.children(recursive=True)]
        spawned = [one for one in family if _is_spawned(one)]
        server = self._of("runs")
        aimed = {
            "worker": [*spawned, *(fork for one in server for fork in one.children())],
            "code server": [*serving, *(one for one in family if one not in spawned)],
            "run server": server,
        }
        what = self._random.choice(
            ["worker", "worker", "worker", "code server", "run server", "daemon", "all"]
        )
        if what == "all":
            self.processes.kill()
        elif what == "daemon":
            psutil.Process(pid).kill()
        elif not aimed[what]:
            return
        else:
            _kill(self._random.choice(aimed[what]))
        self.killed[what] += 1
        if what in {"daemon", "all"}:
            self._start_again()
        elif what != "worker":
            psutil.wait_procs(aimed[what], timeout=2)
            self.processes.start(webserver=False)

    def _of(self, name: str) -> list[psutil.Process]:
        pid = self.processes.pids().get(name)
        return [psutil.Process(pid)] if pid else []

    def _start_again(self) -> None:
        """Now and then it dies once more in its first seconds: the sensors' first loop."""
        self._start()
        if self._random.random() < 0.4:
            time.sleep(self._random.uniform(3.0, 12.0))
            pid = self.processes.pids().get("daemon")
            if pid is not None:
                psutil.Process(pid).kill()
                self.killed["daemon in its first loop"] += 1
            self._start()

    def _start(self) -> None:
        pid = self.processes.pids().get("daemon")
        if pid is not None:
            psutil.wait_procs([psutil.Process(pid)], timeout=20)
        self.processes.start(webserver=False)


def _starting() -> bool:
    with dg.DagsterInstance.get() as instance:
        filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])
        return bool(instance.get_runs(filters, limit=1))


def _is_spawned(process: psutil.Process) -> bool:
    """Whether it executes a run that started cold."""
    try:
        return "--multiprocessing-fork" in process.cmdline()
    except psutil.Error:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def waiting(url: str) -> int:
    """Objects and batches of the source that are not loaded yet."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            """
            SELECT (SELECT count(*) FROM landing.object_version
                    WHERE source = %(source)s AND outcome IS NULL)
                 + (SELECT count(*) FROM landing.batch
                    WHERE source = %(source)s AND state NOT IN ('loaded', 'loaded_with_rejects'))
            """,
            {"source": SOURCE},
        ).fetchone()
    return int(row[0]) if row else 0


def ask_again(url: str) -> None:
    """As `make replay` does, instead of waiting for minutes of backoff."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE landing.batch SET next_attempt_at = now() WHERE next_attempt_at > now()"
        )


def recount(env: Mapping[str, str], uploader: Uploader) -> dict[str, int]:
    """Compare ledger and table with what was put; what there was, in figures.

    Raises AssertionError where a version is lost or doubled, or a product has another name than
    the version gave it that arrived last of those that were loaded.
    """
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        rows = connection.execute(
            """
            SELECT key, version, outcome, rows_read, rows_written + rows_unchanged
                + rows_superseded + rows_rejected, rows_rejected
            FROM landing.object_version WHERE source = %s
            """,
            (SOURCE,),
        ).fetchall()
        stored = dict(
            connection.execute("SELECT id, product_display_name FROM images.product").fetchall()
        )
    outcomes: dict[tuple[str, str], list[str]] = defaultdict(list)
    counted: dict[tuple[str, str], Any] = {}
    for key, version, outcome, read, told, rejected in rows:
        outcomes[key, version].append(outcome)
        if outcome == "loaded":
            counted[key, version] = (read, told, rejected)
    loaded = [one for one in uploader.written if "loaded" in outcomes.get(_of(one), ())]
    for one in loaded:
        assert outcomes[_of(one)].count("loaded") == 1, f"loaded twice: {one.key}"
        assert counted[_of(one)] == (len(one.names), len(one.names), 0), one.key
    for one in uploader.current.values():
        assert one in loaded, f"lost: {one.key} {one.version} {outcomes.get(_of(one))}"
    unknown = outcomes.keys() - {_of(one) for one in uploader.written}
    assert not unknown, f"nobody put these: {sorted(unknown)}"
    expected: dict[int, str] = {}
    for one in sorted(loaded, key=lambda one: one.modified_at):
        expected.update(one.names)
    wrong = {
        product: (stored.get(product), expected.get(product))
        for product in stored.keys() | expected.keys()
        if stored.get(product) != expected.get(product)
    }
    assert not wrong, f"{len(wrong)} products are wrong: {dict(list(wrong.items())[:5])}"
    return {
        "versions": len(uploader.written),
        "deleted": uploader.deleted,
        "loaded": len(loaded),
        "rows": sum(len(one.names) for one in loaded),
        "products": len(stored),
    }


def _of(one: Written) -> tuple[str, str]:
    return one.key, one.version
