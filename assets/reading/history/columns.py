"""What the values of a history row must be, with a reason where they are not.

Belongs here: rules and their spelling. Does not: CSV and headers (``formats.py``).

A row and a message that say the same are the same event, so the rules are those of messages
(``stream/messages.py``). Rows of the usual spelling are read a column at a time; all others, the
bad ones among them, one by one. White space around a value does not count. An empty number or time
is a ``missing_field``, an empty category ``empty``.
Imported lazily: needs polars and msgspec.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, time

import polars as pl  # noqa: TID253

from assets.reading.history.formats import COLUMNS, Kind
from assets.reading.pipeline import FIRST_DAY
from assets.reading.stream.messages import (
    CLOCK_SKEW,
    MAX_CATEGORY,
    Reason,
    Rejection,
    is_future,
    parse_time,
)
from landing.batch.chunks import REJECT_SCHEMA, Chunk, original_text

#: Columns of both kinds; a row has nulls in those of the other kind.
SCHEMA = pl.Schema(
    {
        "user_id": pl.Int64(),
        "content_id": pl.Int64(),
        "read_percent": pl.Float64(),
        "updated_at": pl.Datetime("us", "UTC"),
        "category_name": pl.String(),
    }
)

#: The values of a row in SCHEMA's order.
_Values = tuple[int | None, int, float | None, datetime | None, str | None]

_FIRST = datetime.fromisoformat(f"{FIRST_DAY}T00:00:00+00:00")
#: A day, or a day and a time.
_USUAL_TIME = (
    r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
    r"( ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?)?$"
)
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE
)
_INT64 = range(-(2**63), 2**63)
_SHOWN_CHARACTERS = 100


class _BadValueError(Exception):
    """A value that breaks a rule."""

    def __init__(self, reason: Reason, column: str, value: str) -> None:
        super().__init__(reason)
        self.rejection = Rejection(reason, f"{column}: {value[:_SHOWN_CHARACTERS]}")


def validated(kind: Kind, chunk: Chunk, now: datetime) -> Chunk:
    """The chunk with the columns of SCHEMA and ``line``; rows that break a rule join its rejects.

    Of the chunk's rows the kind's own columns are read. ``now`` is UTC, and no event is later than
    its day, a few minutes of clock skew aside.
    """
    raw = chunk.accepted.select(*COLUMNS[kind], "line", "text")
    typed = _usual_events(raw, now) if kind == "events" else _usual_categories(raw)
    usual = typed.get_column("usual")
    accepted = typed.filter(usual).select(*SCHEMA, "line")
    if len(accepted) == len(raw):
        return Chunk(accepted, chunk.rejected, chunk.lines, chunk.blank_lines)
    good, bad = _one_by_one(kind, raw.filter(~usual), now)
    return Chunk(
        pl.concat([accepted, good]).sort("line"),
        pl.concat([chunk.rejected, bad]).sort("line"),
        chunk.lines,
        chunk.blank_lines,
    )


def _usual_events(raw: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """SCHEMA, ``line``, and whether the row is ``usual``: surely good, its values being these."""
    latest = max(now + CLOCK_SKEW, datetime.combine(now.date(), time.max, UTC))
    percent, at = pl.col("read_percent"), pl.col("updated_at")
    typed = raw.select(
        pl.col("user_id", "content_id").cast(pl.Int64, strict=False),
        _positive_zero(percent.cast(pl.Float64, strict=False)).alias("read_percent"),
        _usual_time(at).alias("updated_at"),
        pl.lit(None, pl.String).alias("category_name"),
        "line",
    )
    usual = (
        pl.col("user_id").is_not_null()
        & pl.col("content_id").is_not_null()
        & (percent.is_finite() & (percent >= 0)).fill_null(value=False)
        & at.is_between(_FIRST, latest).fill_null(value=False)
    )
    return typed.with_columns(usual.alias("usual"))


def _usual_time(text: pl.Expr) -> pl.Expr:
    """The time in UTC, null for what is spelled in any other way or is not in the calendar.

    Put together from its digits, which takes half the time of a parser.
    """
    usual = pl.when(text.str.contains(_USUAL_TIME)).then(text)

    def digits(start: int, count: int) -> pl.Expr:
        return usual.str.slice(start, count).str.pad_end(count, "0").cast(pl.Int64)

    day = usual.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    seconds = digits(11, 2) * 3_600 + digits(14, 2) * 60 + digits(17, 2)
    since = (seconds * 1_000_000 + digits(20, 6)).cast(pl.Duration("us"))
    return (day.cast(pl.Datetime("us")) + since).dt.replace_time_zone("UTC")


def _usual_categories(raw: pl.DataFrame) -> pl.DataFrame:
    """As :func:`_usual_events`. There are few names, so each is looked at once."""
    names = raw.get_column("category_name").unique().to_list()
    regular = [_category_name(name) for name in names]
    known = pl.DataFrame(
        {"category_name": names, "regular": regular},
        schema={"category_name": pl.String, "regular": pl.String},
    )
    typed = raw.join(known, on="category_name", how="left", maintain_order="left").select(
        pl.lit(None, pl.Int64).alias("user_id"),
        pl.col("content_id").cast(pl.Int64, strict=False),
        pl.lit(None, pl.Float64).alias("read_percent"),
        pl.lit(None, SCHEMA["updated_at"]).alias("updated_at"),
        pl.col("regular").alias("category_name"),
        "line",
    )
    length = pl.col("category_name").str.len_chars()
    usual = pl.col("content_id").is_not_null() & length.is_between(1, MAX_CATEGORY)
    return typed.with_columns(usual.alias("usual"))


def _one_by_one(kind: Kind, raw: pl.DataFrame, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of any other spelling: those that are good after all, and the rejects."""
    good: list[tuple[int | float | datetime | str | None, ...]] = []
    bad: list[tuple[int, str, str, str, bool]] = []
    for *values, line, text in raw.iter_rows():
        stripped = [value.strip() for value in values]
        try:
            found = _event(stripped, now) if kind == "events" else _category(stripped)
        except _BadValueError as error:
            bad.append((line, *error.rejection, *original_text(text.encode())))
        else:
            good.append((*found, line))
    return (
        pl.DataFrame(good, schema={**SCHEMA, "line": pl.Int64}, orient="row"),
        pl.DataFrame(bad, schema=REJECT_SCHEMA, orient="row"),
    )


