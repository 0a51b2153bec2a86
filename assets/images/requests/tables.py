"""What validation hands over of a request. Belongs here: its columns. Does not: reading it."""

from __future__ import annotations

from assets.frame.tables import Column, Table

REQUESTS = Table(
    "images",
    "image_requests",
    "Requests that were taken, as they came.",
    ("task_id",),
    (
        Column("task_id", "text", "The client's name for it, or a hash.", nullable=False),
        Column("request", "text", "What was asked for, as JSON.", nullable=False),
        Column("source", "text", "The object that asked.", nullable=False),
        Column("written_at", "timestamptz", "When it was written.", nullable=False),
    ),
)
