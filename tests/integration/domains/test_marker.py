"""From an object on S3 to the ledger's word that its month is published."""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from assets.domains.pipeline import DOMAINS
from assets.frame.execution import BATCH_TAG
from definitions import build_defs
from landing.arrival import ledger
from landing.arrival.requests import Request
from landing.arrival.tick import Ended, Tick, evaluate_tick
from landing.stores.s3 import S3Store
from resources.s3 import S3Resource
from tests.integration.domains.month_world import MONTH, MonthWorld
from tests.integration.domains.test_month import DOMAINS as NAMES
from tests.integration.domains.test_month import categories, rows
from tests.servers import OpenAIAdmin

pytestmark = pytest.mark.servers("postgres", "s3", "openai")

#: S3 tells times by the second: an object of this second may still change.
SETTLED = 2.5


class NoRuns:
    def how_ended(self, _run_key: str) -> Ended | None:
        return None

    def has_succeeded(self, _run_id: str) -> bool:
        return False

    def give_up(self, _run_id: str) -> Ended:
        return "began"


class Landing(MonthWorld):
    """Markers on S3, ticks and the runs that they ask for."""

    def put(self, key: str, data: bytes = b"") -> None:
        with closing(self._s3().client()) as client:
            S3Store(client, self.env["DOMAINS_BUCKET"]).put(key, data)

    def remove(self, key: str) -> None:
        with closing(self._s3().client()) as client:
            S3Store(client, self.env["DOMAINS_BUCKET"]).delete(key)

    def tick(self) -> Tick:
        places = DOMAINS.places()
        with (
            closing(self._s3().client()) as client,
            psycopg.connect(self.env["POSTGRES_URL"], autocommit=True) as connection,
        ):
            return evaluate_tick(
                DOMAINS.source(places.bucket, places.prefix),
                S3Store(client, places.bucket),
                connection,
                None,
                now=lambda: datetime.now(UTC),
                deadline=time.monotonic() + 20,
                clock=time.monotonic,
                runs=NoRuns(),
            )

    def follow(self, request: Request, *, raises: bool = True) -> dg.ExecuteInProcessResult:
        """The run as the sensor asks for it."""
        job = build_defs(pipelines=["domains"]).resolve_job_def("domains")
        names = [] if request.whole else [DOMAINS.key(name) for name in request.sinks]
        with dg.DagsterInstance.get() as instance:
            return job.execute_in_process(
                partition_key=request.partition_key,
                instance=instance,
                tags={BATCH_TAG: request.batch_id},
                asset_selection=names or None,
                raise_on_error=raises,
            )

    def batch(self, batch_id: str) -> ledger.Batch:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            found = ledger.batch(connection, batch_id)
        assert found is not None
        return found

    def _s3(self) -> S3Resource:
        return S3Resource(endpoint=self.env["AWS_ENDPOINT_URL_S3"], region="us-east-1")


@pytest.fixture
def landing(env: dict[str, str]) -> Landing:
    return Landing(env)


def test_an_empty_marker_publishes_its_month(landing: Landing) -> None:
    landing.fill(rows(), categories())
    landing.put(f"updates/{MONTH}/metrics.done")
    landing.put("updates/2031-01/too-early.done")
    time.sleep(SETTLED)
    tick = landing.tick()
    (request,) = tick.requests
    assert request.partition_key == MONTH
    assert tick.scan.ignored == {"no_unit": 1}
    # Who uploads may tidy up before we come: the name has said all.
    landing.remove(f"updates/{MONTH}/metrics.done")
    assert landing.follow(request).success
    assert landing.batch(request.batch_id).state == "loaded"
    assert {row["domain"] for row in landing.published()[1]} == NAMES
    assert not landing.tick().requests


def test_what_failed_is_done_again_from_where_it_stopped(
    landing: Landing, openai_admin: OpenAIAdmin
) -> None:
    landing.fill(rows(), categories())
    landing.put(f"updates/{MONTH}/a")
    landing.put(f"updates/{MONTH}/b", b"two of one month are one batch")
    time.sleep(SETTLED)
    (request,) = landing.tick().requests
    assert request.objects == 2
    openai_admin.set_faults(rates={"401": 1.0}, endpoints=["chat"])
    failed = landing.follow(request, raises=False)
    assert not failed.success
    noted = landing.batch(request.batch_id)
    assert noted.error_class == "permanent"
    openai_admin.end_faults()
    with psycopg.connect(landing.env["POSTGRES_URL"]) as connection:
        (taken,) = ledger.batches_in_run(connection, failed.run_id)
        assert taken is not None
        assert taken.batch_id == request.batch_id
        sinks = ledger.sinks(connection, [request.batch_id])[request.batch_id]
        assert {one.sink: one.state for one in sinks} == {
            "domain_metrics": "done", "domain_features": "done", "summary_prompts": "done",
            "domain_summaries": "failed", "published_descriptions": "pending",
        }  # fmt: skip
        # As the sensor of failed runs does, and then an operator.
        assert ledger.mark_failed(
            connection,
            request.batch_id,
            run_id=failed.run_id,
            error_class="permanent",
            error=noted.error or "",
            now=datetime.now(UTC),
        )
        assert ledger.reopen(connection, request.batch_id)
    (again,) = landing.tick().requests
    assert again.sinks == ("domain_summaries", "published_descriptions")
    assert not again.validate
    assert landing.follow(again).success
    assert landing.batch(request.batch_id).state == "loaded"


