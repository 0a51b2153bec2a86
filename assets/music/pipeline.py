"""What the music pipeline is called, partitioned by and made of.

Belongs here: names that assets, jobs and sensors share. Does not: any behaviour.
"""

from __future__ import annotations

import dagster as dg

from assets.frame.reports import REJECTED_SHARE, ROWS_BALANCE
from assets.sinks.result import HOLDS_BATCH

PIPELINE = "music"

#: One dynamic partition per landing batch.
BATCHES = dg.DynamicPartitionsDefinition(name="music_batches")


def asset_key(name: str) -> dg.AssetKey:
    """The key of one of the pipeline's assets."""
    return dg.AssetKey([PIPELINE, name])


#: The external asset that the raw bucket is, upstream of everything.
LANDING_KEY = asset_key("raw_landing")

OWNERS = ["team:music-data"]

#: Op tag by which the executor knows whose records a step decides or writes.
WRITER = {"quintet/writer": PIPELINE}

VALIDATION = "bronze_records"

GOLD = (
    "gold_song_details",
    "gold_artist_performance",
    "gold_album_performance",
    "gold_genre_by_year",
    "gold_tempo_key_profile",
)

#: The writing assets, each of which must have taken a batch before it is loaded.
SINKS = ("silver_songs", "song_lyrics", *GOLD, "song_search", "lyrics_vectors")

#: Runs with every batch, after silver, and is made up for by a sweep: the ledger does not wait.
RAW_REMOVALS = "raw_removals"

#: The checks that a batch's assets make themselves.
BATCH_CHECKS = {
    VALIDATION: (ROWS_BALANCE, REJECTED_SHARE),
    **dict.fromkeys(SINKS, (HOLDS_BATCH,)),
}
