"""What a campaign event must be: values made regular, rules with a reason each, content hashes.

Belongs here: the columns, their rules, their spelling. Does not: CSV (``assets/formats``).
Ids, campaign and timestamp lose surrounding white space; the message is kept as it came. What is
then empty is null, and so is a message of white space only: there is nothing to embed in it.
Imported lazily: needs polars and dataframely.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import dataframely as dy  # noqa: TID253
import polars as pl  # noqa: TID253

from landing.batch.chunks import REJECT_SCHEMA, Chunk, cut_texts

COLUMNS = ("record_id", "user_id", "message", "campaign", "timestamp")

#: Bytes of UTF-8. Ids are keys in five systems, some of which limit them.
MAX_ID_BYTES = 128
MAX_CAMPAIGN_BYTES = 256
FIRST_YEAR, LAST_YEAR = 1970, 2200

#: Date, time, at most six decimals, and an offset; no offset means UTC.
_TIMESTAMP = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r" ?(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?$"
)
_DETAIL_CHARACTERS = 100


class CampaignEvent(dy.Schema):
    """One regular event. Each rule is named as the reason for which it rejects a row."""

    record_id = dy.String(nullable=True)
    user_id = dy.String(nullable=True)
    message = dy.String(nullable=True)
    campaign = dy.String(nullable=True)
    timestamp = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    raw_timestamp = dy.String(nullable=True)
    line = dy.Int64(nullable=False)
    text = dy.String(nullable=False)

    @dy.rule()
    def missing_record_id(cls) -> pl.Expr:  # noqa: N805
        """The key of the record."""
        return pl.col("record_id").is_not_null()

    @dy.rule()
    def missing_user_id(cls) -> pl.Expr:  # noqa: N805
        """Whom the event belongs to."""
        return pl.col("user_id").is_not_null()

    @dy.rule()
    def value_too_long(cls) -> pl.Expr:  # noqa: N805
        """Keys that a sink could not hold."""
        return (
            _within("record_id", MAX_ID_BYTES)
            & _within("user_id", MAX_ID_BYTES)
            & _within("campaign", MAX_CAMPAIGN_BYTES)
        )

    @dy.rule()
    def bad_timestamp(cls) -> pl.Expr:  # noqa: N805
        """A time that exists, in a year that is meant."""
        return (
            pl.col("timestamp").dt.year().is_between(FIRST_YEAR, LAST_YEAR).fill_null(value=False)
        )


#: In the order in which they are told: a row that breaks several is counted once.
REASONS = ("missing_record_id", "missing_user_id", "value_too_long", "bad_timestamp")


def validated(chunk: Chunk) -> Chunk:
    """The chunk with typed, regular and hashed rows; rows that break a rule join its rejects.

    Accepted columns: COLUMNS (``timestamp`` in UTC), ``row_hash``, ``message_hash``, ``line``,
    ``text``.
    """
    valid, failure = CampaignEvent.filter(normalised(chunk.accepted))
    accepted = hashed(valid.drop("raw_timestamp"))
    broken = failure.details()
    if broken.is_empty():
        return replace(chunk, accepted=accepted)
    rejected = pl.concat([chunk.rejected, _rejects(broken)]).sort("line", maintain_order=True)
    return replace(chunk, accepted=accepted, rejected=rejected)


def normalised(raw: pl.DataFrame) -> pl.DataFrame:
    """Strings made regular and the timestamp parsed; what does not parse is null."""
    strip = [
        pl.col(name).str.strip_chars() for name in ("record_id", "user_id", "campaign", "timestamp")
    ]
    frame = raw.with_columns(strip).with_columns(
        [_null_if_empty(name) for name in ("record_id", "user_id", "campaign")]
    )
    blank = pl.col("message").str.strip_chars().str.len_bytes() == 0
    return frame.with_columns(
        pl.when(~blank).then("message").alias("message"),
        pl.col("timestamp").alias("raw_timestamp"),
        parsed_timestamp(pl.col("timestamp")).alias("timestamp"),
    )


def parsed_timestamp(value: pl.Expr) -> pl.Expr:
    """``YYYY-MM-DD HH:MM:SS[.ffffff]`` with ``T`` and an offset allowed, as UTC; else null."""
    gated = pl.when(value.str.contains(_TIMESTAMP)).then(value)
    base = gated.str.slice(0, 19).str.replace("T", " ", literal=True)
    seconds = base.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    rest = gated.str.slice(19)
    fraction = rest.str.extract(r"^\.([0-9]+)").str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    sign = pl.when(rest.str.contains("-", literal=True)).then(-1).otherwise(1)
    hours = rest.str.extract(r"[+-]([0-9]{2})").cast(pl.Int64).fill_null(0)
    minutes = rest.str.extract(r"[+-][0-9]{2}:?([0-9]{2})").cast(pl.Int64).fill_null(0)
    offset = sign * (hours * 60 + minutes) * 60_000_000
    shifted = seconds + pl.duration(microseconds=fraction - offset)
    return shifted.dt.replace_time_zone("UTC").dt.cast_time_unit("us")


def hashed(frame: pl.DataFrame) -> pl.DataFrame:
    """With ``row_hash`` (128-bit blake2b) and ``message_hash`` (sha256, null without a message).

    The row's encoding is one netstring per column (length in bytes, colon, value), ``-`` for
    null, the timestamp in microseconds since 1970, so that no two rows share an encoding.
    """
    encoded = frame.select(
        pl.concat_str(
            [
                *[_netstring(pl.col(name)) for name in COLUMNS[:-1]],
                _netstring(pl.col("timestamp").dt.epoch("us").cast(pl.String)),
            ]
        )
    ).to_series()
    row_hash = [hashlib.blake2b(value.encode(), digest_size=16).hexdigest() for value in encoded]
    messages = frame.get_column("message").drop_nulls().unique().to_list()
    digests = [hashlib.sha256(message.encode()).hexdigest() for message in messages]
    hashes = pl.DataFrame(
        {"message": messages, "message_hash": digests},
        schema={"message": pl.String, "message_hash": pl.String},
    )
    return frame.with_columns(pl.Series("row_hash", row_hash, dtype=pl.String)).join(
        hashes, on="message", how="left", maintain_order="left"
    )


def _netstring(value: pl.Expr) -> pl.Expr:
    text = pl.concat_str([value.str.len_bytes().cast(pl.String), pl.lit(":"), value])
    return text.fill_null("-")


def _null_if_empty(name: str) -> pl.Expr:
    return pl.when(pl.col(name).str.len_bytes() > 0).then(name).alias(name)


def _within(name: str, limit: int) -> pl.Expr:
    return pl.col(name).str.len_bytes().fill_null(0) <= limit


def _rejects(broken: pl.DataFrame) -> pl.DataFrame:
    """Rows that broke a rule, in the shape of a reader's rejects, with the first reason."""
    reason = pl.coalesce(
        [pl.when(pl.col(rule).cast(pl.String) == "invalid").then(pl.lit(rule)) for rule in REASONS]
    )
    raw_time = pl.col("raw_timestamp").str.slice(0, _DETAIL_CHARACTERS)
    lengths = [
        pl.concat_str([pl.lit(f"{name} "), pl.col(name).str.len_bytes().fill_null(0)])
        for name in ("record_id", "user_id", "campaign")
    ]
    detail = (
        pl.when(pl.col("reason") == "bad_timestamp")
        .then(raw_time)
        .when(pl.col("reason") == "value_too_long")
        .then(pl.concat_str([*lengths, pl.lit("bytes")], separator=" "))
    )
    rejects = broken.with_columns(reason.alias("reason")).with_columns(detail.alias("detail"))
    return cut_texts(rejects).select(list(REJECT_SCHEMA))