def _event(values: Sequence[str], now: datetime) -> _Values:
    # By defect, then by column, as messages are looked at: a row with two is rejected for the same.
    for column, text in zip(COLUMNS["events"], values, strict=True):
        _require_text(column, text)
    user_id, content_id, percent, at = values
    _require_spelling("user_id", user_id, _WHOLE_NUMBER)
    _require_spelling("content_id", content_id, _WHOLE_NUMBER)
    _require_spelling("read_percent", percent, _NUMBER)
    return (
        _id("user_id", user_id),
        _id("content_id", content_id),
        _percent(percent),
        _time(at, now),
        None,
    )


def _category(values: Sequence[str]) -> _Values:
    content_id, text = values
    _require_text("content_id", content_id)
    _require_spelling("content_id", content_id, _WHOLE_NUMBER)
    identifier, name = _id("content_id", content_id), _category_name(text)
    if not name:
        raise _BadValueError("empty", "category_name", text)
    if len(name) > MAX_CATEGORY:
        raise _BadValueError("too_long", "category_name", f"{len(name)} characters")
    return None, identifier, None, None, name


def _category_name(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _require_text(column: str, text: str) -> None:
    if not text:
        raise _BadValueError("missing_field", column, text)


def _require_spelling(column: str, text: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(text):
        raise _BadValueError("wrong_type", column, text)


def _id(column: str, text: str) -> int:
    # Past so many digits Python refuses to read a number at all.
    if len(text) > _SHOWN_CHARACTERS or int(text) not in _INT64:
        raise _BadValueError("out_of_range", column, text)
    return int(text)


def _positive_zero(number: pl.Expr) -> pl.Expr:
    """The number, with 0.0 for -0.0. Adding zero would do, but polars may leave that out."""
    return pl.when(number == 0).then(pl.lit(0.0)).otherwise(number)


def _percent(text: str) -> float:
    if not 0.0 <= float(text) < float("inf"):
        raise _BadValueError("out_of_range", "read_percent", text)
    return float(text) + 0.0


def _time(text: str, now: datetime) -> datetime:
    at = parse_time(text)
    if at is None:
        raise _BadValueError("bad_date", "updated_at", text)
    if at < _FIRST:
        raise _BadValueError("before_2000", "updated_at", text)
    if is_future(at, now):
        raise _BadValueError("future_date", "updated_at", text)
    return at
