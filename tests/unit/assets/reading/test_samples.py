"""The sample generator: the same for a seed, with every defect, and figures that hold."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, date, datetime

import pytest

from assets.reading.kinds import CATEGORIES, EVENTS
from assets.reading.pipeline import HISTORY
from assets.reading.rules import Rejection
from assets.reading.stream.messages import parse
from samples import reading as samples
from samples.reading import Category, Event
from tests import processes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    return folder, samples.write(folder, seed=11, users=10, contents=30, events=400, days=5)


def tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_seed_gives_the_same_files_and_another_one_others(made, tmp_path):
    folder, manifest = made
    shape = {"users": 10, "contents": 30, "events": 400, "days": 5}
    again = samples.write(tmp_path / "again", seed=11, **shape)
    assert tree(tmp_path / "again") == tree(folder)
    assert again == manifest
    samples.write(tmp_path / "other", seed=12, **shape)
    assert tree(tmp_path / "other") != tree(folder)


@pytest.mark.parametrize(
    ("topic", "kind", "made_of", "expected"),
    [
        (samples.INTERACTION_TOPIC, EVENTS, Event, "message_events"),
        (samples.META_TOPIC, CATEGORIES, Category, "message_categories"),
    ],
)
def test_messages_are_what_the_manifest_says(made, topic, kind, made_of, expected):
    folder, manifest = made
    lines = (folder / "messages" / f"{topic}.jsonl").read_bytes().splitlines()
    found = [parse(kind, line, datetime.now(UTC)) for line in lines]
    part = manifest.topics[topic]
    assert len(lines) == part.rows
    assert Counter(one.reason for one in found if isinstance(one, Rejection)) == part.rejects
    good = [made_of(*one) for one in found if not isinstance(one, Rejection)]
    assert set(good) == getattr(manifest, expected)
    assert len(good) > len(set(good)), "some come twice"


def test_events_are_in_files_in_messages_and_in_both(made):
    _, manifest = made
    assert len(manifest.events) == 400
    assert manifest.history_events - manifest.message_events
    assert manifest.message_events - manifest.history_events
    assert manifest.history_events & manifest.message_events
    assert {event.read_percent > 90 for event in manifest.events} == {True, False}
    assert {event.user_id < 0 for event in manifest.events} == {True, False}
    assert max(event.content_id for event in manifest.events) == 2**63 - 1
    with_category = {category.content_id for category in manifest.categories}
    assert {event.content_id in with_category for event in manifest.events} == {True, False}


def test_shares_count_pairs_of_whole_days_and_sum_to_one(made):
    def event(day, percent=100.0, content=1):
        return Event(7, content, percent, datetime.fromisoformat(f"{day}+00:00"))

    events = {
        event("2022-03-20T23:59:59.999999"), event("2022-03-06T00:00:00"),
        event("2022-03-05T23:59:59"), event("2022-03-21T00:00:00"),
        event("2022-03-10T00:00:00", 90.0), event("2022-03-11T00:00:00", 90.1, 2),
        event("2022-03-12T00:00:00", 2400.0, 3),
        Event(8, 1, 100.0, datetime(2022, 3, 9, tzinfo=UTC)),
    }  # fmt: skip
    categories = {Category(1, "a"), Category(1, "b"), Category(2, "b")}
    query_date = date(2022, 3, 20)
    assert samples.shares(events, categories, 7, query_date) == {"a": 2 / 5, "b": 3 / 5}
    assert samples.shares(events, categories, 9, query_date) == {}
    _, manifest = made
    for user in manifest.readers():
        shares = manifest.shares(user, manifest.last_day)
        assert not shares or sum(shares.values()) == pytest.approx(1, abs=1e-12)


def test_the_command_writes_everything_and_tells_the_figures(tmp_path):
    printed = processes.output_of(
        [sys.executable, "-m", "samples", "reading", "--events", "300", "--out", tmp_path]
    )
    assert json.loads(printed) == json.loads((tmp_path / "manifest.json").read_text())
    assert len(list((tmp_path / "history").iterdir())) == 7


def test_measured_rows_are_good_and_as_many_as_asked_for(tmp_path):
    samples.write_events(tmp_path / "events.csv", 500, seed=1)
    samples.write_categories(tmp_path / "categories.csv", seed=1, contents=40)
    lines = (tmp_path / "events.csv").read_text().splitlines()
    assert (len(lines), lines[0]) == (501, "user_id,content_id,read_percent,updated_at")
    assert (tmp_path / "categories.csv").read_text().startswith("content_id,category_name\n")


def test_the_source_takes_csv_at_any_depth_compressed_or_not():
    source = HISTORY.source("b", "reading-history/")
    takes = {
        key: bool(source.pattern.fullmatch(key))
        for key in (
            "reading-history/a.csv", "reading-history/2022/03/A.CSV.GZ", "reading-history/a.csv.gz",
            "reading-history/a.gz", "reading-history/a.csv.tmp", "other/a.csv",
        )
    }  # fmt: skip
    assert list(takes.values()) == [True, True, True, False, False, False]
