"""History files from the bucket to BigQuery: counted once, whatever happens on the way."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from google.api_core.exceptions import BadRequest
from google.cloud.bigquery import Client

from assets.reading import merges
from assets.reading.history import load as history_load
from assets.reading.history.assets import (
    content_meta_history,
    history_rows,
    interaction_history,
)
from assets.reading.kinds import CATEGORIES, EVENTS
from assets.reading.pipeline import USER_INTERACTION_KEY
from assets.sinks.bigquery import schema_fields
from landing.batch import staging
from landing.batch.delivery import read_staged
from landing.batch.failures import TransientError
from resources.bigquery import run
from samples import reading as samples
from tests import forks
from tests.integration.reading import killed_history
from tests.integration.reading.history_world import HistoryWorld

pytestmark = pytest.mark.servers("postgres", "gcs", "bigquery")


@pytest.fixture
def world(env):
    with dg.DagsterInstance.ephemeral() as instance:
        yield HistoryWorld(instance)


@pytest.fixture
def made(tmp_path):
    return samples.write(tmp_path, seed=4, users=20, contents=40, events=600, days=6)


def counts_by_object(world):
    rows = world.ledger(
        "SELECT key, outcome, reason, rows_read, rows_written, rows_rejected"
        " FROM landing.object_version"
    )
    return {key.removeprefix(world.settings.prefix): found for key, *found in rows}


def reported_days(world):
    """Days of user_interaction that Dagster was told of, with their new events, summed."""
    told = Counter()
    records = world.instance.fetch_materializations(USER_INTERACTION_KEY, limit=500).records
    for record in records:
        new = record.asset_materialization.metadata["new_events"].value
        told[date.fromisoformat(record.partition_key)] += new
    return told


def test_every_good_row_is_there_once_and_every_bad_one_in_quarantine(world, made, tmp_path):
    world.put(tmp_path / "history")
    batch = world.tick()
    assert world.load(batch).success
    assert world.events() == sorted(made.history_events)
    assert world.categories() == sorted(made.history_categories)
    found = counts_by_object(world)
    for name, part in made.files.items():
        outcome, reason, *rows = found.pop(name.removeprefix("history/"))
        bad = part.rejects.total()
        assert outcome == ("rejected" if part.reason else "loaded")
        assert rows == [part.rows, part.rows - bad, bad]
        assert (reason or "").partition(":")[0] == (part.reason or "")
    assert not found
    ((state, reasons),) = world.ledger(
        "SELECT b.state, q.reasons FROM landing.batch b JOIN landing.quarantine q USING (batch_id)"
    )
    assert state == "loaded_with_rejects"
    expected = Counter(part.reason for part in made.files.values() if part.reason)
    for part in made.files.values():
        expected += part.rejects
    assert reasons == expected
    days = Counter(event.updated_at.date() for event in made.history_events)
    assert reported_days(world) == days
    assert world.ledger("SELECT * FROM reading.changed_day") == []


def test_the_same_rows_again_and_what_the_stream_brought_already_add_nothing(world, made, tmp_path):
    early = sorted(made.history_events)[:50]
    world.warehouse.ensure()
    rows = ", ".join(
        f"({event.user_id}, {event.content_id}, {event.read_percent!r},"
        f" TIMESTAMP '{event.updated_at:%Y-%m-%d %H:%M:%S.%f}+00', 'message:7',"
        " CURRENT_TIMESTAMP())"
        for event in early
    )
    insert = (
        "INSERT INTO `{user_interaction}` (user_id, content_id, read_percent, updated_at, source,"
        f" ingested_at) VALUES {rows}"
    )
    run(world.warehouse.client, world.warehouse.sql(insert))
    folder = tmp_path / "history"
    world.put(folder)
    first = world.tick()
    assert world.load(first).success
    new = made.history_events - set(early)
    assert reported_days(world) == Counter(event.updated_at.date() for event in new)
    for path in folder.iterdir():
        path.rename(path.with_name(f"again_{path.name}"))
    world.put(folder)
    second = world.tick()
    result = world.load(second)
    assert result.success
    assert world.events() == sorted(made.history_events)
    assert world.categories() == sorted(made.history_categories)
    assert reported_days(world) == Counter(event.updated_at.date() for event in new)
    sources = run(
        world.warehouse.client,
        world.warehouse.sql("SELECT COUNT(*) FROM `{user_interaction}` WHERE source = 'message:7'"),
    )
    assert [tuple(row.values()) for row in sources] == [(50,)]
    rows = sum(part.rows - part.rejects.total() for part in made.files.values())
    written = world.ledger(
        "SELECT batch_id, sink, state, rows_written FROM landing.batch_sink ORDER BY 1, 2"
    )
    assert written == [
        (first, "content_meta_history", "done", len(made.history_categories)),
        (first, "interaction_history", "done", len(new)),
        (second, "content_meta_history", "done", 0),
        (second, "interaction_history", "done", 0),
    ]
    staged = world.ledger("SELECT rows_written FROM landing.object_version")
    assert sum(count for (count,) in staged) == 2 * rows


#: Partitions that BigQuery changes in one job at most:
#: https://cloud.google.com/bigquery/quotas#partitioned_tables
PARTITIONS_A_JOB = 4_000


def bound_days(parameters):
    """The days that a MERGE names, or that are between the two that it names."""
    if len(parameters) == 1:
        return set(parameters[0].values)
    first, after = (one.value for one in parameters)
    return {first + timedelta(days=n) for n in range((after - first).days)}


def test_more_days_than_one_job_may_change_are_merged_in_several(world, tmp_path, monkeypatch):
    """Eleven years of an event a day, then one more of a day and one told again."""
    days = [datetime(2010, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(4_100)]
    lines = [f"{n % 7 + 1},{n % 5 + 1},0.5,{day:%F %T}\n" for n, day in enumerate(days)]
    header = "user_id,content_id,read_percent,updated_at\n"
    (tmp_path / "years.csv").write_text(header + "".join(lines))
    (tmp_path / "more.csv").write_text(f"{header}9,9,0.5,{days[3]:%F %T}\n{lines[0]}")
    merged: list[set[datetime]] = []

    def watched(warehouse, conn, table, statement, parameters):
        if table == EVENTS.table:
            merged.append(bound_days(parameters))
        return merges.run_merge(warehouse, conn, table, statement, parameters)

    monkeypatch.setattr(history_load, "run_merge", watched)
    for name, own, new in (("years.csv", 4_100, 4_100), ("more.csv", 2, 1)):
        world.put(tmp_path, name)
        merged.clear()
        batch = world.tick()
        assert world.load(batch).success
        assert max(map(len, merged)) <= PARTITIONS_A_JOB
        assert sum(map(len, merged)) == len(set.union(*merged)) == own
        assert world.ledger(
            "SELECT rows_written FROM landing.batch_sink"
            " WHERE sink = 'interaction_history' AND batch_id = %s", batch,
        ) == [(new,)]  # fmt: skip
    assert Counter(event[3] for event in world.events()) == Counter([*days, days[3]])


@pytest.mark.parametrize("point", killed_history.POINTS)
def test_a_run_that_was_killed_is_made_good_by_the_next(world, made, tmp_path, point):
    world.put(tmp_path / "history")
    batch = world.tick()
    assert forks.exit_code_of(killed_history.main, batch, point) == -signal.SIGKILL
    assert world.load(batch).success
    assert world.events() == sorted(made.history_events)
    assert world.categories() == sorted(made.history_categories)
    days = Counter(event.updated_at.date() for event in made.history_events)
    # Told of twice, perhaps; never not at all.
    assert set(reported_days(world)) == set(days)
    assert all(count >= days[day] for day, count in reported_days(world).items())
    assert world.ledger("SELECT * FROM reading.merge_fence") == []
    done = world.ledger("SELECT sink, rows_written FROM landing.batch_sink ORDER BY 1")
    assert done == [
        ("content_meta_history", len(made.history_categories)),
        ("interaction_history", len(made.history_events)),
    ]


def test_a_file_of_one_kind_leaves_the_other_table_alone(world, made, tmp_path):
    world.put(tmp_path / "history", "categories.csv.gz")
    assert world.load(world.tick()).success
    assert world.events() == []
    assert set(world.categories()) <= made.history_categories
    assert world.categories()
    world.put(tmp_path / "history", "people.csv")
    rejected = world.tick()
    assert world.load(rejected).success
    assert world.ledger("SELECT state FROM landing.batch WHERE batch_id = %s", rejected) == [
        ("loaded_with_rejects",)
    ]


def without_nulls(world, kind, column):
    """BigQuery refuses every row of the kind's staging table in which the column is null."""
    world.warehouse.client.create_dataset(world.warehouse.dataset, exists_ok=True)
    columns = ", ".join(
        f"{field.name} {field.field_type.replace('FLOAT', 'FLOAT64').replace('INTEGER', 'INT64')}"
        f"{' NOT NULL' if field.name == column else ''}"
        for field in schema_fields(kind.history.columns)
    )
    world.warehouse.run(f"CREATE TABLE `{{{kind.history.name}}}` ({columns})")


