"""What a tick keeps and how it reads: declared sinks, sinks that are away, open batches by state.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UPGRADE = """
-- The sinks with which the open batches of the source were last reconciled.
ALTER TABLE landing.scan ADD COLUMN sinks text[];

-- A sink that is known to be away: its batches go on for the others, one probe per step asks.
CREATE TABLE landing.sink_outage (
    source text NOT NULL,
    sink text NOT NULL,
    since timestamptz NOT NULL,
    steps integer NOT NULL DEFAULT 0,
    next_probe_at timestamptz NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (source, sink)
);
-- Runs that a sink failed one after another with transient errors, across batches; whether the
-- batch waits for nothing but sinks that are away.
CREATE TABLE landing.sink_failures (
    source text NOT NULL,
    sink text NOT NULL,
    failures integer NOT NULL,
    PRIMARY KEY (source, sink)
);
ALTER TABLE landing.batch ADD COLUMN away boolean NOT NULL DEFAULT false;

-- However many batches wait for an operator, a tick reads those that it may request.
CREATE INDEX batch_open_state ON landing.batch (source, state, batch_id)
    WHERE state NOT IN ('loaded', 'loaded_with_rejects');
-- Ordered as batch_due is: by the id alone the planner would walk through the primary key.
CREATE INDEX batch_pending ON landing.batch
    (source, coalesce(next_attempt_at, '-infinity'::timestamptz), batch_id)
    WHERE state = 'pending';
CREATE INDEX batch_due ON landing.batch
    (source, coalesce(next_attempt_at, '-infinity'::timestamptz), batch_id)
    WHERE state IN ('failed_transient', 'waiting') AND NOT away;
CREATE INDEX batch_dying ON landing.batch (source, batch_id)
    WHERE state = 'failed_transient' AND deaths > 1;
"""

DOWNGRADE = """
DROP INDEX landing.batch_dying;
DROP INDEX landing.batch_due;
DROP INDEX landing.batch_pending;
DROP INDEX landing.batch_open_state;
ALTER TABLE landing.batch DROP COLUMN away;
DROP TABLE landing.sink_failures;
DROP TABLE landing.sink_outage;
ALTER TABLE landing.scan DROP COLUMN sinks;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
