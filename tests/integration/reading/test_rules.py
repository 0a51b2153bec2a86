"""One table of cases for all that reads events and categories: messages, history files, BigQuery.

Each case says what is expected, from no reader of ours. A value is written as in JSON; in CSV a
string stands without its quotes, where it can. What only JSON can say is not given to the history.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assets.reading.history.validation import read_history
from assets.reading.kinds import CATEGORIES, EVENTS
from assets.reading.managed_ingestion import landed_rows
from assets.reading.rules import BLANKS, Rejection
from assets.reading.settings import ReadingSettings
from assets.reading.stream.messages import parse
from assets.reading.tables import LANDED, warehouse_of
from resources.bigquery import BigQueryResource

pytestmark = pytest.mark.servers("postgres", "bigquery")

#: Of the day on which the test runs, for the history knows no other.
PUBLISHED = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
TODAY, TOMORROW = f"{PUBLISHED:%Y-%m-%d}", f"{PUBLISHED + timedelta(days=1):%Y-%m-%d}"
FIRST, LEAP, DAY, DAY_AFTER = (
    datetime(*day, tzinfo=UTC) for day in ((2000, 1, 1), (2020, 2, 29), (2022, 3, 4), (2022, 3, 5))
)
HUGE = "1" + "0" * 400


def at(hour=0, minute=0, second=0, micro=0, day=DAY):
    return day.replace(hour=hour, minute=minute, second=second, microsecond=micro)


#: user_id, content_id, read_percent, updated_at as in JSON; the row or the reason.
EVENT_CASES = [
    ("1", "2", "3.5", '"2022-03-04 05:06:07.089"', (1, 2, 3.5, at(5, 6, 7, 89_000))),
    (str(-(2**63)), str(2**63 - 1), "2400", '"2022-03-04"', (-(2**63), 2**63 - 1, 2400.0, DAY)),
    ("-0", "2", "-0.0", '"2022-03-04"', (0, 2, 0.0, DAY)),
    ("3", "2", "9e1", '"2022-03-04T05:06"', (3, 2, 90.0, at(5, 6))),
    ("4", "2", "100.00000000000001", '"2022-03-04"', (4, 2, 100.00000000000001, DAY)),
    ("5", "2", "1e-400", '"2022-03-04"', (5, 2, 0.0, DAY)),
    ("6", "2", "1.7976931348623157e308", '"2022-03-04"', (6, 2, 1.7976931348623157e308, DAY)),
    ("7", "2", "3", '"2022-03-04 05:06:07.123456"', (7, 2, 3.0, at(5, 6, 7, 123_456))),
    ("8", "2", "3", '"2022-03-04 23:30:00+0530"', (8, 2, 3.0, at(18))),
    ("9", "2", "3", '"2022-03-04T22:30:00-02:00"', (9, 2, 3.0, at(0, 30, day=DAY_AFTER))),
    ("10", "2", "3", '"2022-03-04 05:06Z"', (10, 2, 3.0, at(5, 6))),
    ("11", "2", "3", '"2022-03-04T14:00:00+14:00"', (11, 2, 3.0, DAY)),
    ("12", "2", "3", '"2000-01-01"', (12, 2, 3.0, FIRST)),
    ("13", "2", "3", '"2020-02-29 23:59:59"', (13, 2, 3.0, at(23, 59, 59, day=LEAP))),
    ("14", "2", "3", f'"{TODAY} 23:59:59"', (14, 2, 3.0, at(23, 59, 59, day=PUBLISHED))),
    # as BigQuery exports them
    ("15", "2", "3", '"2022-03-04 10:00:00 UTC"', (15, 2, 3.0, at(10))),
    ("16", "2", "3", '"2022-03-04 10:00:00.123456 UTC"', (16, 2, 3.0, at(10, micro=123_456))),
    ("17", "2", "3", '"2022-03-04 10:00:00+00"', (17, 2, 3.0, at(10))),
    ("18", "2", "3", '"2022-03-04 10:00-05"', (18, 2, 3.0, at(15))),
    # a day that it is already somewhere east of UTC
    ("19", "2", "3", f'"{TOMORROW}"', (19, 2, 3.0, at(day=PUBLISHED + timedelta(days=1)))),
    # a type
    ("1.5", "2", "3", '"2022-03-04"', "wrong_type"),
    ("1.0", "2", "3", '"2022-03-04"', "wrong_type"),
    ("1e3", "2", "3", '"2022-03-04"', "wrong_type"),
    ("1", "2e0", "-3", '"tomorrow"', "wrong_type"),
    ('"someone"', "2", "3", '"2022-03-04"', "wrong_type"),
    ("1", "2", '"most"', '"2022-03-04"', "wrong_type"),
    # a range
    (str(2**63), "2", "3", '"2022-03-04"', "out_of_range"),
    ("1", str(-(2**63) - 1), "3", '"2022-03-04"', "out_of_range"),
    (str(2**64), "2", "3", '"2022-03-04"', "out_of_range"),
    (str(10**40), "2", "3", '"2022-03-04"', "out_of_range"),
    ("1e40", "2", "3", '"2022-03-04"', "out_of_range"),
    ("1", "2", "-0.5", '"2022-03-04"', "out_of_range"),
    ("1", "2", "-1", '"tomorrow"', "out_of_range"),
    # a time
    ("1", "2", "3", '"2022-02-30"', "bad_date"),
    ("1", "2", "3", '"2021-02-29"', "bad_date"),
    ("1", "2", "3", '"2022-13-01"', "bad_date"),
    ("1", "2", "3", '"2022-3-1"', "bad_date"),
    ("1", "2", "3", '"22-03-04"', "bad_date"),
    ("1", "2", "3", '"20220304"', "bad_date"),
    ("1", "2", "3", '"0000-01-01"', "bad_date"),
    ("1", "2", "3", '"0999-12-31"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 24:00:00"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 25:00:00"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:60:00"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:60"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10"', "bad_date"),
    ("1", "2", "3", '"2022-03-04  10:20:30"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:30.1234567"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:30.Z"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:30+14:01"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:30-15:00"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:30+05:60"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:30 CET"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 10:20:30+15"', "bad_date"),
    ("1", "2", "3", '"2022-03-04 UTC"', "bad_date"),
    ("1", "2", "3", '"2022-03-04Z"', "bad_date"),
    ("1", "2", "3", '"now"', "bad_date"),
    ("1", "2", "3", '"1999-12-31 23:59:59.999999"', "before_2000"),
    ("1", "2", "3", '"2000-01-01T00:30:00+01:00"', "before_2000"),
    ("1", "2", "3", f'"{TOMORROW} 00:00:00"', "future_date"),
    ("1", "2", "3", f'"{PUBLISHED + timedelta(days=2):%Y-%m-%d}"', "future_date"),
    ("1", "2", "3", '"9999-12-31 23:59:59"', "future_date"),
    ("1", "2", "3", '""', "missing_field"),
    ("1", "2", "-3", '""', "missing_field"),
]  # fmt: skip
CATEGORY_CASES = [
    ("5", '"life"', (5, "life")),
    ("5", '" \\u00a0love\\t"', (5, "love")),
    ("-5", '"poe\\u0301sie"', (-5, "po\u00e9sie")),
    ("6", json.dumps("ö" * 200), (6, "ö" * 200)),
    ("7", '"a\\u3000\\n b"', (7, "a\u3000\n b")),
    ("6", json.dumps("ö" * 201), "too_long"),
    ("6", '""', "empty"),
    ("6", json.dumps(BLANKS), "empty"),
    ("1e3", '"life"', "wrong_type"),
    (str(2**63), '"life"', "out_of_range"),
    (str(10**30), '""', "out_of_range"),
]
_OTHERS = '"read_percent": 3, "updated_at": "2022-03-04"'
_MORE = '{"user_id": 1, "content_id": 2, ' + _OTHERS + ', "more": '
#: Members without a name here, of which only BigQuery wants that its JSON can hold them.
ODD_MEMBERS = [f"{_MORE}1e400}}", f"{_MORE}{HUGE}}}"]
#: What only a message can be.
EVENT_MESSAGES = [
    (_MORE + "[" * 10 + "1" + "]" * 10 + "}", (1, 2, 3.0, DAY)),
    (f'{{"user_id": 1, "pratilipi_id": 3, {_OTHERS}}}', (1, 3, 3.0, DAY)),
    (f'{{"user_id": 1, "pratilipi_id": 3, "content_id": 2, {_OTHERS}}}', (1, 2, 3.0, DAY)),
    (f'{{"user_id": 1, "pratilipi_id": "3", {_OTHERS}}}', "wrong_type"),
    (f'{{"user_id": 1, "pratilipi_id": 3, "content_id": "2", {_OTHERS}}}', "wrong_type"),
    (f'{{"more": [{{"user_id": 7}}], "user_id": 1, "content_id": 2, {_OTHERS}}}', (1, 2, 3.0, DAY)),
    (f'{{"user_id": null, "content_id": 2, {_OTHERS}}}', "wrong_type"),
    (f'{{"user_id": true, "content_id": 2, {_OTHERS}}}', "wrong_type"),
    (f'{{"user_id": "1", "content_id": 2, {_OTHERS}}}', "wrong_type"),
    ('{"user_id": 1, "content_id": 2, "read_percent": 3, "updated_at": 20220304}', "wrong_type"),
    ('{"user_id": 1, "content_id": 2, "read_percent": 3, "updated_at": " 2022-03-04"}', "bad_date"),
    ('{"user_id": 1, "content_id": 2, "read_percent": 3}', "missing_field"),
    (f'{{"user_id": 1, {_OTHERS}, "content": 2}}', "missing_field"),
    ('{"user_id": "no"}', "missing_field"),
    (f'{{"user_id": 01, "content_id": 2, {_OTHERS}}}', "not_json"),
    (f'{{"user_id": +1, "content_id": 2, {_OTHERS}}}', "not_json"),
    (f'{{"user_id": 1, "content_id": 2, {_OTHERS}}} {{}}', "not_json"),
    ("user 1 read 2", "not_json"),
    ("{", "not_json"),
    ("", "not_json"),
    ("null", "not_an_object"),
    ("[1, 2]", "not_an_object"),
    ('"text"', "not_an_object"),
    ('{"user_id": 1, "pad": "' + "x" * 70_000 + '"}', "too_long"),
    # BigQuery's JSON has none of these numbers.
    ('{"user_id": 1, "content_id": 2, "read_percent": 1e400, "updated_at": ""}', "not_json"),
    (f'{{"user_id": {HUGE}, "content_id": 2, {_OTHERS}}}', "not_json"),
    (
        '{"user_id": 1, "content_id": 2, "read_percent": NaN, "updated_at": "2022-03-04"}',
        "not_json",
    ),
]
CATEGORY_MESSAGES = [
    ('{"pratilipi_id": 6, "category_name": "life"}', (6, "life")),
    ('{"content_id": 6, "category_name": null}', "wrong_type"),
    ('{"content_id": 6, "category_name": 4}', "wrong_type"),
    ('{"content_id": "6", "category_name": "life"}', "wrong_type"),
    ('{"category_name": "life"}', "missing_field"),
    ('{"content_id": 6, "category_name": "\\ud800"}', "not_json"),
]
#: What only a row of a file can say: numbers as JSON does not write them.
EVENT_ROWS = [
    (("+7", " 2 ", ".5", " 2022-03-04 "), (7, 2, 0.5, DAY)),
    (("1", "2", "5.", "2022-03-04"), (1, 2, 5.0, DAY)),
    (("", "2", "3", "2022-03-04"), "missing_field"),
    (("1", "2", "3", " "), "missing_field"),
    (("nan", "2", "3", "2022-03-04"), "wrong_type"),
    (("1", "2", "nan", "2022-03-04"), "out_of_range"),
    (("1", "2", "inf", "2022-03-04"), "out_of_range"),
    (("1", "2", "1e400", "2022-03-04"), "out_of_range"),
    ((HUGE, "2", "3", "2022-03-04"), "out_of_range"),
    (("1e400", "2", "3", "2022-03-04"), "out_of_range"),
    # Beyond the calendar, which the stand-in for BigQuery has no end of.
    (("1", "2", "3", "9999-12-31T23:59:59-14:00"), "bad_date"),
    (("1_0", "2", "3", "2022-03-04"), "wrong_type"),
]

KINDS: dict[Any, Any] = {
    EVENTS: (EVENT_CASES, EVENT_MESSAGES, EVENT_ROWS),
    CATEGORIES: (CATEGORY_CASES, CATEGORY_MESSAGES, []),
}


def messages(kind):
    cases, only_messages, _ = KINDS[kind]
    written = [
        (
            "{" + ", ".join(f'"{n}": {v}' for n, v in zip(kind.names, values, strict=True)) + "}",
            expected,
        )
        for *values, expected in cases
    ]
    return [*written, *only_messages]


def rows(kind):
    cases, _, only_rows = KINDS[kind]
    shared = [
        (tuple(json.loads(v) if v.startswith('"') else v for v in values), expected)
        for *values, expected in cases
    ]
    return [*shared, *only_rows]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_session(kind):
    cases = messages(kind)
    found = [parse(kind, text.encode(), PUBLISHED) for text, _ in cases]
    said = [one.reason if isinstance(one, Rejection) else tuple(one) for one in found]
    assert dict(enumerate(said)) == {n: expected for n, (_, expected) in enumerate(cases)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_history_files(kind):
    cases = rows(kind)
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [kind.names, *(values for values, _ in cases)]
    )
    found = {}
    for chunk in read_history(io.BytesIO(file.getvalue().encode())):
        found |= {
            row["line"]: tuple(row[n] for n in kind.names) for row in chunk.accepted.to_dicts()
        }
        found |= dict(chunk.rejected.select("line", "reason").iter_rows())
    # A blank in a quoted name may be the end of a line.
    in_order = [found[line] for line in sorted(found)]
    assert dict(enumerate(in_order)) == {n: expected for n, (_, expected) in enumerate(cases)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_landed_in_bigquery(kind, env):
    from google.cloud.bigquery import ScalarQueryParameter

    cases = messages(kind)
    bigquery = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with bigquery.client() as client:
        warehouse = warehouse_of(client, env["READING_DATASET"], *LANDED)
        warehouse.ensure()
        landed = [
            {"data": text, "message_id": str(n), "publish_time": PUBLISHED.isoformat()}
            for n, (text, _) in enumerate(cases)
        ]
        assert client.insert_rows_json(warehouse.table(kind.landed.name), landed) == []
        bound = [
            ScalarQueryParameter("arrived", "TIMESTAMP", PUBLISHED - timedelta(days=2)),
            ScalarQueryParameter("blanks", "STRING", BLANKS),
            ScalarQueryParameter("zone", "STRING", "UTC"),
        ]
        values = ", ".join(f"IF(reason IS NULL, {name}, NULL) AS {name}" for name in kind.names)
        statement = f"SELECT message_id, reason, {values} FROM ({landed_rows.JUDGED[kind]})"
        found = {
            int(row.message_id): row.reason or tuple(row[name] for name in kind.names)
            for row in warehouse.run(statement, bound)
        }
    assert found == {n: expected for n, (_, expected) in enumerate(cases)}


def test_odd_values_of_other_members_cost_a_session_nothing():
    found = [parse(EVENTS, text.encode(), PUBLISHED) for text in ODD_MEMBERS]
    assert found == [(1, 2, 3.0, DAY)] * len(ODD_MEMBERS)


LOCAL = [
    ("2022-03-04 05:06:07", at(23, 36, 7, day=DAY - timedelta(days=1))),
    ("2022-03-04T05:06", at(23, 36, day=DAY - timedelta(days=1))),
    ("2022-03-04 05:06:07.5", at(23, 36, 7, 500_000, day=DAY - timedelta(days=1))),
    ("2022-03-04 05:06:07Z", at(5, 6, 7)),
    ("2022-03-04 05:06:07 UTC", at(5, 6, 7)),
    ("2022-03-04 05:06:07+01:00", at(4, 6, 7)),
    ("2022-03-04", DAY),
]


def test_times_without_an_offset_are_of_the_configured_zone(env, monkeypatch):
    from google.cloud.bigquery import ScalarQueryParameter

    monkeypatch.setenv("READING_ZONE", "Asia/Kolkata")
    texts = [
        f'{{"user_id": {n}, "content_id": 2, "read_percent": 3, "updated_at": "{text}"}}'
        for n, (text, _) in enumerate(LOCAL)
    ]
    expected = [moment for _, moment in LOCAL]
    zone = ReadingSettings.current().time_zone
    assert [parse(EVENTS, one.encode(), PUBLISHED, zone).updated_at for one in texts] == expected
    file = "user_id,content_id,read_percent,updated_at\n" + "".join(
        f"{n},2,3,{text}\n" for n, (text, _) in enumerate(LOCAL)
    )
    for whole in (file, file + "7,2,3,2022-03-04\n" * 3):
        frames = [chunk.accepted for chunk in read_history(io.BytesIO(whole.encode()))]
        assert [row["updated_at"] for row in frames[0].to_dicts()][: len(LOCAL)] == expected
    bigquery = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with bigquery.client() as client:
        warehouse = warehouse_of(client, env["READING_DATASET"], *LANDED)
        warehouse.ensure()
        landed = [
            {"data": text, "message_id": str(n), "publish_time": PUBLISHED.isoformat()}
            for n, text in enumerate(texts)
        ]
        assert client.insert_rows_json(warehouse.table(EVENTS.landed.name), landed) == []
        bound = [
            ScalarQueryParameter("arrived", "TIMESTAMP", FIRST),
            ScalarQueryParameter("blanks", "STRING", BLANKS),
            ScalarQueryParameter("zone", "STRING", "Asia/Kolkata"),
        ]
        found = {
            row.user_id: row.updated_at for row in warehouse.run(landed_rows.JUDGED[EVENTS], bound)
        }
    assert [found[n] for n in range(len(LOCAL))] == expected


def test_a_zone_that_there_is_not_is_said():
    with pytest.raises(ValueError, match="READING_ZONE is 'IST2'"):
        _ = ReadingSettings(zone="IST2").time_zone