def test_rows_that_bigquery_refuses_cost_themselves_only(world, tmp_path):
    """Found by loads of parts, and named by object and line."""
    (tmp_path / "events.csv").write_text(
        "user_id,content_id,read_percent,updated_at\n"
        + "".join(f"{n},7,0.5,2022-03-0{n} 10:00:00\n" for n in range(1, 9))
    )
    (tmp_path / "few.csv").write_text("content_id,category_name\n1,news\n\n2,sport\n")
    world.put(tmp_path, "events.csv", "few.csv")
    without_nulls(world, EVENTS, "user_id")
    batch = world.tick()
    assert world.load(batch).success
    assert [event[0] for event in world.events()] == list(range(1, 9))
    assert world.categories() == [(1, "news"), (2, "sport")]
    refused = world.ledger("SELECT sink, source, line FROM landing.refused_row ORDER BY line")
    assert [(sink, line) for sink, _, line in refused] == [
        ("interaction_history", 2),
        ("interaction_history", 4),
    ]
    assert all("few.csv#" in source for _, source, _ in refused)
    assert world.ledger("SELECT state FROM landing.batch") == [("loaded_with_rejects",)]


def test_a_category_that_bigquery_refuses_is_named_by_its_line(world, tmp_path, monkeypatch):
    (tmp_path / "few.csv").write_text("content_id,category_name\n1,news\n3,bad\n2,sport\n")
    world.put(tmp_path, "few.csv")
    batch = world.tick()
    load = Client.load_table_from_file

    def refusing(client, file, *arguments, **further):
        """As BigQuery answers of a job with a row that it does not take."""
        names = pl.read_parquet(file)["category_name"].to_list()
        file.seek(0)
        if "bad" in names:
            raise BadRequest("no", errors=[{"reason": "invalid", "message": "bad: no such thing"}])
        return load(client, file, *arguments, **further)

    monkeypatch.setattr(Client, "load_table_from_file", refusing)
    assert world.load(batch).success
    assert world.categories() == [(1, "news"), (2, "sport")]
    refused = world.ledger("SELECT sink, line, detail FROM landing.refused_row")
    assert refused == [("content_meta_history", 3, "bad: no such thing")]


