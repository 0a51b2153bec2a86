"""The reading pipeline: sessions, rejected messages, the merge fence, and what has changed.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA reading;

-- One row per streaming session; its id is the Dagster run's.
CREATE TABLE reading.session (
    session_id text COLLATE "C" PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('serving', 'draining', 'ended', 'failed')),
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz,
    error text
);
CREATE INDEX session_started ON reading.session (started_at);

-- What a session did with the deliveries of one subscription, so far.
CREATE TABLE reading.session_stream (
    session_id text COLLATE "C" NOT NULL REFERENCES reading.session,
    subscription text COLLATE "C" NOT NULL,
    received bigint NOT NULL DEFAULT 0,
    redelivered bigint NOT NULL DEFAULT 0,
    accepted bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    pending bigint NOT NULL DEFAULT 0,
    -- Rows that the merges inserted: events that were new.
    written bigint NOT NULL DEFAULT 0,
    micro_batches bigint NOT NULL DEFAULT 0,
    -- Seconds: age of the oldest message in hand; publish to merged, of the last minute.
    lag double precision,
    latency_p50 double precision,
    latency_p95 double precision,
    PRIMARY KEY (session_id, subscription)
);

-- Messages that cannot become rows, each once, as they came.
CREATE TABLE reading.rejected_message (
    subscription text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    publish_time timestamptz NOT NULL,
    ordering_key text NOT NULL,
    attributes jsonb NOT NULL,
    data bytea NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    attempts integer NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    -- The id that the dead-letter topic gave it; null until it is published there.
    dead_letter_id text,
    -- When an operator published it to its topic again.
    replayed_at timestamptz,
    PRIMARY KEY (subscription, message_id)
);
CREATE INDEX rejected_message_at ON reading.rejected_message (rejected_at);

-- The BigQuery job that merges into a table now, or did when its writer was killed.
CREATE TABLE reading.merge_fence (
    table_name text COLLATE "C" PRIMARY KEY,
    job_id text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);

-- Days that have gained events, contents that have gained a category: not yet told to Dagster.
CREATE TABLE reading.changed_day (
    day date PRIMARY KEY,
    events bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE reading.changed_content (
    content_id bigint PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA reading CASCADE")
