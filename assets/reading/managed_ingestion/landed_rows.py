"""Which landed messages are valid, why the others are not, and the statements over both.

Belongs here: the rules as SQL, and statements that are complete but for the tables' names. Does
not: the rules themselves (``rules.py``), running anything (``landed.py``).

BigQuery reads as many messages as its own services can land. Of two members of one name it takes
the first, a session the last.
"""

from __future__ import annotations

from assets.frame.tables import Column
from assets.reading.fact_statements import gained, merge
from assets.reading.kinds import EVENTS, KINDS, Kind
from assets.reading.rules import (
    CLOCK_SKEW_MINUTES,
    DAYS_AHEAD,
    FIRST_DAY,
    MAX_BYTES,
    MAX_CATEGORY,
    READ_BEYOND,
    TIME,
)
from assets.sinks.bigquery import INGESTION_HOUR, within

#: Rejected rows that one merge copies to Postgres, of each topic.
MOST_REJECTS = 10_000

# By how a value is written, since a number may be written as an integer, a decimal or a power.
_WHOLE, _NUMBER, _STRING = "r'^-?[0-9]+$'", "r'^-?[0-9]'", "r'^\"'"


_OLDER = {"content_id": "pratilipi_id"}
_DAY = len(FIRST_DAY)


def _member(field: Column) -> str:
    older = _OLDER.get(field.name)
    named = f"document.{field.name}"
    return f"COALESCE({named}, document.{older})" if older else named


def _written(field: Column) -> str:
    return f"TO_JSON_STRING({_member(field)})"


def _beyond_64_bits(field: Column) -> str:
    number = f"ABS(SAFE_CAST({_written(field)} AS FLOAT64)) >= 9223372036854775808"
    return f"(REGEXP_CONTAINS({_written(field)}, {_NUMBER}) AND {number})"


def _spelled(time: str) -> str:
    """A time as BigQuery wants it: with seconds, a colon in an offset, and its zone."""
    offset = rf"REGEXP_REPLACE({time}, r' UTC$', 'Z')"
    seconds = rf"REGEXP_REPLACE({offset}, r'([ T]\d\d:\d\d)(Z|[+-].*)?$', r'\1:00\2')"
    whole = rf"REGEXP_REPLACE({seconds}, r'([ T].*[+-]\d\d)$', r'\1:00')"
    spelled = rf"REGEXP_REPLACE({whole}, r'([+-]\d\d)(\d\d)$', r'\1:\2')"
    zoned = rf"REGEXP_REPLACE({spelled}, r'([ T]\d\d:\d\d:[0-9.]+)$', CONCAT(r'\1 ', @zone))"
    # A day would be UTC's anyway, but the stand-in takes the zone of the row before it.
    return rf"REGEXP_REPLACE({zoned}, r'^([0-9-]+)$', r'\1 00:00:00Z')"


def _value(field: Column) -> str:
    """The value of a valid message, null of some others."""
    return {
        "bigint": f"SAFE_CAST({_written(field)} AS INT64)",
        # Adding zero makes -0.0 what it equals.
        "double precision": f"SAFE_CAST({_written(field)} AS FLOAT64) + 0.0",
        "timestamptz": f"SAFE_CAST({_spelled(f'JSON_VALUE(document.{field.name})')} AS TIMESTAMP)",
        "text": f"TRIM(NORMALIZE(JSON_VALUE(document.{field.name}), NFC), @blanks)",
    }[field.type]


def _missing(field: Column) -> str:
    absent = f"{_member(field)} IS NULL"
    empty = f" OR {_written(field)} = '\"\"'" if field.type == "timestamptz" else ""
    return absent + empty


def _mistyped(field: Column) -> str:
    spelled = {"bigint": _WHOLE, "double precision": _NUMBER}.get(field.type, _STRING)
    wrong = f"NOT REGEXP_CONTAINS({_written(field)}, {spelled})"
    return f"({wrong} AND NOT {_beyond_64_bits(field)})" if field.type == "bigint" else wrong


def _out_of_range(field: Column) -> list[str]:
    if field.type == "bigint":
        return [f"{field.name} IS NULL"]
    if field.type == "double precision":
        return [f"NOT IFNULL({field.name} >= 0 AND NOT IS_INF({field.name}), FALSE)"]
    return []


