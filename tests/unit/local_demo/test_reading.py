"""`make demo` of reading: what is put in is what is expected, and the recount is right."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import islice

import pytest

from local.demo import _table
from local.demos import reading_found, reading_input
from local.demos.pipeline import Figures
from local.demos.reading_input import daily_counts, real_input, sample_input, shares

DAY = date(2022, 3, 15)


def at(day, hour=12):
    return datetime(2022, 3, day, hour, tzinfo=UTC)


EVENTS = [
    (1, 10, 90.00000000000001, at(15, 23)),  # last day, late
    (1, 10, 100.0, at(1, 0)),  # first day, at midnight
    (1, -11, 2400.0, at(8)),
    (1, 10, 90.0, at(8)),  # not beyond 90
    (1, 12, 100.0, at(8)),  # no category
    (1, 10, 100.0, datetime(2022, 2, 28, 23, 59, tzinfo=UTC)),  # a day too early
    (1, 10, 100.0, at(16, 0)),  # a day too late
    (2, -11, 95.0, at(2)),
    (3, 10, 50.0, at(2)),
]
CATEGORIES = [(10, "life"), (10, "humour"), (-11, "life"), (13, "horror")]


def test_the_recount_by_hand():
    counts = daily_counts(EVENTS, CATEGORIES)
    assert counts[date(2022, 3, 8), 1, "life"] == 1
    assert counts[date(2022, 3, 15), 1, "humour"] == 1
    assert counts.total() == 2 + 2 + 1 + 2 + 2 + 1
    assert shares(counts, DAY) == {1: {"life": 3 / 5, "humour": 2 / 5}, 2: {"life": 1.0}}
    assert shares(counts, date(2022, 4, 15)) == {}


def test_the_samples_own_figures_agree_with_the_recount(tmp_path):
    from samples import reading

    put = sample_input(tmp_path)
    made = reading.write(
        tmp_path / "again",
        seed=1,
        users=reading_input.SAMPLE_USERS,
        events=reading_input.SAMPLE_EVENTS,
    )
    assert put.events == set(made.events)
    assert put.query_date == made.last_day
    found = shares(daily_counts(put.events, put.categories), put.query_date)
    assert len(found) > 10
    for user in made.readers():
        assert found.get(user, {}) == pytest.approx(made.shares(user, put.query_date), abs=1e-12)
    lines = {kind: len(messages) for kind, messages in put.messages.items()}
    assert lines == {
        "interaction": made.topics["user-interaction"].rows,
        "meta": made.topics["content-meta"].rows,
    }
    assert all(sum(reasons.values()) > 0 for reasons in put.rejected.values())


def test_a_part_of_the_real_files_is_shared_out_without_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(reading_input, "REAL_MESSAGES", 50)
    monkeypatch.setattr(reading_input, "REAL_HISTORY", 450)
    monkeypatch.setattr(reading_input, "REAL_META_MESSAGES", 4)
    monkeypatch.setattr(reading_input, "IN_BOTH", 10)
    rows = [(n, -n, f"{n / 7:.3f}", f"2022-03-{n % 23 + 1:02} 01:02:03.{n:03}") for n in range(600)]
    named = [(n, name) for n in range(6) for name in ("life", 'the "best", of')]
    for name, header, lines in (
        ("user_interaction", ("user_id", "content_id", "read_percent", "updated_at"), rows),
        ("content_meta", ("content_id", "category_name"), named),
    ):
        path = tmp_path / f"{name}_calibrated.csv.gz"
        with gzip.open(path, "wt", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    put = real_input(tmp_path, tmp_path / "out")
    history, categories = (_lines(path) for path in put.files)
    messages = [json.loads(data) for data in put.messages["interaction"]]
    published = Counter((m["user_id"], m["read_percent"], m["updated_at"]) for m in messages)
    filed = Counter((int(row[0]), float(row[2]), row[3]) for row in history)
    expected = {(n, float(percent), at) for n, _, percent, at in rows[:500]}
    assert set(published) | set(filed) == expected
    assert len(published) == 50
    assert published.total() == 50 + 3, "every twentieth is published twice"
    assert len(set(published) & set(filed)) == 5
    assert len(put.events) == 500
    assert put.rows == len(history) + len(categories) == filed.total() + len(categories)
    pairs = [json.loads(data) for data in put.messages["meta"]]
    assert {(p["content_id"], p["category_name"]) for p in pairs} | {
        (int(content), name) for content, name in categories
    } == set(named)
    assert put.categories == set(named)


def _lines(path):
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return list(islice(csv.reader(io.StringIO(text, newline="")), 1, None))


def test_differences_are_said():
    say = reading_found._difference
    assert list(say("rows", [1, 2], frozenset({1, 2}))) == []
    assert list(say("rows", [1, 1, 3], frozenset({1, 2}))) == [
        "rows: 1 rows are there more than once",
        "rows: 1 missing, such as 2",
        "rows: 1 not expected, such as 3",
    ]
    assert reading_found._alike({"a": 0.5}, {"a": 0.5 + 1e-13})
    assert not reading_found._alike({"a": 0.5}, {"a": 0.5 + 1e-11})
    assert not reading_found._alike({"a": 0.5}, {"a": 0.5, "b": 0.0})


def test_the_busiest_reader_is_one_of_the_input_s():
    expected = reading_found.Expected(frozenset(EVENTS), frozenset(CATEGORIES), DAY)
    assert expected.busiest(frozenset({1, 2, 3})) == 1
    assert expected.busiest(frozenset({2, 3})) == 2


def test_a_demo_goes_on_while_anything_is_waited_for():
    done = Figures(
        objects=1,
        processed=1,
        read=1,
        written=1,
        unchanged=0,
        superseded=0,
        rejected=0,
        batches={"b": "loaded"},
        errors=[],
        sinks={},
    )
    assert done.finished
    waiting = replace(done, waiting={"messages": 2, "events": 0}, more={"events stored": "7"})
    assert not waiting.finished
    assert "events stored  7" in _table("reading", waiting, 1.0)
