"""Rows of history files by the rules of events and categories, with a reason where they break one.

Belongs here: how values are spelled in CSV. Does not: what a value must be (``rules.py``), CSV and
headers (``formats.py``).

A row and a message that say the same are the same event. Blocks of nothing but events of the usual
spelling are read as they lie, and such rows of other blocks a column at a time; all other rows, the
bad ones among them, one by one. White space around a value does not count, and a value that is
empty is missing, but for a category's name.
Imported lazily: needs polars.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, cast

import polars as pl  # noqa: TID253

from assets.formats.csv_header import Header
from assets.formats.csv_plain import typed
from assets.frame.table_frames import frame_schema
from assets.reading.history.formats import LIMITS
from assets.reading.kinds import EVENTS, Kind
from assets.reading.rules import (
    FIRST,
    MAX_CATEGORY,
    Rejection,
    Row,
    beyond_64_bits,
    latest,
    regular_name,
)
from assets.reading.tables import HISTORY_FIELDS, HISTORY_ROWS
from landing.batch.chunks import REJECT_SCHEMA, Chunk, original_text

if TYPE_CHECKING:
    from assets.frame.tables import Column

_TYPES = {name: frame_schema(HISTORY_ROWS)[name] for name in HISTORY_FIELDS}
#: What of a block can be read by its type; times have several spellings.
_READ_AS = {name: _TYPES[name] for name in ("user_id", "content_id", "read_percent")}

#: A day, or a day and a time.
_USUAL_TIME = (
    r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
    r"( ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?)?$"
)
#: Formats that polars reads many times as fast as others, by the length of what they fit.
_TIME_FORMATS = {
    len("2022-03-04 05:06:07"): "%Y-%m-%d %H:%M:%S",
    len("2022-03-04 05:06:07.123"): "%Y-%m-%d %H:%M:%S.%3f",
    len("2022-03-04 05:06:07.123456"): "%Y-%m-%d %H:%M:%S.%6f",
}
_SECOND, *_, _MICROSECOND = _TIME_FORMATS
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_SHOWN_CHARACTERS = 100


def usual(  # noqa: PLR0917  what the reader gives, then what is known
    kind: Kind, block: bytes, header: Header, line: int, now: datetime, zone: tzinfo = UTC
) -> Chunk | None:
    """Whole lines as :func:`validated` has them, if all are events whose values are as usual."""
    frame = typed(block, header, _READ_AS, LIMITS) if kind is EVENTS else None
    if frame is None:
        return None
    numbers = pl.int_range(line, line + len(frame), dtype=pl.Int64, eager=True).alias("line")
    events = _usual_events(frame.with_columns(numbers), now, zone)
    if not events.get_column("usual").all():
        return None
    return Chunk(_with_all_fields(events), pl.DataFrame(schema=REJECT_SCHEMA), lines=len(frame))


def validated(kind: Kind, chunk: Chunk, now: datetime, zone: tzinfo = UTC) -> Chunk:
    """The chunk with the columns of both kinds and ``line``; rows that break a rule are rejects.

    Of the chunk's rows the kind's own columns are read; what :func:`usual` made is so already.
    ``now`` is UTC, and no event is later than its day, a few minutes of clock skew aside.
    """
    if "text" not in chunk.accepted.columns:
        return chunk
    raw = chunk.accepted.select(*kind.names, "line", "text")
    spelled = _usual_events(raw, now, zone) if kind is EVENTS else _usual_categories(raw)
    is_usual = spelled.get_column("usual")
    accepted = _with_all_fields(spelled.filter(is_usual))
    if len(accepted) == len(raw):
        return replace(chunk, accepted=accepted)
    good, bad = _one_by_one(kind, raw.filter(~is_usual), now, zone)
    return replace(
        chunk,
        accepted=pl.concat([accepted, good]).sort("line"),
        rejected=pl.concat([chunk.rejected, bad]).sort("line"),
    )


def _usual_events(raw: pl.DataFrame, now: datetime, zone: tzinfo) -> pl.DataFrame:
    """The fields, ``line``, and whether the row is ``usual``: surely good, its values being these.

    A row that is not usual here is read again by itself, so that this may be stricter than the
    rules, never laxer.
    """
    percent, at = pl.col("read_percent"), pl.col("updated_at")
    typed = raw.select(
        pl.col("user_id", "content_id").cast(pl.Int64, strict=False),
        _positive_zero(percent.cast(pl.Float64, strict=False)).alias("read_percent"),
        # Local times are few enough to be looked at one by one.
        _usual_time(raw.get_column("updated_at"), day_only=zone is not UTC).alias("updated_at"),
        "line",
    )
    usual = (
        pl.col("user_id").is_not_null()
        & pl.col("content_id").is_not_null()
        & (percent.is_finite() & (percent >= 0)).fill_null(value=False)
        & at.is_between(FIRST, latest(now)).fill_null(value=False)
    )
    return typed.with_columns(usual.alias("usual"))


def _usual_time(texts: pl.Series, *, day_only: bool) -> pl.Expr:
    """The time in UTC, null for what is spelled in any other way or is not in the calendar.

    The parser alone would take more than what is usual.
    """
    text = pl.col(texts.name)
    usual = pl.when(text.str.contains(_USUAL_TIME)).then(text)
    at = pl.lit(None, pl.Datetime("us"))
    if not day_only:
        length, spelled = _spelled_alike(texts, usual)
        at = spelled.str.to_datetime(_TIME_FORMATS[length], time_unit="us", strict=False)
    day_alone = pl.when(text.str.len_bytes() == len("2022-03-04")).then(usual)
    day = day_alone.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return at.fill_null(day).dt.replace_time_zone("UTC")


def _spelled_alike(texts: pl.Series, usual: pl.Expr) -> tuple[int, pl.Expr]:
    """The times all of one length of _TIME_FORMATS; days alone are of none."""
    lengths = texts.str.len_bytes()
    if (length := lengths.min()) == lengths.max() and length in _TIME_FORMATS:
        return cast("int", length), usual
    size = usual.str.len_bytes()
    with_point = pl.when(size == _SECOND).then(usual + ".").when(size > _SECOND).then(usual)
    return _MICROSECOND, with_point.str.pad_end(_MICROSECOND, "0")


def _usual_categories(raw: pl.DataFrame) -> pl.DataFrame:
    """As :func:`_usual_events`. There are few names, so each is looked at once."""
    names = raw.get_column("category_name").unique().to_list()
    regular = pl.DataFrame(
        {"category_name": names, "regular": [regular_name(name) for name in names]},
        schema={"category_name": pl.String, "regular": pl.String},
    )
    typed = raw.join(regular, on="category_name", how="left", maintain_order="left").select(
        pl.col("content_id").cast(pl.Int64, strict=False),
        pl.col("regular").alias("category_name"),
        "line",
    )
    length = pl.col("category_name").str.len_chars()
    usual = pl.col("content_id").is_not_null() & length.is_between(1, MAX_CATEGORY)
    return typed.with_columns(usual.alias("usual"))


def _with_all_fields(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with nulls in the fields of the other kind."""
    return rows.select(
        *(
            pl.col(name) if name in rows.columns else pl.lit(None, kind).alias(name)
            for name, kind in _TYPES.items()
        ),
        "line",
    )


