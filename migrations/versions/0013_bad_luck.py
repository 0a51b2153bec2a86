"""What landing keeps to be right when the world misbehaves: order, occurrences, splits, outages.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UPGRADE = """
-- A version that is current again after it was found gone or superseded occurs once more.
ALTER TABLE landing.object_version
    ADD COLUMN occurrence integer NOT NULL DEFAULT 0,
    -- Microseconds of the store's own clock: the generation on GCS, elsewhere the time.
    ADD COLUMN arrived bigint NOT NULL GENERATED ALWAYS AS (CASE
        WHEN store = 'gcs' AND version ~ '^[0-9]{1,18}$' THEN version::bigint
        ELSE (extract(epoch FROM modified_at AT TIME ZONE 'UTC') * 1000000)::bigint END) STORED,
    -- What it is ordered by instead of its arrival and its sequence: when it is current again, and
    -- when it was put back from quarantine.
    ADD COLUMN order_at bigint,
    ADD COLUMN order_seq bigint;
DROP INDEX landing.object_version_identity;
CREATE UNIQUE INDEX object_version_identity
    ON landing.object_version (store, bucket, key, version, occurrence);

-- Validations of a pipeline in the order in which they were committed, whatever a clock says.
CREATE SEQUENCE landing.validation_order;
ALTER TABLE landing.batch
    ADD COLUMN validation_order bigint,
    -- Runs that began: what the backoff counts. An attempt may never have begun.
    ADD COLUMN begun integer NOT NULL DEFAULT 0,
    -- Runs whose process died in it, one after another.
    ADD COLUMN deaths integer NOT NULL DEFAULT 0,
    -- Whether its staging was lost, so that it has to be validated again.
    ADD COLUMN restage boolean NOT NULL DEFAULT false,
    -- The batch that its objects were in before.
    ADD COLUMN split_from text COLLATE "C" REFERENCES landing.batch;
UPDATE landing.batch SET begun = attempt;
UPDATE landing.batch b SET validation_order = n.position FROM (
    SELECT batch_id, nextval('landing.validation_order') AS position
    FROM (SELECT batch_id FROM landing.batch WHERE validated_at IS NOT NULL
          ORDER BY validated_at, batch_id) AS validated
) AS n WHERE n.batch_id = b.batch_id;
CREATE INDEX batch_validation_order ON landing.batch (pipeline, validation_order);
DROP INDEX landing.batch_validated;

ALTER TABLE landing.batch_sink
    ADD COLUMN rows_refused bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT batch_sink_state_check,
    ADD CONSTRAINT batch_sink_state_check CHECK (state IN ('pending', 'done', 'failed', 'retired'));
"""

DOWNGRADE = """
DELETE FROM landing.batch_sink WHERE state = 'retired';
ALTER TABLE landing.batch_sink
    DROP COLUMN rows_refused,
    DROP CONSTRAINT batch_sink_state_check,
    ADD CONSTRAINT batch_sink_state_check CHECK (state IN ('pending', 'done', 'failed'));
CREATE INDEX batch_validated ON landing.batch (pipeline, validated_at);
ALTER TABLE landing.batch
    DROP COLUMN split_from, DROP COLUMN restage, DROP COLUMN deaths, DROP COLUMN begun,
    DROP COLUMN validation_order;
DROP SEQUENCE landing.validation_order;
DELETE FROM landing.object_version WHERE occurrence > 0;
DROP INDEX landing.object_version_identity;
ALTER TABLE landing.object_version
    DROP COLUMN order_seq, DROP COLUMN order_at, DROP COLUMN arrived, DROP COLUMN occurrence;
CREATE UNIQUE INDEX object_version_identity
    ON landing.object_version (store, bucket, key, version);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
