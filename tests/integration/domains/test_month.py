"""A month from the source's rows to files on S3: complete, once, and without an exact figure."""

from __future__ import annotations

import hashlib
import io
import json
import re

import dagster as dg
import polars as pl
import psycopg
import pytest

from assets.domains.pipeline import DOMAINS as DECLARED
from assets.domains.settings import DomainsSettings
from tests.integration.domains.month_world import BEFORE, MONTH, MonthWorld
from tests.servers import OpenAIAdmin

pytestmark = pytest.mark.servers("postgres", "s3", "openai")

SHOES, BIRDS = "Lifestyle/Shoes", "Pets/Birds"

#: Figures that occur nowhere else; orders are 1 in 159.36 dollars.
CANARIES = ("7391246", "46381", "918273", "5.05", "159.36")


@pytest.fixture
def world(env: dict[str, str]) -> MonthWorld:
    return MonthWorld(env)


def rows(month: str = MONTH, *, scale: int = 1) -> list[tuple[object, ...]]:
    """Twelve domains in two countries; the first one's figures are the canaries."""
    first = (f"{month}-01", "US", "canary.com", "7391246.83", 46381, 918273)
    others = [
        (f"{month}-01", country, f"shop{n:02}.com", 1000.5 * n * scale, 7 * n, 900 * n)
        for n in range(1, 12)
        for country in ("US", "DE")
    ]
    return [first, *others]


def categories() -> list[tuple[str, str, str]]:
    """Eight in shoes with the canary, two in birds, two in none."""
    named = ["canary.com", *(f"shop{n:02}.com" for n in range(1, 8))]
    return [
        *((domain, SHOES, "US") for domain in named),
        *((domain, BIRDS, "US") for domain in ("shop08.com", "shop09.com")),
        *((domain, "", "US") for domain in ("shop10.com", "shop11.com")),
    ]


DOMAINS = {"canary.com", *(f"shop{n:02}.com" for n in range(1, 12))}


def test_a_month_is_published_once_and_again_for_nothing(
    world: MonthWorld, openai_admin: OpenAIAdmin
) -> None:
    world.fill(rows(), categories())
    assert world.run().success
    manifest, found = world.published()
    assert {row["domain"] for row in found} == DOMAINS
    assert all(row["domain"] in row["description"] for row in found)
    by_category = {
        name: {row["domain"] for row in found if row["category"] == name}
        for name in {row["category"] for row in found}
    }
    assert {name: len(domains) for name, domains in by_category.items()} == {
        SHOES: 8, BIRDS: 2, "": 2,
    }  # fmt: skip
    assert (manifest["domains"], manifest["published"], manifest["rejected"]) == (12, 12, 0)
    objects = world.objects(_output())
    (folder,) = {key.rpartition("/")[0] for key in objects if key.endswith("manifest.json")}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256(objects[f"{folder}/{name}"]).hexdigest() == digest
    counters = openai_admin.counters()
    assert counters["paid_calls"] >= len(DOMAINS) - 3  # the small ones may share a prompt
    spent = world.query("SELECT sum(cost) FROM domains.openai_attempt")[0][0]
    tokens = counters["prompt_tokens"] * 4 + counters["completion_tokens"] * 16
    assert tokens / 10 <= spent <= tokens / 10 + counters["paid_calls"]

    before = openai_admin.counters()["paid_calls"]
    assert world.run().success
    assert openai_admin.counters()["paid_calls"] == before
    assert world.objects(_output()) == objects


def test_a_changed_domain_asks_for_its_category_only(
    world: MonthWorld, openai_admin: OpenAIAdmin
) -> None:
    world.fill(rows(), categories())
    assert world.run().success
    asked = {
        r[0]: r[1] for r in world.query("SELECT domain, prompt_hash FROM domains.summary_prompt")
    }
    before = openai_admin.counters()["paid_calls"]
    # The largest revenue of birds: a bin of its own category, and of no other.
    world.change("UPDATE domain_metrics SET transactionrevenue = transactionrevenue * 1000"
                     " WHERE domain = 'shop07.com'")  # fmt: skip
    assert world.run().success
    now = {
        r[0]: r[1] for r in world.query("SELECT domain, prompt_hash FROM domains.summary_prompt")
    }
    changed = {domain for domain in DOMAINS if asked[domain] != now[domain]}
    shoes = {"canary.com", *(f"shop{n:02}.com" for n in range(1, 8))}
    assert "shop07.com" in changed
    assert changed <= shoes
    assert openai_admin.counters()["paid_calls"] - before == len({now[one] for one in changed})