def _of_value(field: Column) -> list[tuple[str, str]]:
    """Conditions on what a field says, with their reasons."""
    name = field.name
    if field.type == "timestamptz":
        known = "COALESCE(publish_time, CURRENT_TIMESTAMP())"
        ahead = f"TIMESTAMP_ADD({known}, INTERVAL {CLOCK_SKEW_MINUTES} MINUTE)"
        text = f"JSON_VALUE(document.{name})"
        late = f"DATE({name}) > DATE({known}) AND {name} > {ahead}"
        late_day = f"DATE({name}) > DATE_ADD(DATE({known}), INTERVAL {DAYS_AHEAD} DAY)"
        return [
            (f"NOT REGEXP_CONTAINS({text}, r'^(?:{TIME})$') OR {name} IS NULL", "bad_date"),
            (f"{name} < TIMESTAMP '{FIRST_DAY} 00:00:00+00'", "before_2000"),
            (f"IF(LENGTH({text}) = {_DAY}, {late_day}, {late})", "future_date"),
        ]
    if field.type == "text":
        return [(f"{name} = ''", "empty"), (f"CHAR_LENGTH({name}) > {MAX_CATEGORY}", "too_long")]
    return []


def _judged(kind: Kind) -> str:
    """Every newly landed message: its values, and a ``reason`` unless it is taken."""
    fields = kind.fields
    defects = [
        (f"BYTE_LENGTH(data) > {MAX_BYTES}", "too_long"),
        ("document IS NULL", "not_json"),
        ("JSON_TYPE(document) != 'object'", "not_an_object"),
        (" OR ".join(map(_missing, fields)), "missing_field"),
        (" OR ".join(map(_mistyped, fields)), "wrong_type"),
        (" OR ".join(one for field in fields for one in _out_of_range(field)), "out_of_range"),
        *(defect for field in fields for defect in _of_value(field)),
    ]
    cases = "\n    ".join(f"WHEN {condition} THEN '{reason}'" for condition, reason in defects)
    values = ",\n    ".join(f"{_value(field)} AS {field.name}" for field in fields)
    # Numbers that are not needed may be too large to be kept exactly: they are rounded.
    return f"""
SELECT *,
  CASE
    {cases}
  END AS reason
FROM (
  SELECT *,
    {values}
  FROM (
    SELECT *, SAFE.PARSE_JSON(data, wide_number_mode => 'round') AS document,
      CONCAT('message:', COALESCE(message_id, TO_HEX(SHA256(data)))) AS source
    FROM `{{{kind.landed.name}}}`
    WHERE {INGESTION_HOUR} IS NULL OR {INGESTION_HOUR} >= @arrived
  )
)
"""


def _day(kind: Kind) -> str:
    return kind.change_sql if kind.table.partition else "CAST(NULL AS DATE)"


JUDGED = {kind: _judged(kind) for kind in KINDS}

#: Messages by reason, and by day where the table has days.
COUNT = {
    kind: f"""
SELECT {_day(kind)} AS day, reason, COUNT(*) AS messages
FROM ({JUDGED[kind]}) GROUP BY day, reason
"""
    for kind in KINDS
}
# Both sides are bounded by the same days: what landed since they were asked for stays for the next
# merge, instead of passing by a target of which other days are read.
MERGE = {
    kind: merge(
        kind, f"({JUDGED[kind]}) WHERE reason IS NULL", source="MIN(source)", ingested_at="@now"
    )
    for kind in KINDS
}
# By when rows came in rather than by what this merge inserted: one that died after its MERGE is
# made up for by the next.
GAINED = {kind: gained(kind, "ingested_at >= @since") for kind in KINDS}
#: The contents and days of those that count.
READ_ON = f"""
SELECT DISTINCT content_id, DATE(updated_at) AS day
FROM `{{{EVENTS.table.name}}}`
WHERE {within(EVENTS.table)} AND ingested_at >= @since AND read_percent > {READ_BEYOND}
"""
REJECTED = {
    kind: f"""
SELECT source, publish_time, attributes, data, reason
FROM ({JUDGED[kind]}) WHERE reason IS NOT NULL ORDER BY publish_time DESC LIMIT {MOST_REJECTS}
"""
    for kind in KINDS
}
