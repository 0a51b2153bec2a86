"""The landing part of music: records, what they replaced, archived files, what a batch touched.

Belongs here: these tables' columns. Does not: silver and gold.
"""

from __future__ import annotations

from assets.frame.tables import SEQ, Column, Table
from assets.music.registry import PIPELINE
from assets.music.registry.bronze import RECORD_KEY, ROW_HASH

_KEY = RECORD_KEY.named("key")
_BATCH = Column("batch_id", "text", "Landing batch, in order of time.", nullable=False)
_TIME = Column(
    "event_time",
    "timestamptz",
    "Time of the record; 1970 for all, so that the later file wins.",
    nullable=False,
)

RECORD = Table(
    PIPELINE,
    "record",
    "The winner of every record.",
    ("key",),
    (
        _KEY,
        _TIME,
        SEQ,
        ROW_HASH,
        _BATCH.named("batch_id", "Batch whose record it is."),
        Column(
            "order_at",
            "bigint",
            "When the newest version that says so arrived, µs since 1970.",
            nullable=False,
        ),
        Column("order_seq", "bigint", "Its place among those of that time.", nullable=False),
        SEQ.named("said_seq", "Ledger sequence of that version."),
    ),
)
REPLACED = Table(
    PIPELINE,
    "replaced",
    "Records that a batch replaced.",
    ("batch_id", "key"),
    (_BATCH, _KEY, _TIME),
)
WITHDRAWN = Table(
    PIPELINE,
    "withdrawn",
    "Records that a file told of, by the batch whose version of it no longer does.",
    ("batch_id", "key"),
    (_BATCH, _KEY),
)
TAKEN_DOWN = Table(
    PIPELINE,
    "taken_down",
    "Files that an operator took down: what is put under their keys is rejected.",
    ("key",),
    (
        Column("key", "text", "Key in the raw bucket.", nullable=False),
        Column("why", "text", "The operator's words.", nullable=False),
        Column("taken_down_at", "timestamptz", "Since when.", nullable=False),
    ),
)
ARCHIVED_OBJECT = Table(
    PIPELINE,
    "archived_object",
    "Files that were read: where their copy lies, and whether the original is gone from raw.",
    ("seq",),
    (
        SEQ,
        Column("processed_key", "text", "Key in the processed bucket.", nullable=False),
        Column("sha256", "text", "SHA-256 of the file, hex.", nullable=False),
        Column("archived_at", "timestamptz", "When the copy was made.", nullable=False),
        Column("removed_at", "timestamptz", "When the original was looked after in raw."),
        Column(
            "removal",
            "text",
            "What became of the original; null while it lies in raw.",
            allowed=("removed", "replaced", "absent"),
        ),
    ),
)
TOUCHED = Table(
    PIPELINE,
    "touched",
    "Songs, artists and albums, old and new, that a batch touched, and ids of played songs.",
    ("batch_id", "kind", "key"),
    (
        _BATCH,
        Column("kind", "text", "Kind of the key.", nullable=False,
               allowed=("song", "artist", "album", "plays")),
        Column("key", "text", "song_key, artist_key or album_key; of plays the song id.",
               nullable=False),
    ),
)  # fmt: skip

TABLES = (RECORD, REPLACED, WITHDRAWN, TAKEN_DOWN, ARCHIVED_OBJECT, TOUCHED)