def test_the_next_month_costs_what_changed_and_says_so(
    world: MonthWorld, openai_admin: OpenAIAdmin
) -> None:
    world.fill([*rows(BEFORE), *rows()], categories())
    assert world.run(BEFORE).success
    before = openai_admin.counters()["paid_calls"]
    assert world.run().success
    # Directions are known now, so that every prompt is another one.
    assert openai_admin.counters()["paid_calls"] > before
    manifest, _ = world.published()
    diff = manifest["against_the_month_before"]
    assert diff["new"] == diff["gone"] == 0
    assert diff["changed"] + diff["unchanged"] == len(DOMAINS)
    (newest,) = [
        json.loads(data)["month"]
        for key, data in world.objects(_output()).items()
        if key == "descriptions/latest.json"
    ]
    assert newest == MONTH
    assert world.run(BEFORE).success
    assert json.loads(world.objects(_output())["descriptions/latest.json"])["month"] == MONTH


def test_no_exact_figure_leaves_our_walls(
    world: MonthWorld,
    openai_admin: OpenAIAdmin,
    env: dict[str, str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    world.fill(rows(), categories())
    # A run that fails with the figures at hand tells no more than one that does not.
    openai_admin.set_faults(rates={"401": 1.0}, endpoints=["chat"])
    assert not world.run(raises=False).success
    openai_admin.end_faults()
    assert world.run().success
    (held,) = world.query("SELECT revenue::text, transactions, sessions, conv_rate::text, aov::text"
                          " FROM domains.domain_metrics WHERE domain = 'canary.com'")  # fmt: skip
    assert all(any(str(value).startswith(canary) for value in held) for canary in CANARIES), (
        "the canaries must be in the source's figures, or they prove nothing"
    )
    outside: dict[str, str] = {
        f"prompt {name}": json.dumps(prompt, ensure_ascii=False)
        for name, prompt in openai_admin.prompts(messages=True).items()
    }
    for bucket in (_output(), env["DOMAINS_BUCKET"], env["DOMAINS_QUARANTINE_BUCKET"]):
        for key, data in world.objects(bucket).items():
            # Parquet is compressed: its columns are looked at, not its bytes.
            readable = (
                pl.read_parquet(io.BytesIO(data)).write_json()
                if key.endswith(".parquet")
                else data.decode("utf-8", "replace")
            )
            outside[f"object {key}"] = readable
    outside["what was printed"] = "".join(capfd.readouterr())
    assert "published_descriptions" in outside["what was printed"]
    for url, statement in (
        (env["DAGSTER_POSTGRES_URL"], "SELECT id::text, event FROM event_logs"),
        (env["DAGSTER_POSTGRES_URL"], "SELECT run_id, run_body FROM runs"),
        (env["POSTGRES_URL"], "SELECT batch_id, error FROM landing.batch WHERE error IS NOT NULL"),
        (env["POSTGRES_URL"], "SELECT domain, description FROM domains.published_description"),
        (env["POSTGRES_URL"], "SELECT prompt_hash, request::text FROM domains.openai_answer"),
    ):  # fmt: skip
        with psycopg.connect(url) as conn:
            for name, text in conn.execute(statement).fetchall():
                outside[f"{statement} {name}"] = text
    assert sum(name.startswith("prompt") for name in outside) >= 9
    assert sum("event_logs" in name for name in outside) > 50
    leaks = [
        (name, canary, text[max(text.index(canary) - 60, 0) : text.index(canary) + 60])
        for name, given in outside.items()
        # With and without separators of thousands.
        for text in (given, re.sub(r"(?<=\d),(?=\d{3})", "", given))
        for canary in CANARIES
        if canary in text and not _is_a_time_or_id(text, canary)
    ]
    assert leaks == []


def test_a_month_without_rows_fails_for_good_and_says_so(
    world: MonthWorld, openai_admin: OpenAIAdmin
) -> None:
    world.fill(rows(), categories())
    result = world.run("2025-01", raises=False)
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "no rows of 2025-01" in str(failed.step_failure_data.error)
    assert failed.step_key == "domains__domain_metrics"
    assert openai_admin.counters()["paid_calls"] == 0
    assert not [key for key in world.objects(_output()) if "2025-01" in key]


def test_a_401_is_one_request_and_nothing_is_published(
    world: MonthWorld, openai_admin: OpenAIAdmin
) -> None:
    world.fill(rows(), categories())
    openai_admin.set_faults(rates={"401": 1.0}, endpoints=["chat"])
    openai_admin.clear_counters()
    result = world.run(raises=False)
    assert not result.success
    assert openai_admin.counters()["calls"]["chat"] == 1
    assert world.objects(_output()) == {}
    openai_admin.end_faults()
    assert world.run().success
    assert {row["domain"] for row in world.published()[1]} == DOMAINS


def test_rejected_summaries_are_in_quarantine_and_hold_up_the_month(
    world: MonthWorld, openai_admin: OpenAIAdmin
) -> None:
    world.fill(rows(), categories())
    openai_admin.set_faults(rates={"wrong_number": 1.0}, endpoints=["chat"])
    result = world.run(raises=False)
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_key == "domains__published_descriptions"
    assert "12 of 12 domains have no summary" in str(failed.step_failure_data.error)
    states = world.query("SELECT state, outcome, reason, count(*) FROM domains.openai_answer"
                         " GROUP BY 1, 2, 3")  # fmt: skip
    assert [row[:3] for row in states] == [("rejected", "invalid", "foreign_number")]
    (key,) = world.objects(world.env["DOMAINS_QUARANTINE_BUCKET"])
    assert key == f"summaries/{MONTH}.parquet"
    frame = pl.read_parquet(io.BytesIO(world.objects(world.env["DOMAINS_QUARANTINE_BUCKET"])[key]))
    assert set(frame["domain"]) == DOMAINS
    assert set(frame["reason"]) == {"foreign_number"}
    assert frame["text"].null_count() == 0


def left_waiting(result: dg.ExecuteInProcessResult, count: int) -> None:
    """The run ended well, published nothing, and says what for it waits."""
    assert result.success
    assert not [event for event in result.all_events if event.is_step_failure]
    skipped = {event.step_key for event in result.all_events if event.is_step_skipped}
    assert skipped == {"domains__published_descriptions"}
    made = {event.asset_key for event in result.all_events if event.is_step_materialization}
    assert DECLARED.key("domain_summaries") not in made
    (found,) = [
        one
        for one in result.get_asset_check_evaluations()
        if one.asset_key == DECLARED.key("domain_summaries")
    ]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["waiting_for"].value == count
    assert "wait for the Batch API" in (found.description or "")


def test_a_large_month_is_asked_by_batch_and_published_by_the_sensor_s_run(
    world: MonthWorld, openai_admin: OpenAIAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOMAINS_BATCH_FROM", "5")
    world.fill(rows(), categories())
    openai_admin.set_faults(batch_delay=3)
    result = world.run()
    # The API has answered meanwhile.
    (open_batch,) = world.query("SELECT batch_id, requests FROM domains.openai_batch")
    left_waiting(result, open_batch[1])
    assert world.objects(_output()) == {}
    openai_admin.set_faults(batch_delay=0)
    (request,) = world.until_asked()
    assert request.partition_key == MONTH
    # A tick that was cut off after it had collected has lost nothing.
    (repeated,) = world.until_asked()
    assert repeated.run_key == request.run_key
    assert world.run(assets=request.asset_selection).success
    assert {row["domain"] for row in world.published()[1]} == DOMAINS
    assert world.awaited() == []
    assert world.look().run_requests == []
    counters = openai_admin.counters()
    assert counters["batches"] == 1
    assert counters["batch_calls"] == open_batch[1]
    assert counters["paid_calls"] == 0
    spent = world.query("SELECT sum(cost) FROM domains.openai_attempt")[0][0]
    tokens = counters["batch_prompt_tokens"] * 4 + counters["batch_completion_tokens"] * 16
    assert tokens / 20 <= spent <= tokens / 20 + open_batch[1], "half the price"


@pytest.mark.parametrize("batch_from", ["5", "0"])
def test_a_month_that_waits_for_another_month_s_batch_is_published_too(
    world: MonthWorld,
    openai_admin: OpenAIAdmin,
    monkeypatch: pytest.MonkeyPatch,
    batch_from: str,
) -> None:
    # Neither has a month before it: the same prompts, asked for once.
    other = "2024-06"
    monkeypatch.setenv("DOMAINS_BATCH_FROM", "5")
    world.fill([*rows(), *rows(other)], categories())
    assert world.run().success
    monkeypatch.setenv("DOMAINS_BATCH_FROM", batch_from)
    waits = world.run(other)
    ((budget, requests),) = world.query("SELECT budget, requests FROM domains.openai_batch")
    assert budget == MONTH
    left_waiting(waits, requests)
    assert world.awaited() == [other, MONTH]
    assert [one.partition_key for one in world.until_asked()] == [other, MONTH]
    for month in (other, MONTH):
        assert world.run(month, assets=_published_by_the_sensor()).success
        assert {row["domain"] for row in world.published(month)[1]} == DOMAINS
    assert world.awaited() == []
    counters = openai_admin.counters()
    assert (counters["batches"], counters["paid_calls"]) == (1, 0)


def test_a_run_that_waits_again_is_followed_by_another(
    world: MonthWorld, openai_admin: OpenAIAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOMAINS_BATCH_FROM", "5")
    world.fill(rows(), categories())
    assert world.run().success
    (first,) = world.until_asked()
    # What came back is no longer there, as if all of the batch had failed.
    with psycopg.connect(world.env["POSTGRES_URL"]) as conn:
        conn.execute(
            "UPDATE domains.openai_answer SET state = 'pending', outcome = NULL, due_at = now()"
        )
    again = world.run(assets=first.asset_selection)
    left_waiting(again, world.query("SELECT count(*) FROM domains.openai_answer")[0][0])
    (second,) = world.until_asked()
    assert second.run_key != first.run_key
    assert world.run(assets=second.asset_selection).success
    assert {row["domain"] for row in world.published()[1]} == DOMAINS


def test_what_fails_in_batch_after_batch_fails_the_run_and_is_not_waited_for(
    world: MonthWorld, openai_admin: OpenAIAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOMAINS_BATCH_FROM", "5")
    world.fill(rows(), categories())
    assert world.run().success
    (request,) = world.until_asked()
    with psycopg.connect(world.env["POSTGRES_URL"]) as conn:
        conn.execute(
            "UPDATE domains.openai_answer SET state = 'pending', outcome = NULL, failures = 1000"
        )
    failed = world.run(assets=request.asset_selection, raises=False)
    assert not failed.success
    (event,) = [event for event in failed.all_events if event.is_step_failure]
    assert "batches each" in str(event.step_failure_data.error)
    (repeated,) = world.until_asked()
    assert repeated.run_key == request.run_key, "Dagster drops it"
    # A person asks again: another chance.
    assert world.run(assets=request.asset_selection).success
    (later,) = world.until_asked()
    assert world.run(assets=later.asset_selection).success
    assert {row["domain"] for row in world.published()[1]} == DOMAINS


def _published_by_the_sensor() -> list[dg.AssetKey]:
    return [DECLARED.key("domain_summaries"), DECLARED.key("published_descriptions")]


def test_a_partition_of_a_month_to_come_is_none() -> None:
    from assets.domains.pipeline import MONTHS

    keys = MONTHS.get_partition_keys()
    assert isinstance(MONTHS, dg.MonthlyPartitionsDefinition)
    assert "2025-03" in keys
    assert not [key for key in keys if key > "2030"]


def _output() -> str:
    return DomainsSettings.current().output_bucket


def _is_a_time_or_id(text: str, canary: str) -> bool:
    """Digits of a clock's fraction or of a random id are nobody's figure."""
    return not re.search(rf"(?<![\w.-]){re.escape(canary)}", text)