def _positive_zero(number: pl.Expr) -> pl.Expr:
    """The number, with 0.0 for -0.0. Adding zero would do, but polars may leave that out."""
    return pl.when(number == 0).then(pl.lit(0.0)).otherwise(number)


def _one_by_one(
    kind: Kind, raw: pl.DataFrame, now: datetime, zone: tzinfo
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of any other spelling: those that are good after all, and the rejects."""
    good: list[tuple[object, ...]] = []
    bad: list[tuple[int, str, str, str, bool]] = []
    for *cells, line, text in raw.iter_rows():
        found = _row(kind, [cell.strip() for cell in cells], now, zone)
        if isinstance(found, Rejection):
            bad.append((line, *found, *original_text(text.encode())))
        else:
            good.append((*found, line))
    types = {name: _TYPES[name] for name in kind.names} | {"line": pl.Int64}
    return (
        _with_all_fields(pl.DataFrame(good, schema=types, orient="row")),
        pl.DataFrame(bad, schema=REJECT_SCHEMA, orient="row"),
    )


def _row(kind: Kind, cells: Sequence[str], now: datetime, zone: tzinfo) -> Row | Rejection:
    # By defect, then by field, as messages are looked at: a row with two is rejected for the same.
    fields = list(zip(kind.fields, cells, strict=True))
    for field, text in fields:
        if not text and field.type != "text":
            return Rejection("missing_field", f"{field.name} is empty")
    values = []
    for field, text in fields:
        value = _value(field, text)
        if value is None:
            return Rejection("wrong_type", f"{field.name}: {text[:_SHOWN_CHARACTERS]}")
        values.append(value)
    return kind.accept(*values, now, zone)


def _value(field: Column, text: str) -> int | float | str | None:
    """What a cell says; None when it is of another type."""
    if field.type == "bigint":
        return _id(text)
    if field.type == "double precision":
        return float(text) if _NUMBER.fullmatch(text) or _NO_NUMBER.fullmatch(text) else None
    return text


def _id(text: str) -> int | None:
    """A number that is beyond 64 bits may come out as any other such number."""
    if _WHOLE_NUMBER.fullmatch(text):
        # Past some thousand digits Python refuses to read a number at all.
        return int(text) if len(text) <= _SHOWN_CHARACTERS else 2**64
    return 2**64 if _NUMBER.fullmatch(text) and beyond_64_bits(float(text)) else None
