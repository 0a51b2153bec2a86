"""The tables that images fill, each declared once.

Belongs here: columns, keys, limits. Does not: how they are filled (the package of the table), the
DDL (``migrations``).
"""

from __future__ import annotations

from assets.frame.tables import INGESTED_AT, LINE, ROW_HASH, SEQ, SOURCE, Column, Table, read_from

PIPELINE = "images"

FIRST_YEAR, LAST_YEAR = 1900, 2200

_ID = Column("id", "bigint", "Of the product, as the catalogue has it.", nullable=False, minimum=0)

#: What the catalogue says of a product. What it does not say is null.
_SAID = (
    Column("gender", "text", "Whom it is made for."),
    Column("master_category", "text", "The widest of three categories."),
    Column("sub_category", "text", "The middle one."),
    Column("article_type", "text", "The narrowest."),
    Column("base_colour", "text", "Its main colour."),
    Column("season", "text", "Season that it was made for."),
    Column("year", "smallint", "Year that it was made for.", minimum=FIRST_YEAR, maximum=LAST_YEAR),
    Column("usage", "text", "Occasion that it is made for."),
    Column("product_display_name", "text", "What shoppers read."),
)
REPAIRED = Column(
    "repaired",
    "boolean",
    "Its name came with commas that were not quoted, and was joined again.",
    nullable=False,
)

CATALOGUE_ROWS = Table(
    PIPELINE,
    "catalogue_rows",
    "Products of one batch that say something new, staged as Parquet.",
    ("id",),
    # The key of a record is text.
    (Column("id", "text", "Of the product, in digits.", nullable=False), *_SAID, REPAIRED,
     ROW_HASH, SEQ, LINE, SOURCE, INGESTED_AT),
)  # fmt: skip
PRODUCT = Table(
    PIPELINE,
    "product",
    "One row per product, as the latest catalogue that holds it says.",
    ("id",),
    read_from("catalogue_rows", (_ID, *_SAID, REPAIRED, ROW_HASH, INGESTED_AT)),
    asset="product_catalog",
)

#: What a file may be: taken, or why not.
STATUSES = ("ok", "corrupt", "too_large", "unsupported")
_FILE = (
    Column("key", "text", "Of the object, in the bucket of products.", nullable=False),
    Column("version", "text", "Of the object, as the ledger has it.", nullable=False),
    Column("modified_at", "timestamptz", "When the object was written.", nullable=False),
    Column("size", "bigint", "Bytes of the file.", nullable=False, minimum=0),
    Column("format", "text", "JPEG, PNG, WEBP or another known one, by content."),
    Column("width", "integer", "Pixels as stored, before any EXIF orientation.", minimum=1),
    Column("height", "integer", "Pixels as stored, before any EXIF orientation.", minimum=1),
    Column("mode", "text", "Pillow's: RGB, L for grey, CMYK, P."),
    Column("content", "text", "BLAKE2b of the file, 128 bits, hex; null where it was not read."),
    Column("status", "text", "Whether it can be worked on.", nullable=False, allowed=STATUSES),
    Column("detail", "text", "Why not, in words."),
)

IMAGE_PROBES = Table(
    PIPELINE,
    "image_probes",
    "Images of one batch that are new, staged as Parquet.",
    ("product_id",),
    (Column("product_id", "text", "Of the product, in digits.", nullable=False), *_FILE,
     ROW_HASH, SEQ, LINE, SOURCE, INGESTED_AT),
)  # fmt: skip
IMAGE = Table(
    PIPELINE,
    "image",
    "One row per product of which an image landed: the one that arrived last.",
    ("product_id",),
    read_from(
        "image_probes",
        (_ID.named("product_id", "Of the product, by the file's name."), *_FILE,
         ROW_HASH, INGESTED_AT),
    ),
    asset="image_inventory",
)  # fmt: skip

TABLES = (PRODUCT, IMAGE)
