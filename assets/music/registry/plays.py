"""Plays: who played which song how often, and the files that say so.

Belongs here: these tables' columns. Does not: plays per song and artist (``gold.py``).
"""

from __future__ import annotations

from assets.frame.tables import SEQ, SOURCE, STAMPS, Column, Table
from assets.music.registry import PIPELINE
from assets.music.registry.bronze import RECORD, RECORD_KEY, ROW_HASH

ASSET = "fact_play"
_PLAYS = (f"{RECORD.name}.plays",)

_FILE_ID = Column("file_id", "integer", "The file that says so, of play_file.", nullable=False)

PLAY_FILE = Table(
    PIPELINE,
    "play_file",
    "Files whose plays are in fact_play: the newest whole version of each, and versions with "
    "rejected lines that came after it.",
    ("file_id",),
    (
        _FILE_ID.named("file_id", "Number of the file's rows in fact_play."),
        RECORD_KEY.read_from(RECORD.name),
        ROW_HASH.read_from(RECORD.name),
        SEQ.read_from(RECORD.name),
        SOURCE.read_from(RECORD.name).required(),
        Column("pairs", "bigint", "Rows in fact_play.", nullable=False, minimum=1, sources=_PLAYS),
    ),
    asset=ASSET,
    made=STAMPS,
)
FACT_PLAY = Table(
    PIPELINE,
    "fact_play",
    "How often a listener played a song, by each file that says so; `counted_play` has the newest.",
    ("user_id", "song_id", "file_id"),
    (
        Column("user_id", "text", "Listener: 40 hex digits.", nullable=False, sources=_PLAYS),
        Column("song_id", "text", "Million Song song id, whether the song is known or not.",
               nullable=False, sources=_PLAYS),
        Column("plays", "integer", "How often.", nullable=False, minimum=1, sources=_PLAYS),
        _FILE_ID,
    ),
    asset=ASSET,
)  # fmt: skip

TABLES = (PLAY_FILE, FACT_PLAY)
