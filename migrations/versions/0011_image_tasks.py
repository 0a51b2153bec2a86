"""Tasks of images, and each of their items.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UPGRADE = """
-- What was asked for, and how it gets on; kept for ever.
CREATE TABLE images.image_task (
    task_id text COLLATE "C" PRIMARY KEY,
    request jsonb NOT NULL,
    request_hash text NOT NULL,
    -- The object that asked, and the store's time of it: the later one's request counts.
    source text NOT NULL,
    requested_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN (
        'pending', 'running', 'done', 'done_with_skips', 'failed', 'cancelled')),
    -- Products that match, once that is decided, and those of them with an outcome.
    items bigint,
    settled bigint NOT NULL DEFAULT 0,
    -- It can't be done as it was asked for, whatever happens.
    refused boolean NOT NULL DEFAULT false,
    -- Why it failed: one line for each problem.
    problems text[] NOT NULL DEFAULT '{}',
    -- What was written beside the images, by name: sha256 and bytes. Null until all is written.
    files jsonb,
    -- An operator wants it to end where it is.
    cancel_requested boolean NOT NULL DEFAULT false,
    started_at timestamptz,
    finished_at timestamptz,
    -- Seconds of work on images, over all attempts.
    seconds double precision NOT NULL DEFAULT 0
);
CREATE INDEX image_task_state ON images.image_task (state, requested_at);

-- One row per requested product. Outcomes are written into it: hence the free space.
CREATE TABLE images.image_task_item (
    task_id text COLLATE "C" NOT NULL REFERENCES images.image_task ON DELETE CASCADE,
    number bigint NOT NULL,
    product_id bigint NOT NULL,
    -- The image as the inventory had it; null for a product without one.
    source_key text COLLATE "C",
    source_version text COLLATE "C",
    -- How its result's name ends.
    extension text NOT NULL,
    -- What came of it; null while it waits.
    status text CHECK (status IN (
        'ok', 'missing', 'corrupt', 'too_large', 'unsupported', 'timeout', 'crashed')),
    detail text NOT NULL DEFAULT '',
    -- BLAKE2b-128 of what was read and written, hex; of what was written also size and extent.
    content text,
    digest text,
    width integer,
    height integer,
    bytes bigint,
    seconds real,
    PRIMARY KEY (task_id, number)
) WITH (fillfactor = 60);
CREATE INDEX image_task_item_waiting ON images.image_task_item (task_id, number)
    WHERE status IS NULL;
CREATE INDEX image_task_item_product ON images.image_task_item (product_id);

-- Ranges of a large task's items, for workers of other machines.
CREATE TABLE images.image_task_shard (
    task_id text COLLATE "C" NOT NULL REFERENCES images.image_task ON DELETE CASCADE,
    shard bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    -- Workers that failed in a row, and the last one's error.
    failures integer NOT NULL DEFAULT 0,
    error text,
    PRIMARY KEY (task_id, shard)
);
"""

DOWNGRADE = """
DROP TABLE images.image_task_shard;
DROP TABLE images.image_task_item;
DROP TABLE images.image_task;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
