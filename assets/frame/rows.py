"""What a pipeline asks of each row of a file: rules with a reason each, and the row's hash.

Belongs here: taking rows that break a rule out of a chunk, hashing those that are left. Does not:
any rule, any format.
Imported lazily: needs polars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl  # noqa: TID253

from landing.batch.chunks import REJECT_SCHEMA, Chunk, cut_texts
from landing.batch.reasons import RejectReason

_NO_DETAIL = pl.lit(None, pl.String)


@dataclass(frozen=True)
class Rule:
    """``holds`` is true for a good row; null counts as false.

    A row that breaks it is rejected for ``reason``, with what ``detail`` says of it.
    """

    reason: RejectReason
    holds: pl.Expr
    detail: pl.Expr = _NO_DETAIL


def checked(chunk: Chunk, rules: Sequence[Rule]) -> Chunk:
    """The chunk whose accepted rows hold to all rules; the others join its rejects.

    A row that breaks several is counted once, for the first. The rules may name any column of the
    chunk's accepted rows.
    """
    frame = chunk.accepted.with_columns(_first_broken(rules))
    broken = frame.filter(pl.col("reason").is_not_null())
    accepted = frame.filter(pl.col("reason").is_null()).drop("reason")
    if broken.is_empty():
        return replace(chunk, accepted=accepted)
    detail = _NO_DETAIL
    for rule in rules:
        detail = pl.when(pl.col("reason") == rule.reason.code).then(rule.detail).otherwise(detail)
    rejects = cut_texts(broken.with_columns(detail.alias("detail"))).select(list(REJECT_SCHEMA))
    rejected = pl.concat([chunk.rejected, rejects]).sort("line", maintain_order=True)
    return replace(chunk, accepted=accepted, rejected=rejected)


def hashed(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The frame with ``row_hash``: 128-bit BLAKE2b of the columns, hex.

    A row's encoding is one netstring per column (length in bytes, colon, value), ``-`` for null,
    times in microseconds since 1970, so that no two rows share an encoding.
    """
    parts = [_netstring(pl.col(name), frame.schema[name]) for name in columns]
    encoded = frame.select(pl.concat_str(parts)).to_series()
    hashes = [hashlib.blake2b(value.encode(), digest_size=16).hexdigest() for value in encoded]
    return frame.with_columns(pl.Series("row_hash", hashes, dtype=pl.String))


def _first_broken(rules: Sequence[Rule]) -> pl.Expr:
    return pl.coalesce(
        [
            pl.when(~rule.holds.fill_null(value=False)).then(pl.lit(rule.reason.code))
            for rule in rules
        ]
    ).alias("reason")


def _netstring(value: pl.Expr, kind: pl.DataType) -> pl.Expr:
    if isinstance(kind, pl.Datetime):
        value = value.dt.epoch("us")
    text = value.cast(pl.String)
    return pl.concat_str([text.str.len_bytes().cast(pl.String), pl.lit(":"), text]).fill_null("-")
