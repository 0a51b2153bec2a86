"""What a campaign event must be: values made regular, rules with a reason each, content hashes.

Belongs here: rules and spelling. Does not: CSV (``assets/formats``), the columns (``tables.py``),
nor how rules are applied (``assets/frame/rows.py``).
Ids, campaign and timestamp lose surrounding white space; the message is kept as it came. What is
then empty is null, and so is a message of white space only: there is nothing to embed in it.
Imported lazily: needs polars.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import polars as pl  # noqa: TID253

from assets.campaigns.tables import EVENT
from assets.frame.rows import Rule, checked, hashed
from landing.batch.chunks import Chunk
from landing.batch.reasons import RejectReason

COLUMNS = tuple(column.name for column in EVENT)

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


def _within(name: str, limit: int) -> pl.Expr:
    return pl.col(name).str.len_bytes().fill_null(0) <= limit


#: Keys that a sink could not hold are told by their lengths.
_LENGTHS = [
    pl.concat_str([pl.lit(f"{name} "), pl.col(name).str.len_bytes().fill_null(0)])
    for name in ("record_id", "user_id", "campaign")
]

#: In the order in which they are told.
RULES = (
    Rule(RejectReason("missing_record_id", "the id is empty"), pl.col("record_id").is_not_null()),
    Rule(RejectReason("missing_user_id", "the user is empty"), pl.col("user_id").is_not_null()),
    Rule(
        RejectReason(
            "value_too_long",
            f"an id above {MAX_ID_BYTES} or a campaign above {MAX_CAMPAIGN_BYTES} bytes",
        ),
        _within("record_id", MAX_ID_BYTES)
        & _within("user_id", MAX_ID_BYTES)
        & _within("campaign", MAX_CAMPAIGN_BYTES),
        pl.concat_str([*_LENGTHS, pl.lit("bytes")], separator=" "),
    ),
    Rule(
        RejectReason("bad_timestamp", f"no such moment, or outside of {FIRST_YEAR} to {LAST_YEAR}"),
        pl.col("timestamp").dt.year().is_between(FIRST_YEAR, LAST_YEAR),
        pl.col("raw_timestamp").str.slice(0, _DETAIL_CHARACTERS),
    ),
)


def validated(chunk: Chunk) -> Chunk:
    """The chunk with typed, regular and hashed rows; rows that break a rule join its rejects.

    Accepted columns: COLUMNS (``timestamp`` in UTC), ``row_hash``, ``message_hash`` (SHA-256, null
    without a message), ``line``, ``text``.
    """
    good = checked(replace(chunk, accepted=normalised(chunk.accepted)), RULES)
    accepted = hashed(good.accepted.drop("raw_timestamp"), COLUMNS)
    return replace(good, accepted=_with_message_hash(accepted))


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


def _with_message_hash(frame: pl.DataFrame) -> pl.DataFrame:
    messages = frame.get_column("message").drop_nulls().unique().to_list()
    digests = [hashlib.sha256(message.encode()).hexdigest() for message in messages]
    hashes = pl.DataFrame(
        {"message": messages, "message_hash": digests},
        schema={"message": pl.String, "message_hash": pl.String},
    )
    return frame.join(hashes, on="message", how="left", maintain_order="left")


def _null_if_empty(name: str) -> pl.Expr:
    return pl.when(pl.col(name).str.len_bytes() > 0).then(name).alias(name)