def test_a_month_that_waits_for_its_batch_waits_in_the_ledger_too(
    landing: Landing, openai_admin: OpenAIAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOMAINS_BATCH_FROM", "5")
    landing.fill(rows(), categories())
    landing.put(f"updates/{MONTH}/metrics.done")
    time.sleep(SETTLED)
    (request,) = landing.tick().requests
    assert landing.follow(request).success
    waits = landing.batch(request.batch_id)
    assert (waits.state, waits.error_class) == ("waiting", None)
    assert "wait for the Batch API" in (waits.error or "")
    assert waits.next_attempt_at is not None
    assert timedelta(minutes=55) < waits.next_attempt_at - datetime.now(UTC) <= timedelta(hours=1)
    with psycopg.connect(landing.env["POSTGRES_URL"]) as connection:
        sinks = ledger.sinks(connection, [request.batch_id])[request.batch_id]
    assert [one.state for one in sinks if one.sink == "domain_summaries"] == ["pending"]
    tick = landing.tick()
    assert tick.requests == ()
    assert "waiting for somebody else's work 1, for an operator 0" in tick.message
    # The sensor's run says nothing of a batch: it is the month's.
    (published,) = landing.until_asked()
    assert landing.run(assets=published.asset_selection).success
    done = landing.batch(request.batch_id)
    assert (done.state, done.waiting_since, done.error) == ("loaded", None, None)
    assert {row["domain"] for row in landing.published()[1]} == NAMES
    assert not landing.tick().requests


def test_a_month_that_nobody_asks_for_is_asked_for_by_the_ledger(
    landing: Landing, openai_admin: OpenAIAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOMAINS_BATCH_FROM", "5")
    landing.fill(rows(), categories())
    landing.put(f"updates/{MONTH}/metrics.done")
    time.sleep(SETTLED)
    (request,) = landing.tick().requests
    assert landing.follow(request).success
    with psycopg.connect(landing.env["POSTGRES_URL"]) as connection:
        connection.execute("UPDATE landing.batch SET next_attempt_at = now()")
    (again,) = landing.tick().requests
    assert (again.attempt, again.sinks) == (2, ("domain_summaries", "published_descriptions"))
    assert landing.follow(again).success
    assert landing.batch(request.batch_id).state == "loaded"
    assert landing.awaited() == []


def test_a_row_that_postgres_refuses_costs_itself_only_and_is_shown(
    landing: Landing, capsys: pytest.CaptureFixture[str]
) -> None:
    from ops import quarantine

    bad = "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(200))
    landing.fill([*rows(), (f"{MONTH}-01", "US", f"{bad}.com", 10, 1, 10)], categories())
    # A person's run, which no batch asked for: it says so, and the others are there.
    assert not landing.run(raises=False, assets=[DOMAINS.key("domain_metrics")]).success
    written = "SELECT domain FROM domains.domain_metrics"
    assert {domain for (domain,) in landing.query(written)} == NAMES

    landing.put(f"updates/{MONTH}/metrics.done")
    time.sleep(SETTLED)
    (request,) = landing.tick().requests
    assert landing.follow(request).success
    assert {domain for (domain,) in landing.query(written)} == NAMES
    assert landing.published()[0]["published"] == len(NAMES)
    ((sink, record, words),) = landing.query(
        "SELECT sink, record_key, detail FROM landing.refused_row"
    )
    assert sink == "domain_metrics"
    assert record.startswith(bad[:500])
    assert len(record) < 600
    assert words.startswith("domain_metrics: index row requires")
    assert landing.query("SELECT state FROM landing.batch") == [("loaded_with_rejects",)]
    capsys.readouterr()
    assert quarantine.run(request.batch_id, replay=False, limit=10) == 0
    shown = capsys.readouterr().out
    assert f"record {bad}"[:100] in shown
    assert "index row requires" in shown
