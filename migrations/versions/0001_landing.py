"""The landing ledger: object versions, batches, sinks, staging and quarantine.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA landing;

CREATE TABLE landing.batch (
    batch_id text COLLATE "C" PRIMARY KEY,
    source text NOT NULL,
    pipeline text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN (
        'pending', 'requested', 'running', 'loaded', 'loaded_with_rejects',
        'failed_transient', 'failed_permanent')),
    attempt integer NOT NULL DEFAULT 0,
    objects integer NOT NULL,
    bytes bigint NOT NULL,
    created_at timestamptz NOT NULL,
    requested_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    next_attempt_at timestamptz,
    run_id text,
    validated_at timestamptz,
    error_class text CHECK (error_class IN ('transient', 'permanent')),
    error text,
    partition_removed_at timestamptz
);
CREATE INDEX batch_open ON landing.batch (source, batch_id)
    WHERE state NOT IN ('loaded', 'loaded_with_rejects');
CREATE INDEX batch_validated ON landing.batch (pipeline, validated_at);

CREATE TABLE landing.object_version (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    store text NOT NULL CHECK (store IN ('gcs', 's3', 'minio')),
    bucket text NOT NULL,
    key text COLLATE "C" NOT NULL,
    version text NOT NULL,
    size bigint NOT NULL,
    modified_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    batch_id text COLLATE "C" REFERENCES landing.batch,
    outcome text CHECK (outcome IN ('loaded', 'superseded', 'gone', 'rejected')),
    reason text,
    rows_read bigint,
    rows_written bigint,
    rows_unchanged bigint,
    rows_superseded bigint,
    rows_rejected bigint
);
-- A key may be 1,024 bytes of UTF-8, which with its version still fits a btree entry.
CREATE UNIQUE INDEX object_version_identity
    ON landing.object_version (store, bucket, key, version);
CREATE INDEX object_version_unassigned ON landing.object_version (source, seq)
    WHERE batch_id IS NULL;
CREATE INDEX object_version_batch ON landing.object_version (batch_id);

CREATE TABLE landing.batch_sink (
    batch_id text COLLATE "C" NOT NULL REFERENCES landing.batch ON DELETE CASCADE,
    sink text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    rows_written bigint,
    seconds double precision,
    run_id text,
    done_at timestamptz,
    error_class text CHECK (error_class IN ('transient', 'permanent')),
    error text,
    PRIMARY KEY (batch_id, sink)
);

CREATE TABLE landing.staged_part (
    batch_id text COLLATE "C" NOT NULL REFERENCES landing.batch ON DELETE CASCADE,
    part integer NOT NULL,
    key text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    PRIMARY KEY (batch_id, part)
);

CREATE TABLE landing.quarantine (
    batch_id text COLLATE "C" PRIMARY KEY REFERENCES landing.batch ON DELETE CASCADE,
    bucket text NOT NULL,
    key text NOT NULL,
    rows bigint NOT NULL,
    reasons jsonb NOT NULL,
    written_at timestamptz NOT NULL,
    replayed_at timestamptz
);

CREATE TABLE landing.scan (
    source text PRIMARY KEY,
    position text,
    cycle bigint NOT NULL,
    cycle_started_at timestamptz NOT NULL,
    last_cycle_seconds double precision,
    last_tick_at timestamptz NOT NULL,
    listed bigint NOT NULL,
    known bigint NOT NULL,
    ignored bigint NOT NULL
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA landing CASCADE")