def test_a_sink_alone_is_refused_a_lost_staging_which_is_staged_again(world, made, tmp_path):
    world.put(tmp_path / "history")
    batch = world.tick()
    assert world.load(batch).success
    world.store.delete(staging.part_key("reading", batch, 0))
    again = world.load(batch, content_meta_history)
    assert not again.success
    sinks = "SELECT sink, state, error_class FROM landing.batch_sink ORDER BY 1"
    assert world.ledger(sinks) == [
        ("content_meta_history", "done", None),
        ("interaction_history", "done", None),
    ]
    assert world.load(batch).success
    assert world.events() == sorted(made.history_events)


def validated(world, batch):
    assert world.load(batch, history_rows).success
    return read(world, batch)


def read(world, batch):
    return read_staged(
        world.postgres, world.store, pipeline="reading", batch_id=batch, reader="a test"
    )


def test_parts_say_what_is_in_them_and_older_ones_are_read(world, made, tmp_path):
    """A batch that waited while parts learnt to say it has the same rows and days."""
    world.put(tmp_path / "history")
    batch = world.tick()
    assert world.load(batch, history_rows).success
    tallies = [tally for (tally,) in world.ledger("SELECT tally FROM landing.staged_part")]
    good = sum(part.rows - part.rejects.total() for part in made.files.values() if not part.reason)
    counted = sum(map(Counter, tallies), Counter())
    assert counted.total() == good
    days = {event.updated_at.date().isoformat() for event in made.history_events}
    assert counted.keys() == days | {"categories"}
    with world.postgres.connect() as conn:
        conn.execute("UPDATE landing.staged_part SET tally = NULL")
    assert world.load(batch, interaction_history, content_meta_history).success
    assert world.events() == sorted(made.history_events)
    assert world.categories() == sorted(made.history_categories)
    assert reported_days(world) == Counter(e.updated_at.date() for e in made.history_events)


def test_a_batch_of_one_kind_asks_nothing_of_the_other_kinds_table(world, tmp_path):
    (tmp_path / "few.csv").write_text("content_id,category_name\n1,news\n")
    world.put(tmp_path, "few.csv")
    assert world.load(world.tick()).success
    assert world.categories() == [(1, "news")]
    (count,) = next(iter(world.warehouse.run("SELECT COUNT(*) FROM `{user_interaction_history}`")))
    assert count == 0, "there are no events to load"


