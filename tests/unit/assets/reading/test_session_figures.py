"""Counts of a session: what balances, what its timeline shows, what the pictures are of."""

from __future__ import annotations

import base64
import re
import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from assets.frame.pictures import largest
from assets.reading.charts import category_chart, session_chart
from assets.reading.session.message_balance import (
    Flow,
    SessionStream,
    missing,
    unbalanced,
    unexplained,
)
from assets.reading.session.progress import MOST_SAMPLES, SessionTimeline, figures
from assets.reading.stream.progress import StreamReport

COUNTS = StreamReport(
    "sub", received=96, redelivered=7, accepted=80, rejected=3, released=6,
    written=75, micro_batches=5, lag=0.25, latency_p50=0.3, latency_p95=None,
)  # fmt: skip
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def part(state="ended", session_id="s", **counts):
    return SessionStream(session_id, state, NOW, replace(COUNTS, **counts))


def test_what_is_not_accounted_for():
    assert COUNTS.pending == 0
    assert replace(COUNTS, received=97).pending == 1
    assert replace(COUNTS, accepted=81).pending == -1
    assert COUNTS.duplicates == 5


@pytest.mark.parametrize(("state", "wrong"), [("ended", 1), ("failed", 0), ("serving", 0)])
def test_only_sessions_that_ended_by_themselves_have_to_balance(state, wrong):
    assert len(unbalanced([part(state, received=97), part(state)])) == wrong


def test_too_few_messages_in_the_raw_table_are_a_loss_whatever_the_session():
    parts = [part(session_id="a"), part("failed", "b"), part("serving", "c"), part(session_id="d")]
    assert [one.session_id for one in missing(parts, {"a": 80, "b": 79, "c": 90})] == ["b", "d"]


def test_more_than_accepted_and_released_cannot_be_explained_of_an_ended_session():
    parts = [part(session_id="a"), part(session_id="b"), part("failed", "c")]
    raw = {"a": 86, "b": 87, "c": 500}
    assert [one.session_id for one in unexplained(parts, raw)] == ["b"]


@pytest.mark.parametrize(
    ("flow", "lost", "invented"),
    [
        (Flow((100, 100), 0, kept=97, rejected=3), 0, 0),
        (Flow((100, 100), 0, kept=96, rejected=3), 1, 0),
        (Flow((100, 100), 0, kept=98, rejected=3), 0, 1),
        # 40 wait or are appended and not acknowledged yet: either is right.
        (Flow((100, 100), 40, kept=57, rejected=3), 0, 0),
        (Flow((100, 100), 40, kept=97, rejected=3), 0, 0),
        (Flow((100, 100), 40, kept=56, rejected=3), 1, 0),
        # 20 came while the tables were counted.
        (Flow((100, 120), 0, kept=117, rejected=3), 0, 0),
        (Flow((100, 120), 0, kept=118, rejected=3), 0, 1),
    ],
)
def test_a_topic_balances_while_messages_go_on_coming(flow, lost, invented):
    assert (flow.lost, flow.invented) == (lost, invented)


def test_figures_are_numbers_and_leave_out_what_is_not_known():
    timeline = SessionTimeline()
    timeline.add(0.0, replace(COUNTS, accepted=0))
    timeline.add(30.0, COUNTS)
    shown = figures(COUNTS, timeline)
    assert shown["messages_per_minute"] == 160.0
    assert shown["duplicates"] == 5
    assert shown["lag_seconds"] == 0.25
    assert "latency_p95_seconds" not in shown
    assert all(isinstance(value, int | float) for value in shown.values())


def test_the_rate_is_of_the_last_minute():
    timeline = SessionTimeline()
    assert timeline.last_minute() == 0.0
    for at, accepted in ((0.0, 0), (50.0, 1_000), (100.0, 1_000), (110.0, 1_100)):
        timeline.add(at, replace(COUNTS, accepted=accepted))
    assert timeline.last_minute() == 100.0
    assert timeline.per_minute() == [(50.0, 1_200.0), (100.0, 0.0), (110.0, 600.0)]


def test_a_long_course_keeps_its_ends_and_loses_no_message():
    timeline = SessionTimeline()
    for second in range(5_000):
        timeline.add(float(second), replace(COUNTS, accepted=2 * second))
    assert len(timeline.samples) <= MOST_SAMPLES + 1
    assert (timeline.samples[0].at, timeline.samples[-1].at) == (0.0, 4_999.0)
    assert all(rate == pytest.approx(120.0) for _, rate in timeline.per_minute())


def png_size(markdown):
    data = re.fullmatch(r"!\[[^\]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert data
    content = base64.b64decode(data[1])
    assert content.startswith(b"\x89PNG")
    return struct.unpack(">II", content[16:24])


def test_pictures_of_a_session():
    timeline = SessionTimeline()
    assert session_chart(timeline) == ""
    timeline.add(0.0, replace(COUNTS, accepted=0, latency_p50=None))
    timeline.add(60.0, COUNTS)
    assert png_size(session_chart(timeline)) == (720, 320)


def test_pictures_of_shares():
    assert category_chart({}) == ""
    width, height = png_size(category_chart({"$romance$ ]": 0.75, "crime": 0.25}, "user [7]"))
    assert width == 560
    assert height > 50


def test_the_largest_shares_first_and_the_others_as_one():
    shares = {f"c{number:02d}": number / 105 for number in range(1, 15)}
    shown = largest(shares.items())
    assert [name for name, _ in shown[:2]] == ["c14", "c13"]
    name, share = shown[-1]
    assert name == "(2 others)"
    assert share == pytest.approx(3 / 105)
    assert sum(share for _, share in shown) == pytest.approx(1.0)
