"""Units of failure: rows that a sink refuses, errors of no known class.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE landing.batch
    -- Runs that ended with an error of no known class, since an operator last looked into it.
    ADD COLUMN unknown_errors integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT batch_error_class_check,
    ADD CONSTRAINT batch_error_class_check
        CHECK (error_class IN ('transient', 'permanent', 'unknown'));
ALTER TABLE landing.batch_sink
    DROP CONSTRAINT batch_sink_error_class_check,
    ADD CONSTRAINT batch_sink_error_class_check
        CHECK (error_class IN ('transient', 'permanent', 'unknown'));

-- Rows of a batch that a sink refuses, each with the sink's own words. What is written goes.
CREATE TABLE landing.refused_row (
    batch_id text COLLATE "C" NOT NULL,
    sink text NOT NULL,
    record_key text COLLATE "C" NOT NULL,
    source text,
    line bigint,
    detail text NOT NULL,
    refused_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, sink, record_key),
    FOREIGN KEY (batch_id, sink) REFERENCES landing.batch_sink ON DELETE CASCADE
);
"""

DOWNGRADE = """
DROP TABLE landing.refused_row;
UPDATE landing.batch_sink SET error_class = 'transient' WHERE error_class = 'unknown';
UPDATE landing.batch SET error_class = 'transient' WHERE error_class = 'unknown';
ALTER TABLE landing.batch_sink
    DROP CONSTRAINT batch_sink_error_class_check,
    ADD CONSTRAINT batch_sink_error_class_check CHECK (error_class IN ('transient', 'permanent'));
ALTER TABLE landing.batch
    DROP CONSTRAINT batch_error_class_check,
    ADD CONSTRAINT batch_error_class_check CHECK (error_class IN ('transient', 'permanent')),
    DROP COLUMN unknown_errors;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