def test_a_merge_that_did_not_do_its_work_is_noticed(world, made, tmp_path, monkeypatch):
    world.put(tmp_path / "history")
    batch = world.tick()
    assert world.load(batch).success
    one = min(made.history_events)
    table = world.warehouse.table("user_interaction")
    arguments = (world.warehouse, world.postgres, world.settings.bucket, read(world, batch))
    run(
        world.warehouse.client,
        f"INSERT INTO `{table}` SELECT * FROM `{table}` WHERE user_id = {one.user_id} AND"
        f" updated_at = TIMESTAMP '{one.updated_at:%Y-%m-%d %H:%M:%S.%f}+00'",
    )
    _, doubled = history_load.write_events(*arguments)
    assert (doubled.missing, doubled.unexpected > 0, doubled.ok) == (0, True, False)
    run(world.warehouse.client, f"DELETE FROM `{table}` WHERE user_id = {one.user_id}")
    monkeypatch.setattr(history_load, "run_merge", lambda *_: 0)
    _, lost = history_load.write_events(*arguments)
    gone = sum(event.user_id == one.user_id for event in made.history_events)
    assert (lost.missing >= gone, lost.unexpected, lost.ok) == (True, 0, False)
    assert str(one.user_id) in lost.sample[0]


@pytest.mark.parametrize("days", [(4, 5, 6), (4, 6)], ids=["without a gap", "with a gap"])
def test_a_file_is_merged_into_its_days_alone(world, monkeypatch, days):
    """BigQuery is billed for each partition that a MERGE does not rule out."""
    asked: list[tuple[str, list[object]]] = []
    query = Client.query

    def noting(client, sql, job_config, **options):
        parameters = job_config.to_api_repr()["query"].get("queryParameters", [])
        asked.append((sql, [one["parameterValue"] for one in parameters]))
        return query(client, sql, job_config=job_config, **options)

    monkeypatch.setattr(Client, "query", noting)
    rows = [f"1,{content},95.5,2022-03-{day:02} 10:00:00" for day in days for content in (7, 8)]
    for name, more in (("once", rows[:1]), ("again", [])):
        text = "\n".join([",".join(EVENTS.names), *rows, *more, ""])
        world.store.put(f"{world.settings.prefix}{name}.csv", text.encode())
        assert world.load(world.tick()).success
    at = [datetime(2022, 3, day, 10, tzinfo=UTC) for day in days]
    assert world.events() == sorted((1, content, 95.5, one) for one in at for content in (7, 8))
    assert reported_days(world) == {one.date(): 2 for one in at}
    bounds = [values for sql, values in asked if "MERGE" in sql]
    midnights = [one.replace(hour=0) for one in at]
    span = [midnights[0], midnights[-1] + timedelta(days=1)]
    expected = [midnights] if len(days) == 2 else [[one] for one in span]
    assert [[*map(_times, values)] for values in bounds] == [expected] * 2


def _times(value):
    found = value.get("arrayValues") or [value]
    return [datetime.fromisoformat(one["value"]) for one in found]


def test_staged_rows_that_are_replaced_before_the_merge_are_missed(
    world, made, tmp_path, monkeypatch
):
    """By rows of another day, of which nothing is asked."""
    world.put(tmp_path / "history")
    batch = world.tick()
    merge = merges.run_merge

    def late(warehouse, *arguments):
        table = warehouse.table("user_interaction_history")
        run(
            warehouse.client,
            f"UPDATE `{table}` SET updated_at = TIMESTAMP '2001-01-01 00:00:00+00' WHERE TRUE",
        )
        return merge(warehouse, *arguments)

    monkeypatch.setattr(history_load, "run_merge", late)
    _, found = history_load.write_events(
        world.warehouse, world.postgres, world.settings.bucket, validated(world, batch)
    )
    assert found.missing == found.expected > 0


@pytest.mark.parametrize("sink", ["interaction_history", "content_meta_history"])
def test_a_load_waits_for_the_one_that_its_dead_sender_left(
    world, made, tmp_path, monkeypatch, sink
):
    """It would replace what the later one has loaded."""
    world.put(tmp_path / "history")
    batch = world.tick()
    table = {"interaction_history": EVENTS, "content_meta_history": CATEGORIES}[sink].history.name
    with world.postgres.connect() as conn:
        conn.execute(
            "INSERT INTO reading.merge_fence (table_name, job_id) VALUES (%s, 'of-a-dead-one')",
            (world.warehouse.table(table),),
        )
    waited, settle = [], merges.settle

    def settled(client, job_id, **further):
        waited.append(job_id)
        settle(client, job_id, **further)

    monkeypatch.setattr(history_load, "settle", settled)
    assert world.load(batch).success
    assert waited == ["of-a-dead-one"]
    assert world.ledger("SELECT * FROM reading.merge_fence") == []


def test_a_load_that_brought_other_rows_than_were_staged_is_not_merged(
    world, made, tmp_path, monkeypatch
):
    world.put(tmp_path / "history")
    batch = world.tick()
    assert world.load(batch).success
    load = history_load._load_parts

    def twice(warehouse, conn, bucket, parts):
        load(warehouse, conn, bucket, [*parts, *parts])

    monkeypatch.setattr(history_load, "_load_parts", twice)
    with pytest.raises(TransientError, match="rows were loaded of"):
        history_load.write_events(
            world.warehouse, world.postgres, world.settings.bucket, read(world, batch)
        )
