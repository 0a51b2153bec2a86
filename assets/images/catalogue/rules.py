"""What a product must be: values made regular, rules with a reason each.

Belongs here: rules and spelling. Does not: CSV (``assets/formats``), the columns (``tables.py``).
All values lose surrounding white space. What is then empty is unknown, which is null, and so is the
literal ``NA``, which a table written by R or pandas has for it: the real file has it for colours,
usages and names only, and no other column has a value of that name either.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import polars as pl  # noqa: TID253

from assets.formats.csv_records import read_records
from assets.formats.csv_rules import CSV_REASONS
from assets.frame.rows import Rule, checked, hashed
from assets.images.tables import FIRST_YEAR, LAST_YEAR
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import Chunk
from landing.batch.reasons import RejectReason

#: A file's columns, and what they are called here.
NAMES = {
    "id": "id",
    "gender": "gender",
    "masterCategory": "master_category",
    "subCategory": "sub_category",
    "articleType": "article_type",
    "baseColour": "base_colour",
    "season": "season",
    "year": "year",
    "usage": "usage",
    "productDisplayName": "product_display_name",
}
COLUMNS = tuple(NAMES.values())
STAGED = (*COLUMNS, "repaired", "row_hash")

_UNKNOWN = ("", "NA")
#: Its commas are not always quoted.
_SPILLING = "product_display_name"
_DETAIL_CHARACTERS = 100
#: Characters of a value that people read and filter by.
MOST_CHARACTERS = 500

_TEXTS = tuple(name for name in COLUMNS if name not in ("id", "year"))


def _raw(name: str) -> pl.Expr:
    return pl.col(f"raw_{name}").str.slice(0, _DETAIL_CHARACTERS)


#: In the order in which they are told.
RULES = (
    Rule(RejectReason("missing_id", "the id is empty"), pl.col("raw_id").is_not_null()),
    Rule(
        RejectReason("bad_id", "the id is no whole number that 63 bits hold"),
        pl.col("id").is_not_null(),
        _raw("id"),
    ),
    Rule(
        RejectReason("bad_year", f"the year is no number from {FIRST_YEAR} to {LAST_YEAR}"),
        pl.col("raw_year").is_null() | pl.col("year").is_between(FIRST_YEAR, LAST_YEAR),
        _raw("year"),
    ),
    Rule(
        RejectReason("value_too_long", f"a value above {MOST_CHARACTERS} characters"),
        pl.all_horizontal(
            pl.col(name).str.len_chars().fill_null(0) <= MOST_CHARACTERS for name in _TEXTS
        ),
    ),
)
REASONS = (*CSV_REASONS, *(rule.reason for rule in RULES))


def read_products(stream: BinaryIO, _version: ObjectVersion) -> Iterator[Chunk]:
    """Validated chunks of one file of CSV. Raises UnreadableObject as read_records does."""
    names = {name.lower(): ours for name, ours in NAMES.items()}
    chunks = read_records(
        stream,
        COLUMNS,
        named=lambda fields: [names.get(name.lower(), name) for name in fields],
        spilling=_SPILLING,
    )
    for chunk in chunks:
        yield validated(chunk)


def validated(chunk: Chunk) -> Chunk:
    """The chunk with typed, regular and hashed rows; rows that break a rule join its rejects.

    Accepted columns: STAGED, ``line``, ``text``. The id stays text, without leading zeros.
    """
    good = checked(replace(chunk, accepted=normalised(chunk.accepted)), RULES)
    accepted = good.accepted.drop("raw_id", "raw_year")
    return replace(good, accepted=hashed(accepted, (*COLUMNS, "repaired")))


def normalised(raw: pl.DataFrame) -> pl.DataFrame:
    """Values without white space at their edges, null where unknown; id and year as numbers."""
    frame = raw.with_columns(_known(name) for name in COLUMNS)
    return frame.with_columns(
        pl.col("id").alias("raw_id"),
        pl.col("year").alias("raw_year"),
        _digits("id").cast(pl.Int64, strict=False).cast(pl.String).alias("id"),
        _digits("year").cast(pl.Int16, strict=False).alias("year"),
    )


def _known(name: str) -> pl.Expr:
    value = pl.col(name).str.strip_chars()
    return pl.when(~value.is_in(_UNKNOWN)).then(value).alias(name)


def _digits(name: str) -> pl.Expr:
    """The value if it is of ASCII digits: a cast takes signs and exponents, too."""
    return pl.when(pl.col(name).str.contains(r"^[0-9]+$")).then(name)
