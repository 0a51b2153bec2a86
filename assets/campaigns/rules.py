"""What a campaign event must be: values made regular, rules with a reason each, content hashes.

Belongs here: rules and spelling. Does not: CSV (``assets/formats``), the columns (``tables.py``),
nor how rules are applied (``assets/frame/rows.py``).
Ids, campaign and timestamp lose surrounding white space and characters without a width; the message
is kept as it came. What is then empty is null, and so is a message of white space only: there is
nothing to embed in it. A UUID is one id however it is spelled (RFC 9562 section 4 has the usual
way), other ids are texts. User and campaign are in NFC, for what looks alike is one; case stays.
Imported lazily: needs polars.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl  # noqa: TID253

from assets.campaigns.tables import EVENT
from assets.frame.rows import Rule, checked, hashed
from landing.batch.chunks import Chunk
from landing.batch.reasons import RejectReason

COLUMNS = tuple(column.name for column in EVENT)

#: Bytes of UTF-8. Ids are keys in five systems, some of which limit them.
MAX_ID_BYTES = 128
MAX_CAMPAIGN_BYTES = 256
FIRST_YEAR = 1970
#: How far an event may be ahead of the arrival of its file: clocks and zones differ.
AHEAD = timedelta(days=1)

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
#: Python's white space is what Unicode calls so, and four control characters.
_EDGES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + _INVISIBLE
_UUID = (
    r"^(?:urn:uuid:)?\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})"
    r"-?([0-9a-f]{12})\}?$"
)
#: How databases and Python write that there is no value, in lower case.
_NO_ID = ("null", r"\n", "none", "nan")

#: Date, time, at most six decimals, and an offset; no offset means UTC.
_TIMESTAMP = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r" ?(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?$"
)
_DETAIL_CHARACTERS = 100


def _within(name: str, limit: int) -> pl.Expr:
    return pl.col(name).str.len_bytes().fill_null(0) <= limit


_RAW_TIMESTAMP = pl.col("raw_timestamp").str.slice(0, _DETAIL_CHARACTERS)
#: Keys that a sink could not hold are told by their lengths.
_LENGTHS = [
    pl.concat_str([pl.lit(f"{name} "), pl.col(name).str.len_bytes().fill_null(0)])
    for name in ("record_id", "user_id", "campaign")
]

#: In the order in which they are told. ``until`` is the latest time that an event may have.
RULES = (
    Rule(
        RejectReason("missing_record_id", "the id is empty, or NULL"),
        pl.col("record_id").is_not_null(),
    ),
    Rule(
        RejectReason("missing_user_id", "the user is empty, or NULL"),
        pl.col("user_id").is_not_null(),
    ),
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
        RejectReason("bad_timestamp", f"no such moment, or before {FIRST_YEAR}"),
        pl.col("timestamp").dt.year() >= FIRST_YEAR,
        _RAW_TIMESTAMP,
    ),
    Rule(
        RejectReason("future", "a day or more after the file arrived"),
        pl.col("timestamp") <= pl.col("until"),
        _RAW_TIMESTAMP,
    ),
)


def validated(chunk: Chunk, arrived: datetime) -> Chunk:
    """The chunk with typed, regular and hashed rows; rows that break a rule join its rejects.

    ``arrived`` is when its object did, and not now: another day may say nothing else of it.
    Accepted columns: COLUMNS (``timestamp`` in UTC), ``row_hash``, ``message_hash`` (SHA-256, null
    without a message), ``line``, ``text``.
    """
    until = pl.lit(arrived + AHEAD, pl.Datetime("us", "UTC")).alias("until")
    regular = normalised(chunk.accepted).with_columns(until)
    good = checked(replace(chunk, accepted=regular), RULES)
    accepted = hashed(good.accepted.drop("raw_timestamp", "until"), COLUMNS)
    return replace(good, accepted=_with_message_hash(accepted))


def normalised(raw: pl.DataFrame) -> pl.DataFrame:
    """Strings made regular and the timestamp parsed; what does not parse is null."""
    frame = (
        raw.with_columns(_stripped("record_id", "user_id", "campaign", "timestamp"))
        .with_columns(_normal_forms(raw, "user_id", "campaign"))
        .with_columns(_null_if_empty("campaign"), *map(_id, ("record_id", "user_id")))
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


def _stripped(*names: str) -> pl.Expr:
    return pl.col(*names).str.strip_chars(_EDGES)


def _normal_forms(raw: pl.DataFrame, *names: str) -> list[pl.Expr]:
    """NFC of the columns that have more than ASCII, which is in it already."""
    return [
        pl.col(name).str.normalize("NFC")
        for name in names
        if raw.get_column(name).str.contains(r"[^\x00-\x7F]").any()
    ]


def _id(name: str) -> pl.Expr:
    """A UUID in its usual spelling, any other text as it is; null where there is none."""
    lower = pl.col(name).str.to_lowercase()
    bare = lower.str.replace_all(f"[{_INVISIBLE}]", "")
    uuid = bare.str.replace(_UUID, "$1-$2-$3-$4-$5")
    missing = lower.is_in(_NO_ID) | (pl.col(name).str.len_bytes() == 0)
    return (
        pl.when(missing)
        .then(pl.lit(None, pl.String))
        .when(bare.str.contains(_UUID))
        .then(uuid)
        .otherwise(pl.col(name))
        .alias(name)
    )


def _null_if_empty(name: str) -> pl.Expr:
    return pl.when(pl.col(name).str.len_bytes() > 0).then(name).alias(name)
